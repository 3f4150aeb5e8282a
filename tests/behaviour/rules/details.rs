//! What rules do in the corners: late records, spans above, hostile values, many conversations, code outside of any.

use super::{adopted, recorded};
use crate::stage::{assert_each_key_once, attribute, count, one};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing::field::Empty;
use tracing::{Level, debug, error, info, info_span, warn};
use tracing_conversation::rules::{Match, Operation, Rules, Source};
use tracing_conversation::{Conversation, ManualClock, names};
use tracing_subscriber::prelude::*;

const TURNS: &str = r#"
[[rule]]
match = { span = "call" }
conversation = "sid"

[[rule]]
match = { target = "vad", message = "start" }
event = "user_started_speaking"

[[rule]]
match = { target = "player", message = "start" }
event = "bot_started_speaking"
"#;

#[test]
fn ids_of_any_type_are_taken_as_text_and_a_missing_one_is_replaced() {
    let stage = adopted(TURNS);
    stage.play(|| {
        drop(info_span!("call", sid = 7_u64));
        drop(info_span!("call", sid = ?Some(8)));
        drop(info_span!("call", sid = Empty));
        drop(info_span!("call", name = "no field"));
    });
    let spans = stage.spans();
    let conversations = spans.iter().filter(|span| span.name == "conversation");
    let ids: Vec<_> = conversations
        .map(|span| attribute(span, "conversation.id").unwrap())
        .collect();
    assert_eq!(ids[..2], ["7", "Some(8)"]);
    assert!(ids[2..].iter().all(|id| id.len() == 36), "{ids:?}");
    assert_each_key_once(&spans);
}

#[test]
fn many_conversations_at_once_do_not_mix() {
    let stage = adopted(TURNS);
    stage.play(|| {
        let calls: Vec<_> = (0..200).map(|n| info_span!("call", sid = n)).collect();
        for round in 0..3 {
            for (n, call) in calls.iter().enumerate() {
                call.in_scope(|| {
                    info!(target: "player", "start");
                    // The odd ones speak once less.
                    if n % 2 == 0 || round > 0 {
                        info!(target: "vad", "start");
                    }
                });
            }
        }
    });
    let spans = stage.spans();
    for n in 0..200 {
        let id = n.to_string();
        let own = spans
            .iter()
            .filter(|span| attribute(span, "conversation.id") == Some(id.clone()));
        let own: Vec<_> = own.cloned().collect();
        assert_eq!(
            count(&own, "turn"),
            if n % 2 == 0 { 4 } else { 3 },
            "conversation {n}"
        );
        let root = one(&own, "conversation").span_context;
        assert!(
            own.iter()
                .all(|span| span.span_context.trace_id() == root.trace_id())
        );
    }
}

#[test]
fn fields_recorded_late_are_renamed_on_conversations_services_and_ordinary_spans() {
    let stage = adopted(
        r#"
[[rule]]
match = { span = "call" }
conversation = "sid"
fields = { "customer.tier" = "tier" }

[[rule]]
match = { span = "ask" }
service = "chat"
fields = { "gen_ai.response.model" = "answered_by", "gen_ai.usage.input_tokens" = "prompt" , "otel.status_code" = { value = "ERROR", when = "failure" } }

[[rule]]
match = { span = "callback" }
fields = { "conversation.id" = "session", "http.route" = "path" }
"#,
    );
    stage.play(|| {
        let call = info_span!("call", sid = "c1", tier = Empty, other = Empty);
        let entered = call.enter();
        let ask = info_span!("ask", answered_by = Empty, prompt = Empty, failure = Empty, more = Empty);
        ask.record("answered_by", "gpt-4o-2026");
        ask.record("prompt", 12_u8);
        ask.record("more", 1.5);
        ask.record("failure", "timeout");
        drop(ask);
        call.record("tier", "gold");
        call.record("other", true);
        let callback = info_span!(parent: None, "callback", session = Empty, path = Empty, own = Empty, big = u64::MAX);
        callback.record("session", "c1");
        callback.in_scope(|| {
            callback.record("path", "/hook");
            callback.record("own", 3_u64);
        });
        drop(callback);
        drop(entered);
    });
    let spans = stage.spans();
    assert_each_key_once(&spans);
    assert_eq!(
        recorded(&spans),
        r#"
callback 0..0 Internal
  · big = "18446744073709551615"
  · conversation.id = "c1"
  · http.route = "/hook"
  · own = 3
conversation 0..0 Internal
  · conversation.id = "c1"
  · customer.tier = "gold"
  · other = true
  turn 0..0 Internal
    · conversation.id = "c1"
    ask 0..0 Internal
      · conversation.id = "c1"
      · error.type = "_OTHER"
      · failure = "timeout"
      · gen_ai.operation.name = "chat"
      · gen_ai.output.type = "text"
      · gen_ai.response.model = "gpt-4o-2026"
      · gen_ai.usage.input_tokens = 12
      · more = 1.5
      · status Error { description: "" }
"#
    );
}

