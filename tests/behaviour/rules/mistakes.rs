//! What a user sees of a file that cannot be used.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use tracing_conversation::names::event;
use tracing_conversation::rules::{Match, Operation, Rules, Source};

/// The mistakes of a rule, each with the message for it.
const MISTAKES: &[(&str, &str)] = &[
    (
        "[[rule]\n",
        // The rest is the words of the TOML parser.
        "rules:1:8: this is not TOML: …",
    ),
    (
        "rules = 1\n",
        "rules:1:1: unknown key `rules` in a file of rules; allowed is `presets`, `rule`; did you mean `rule`?",
    ),
    (
        "presets = \"rig\"\n",
        "rules:1:11: `presets` is a string; allowed is a list such as `[\"rig\"]`",
    ),
    (
        "presets = [\"rig\", \"rigg\"]\n",
        "rules:1:19: unknown preset `rigg`; allowed is `gen_ai`, `rig`, `tasks`; did you mean `rig`?",
    ),
    (
        "presets = [1]\n",
        "rules:1:12: a preset is a number; allowed is `gen_ai`, `rig`, `tasks`",
    ),
    (
        "[rule]\nmatch = { target = \"vad\" }\n",
        "rules:1:1: `rule` is one table; allowed is a list of them, each begun by `[[rule]]`",
    ),
    (
        "rule = [1]\n",
        "rules:1:9: a rule is a number; allowed is a table, `{ … }`",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\" }\nevnt = \"interruption\"\n",
        "rules:3:1: unknown key `evnt` in a rule; allowed is `match`, `event`, `conversation`, `service`, `fields`, `open`, \
         `close`, `until`, `name`, `key`; did you mean `event`?",
    ),
    (
        "[[rule]]\nevent = \"interruption\"\n",
        "rules:1:1: the rule has no `match`; allowed is `match = { target = …, message = … }` and the like",
    ),
    (
        "[[rule]]\nmatch = \"vad\"\nevent = \"interruption\"\n",
        "rules:2:9: a match is a string; allowed is a table, `{ … }`",
    ),
    (
        "[[rule]]\nmatch = {}\nevent = \"interruption\"\n",
        "rules:2:9: the match is empty; allowed is `target`, `span`, `message`, `level`, `fields`, `in`",
    ),
    (
        "[[rule]]\nmatch = { targt = \"vad\" }\nevent = \"interruption\"\n",
        "rules:2:11: unknown key `targt` in a match; allowed is `target`, `span`, `message`, `level`, `fields`, `in`; did \
         you mean `target`?",
    ),
    (
        "[[rule]]\nmatch = { target = 3 }\nevent = \"interruption\"\n",
        "rules:2:20: `target` is a number; allowed is a string",
    ),
    (
        "[[rule]]\nmatch = { level = \"warning\" }\nevent = \"interruption\"\n",
        "rules:2:19: unknown level `warning`; allowed is `error`, `warn`, `info`, `debug`, `trace`; did you mean `warn`?",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\", fields = { state = [1] } }\nevent = \"interruption\"\n",
        "rules:2:46: `state` is a list; allowed is a string, a number, true, false, or `{ present = true }`",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\", fields = { state = { present = false } } }\nevent = \"interruption\"\n",
        "rules:2:58: allowed is `present = true`",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\", fields = { state = { presence = true } } }\nevent = \"interruption\"\n",
        "rules:2:48: unknown key `presence` in a field of a match; allowed is `present`; did you mean `present`?",
    ),
    (
        "[[rule]]\nmatch = { message = \"speech\" }\nevent = \"interruption\"\n",
        "rules:2:9: `message` alone would be compared with every event of the program; allowed is `message` with a `target` \
         or a `level` beside it",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\" }\nevent = \"user_started_speeking\"\n",
        "rules:3:9: `user_started_speeking` is no boundary event; allowed is `conversation_started`, `conversation_ended`, \
         `client_connected`, `client_disconnected`, `user_started_speaking`, `user_stopped_speaking`, \
         `vad_user_started_speaking`, `vad_user_stopped_speaking`, `bot_started_speaking`, `bot_stopped_speaking`, \
         `interruption`, `first_byte`, `annotate`; did you mean `user_started_speaking`?",
    ),
    (
        "[[rule]]\nmatch = { span = \"call\" }\nevent = \"interruption\"\n",
        "rules:2:9: `span` matches spans, and this rule is about events; allowed is `in` for an event in a span, or `open` \
         and `close` for what a span's start and end are",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\", message = \"x\" }\nconversation = \"id\"\n",
        "rules:2:9: `message` matches events, and this rule is about spans; allowed is `span`, `target`, `level`, `fields`",
    ),
    (
        "[[rule]]\nmatch = { span = \"call\" }\nconversation = \"id\"\nservice = \"chat\"\n",
        "rules:4:11: `service` is one too many; allowed is one of `event`, `conversation`, `service` in a rule",
    ),
    (
        "[[rule]]\nmatch = { span = \"call\" }\n",
        "rules:1:1: the rule says nothing of what it matches; allowed is `event`, `conversation`, `service`, `fields`, \
         `open`, `close`",
    ),
    (
        "[[rule]]\nmatch = { span = \"call\" }\nopen = \"interupt\"\n",
        "rules:3:8: `interupt` is no boundary event; allowed is `conversation_started`, `conversation_ended`, \
         `client_connected`, `client_disconnected`, `user_started_speaking`, `user_stopped_speaking`, \
         `vad_user_started_speaking`, `vad_user_stopped_speaking`, `bot_started_speaking`, `bot_stopped_speaking`, \
         `interruption`, `first_byte`, `annotate`; did you mean `interruption`?",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\" }\nevent = \"interruption\"\nopen = \"interruption\"\n",
        "rules:4:8: `open` belongs to a rule about spans, and this one is about events; allowed is `event`",
    ),
    (
        "[[rule]]\nmatch = { target = \"stt\", message = \"go\" }\nservice = \"stt\"\n",
        "rules:3:11: a service that an event begins never ends; allowed is `until = [match, …]` beside it, or `span` in the \
         match if a span is the service's work",
    ),
    (
        "[[rule]]\nmatch = { target = \"stt\" }\nservice = \"stt\"\nuntil = [{ target = \"stt\" }, { span = \"x\" }]\n",
        "rules:4:30: `span` matches spans, and `until` is about events; allowed is `target`, `message`, `level`, `fields`, \
         `in`",
    ),
    (
        "[[rule]]\nmatch = { span = \"stt\" }\nservice = \"stt\"\nname = \"deepgram\"\n",
        "rules:4:8: `name` does not go with this rule; allowed is it with `service` on an event, that is without `span` in \
         the match",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { output = { form = \"reply\" } }\n",
        "rules:4:23: unknown key `form` in the source of a field; allowed is `from`, `scale`, `after`, `value`, `when`; did \
         you mean `from`?",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { output = 1 }\n",
        "rules:4:21: `output` is a number; allowed is the name of a field, `{ from = … }` or `{ value = … }`",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { a = { from = \"b\", scale = \"0.1\" } }\n",
        "rules:4:38: `scale` is a string; allowed is a number",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { a = { from = \"b\", scale = 0 } }\n",
        "rules:4:38: `scale` is no factor; allowed is a number other than 0",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { a = { from = \"b\", value = 1 } }\n",
        "rules:4:38: a field has its value from one of `from` and `value`",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { a = { scale = 2 } }\n",
        "rules:4:16: the source of a field is missing; allowed is `from = \"field\"` or `value = …`",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { a = { from = \"b\", when = \"c\" } }\n",
        "rules:4:30: `when` goes with `value`",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { a = { value = 1979-05-27 } }\n",
        "rules:4:26: `value` is a date; allowed is a string, a number, true or false",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { a = { value = 99999999999999999999 } }\n",
        "rules:4:26: the number has more than 64 bits",
    ),
    (
        // The rest is the words of the TOML parser: of what it finds, what begins first.
        "[[rule]]\nmatch = { span = \"call\nconversation = \"id\"\n",
        "rules:2:23: this is not TOML: …",
    ),
    (
        "[[rule]]\nmatch = { span = \"call\" }\nconversation = \"a\"\nconversation = \"b\"\n",
        "rules:4:1: this is not TOML: …",
    ),
    (
        "[[rule]]\nmatch = { span = call }\nconversation = \"id\"\n",
        "rules:2:18: this is not TOML: …",
    ),
    (
        // A mark of UTF-8 in front and line ends of Windows change no place.
        "\u{feff}[[rule]]\r\nmatch = { span = \"call\" }\r\nconversaton = \"id\"\r\n",
        "rules:3:1: unknown key `conversaton` in a rule; allowed is `match`, `event`, `conversation`, `service`, `fields`, \
         `open`, `close`, `until`, `name`, `key`; did you mean `conversation`?",
    ),
    (
        "[[rule]]\nmatch = { span = \"\" }\nconversation = \"id\"\n",
        "rules:2:9: `span` is empty, which nothing is; allowed is a name, or `*` for any",
    ),
    (
        "[[rule]]\nmatch = { target = \"*::vad\" }\nevent = \"interruption\"\n",
        "rules:2:9: `target` has a `*` that is not at its end; allowed is one `*` at the end, for anything",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\", fields = \"state\" }\nevent = \"interruption\"\n",
        "rules:2:36: `fields` is a string; allowed is a table, `{ … }`",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\", in = [\"call\"] }\nevent = \"interruption\"\n",
        "rules:2:32: `in` is a list; allowed is a string",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\", fields = { level = inf } }\nevent = \"interruption\"\n",
        "rules:2:46: the number is none; allowed is a finite one",
    ),
    (
        "[[rule]]\nmatch = { target = \"vad\" }\nevent = true\n",
        "rules:3:9: `event` is true or false; allowed is a string",
    ),
    (
        "[[rule]]\nmatch = { span = \"call\" }\nconversation = 7\n",
        "rules:3:16: `conversation` is a number; allowed is the name of a field, `{ from = … }` or `{ value = … }`",
    ),
    (
        "[[rule]]\nmatch = { span = \"call\" }\nconversation = { from = \"\" }\n",
        "rules:3:16: the name of a field is empty; allowed is a name",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"\"\n",
        "rules:3:11: the operation is empty; allowed is a value of `gen_ai.operation.name` such as `chat`, `stt`, `tts`, \
         `execute_tool`, `invoke_agent`",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = [\"chat\"]\n",
        "rules:3:11: `service` is a list; allowed is a string",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = [\"model\"]\n",
        "rules:4:10: `fields` is a list; allowed is a table, `{ … }`",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { output = \"\" }\n",
        "rules:4:10: the name of a field is empty; allowed is a name",
    ),
    (
        "[[rule]]\nmatch = { target = \"stt\" }\nservice = \"stt\"\nuntil = [{ message = \"final\" }]\n",
        "rules:4:10: `message` alone would be compared with every event of the program; allowed is `message` with a `target` \
         or a `level` beside it",
    ),
    (
        "[[rule]]\nmatch = { target = \"stt\" }\nservice = \"stt\"\nuntil = [{}]\n",
        "rules:4:10: the match is empty; allowed is `target`, `span`, `message`, `level`, `fields`, `in`",
    ),
    (
        "[[rule]]\nmatch = { target = \"stt\" }\nservice = \"stt\"\nkey = \"\"\nuntil = [{ target = \"done\" }]\n",
        "rules:4:7: the name of a field is empty; allowed is a name",
    ),
    (
        "[[rule]]\nmatch = { span = \"call\" }\nconversation = \"id\"\nuntil = [{ target = \"done\" }]\n",
        "rules:4:10: `until` does not go with this rule; allowed is it with `service` on an event, that is without `span` in \
         the match",
    ),
    (
        "[[rule]]\nmatch = { span = \"llm\" }\nservice = \"chat\"\nfields = { a = { value = 1, scale = 2 } }\n",
        "rules:4:29: `scale` goes with `from`",
    ),
];

#[test]
fn each_kind_of_mistake_is_said_with_its_place_and_the_remedy() {
    let mut wrong = String::new();
    for (file, expected) in MISTAKES {
        let said = match Rules::from_toml(file) {
            Ok(_) => "no mistake".to_owned(),
            Err(error) => error.to_string(),
        };
        let is_as_expected = match expected.strip_suffix('…') {
            Some(beginning) => said.len() > beginning.len() && said.starts_with(beginning),
            None => said == *expected,
        };
        if !is_as_expected {
            wrong.push_str(&format!(
                "{file}\n  said:     {said}\n  expected: {expected}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn position_counts_characters_and_the_path_comes_first() {
    let mut file = tempfile();
    write!(
        file.1,
        "# ä\n[[rule]]\nmatch = {{ target = \"ü\", lvel = \"x\" }}\n"
    )
    .unwrap();
    let error = Rules::from_path(&file.0).unwrap_err();
    let path = file.0.display().to_string();
    assert_eq!((error.line(), error.column()), (3, 25));
    assert_eq!(error.path(), Some(&*file.0));
    assert!(
        error
            .to_string()
            .starts_with(&format!("{path}:3:25: unknown key `lvel`")),
        "{error}"
    );
    assert_eq!(format!("{error:?}"), error.to_string());
    std::fs::remove_file(&file.0).unwrap();

    let folder = std::env::temp_dir();
    let said = Rules::from_path(&folder).unwrap_err().to_string();
    let expected = format!("{}: the file cannot be read: ", folder.display());
    assert!(said.starts_with(&expected), "{said}");

    let missing = Rules::from_path("no/such/rules.toml")
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("no/such/rules.toml: the file cannot be read: "),
        "{missing}"
    );
}

#[test]
fn file_that_is_no_text_or_too_long_is_refused() {
    let mut file = tempfile();
    let said = |file: &(std::path::PathBuf, std::fs::File)| {
        let error = Rules::from_path(&file.0).unwrap_err();
        assert_eq!((error.line(), error.column()), (0, 0));
        let said = error.to_string();
        said[file.0.display().to_string().len()..].to_owned()
    };
    file.1.write_all(b"a = \"\xff\"\n").unwrap();
    assert_eq!(said(&file), ": the file is not text in UTF-8");
    file.1.write_all(&vec![b'\n'; 1 << 20]).unwrap();
    assert_eq!(
        said(&file),
        ": the file has more than 1048576 bytes; allowed is up to that"
    );
    std::fs::remove_file(&file.0).unwrap();
}

/// A file of its own for each call.
fn tempfile() -> (std::path::PathBuf, std::fs::File) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tracing-conversation-{}-{count}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = std::fs::File::create(&path).unwrap();
    (path, file)
}

#[test]
fn mistakes_in_code_are_said_with_the_number_of_the_rule() {
    let sound = Rules::new()
        .event(
            Match::target("vad").message("stop"),
            event::VAD_USER_STOPPED_SPEAKING,
        )
        .field("stop_secs", Source::millis("silence_ms"))
        .conversation(Match::span("call"), "call_sid")
        .service(Match::span("listen").target("deepgram*"), Operation::Stt)
        .field("transcript", "text");
    assert_eq!(sound.check(), Ok(()));
    let unsound = sound.event(Match::target("vad"), "interupted");
    assert!(
        unsound
            .check()
            .unwrap_err()
            .starts_with("rule 4: `interupted` is no boundary event")
    );
}
