//! Speech-to-text spans: their turn, their TTFB, and the turn's input.

use crate::stage::{
    self, Stage, assert_each_key_once, attribute, end_turn, next_turn, scope, seconds,
};
use opentelemetry::Context;
use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
use tracing::field::Empty;
use tracing::{Span, info, info_span};

fn stt() -> Span {
    info_span!(
        "stt",
        gen_ai.operation.name = "stt",
        transcript = Empty,
        is_final = Empty
    )
}

#[test]
fn stt_span_belongs_to_turn_of_its_first_transcript() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let moves = stt();
        let stays = stt();
        stage.pass(100);
        stays.record("transcript", "wait").record("is_final", false);
        stage.pass(100);
        next_turn();
        moves.record("transcript", "good morning");
        stays
            .record("transcript", "wait for me")
            .record("is_final", true);
        moves.in_scope(|| drop(info_span!("decode")));
        stage.pass(100);
        drop((moves, stays));
    });
    let spans = stage.spans();
    assert_eq!(
        stage::tree(&spans, &["turn.number", "transcript", "turn.input"]),
        [
            "conversation",
            "  turn turn.number=1",
            "    stt turn.number=1 transcript=wait for me",
            "  turn turn.number=2 turn.input=good morning",
            "    stt turn.number=2 transcript=good morning",
            "      decode turn.number=2",
        ]
    );
    let stt: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "stt")
        .map(seconds)
        .collect();
    assert_eq!(
        stt,
        [0.3, 0.3],
        "from its start, even if that was in the previous turn"
    );
    assert_each_key_once(&spans);
}

#[test]
fn transcription_below_another_goes_where_that_one_goes() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let outer = stt();
        let inner = outer.in_scope(stt);
        inner.in_scope(|| {
            drop(info_span!(
                "chat",
                gen_ai.operation.name = "chat",
                metrics.audio_seconds = 0.5
            ))
        });
        inner.record("transcript", "good");
        drop(inner);
        next_turn();
        outer.record("transcript", "good morning");
        outer.in_scope(|| info!(conversation.event = "annotate", metrics.audio_seconds = 2.0));
    });
    assert_eq!(
        stage.tree(&["turn.number", "conversation.usage.audio_seconds"]),
        [
            "conversation conversation.usage.audio_seconds=0.5",
            "  turn turn.number=1",
            "  turn turn.number=2",
            "    stt turn.number=2",
            "      stt turn.number=2",
            "        chat turn.number=2",
        ]
    );
}

/// Its figures are exported below the agent only if it turns out to stay there.
#[test]
fn what_a_transcription_recorded_counts_for_the_agent_above_if_it_stays() {
    for (moves, audio) in [(false, "0.5"), (true, "2.5")] {
        let stage = Stage::new();
        stage.play(|| {
            let _scope = scope().entered();
            let agent = info_span!(
                "agent",
                gen_ai.operation.name = "invoke_agent",
                metrics.audio_seconds = 2.0
            );
            let stt = agent.in_scope(stt);
            stt.in_scope(|| {
                drop(info_span!(
                    "chat",
                    gen_ai.operation.name = "chat",
                    metrics.audio_seconds = 0.5
                ))
            });
            if moves {
                next_turn();
            }
            drop(stt);
        });
        assert_eq!(
            stage.tree(&["conversation.usage.audio_seconds"])[0],
            format!("conversation conversation.usage.audio_seconds={audio}")
        );
    }
}