#[test]
fn sources_are_looked_up_on_the_spans_above() {
    let stage = adopted(
        r#"
[[rule]]
match = { span = "call" }
conversation = "sid"

[[rule]]
match = { span = "request" }
service = "chat"
fields = { "gen_ai.request.model" = "model", "gen_ai.provider.name" = "vendor" }

[[rule]]
match = { target = "vad", message = "stop" }
event = "vad_user_stopped_speaking"
fields = { stop_secs = { from = "hangover_ms", scale = 0.001 } }

[[rule]]
match = { target = "player" }
event = "bot_started_speaking"
"#,
    );
    stage.play(|| {
        // The id, too, is above.
        let session =
            info_span!("session", sid = "c1", model = "gpt-4o", vendor = "openai").entered();
        let call = info_span!("call").entered();
        let pipeline = info_span!("pipeline", hangover_ms = Empty, model = Empty);
        pipeline.record("hangover_ms", 300);
        pipeline.record("model", "gpt-5");
        pipeline.in_scope(|| {
            stage.pass(1_000);
            info!(target: "vad", "stop");
            drop(info_span!("request"));
            stage.pass(200);
            info!(target: "player", "on");
        });
        drop(info_span!(parent: &session, "request", vendor = "azure"));
        drop(call);
    });
    let spans = stage.spans();
    let requests: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "request")
        .map(|span| {
            let of = |key| attribute(span, key);
            (
                of("conversation.id"),
                of("gen_ai.request.model"),
                of("gen_ai.provider.name"),
            )
        })
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        requests,
        [
            (text("c1"), text("gpt-5"), text("openai")),
            (None, text("gpt-4o"), text("azure"))
        ]
    );
    let turn = stage.span("turn");
    assert_eq!(
        attribute(&turn, "turn.user_bot_latency_seconds"),
        text("0.5")
    );
    assert_eq!(
        attribute(&stage.span("conversation"), "conversation.id"),
        text("c1")
    );
}

/// A value whose `Debug` does what it should not.
struct Hostile<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Debug for Hostile<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

#[test]
fn hostile_values_match_nothing_and_harm_nothing() {
    let stage = adopted(
        r#"
[[rule]]
match = { span = "call" }
conversation = "sid"

[[rule]]
match = { target = "hostile", fields = { state = "on" } }
event = "bot_started_speaking"
fields = { stop_secs = { from = "state", scale = 0.001 }, "conversation.id" = "session" }

[[rule]]
match = { target = "hostile", message = "begin*" }
event = "user_started_speaking"
fields = { "conversation.id" = "session" }
"#,
    );
    stage.play(|| {
        let call = info_span!("call", sid = "c1");
        let panics = Hostile(|_: &mut fmt::Formatter<'_>| panic!("on purpose"));
        let fails = Hostile(|_: &mut fmt::Formatter<'_>| Err(fmt::Error));
        let calls_back = Hostile(|f: &mut fmt::Formatter<'_>| {
            let _ = Conversation::current().map(|current| current.set_attribute("seen", true));
            drop(info_span!("call", sid = "inner"));
            f.write_str("on")
        });
        // What it has written before its own error counts.
        let half = Hostile(|f: &mut fmt::Formatter<'_>| {
            f.write_str("on")?;
            Err(fmt::Error)
        });
        // In no span: whatever no rule takes would be formatted by others.
        let session = "c1";
        info!(target: "hostile", parent: None, session, state = ?panics);
        info!(target: "hostile", parent: None, session, state = ?fails);
        info!(target: "hostile", parent: None, session, "{:?} begin", panics);
        info!(target: "hostile", parent: None, session, state = "x".repeat(1 << 20));
        info!(target: "hostile", parent: None, session, state = f64::NAN);
        info!(target: "hostile", parent: None, session = ?panics, state = "on");
        assert_eq!(
            stage.conversations.open(),
            2,
            "of a name that cannot be formatted, one more"
        );
        info!(target: "hostile", parent: None, session, state = ?half);
        info!(target: "hostile", parent: None, session, "begin {:?}", fails);
        info!(target: "hostile", parent: None, session, state = ?calls_back);
        drop(call);
    });
    let spans = stage.spans();
    let own = spans
        .iter()
        .filter(|span| attribute(span, "conversation.id").as_deref() == Some("c1"));
    let own: Vec<_> = own.cloned().collect();
    // The bot began twice, and the user in between.
    assert_eq!(count(&own, "turn"), 2);
    assert_each_key_once(&spans);
}

