//! A program whose stages are tasks, each with one span for the whole call; turns and work are in events only.

use super::{exported, reference};
use crate::stage::Stage;
use tracing::{Span, info, info_span};

const RULES: &str = include_str!("../../../examples/stage_tasks.toml");

/// The spans of the stages, none of which begins or ends with anything that matters.
struct Tasks {
    stt: Span,
    llm: Span,
    tts: Span,
}

fn call(stage: &Stage) {
    let span = info_span!("call", id = "call-7", tier = "gold");
    let _entered = span.enter();
    let tasks = Tasks {
        stt: info_span!("stt_task"),
        llm: info_span!("llm_task"),
        tts: info_span!("tts_task"),
    };
    info!(target: "transport", "open");
    stage.pass(100);
    tasks.speak(stage, "Hello, how can I help?", 120, 80);
    info!(target: "playback", "start");
    stage.pass(1_000);
    info!(target: "playback", "stop");
    stage.pass(500);

    info!(target: "vad", "start");
    stage.pass(1_200);
    info!(target: "vad", hangover = 0.3, "stop");
    tasks.listen(stage);
    tasks.answer(stage, "Let me look.", 220);
    info!(target: "tools", id = "call_1", function = "weather", "call");
    stage.pass(310);
    info!(target: "tools", id = "call_1", "return");
    tasks.answer(stage, "It is sunny.", 240);
    tasks.speak(stage, "It is sunny.", 12, 90);
    info!(target: "playback", "start");
    stage.pass(400);

    info!(target: "vad", "start");
    stage.pass(300);
}

impl Tasks {
    fn listen(&self, stage: &Stage) {
        self.stt
            .in_scope(|| info!(target: "stt", model = "nova-3", "audio sent"));
        stage.pass(150);
        self.stt.in_scope(|| {
            info!(target: "stt", words = "what is the weather", audio = 1.25, "final");
        });
    }

    fn answer(&self, stage: &Stage, words: &str, first_byte_after: u64) {
        self.llm
            .in_scope(|| info!(target: "llm", model = "gpt-4o", "request"));
        stage.pass(first_byte_after);
        self.llm.in_scope(|| {
            info!(target: "llm", n = 0, "token");
            info!(target: "llm", n = 1, "token");
        });
        stage.pass(60);
        self.llm
            .in_scope(|| info!(target: "llm", words, prompt = 320, completion = 17, "done"));
    }

    fn speak(&self, stage: &Stage, sentence: &str, first_byte_after: u64, then: u64) {
        self.tts
            .in_scope(|| info!(target: "tts", sentence, voice = "sonic-2", "synthesize"));
        stage.pass(first_byte_after);
        self.tts.in_scope(|| info!(target: "tts", "audio"));
        stage.pass(then);
        self.tts.in_scope(|| info!(target: "tts", "end of audio"));
    }
}

/// The tree without the tasks' own spans, which are the program's and stay.
fn without_tasks(tree: &str) -> String {
    let mut kept = String::new();
    let mut is_task = false;
    for line in tree.split_inclusive('\n') {
        if !line.trim_start().starts_with('·') {
            is_task = line.contains("_task ");
        }
        if !is_task {
            kept.push_str(line);
        }
    }
    kept
}

#[test]
fn program_of_session_long_tasks_exports_what_the_contract_gives() {
    let tree = exported(RULES, call);
    assert_eq!(tree.matches("_task ").count(), 3, "{tree}");
    // The third token is no boundary event but an ordinary one of its span.
    assert_eq!(tree.matches("event \"token\"").count(), 2, "{tree}");
    assert_eq!(without_tasks(&tree), reference::tree());
}
