//! What was said, on the spans of turns and of the conversation.

use crate::stage::{Output, Stage};
use tracing::field::Empty;
use tracing::{info, info_span};
use tracing_conversation::{ContentPolicy, annotate};

const KEYS: &[&str] = &["conversation.input", "conversation.output"];

/// A greeting, and two turns in which user and bot speak.
fn two_turns_after_a_greeting() {
    let _scope = info_span!("conversation", conversation.id = "c1").entered();
    let speak = |text| {
        let tts = info_span!("tts", gen_ai.operation.name = "tts", text = Empty);
        tts.record("text", text);
        info!(conversation.event = "bot_started_speaking");
        info!(conversation.event = "bot_stopped_speaking");
    };
    speak("Hello.");
    for (words, answer) in [("one", "One."), ("two", "Two.")] {
        info!(conversation.event = "user_started_speaking");
        drop(info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            transcript = words
        ));
        speak(answer);
    }
}

#[test]
fn conversation_carries_the_first_words_of_the_user_and_the_last_of_the_bot() {
    let stage = Stage::new();
    stage.play(two_turns_after_a_greeting);
    let mut tree = stage.tree(&[KEYS[0], KEYS[1], "turn.input", "turn.output"]);
    tree.retain(|line| line.contains("conversation") || line.contains("turn"));
    assert_eq!(
        tree,
        [
            "conversation conversation.input=one conversation.output=Two.",
            "  turn turn.output=Hello.",
            "  turn turn.input=one turn.output=One.",
            "  turn turn.input=two turn.output=Two.",
        ]
    );
}

#[test]
fn conversation_without_words_carries_none() {
    let stage = Stage::new();
    stage.play(|| drop(info_span!("conversation", conversation.id = "c1")));
    assert_eq!(stage.tree(KEYS), ["conversation", "  turn"]);
}

#[test]
fn field_of_the_scope_wins_over_words_of_turns() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!(
            "conversation",
            conversation.id = "c1",
            conversation.input = "asked before the call"
        );
        scope.in_scope(|| annotate!(turn.input = "said"));
    });
    assert_eq!(
        stage.tree(KEYS)[0],
        "conversation conversation.input=asked before the call"
    );
}

#[test]
fn words_of_the_conversation_are_content() {
    let output = Output::new();
    let processor = output
        .processor
        .clone()
        .with_content(ContentPolicy::default().with_capture(false));
    let stage = Stage::over(
        Output {
            processor,
            ..output
        },
        |layer| layer,
    );
    stage.play(|| {
        two_turns_after_a_greeting();
        drop(info_span!(
            "conversation",
            conversation.id = "c2",
            conversation.input = "SECRET"
        ));
    });
    let exported = format!("{:?}", stage.spans());
    for word in ["one", "Two.", "Hello.", "SECRET"] {
        assert!(!exported.contains(&format!("\"{word}\"")), "{word}");
    }
}