#[test]
fn message_is_formatted_no_further_than_to_the_first_difference() {
    struct Counts(Arc<AtomicUsize>);
    impl fmt::Display for Counts {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fetch_add(1, Ordering::Relaxed);
            f.write_str("!")
        }
    }
    let formatted = Arc::new(AtomicUsize::new(0));
    let stage = adopted(TURNS);
    stage.play(|| {
        let call = info_span!(parent: None, "call", sid = "c1");
        let count = Counts(formatted.clone());
        // Nobody else formats it: it is of no span.
        info!(target: "vad", parent: None, "stop{}", count);
        assert_eq!(formatted.load(Ordering::Relaxed), 0);
        info!(target: "vad", parent: &call, "sta{}", count);
        let _ = call;
    });
}

#[test]
fn events_outside_of_any_conversation_are_ignored_and_unmatched_ones_stay_ordinary() {
    let stage = adopted(TURNS);
    stage.play(|| {
        info!(target: "vad", "start");
        let call = info_span!("call", sid = "c1").entered();
        stage.pass(10);
        let work = info_span!("work").entered();
        info!(target: "vad", "start");
        info!(target: "vad", "stop");
        info!(target: "elsewhere", "start");
        drop(work);
        drop(call);
    });
    let work = stage.span("work");
    let events: Vec<_> = work.events.iter().map(|event| &*event.name).collect();
    assert_eq!(events, ["stop", "start"]);
    assert_eq!(stage.tree(&[]), ["conversation", "  turn", "  work"]);
}

#[test]
fn level_and_closures_match_and_a_panicking_closure_does_not() {
    let rules = Rules::new()
        .conversation(Match::span("call"), "sid")
        .event(
            Match::level(Level::ERROR).target("player"),
            names::event::INTERRUPTION,
        )
        .event(
            Match::target("player").when(|event| event.number("n").is_some_and(|n| n > 1.0)),
            names::event::BOT_STARTED_SPEAKING,
        )
        .event(
            Match::target("player").when(|event| event.text("message").as_deref() == Some("heard")),
            names::event::USER_STARTED_SPEAKING,
        )
        .event(
            Match::target("player").when(|_| panic!("on purpose")),
            names::event::CONVERSATION_ENDED,
        )
        .service(Match::field("prompt").level(Level::INFO), Operation::Chat)
        .field("gen_ai.usage.input_tokens", "prompt")
        .field("gen_ai.provider.name", Source::value("openai"))
        .field("interrupted", Source::value(true).when("cut"));
    assert_eq!(rules.check(), Ok(()));
    let stage = crate::stage::Stage::with(|layer| layer.rules(rules));
    stage.play(|| {
        let call = info_span!("call", sid = "c1").entered();
        let ask = info_span!("ask", prompt = "12", cut = Empty).entered();
        error!(target: "player", n = 1, "dropped");
        ask.record("cut", "yes");
        drop(ask);
        warn!(target: "player", n = 2, "on");
        debug!(target: "player", n = 0, "heard");
        drop(call);
    });
    let ask = stage.span("ask");
    assert_eq!(
        attribute(&ask, "gen_ai.usage.input_tokens").as_deref(),
        Some("12")
    );
    assert_eq!(attribute(&ask, "interrupted").as_deref(), Some("true"));
    assert_eq!(count(&stage.spans(), "turn"), 2);
}

#[test]
fn contract_words_count_beside_rules() {
    let stage = adopted(
        r#"
[[rule]]
match = { target = "vad" }
event = "bot_started_speaking"

[[rule]]
match = { span = "llm" }
service = "tts"
fields = { "gen_ai.request.model" = "model" }

[[rule]]
match = { span = "conversation" }
conversation = "other"
fields = { "customer.tier" = "tier" }
"#,
    );
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1", tier = "gold").entered();
        // Of its own and by a rule.
        tracing::event!(target: "vad", Level::INFO, { conversation.event = "user_started_speaking" });
        drop(info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            model = "gpt-4o"
        ));
        info!(conversation.event = "user_started_speaking");
        drop(scope);
    });
    assert_eq!(
        stage.tree(&[
            "conversation.id",
            "customer.tier",
            "gen_ai.operation.name",
            "gen_ai.request.model"
        ]),
        [
            "conversation conversation.id=c1 customer.tier=gold",
            "  turn conversation.id=c1",
            "    llm conversation.id=c1 gen_ai.operation.name=chat gen_ai.request.model=gpt-4o",
            "  turn conversation.id=c1",
        ]
    );
}