/// Spans made with OpenTelemetry's own interface know nothing of the transcription but the id of their parent.
#[test]
fn opentelemetry_spans_below_a_transcription_go_with_it_however_deep_and_late() {
    for span_ext in [true, false] {
        let stage = Stage::with(|layer| layer.span_ext(span_ext));
        let tracer = stage.output.provider.tracer("program");
        stage.play(|| {
            let _scope = scope().entered();
            let moves = stt();
            let child = moves.in_scope(|| {
                let child = Context::current_with_span(tracer.start("child"));
                drop(info_span!("decode"));
                tracer.start_with_context("grandchild", &child).end();
                child
            });
            child.span().end();
            next_turn();
            tracer
                .start_with_context("below an ended one", &child)
                .end();
            moves.record("transcript", "good morning");
            tracer
                .start_with_context("after the decision", &child)
                .end();
            moves.in_scope(|| tracer.start("late child").end());
            drop(moves);
            let stays = stt();
            stays.in_scope(|| tracer.start("stays").end());
            stays.record("transcript", "hello");
        });
        assert_eq!(
            stage.tree(&["turn.number"]),
            [
                "conversation",
                "  turn turn.number=1",
                "  turn turn.number=2",
                "    stt turn.number=2",
                // Spans of `tracing` go by the layer's clock, the others by the machine's, which is later.
                "      decode turn.number=2",
                "      child turn.number=2",
                "        grandchild turn.number=2",
                "        below an ended one turn.number=2",
                "        after the decision turn.number=2",
                "      late child turn.number=2",
                "    stt turn.number=2",
                "      stays turn.number=2",
            ],
            "span_ext = {span_ext}"
        );
    }
}

#[test]
fn stt_span_without_transcript_belongs_to_turn_in_which_it_ends() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let stt = info_span!(
            "stt",
            gen_ai.operation.name = "speech_to_text",
            transcript = Empty
        );
        stage.pass(10);
        next_turn();
        drop(stt);
        let stt = info_span!(
            "stt",
            gen_ai.operation.name = "transcription",
            transcript = Empty
        );
        stage.pass(10);
        end_turn(&stage);
        stt.record("transcript", "anybody there?");
        next_turn();
        drop(stt);
    });
    assert_eq!(
        stage.tree(&["turn.number", "stt.incomplete", "transcript"]),
        [
            "conversation",
            "  turn turn.number=1",
            "  turn turn.number=2",
            "    stt turn.number=2 stt.incomplete=true",
            "  stt transcript=anybody there?",
            "  turn turn.number=3",
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn stt_ttfb_is_measured_from_end_of_user_speech() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        info!(
            conversation.event = "vad_user_started_speaking",
            start_secs = 0.2
        );
        let after = stt();
        stage.pass(1_000);
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = 0.5
        );
        after
            .record("transcript", "what is")
            .record("is_final", false);
        stage.pass(250);
        after
            .record("transcript", "what is the weather")
            .record("is_final", true);
        drop(after);
        // A final transcript may arrive before the silence is confirmed.
        info!(conversation.event = "vad_user_started_speaking");
        let before = stt();
        stage.pass(1_000);
        before.record("transcript", "hurry");
        stage.pass(250);
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = 0.5
        );
        drop(before);
    });
    let lags: Vec<_> = stage
        .spans()
        .iter()
        .filter(|span| span.name == "stt")
        .map(|span| attribute(span, "metrics.ttfb"))
        .collect();
    assert_eq!(lags, [Some("0.75".to_owned()), Some("0.25".to_owned())]);
}

#[test]
fn turn_collects_input_and_output() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let first = stt();
        first
            .record("transcript", "what is")
            .record("is_final", false);
        first
            .record("transcript", "what is the")
            .record("is_final", true);
        first
            .record("transcript", "what is the weather")
            .record("is_final", true);
        drop(first);
        let _ = stt().record("transcript", "in Paris?");
        let _ = info_span!("llm", gen_ai.operation.name = "chat", output = Empty)
            .record("output", "It is sunny.");
        let tts = info_span!("tts", gen_ai.operation.name = "tts", text = Empty);
        tts.record("text", "It is")
            .record("text", "sunny. ")
            .record("text", "Bye!");
    });
    assert_eq!(
        stage.tree(&[
            "turn.input",
            "turn.output",
            "text",
            "metrics.character_count"
        ]),
        [
            "conversation",
            "  turn turn.input=what is the weather in Paris? turn.output=It is sunny. Bye!",
            "    stt",
            "    stt",
            "    llm",
            "    tts text=It is sunny. Bye! metrics.character_count=16",
        ]
    );
}