#[test]
fn fmt_layer_beside_it_sees_events_and_spans_as_they_are() {
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let output = crate::stage::Output::new();
    let rules = Rules::from_toml(TURNS).unwrap();
    let writer = lines.clone();
    let fmt = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry()
        .with(
            output
                .layer()
                .rules(rules)
                .clock(ManualClock::new())
                .build(),
        )
        .with(fmt);
    tracing::subscriber::with_default(subscriber, || {
        let _call = info_span!("call", sid = "c1").entered();
        info!(target: "player", n = 1, "start");
        info!(target: "vad", "start");
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(
        text,
        " INFO call{sid=\"c1\"}: player: start n=1\n INFO call{sid=\"c1\"}: vad: start\n"
    );
    assert_eq!(
        count(&output.exporter.get_finished_spans().unwrap(), "turn"),
        2
    );
}

#[test]
fn work_that_events_begin_ends_with_its_conversation_and_is_paired_by_its_key() {
    let stage = adopted(
        r#"
[[rule]]
match = { span = "call" }
conversation = "sid"

[[rule]]
match = { target = "tool", message = "begin" }
service = "execute_tool"
key = "id"
until = [{ target = "tool", message = "end" }]
fields = { "gen_ai.tool.name" = "name", "gen_ai.tool.call.result" = "result" }

[[rule]]
match = { target = "note" }
event = "annotate"
"#,
    );
    stage.play(|| {
        let call = info_span!("call", sid = "c1").entered();
        for id in 1..=3 {
            info!(target: "tool", id, name = "weather", "begin");
            stage.pass(10);
        }
        info!(target: "note", id = 2, "retries");
        info!(target: "note", id = 2, retries = 5);
        info!(target: "tool", id = 2, result = "sunny", "end");
        stage.pass(10);
        // From outside of the conversation, by the key alone.
        info!(target: "tool", parent: None, id = 1, "end");
        info!(target: "tool", id = 9, "end");
        stage.pass(10);
        drop(call);
    });
    assert_eq!(
        recorded(&stage.spans()),
        r#"
conversation 0..50 Internal
  · conversation.id = "c1"
  turn 0..50 Internal
    · conversation.id = "c1"
    tool 0..40 Internal
      · conversation.id = "c1"
      · gen_ai.operation.name = "execute_tool"
      · gen_ai.tool.name = "weather"
      · id = 1
    tool 10..30 Internal
      · conversation.id = "c1"
      · gen_ai.operation.name = "execute_tool"
      · gen_ai.tool.call.result = "sunny"
      · gen_ai.tool.name = "weather"
      · id = 2
      · retries = 5
    tool 20..50 Internal
      · conversation.id = "c1"
      · gen_ai.operation.name = "execute_tool"
      · gen_ai.tool.name = "weather"
      · id = 3
"#
    );
}

/// A record of the `log` crate, as `tracing-log` hands it on.
macro_rules! logged {
    ($target:literal, $($message:tt)+) => {
        tracing::event!(
            target: "log",
            Level::INFO,
            { log.target = $target, log.module_path = "bot::vad", log.line = 7 },
            $($message)+
        )
    };
}

#[test]
fn records_of_the_log_crate_match_by_their_own_target() {
    let stage = adopted(
        r#"
[[rule]]
match = { span = "call" }
conversation = "sid"

[[rule]]
match = { target = "bot::vad*", message = "speech began" }
event = "user_started_speaking"

[[rule]]
match = { target = "bot::player" }
event = "bot_started_speaking"

[[rule]]
match = { target = "bot::notes", message = "caller said: *" }
event = "annotate"
fields = { mood = { from = "message", after = "caller said: " } }
"#,
    );
    stage.play(|| {
        let call = info_span!("call", sid = "c1").entered();
        logged!("bot::player", "on");
        logged!("bot::vad::silero", "speech began");
        logged!("bot::vad::silero", "speech went on");
        logged!("bot::notes", "caller said: {}", "thanks");
        logged!("elsewhere", "speech began");
        drop(call);
    });
    let spans = stage.spans();
    let turns: Vec<_> = spans.iter().filter(|span| span.name == "turn").collect();
    assert_eq!(turns.len(), 2);
    assert_eq!(attribute(turns[1], "mood").as_deref(), Some("thanks"));
    assert_eq!(attribute(turns[1], "log.target"), None);
}
