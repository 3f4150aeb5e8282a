//! Observers: what they are called with, where, and in which order.

use crate::stage::{Output, Stage, scope};
use opentelemetry_sdk::trace::{Sampler, SpanProcessor as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;
use tracing::field::Empty;
use tracing::{Span, info, info_span};
use tracing_conversation::observe::{
    ConversationSummary, Observer, ServiceSummary, TurnStarted, TurnSummary,
};
use tracing_conversation::{ContentPolicy, TraceMode, event};

/// Keeps what it is called with as lines of text, in order.
#[derive(Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    threads: Mutex<Vec<ThreadId>>,
}

impl Lines {
    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.threads
            .lock()
            .unwrap()
            .push(std::thread::current().id());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

/// The fields that are set, as text.
fn set(fields: &[(&str, Option<String>)]) -> String {
    let set = fields
        .iter()
        .filter_map(|(name, value)| Some(format!(" {name}={}", value.as_ref()?)));
    set.collect()
}

fn text<T: ToString>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

fn positive(seconds: f64) -> Option<String> {
    (seconds > 0.0).then(|| seconds.to_string())
}

impl Observer for Lines {
    fn turn_started(&self, turn: &TurnStarted) {
        self.push(format!(
            "{} turn {} starts",
            turn.conversation_id, turn.number
        ));
    }

    fn service_ended(&self, service: &ServiceSummary) {
        let id = service
            .conversation_id
            .as_deref()
            .unwrap_or("no conversation");
        let error = service.error.as_ref();
        self.push(format!(
            "{id} {} {:?}{}",
            service.name,
            service.kind,
            set(&[
                ("turn", text(&service.turn_number)),
                ("operation", text(&service.operation)),
                ("provider", text(&service.provider)),
                ("model", text(&service.request_model)),
                ("answered", text(&service.response_model)),
                ("tool", text(&service.tool_name)),
                ("type", text(&service.tool_type)),
                ("agent", text(&service.agent_name)),
                ("duration", positive(service.duration_seconds)),
                ("ttfb", text(&service.ttfb_seconds)),
                ("input_tokens", text(&service.usage.input_tokens)),
                ("counted", text(&service.counted_usage.input_tokens)),
                ("characters", text(&service.usage.characters)),
                (
                    "interrupted",
                    service.is_interrupted.then(|| "yes".to_owned())
                ),
                ("error", error.map(|error| error.kind.to_string())),
                ("message", error.and_then(|error| text(&error.message))),
                ("text", text(&service.text)),
            ])
        ));
    }

    fn turn_ended(&self, turn: &TurnSummary) {
        let latency = turn.latency.as_ref();
        let parts = latency.map(|latency| {
            let parts = latency.parts.iter();
            let parts = parts.map(|(part, seconds)| format!("{}:{seconds}", part.name()));
            let parts: Vec<_> = parts.collect();
            format!("{}[{}]", latency.measured_from.as_str(), parts.join(","))
        });
        self.push(format!(
            "{} turn {} {}{}",
            turn.conversation_id,
            turn.number,
            turn.end_reason.as_str(),
            set(&[
                ("duration", positive(turn.duration_seconds)),
                ("latency", text(&turn.user_bot_latency_seconds)),
                ("parts", parts),
                ("user", positive(turn.user_speech_seconds)),
                ("bot", positive(turn.bot_speech_seconds)),
                ("dead_air", positive(turn.dead_air_seconds)),
                ("after", text(&turn.interrupted_after_seconds)),
                ("stop", text(&turn.barge_in_stop_seconds)),
                ("played", text(&turn.played_seconds)),
                ("input", text(&turn.input)),
                ("output", text(&turn.output)),
                ("heard", text(&turn.heard_output)),
                ("input_tokens", text(&turn.usage.input_tokens)),
            ])
        ));
    }

    fn conversation_ended(&self, conversation: &ConversationSummary) {
        self.push(format!(
            "{} {} ends{}",
            conversation.conversation_id,
            conversation.conversation_type,
            set(&[
                ("lost", conversation.is_lost.then(|| "yes".to_owned())),
                ("duration", positive(conversation.duration_seconds)),
                ("turns", Some(conversation.turn_count.to_string())),
                (
                    "interruptions",
                    Some(conversation.interruption_count.to_string())
                ),
                ("errors", Some(conversation.error_count.to_string())),
                ("mean", text(&conversation.mean_user_bot_latency_seconds)),
                ("max", text(&conversation.max_user_bot_latency_seconds)),
                ("user", positive(conversation.user_speech_seconds)),
                ("bot", positive(conversation.bot_speech_seconds)),
                ("dead_air", positive(conversation.dead_air_seconds)),
                ("input_tokens", text(&conversation.usage.input_tokens)),
                ("input", text(&conversation.input)),
                ("output", text(&conversation.output)),
            ])
        ));
    }
}

/// A stage whose layer has observers, and `output`.
fn observed(output: Output, observers: &[Arc<Lines>]) -> Stage {
    Stage::over(output, |layer| {
        observers
            .iter()
            .fold(layer, |layer, one| layer.with_observer(one.clone()))
    })
}

/// What an observer has been called with, once it has been called with everything.
fn lines(stage: &Stage, observer: &Lines) -> Vec<String> {
    stage.output.processor.force_flush().unwrap();
    observer.take()
}

fn llm() -> Span {
    info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = "openai",
        gen_ai.request.model = "gpt-4o",
        gen_ai.response.model = Empty,
        gen_ai.usage.input_tokens = Empty,
        output = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
        error.type = Empty,
    )
}

/// A turn that the user interrupts, and the rest of the next.
fn two_turns(stage: &Stage) {
    let _scope = scope().entered();
    event::user_started_speaking();
    stage.pass(500);
    event::vad_user_stopped_speaking(0.1);
    drop(info_span!(
        "stt",
        gen_ai.operation.name = "stt",
        transcript = "hello"
    ));
    let llm = llm();
    stage.pass(200);
    llm.in_scope(event::first_byte);
    llm.record("output", "Once upon a time.");
    llm.record("gen_ai.usage.input_tokens", 42);
    drop(llm);
    let tts = info_span!(
        "tts",
        gen_ai.operation.name = "tts",
        text = "Once upon a time."
    );
    stage.pass(100);
    tts.in_scope(event::first_byte);
    event::bot_started_speaking();
    stage.pass(1_000);
    event::heard("Once").user_started_speaking();
    drop(tts);
    stage.pass(250);
    event::bot_stopped_speaking();
}

const TWO_TURNS: &[&str] = &[
    "c1 turn 1 starts",
    "c1 stt Stt turn=1 operation=stt ttfb=0.1 text=hello",
    "c1 llm Llm turn=1 operation=chat provider=openai model=gpt-4o duration=0.2 ttfb=0.2 input_tokens=42 counted=42 \
     text=Once upon a time.",
    "c1 turn 1 interrupted duration=1.8 latency=0.4 \
     parts=user_silence[endpointing_wait:0.1,llm_inference:0.2,speech_synthesis:0.1] user=0.4 bot=1 after=1 input=hello \
     output=Once upon a time. heard=Once input_tokens=42",
    "c1 turn 2 starts",
    "c1 tts Tts turn=1 operation=tts duration=1.1 ttfb=0.1 characters=17 interrupted=yes text=Once upon a time.",
    "c1 turn 2 conversation_ended duration=0.25 user=0.25 stop=0.25",
    "c1 voice ends duration=2.05 turns=2 interruptions=1 errors=0 mean=0.4 max=0.4 user=0.65 bot=1 input_tokens=42 \
     input=hello output=Once upon a time.",
];

#[test]
fn observers_are_called_with_everything_in_order_on_a_thread_of_their_own() {
    let observers = [Arc::new(Lines::default()), Arc::default()];
    let stage = observed(Output::new(), &observers);
    stage.play(|| two_turns(&stage));
    for observer in &observers {
        assert_eq!(lines(&stage, observer), TWO_TURNS);
    }
    let mut threads = observers[0].threads.lock().unwrap().clone();
    threads.dedup();
    assert_eq!(threads.len(), 1);
    assert_ne!(threads[0], std::thread::current().id());
}

#[test]
fn summaries_have_the_ids_of_their_spans() {
    struct Ids(Mutex<Vec<(String, String)>>);
    impl Ids {
        fn push(&self, trace: impl ToString, span: impl ToString) {
            self.0
                .lock()
                .unwrap()
                .push((trace.to_string(), span.to_string()));
        }
    }
    impl Observer for Ids {
        fn service_ended(&self, service: &ServiceSummary) {
            self.push(service.trace_id, service.span_id);
        }
        fn turn_ended(&self, turn: &TurnSummary) {
            self.push(turn.trace_id, turn.span_id);
        }
        fn conversation_ended(&self, conversation: &ConversationSummary) {
            self.push(conversation.trace_id, conversation.span_id);
        }
    }
    for mode in [TraceMode::Conversation, TraceMode::Turn] {
        let ids = Arc::new(Ids(Mutex::default()));
        let stage = Stage::with(|layer| layer.trace_mode(mode).with_observer(ids.clone()));
        stage.play(|| two_turns(&stage));
        stage.output.processor.force_flush().unwrap();
        let exported = stage.spans().into_iter().map(|span| {
            let context = span.span_context;
            (
                context.trace_id().to_string(),
                context.span_id().to_string(),
            )
        });
        let mut exported: Vec<_> = exported.collect();
        let mut observed = ids.0.lock().unwrap().clone();
        exported.sort();
        observed.sort();
        assert_eq!(observed, exported, "{mode:?}");
    }
}

#[test]
fn what_is_not_sampled_is_observed_all_the_same() {
    for span_ext in [true, false] {
        for mode in [TraceMode::Conversation, TraceMode::Turn] {
            let observer = Arc::new(Lines::default());
            let output = Output::with(|provider| provider.with_sampler(Sampler::AlwaysOff));
            let stage = Stage::over(output, |layer| {
                layer
                    .span_ext(span_ext)
                    .trace_mode(mode)
                    .with_observer(observer.clone())
            });
            stage.play(|| two_turns(&stage));
            assert_eq!(lines(&stage, &observer), TWO_TURNS);
            assert_eq!(stage.spans().len(), 0);
        }
    }
}

#[test]
fn failures_stragglers_and_services_outside_of_conversations_are_observed() {
    let observer = Arc::new(Lines::default());
    let stage = observed(Output::new(), std::slice::from_ref(&observer));
    stage.play(|| {
        drop(llm());
        let scope = scope();
        let straggler = scope.in_scope(|| {
            let failed = llm();
            failed.record("error.type", "timeout");
            failed.record("otel.status_description", "no answer");
            drop(failed);
            let agent = info_span!(
                "invoke_agent",
                gen_ai.operation.name = "invoke_agent",
                gen_ai.usage.input_tokens = 30
            );
            agent.in_scope(|| {
                llm().record("gen_ai.usage.input_tokens", 30);
            });
            drop(agent);
            info_span!(
                "tool",
                gen_ai.operation.name = "execute_tool",
                gen_ai.tool.name = "search",
                gen_ai.tool.type = "datastore",
                gen_ai.agent.name = "librarian"
            )
        });
        scope.in_scope(event::conversation_ended);
        drop(straggler);
    });
    assert_eq!(
        lines(&stage, &observer),
        [
            "no conversation llm Llm operation=chat provider=openai model=gpt-4o",
            "c1 turn 1 starts",
            "c1 llm Llm turn=1 operation=chat provider=openai model=gpt-4o error=timeout message=no answer",
            "c1 llm Llm turn=1 operation=chat provider=openai model=gpt-4o input_tokens=30 counted=30",
            "c1 invoke_agent Other turn=1 operation=invoke_agent input_tokens=30",
            "c1 turn 1 conversation_ended input_tokens=30",
            "c1 voice ends turns=1 interruptions=0 errors=1 input_tokens=30",
            "c1 tool Tool turn=1 operation=execute_tool tool=search type=datastore agent=librarian",
        ]
    );
}

#[test]
fn turn_that_ends_by_silence_is_observed_without_a_further_event() {
    let observer = Arc::new(Lines::default());
    let stage = observed(Output::new(), std::slice::from_ref(&observer));
    stage.play(|| {
        let scope = scope();
        scope.in_scope(|| {
            event::bot_started_speaking();
            stage.pass(1_000);
            event::bot_stopped_speaking();
        });
        assert_eq!(lines(&stage, &observer), ["c1 turn 1 starts"]);
        stage.pass(2_500);
        assert_eq!(
            lines(&stage, &observer),
            ["c1 turn 1 silence duration=1 bot=1"]
        );
    });
}

#[test]
fn words_are_subject_to_the_content_policy() {
    let said = |policy: ContentPolicy| {
        let observer = Arc::new(Lines::default());
        let output = Output::new();
        let processor = output.processor.with_content(policy);
        let output = Output::over(output.exporter, processor, |provider| provider);
        let stage = observed(output, std::slice::from_ref(&observer));
        stage.play(|| {
            let _scope = scope().entered();
            drop(info_span!(
                "stt",
                gen_ai.operation.name = "stt",
                transcript = "call 555"
            ));
            let failed = llm();
            failed.record("output", "I call 555.");
            failed.record("otel.status_description", "refused: 555");
            drop(failed);
            event::bot_started_speaking();
            event::heard("I call 555").bot_stopped_speaking();
        });
        lines(&stage, &observer)
    };
    assert_eq!(
        said(
            ContentPolicy::default()
                .with_redaction(|key, text| { text.contains("555").then(|| format!("<{key}>")) })
        ),
        [
            "c1 turn 1 starts",
            "c1 stt Stt turn=1 operation=stt text=<transcript>",
            "c1 llm Llm turn=1 operation=chat provider=openai model=gpt-4o error=_OTHER \
             message=<otel.status_description> text=<output>",
            "c1 turn 1 conversation_ended input=<turn.input> output=<turn.output> heard=<turn.heard_output>",
            "c1 voice ends turns=1 interruptions=0 errors=1 input=<conversation.input> output=<conversation.output>",
        ]
    );
    assert_eq!(
        said(ContentPolicy::default().with_capture(false)),
        [
            "c1 turn 1 starts",
            "c1 stt Stt turn=1 operation=stt",
            "c1 llm Llm turn=1 operation=chat provider=openai model=gpt-4o error=_OTHER",
            "c1 turn 1 conversation_ended",
            "c1 voice ends turns=1 interruptions=0 errors=1",
        ]
    );
}

/// Blocks at the first turn that starts until it is released.
struct Blocked {
    reached: Mutex<Sender<()>>,
    release: Mutex<Receiver<()>>,
    seen: AtomicUsize,
}

impl Blocked {
    fn new() -> (Arc<Self>, Receiver<()>, Sender<()>) {
        let (reached, is_reached) = channel();
        let (release, released) = channel();
        let blocked = Self {
            reached: Mutex::new(reached),
            release: Mutex::new(released),
            seen: AtomicUsize::new(0),
        };
        (Arc::new(blocked), is_reached, release)
    }
}

impl Observer for Blocked {
    fn turn_started(&self, _: &TurnStarted) {
        if self.seen.fetch_add(1, Ordering::SeqCst) == 0 {
            self.reached.lock().unwrap().send(()).unwrap();
            self.release.lock().unwrap().recv().unwrap();
        }
    }
}

#[test]
fn slow_observer_holds_nobody_up_and_what_does_not_fit_is_dropped() {
    let (blocked, is_reached, release) = Blocked::new();
    let stage = Stage::with(|layer| layer.with_observer(blocked.clone()));
    stage.play(|| {
        let scope = scope();
        is_reached.recv().unwrap();
        scope.in_scope(|| {
            // Each ends a turn and starts one: two summaries, of which 8,192 fit.
            for _ in 0..5_000 {
                event::bot_started_speaking();
                event::user_started_speaking();
            }
        });
        release.send(()).unwrap();
    });
    stage.output.processor.force_flush().unwrap();
    assert_eq!(blocked.seen.load(Ordering::SeqCst), 1 + 8_192 / 2);
}

#[test]
fn panics_of_observers_are_survived() {
    struct Panics(AtomicUsize);
    impl Observer for Panics {
        fn turn_started(&self, _: &TurnStarted) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose");
        }
    }
    let panics = Arc::new(Panics(AtomicUsize::new(0)));
    let observer = Arc::new(Lines::default());
    let stage = Stage::with(|layer| {
        layer
            .with_observer(panics.clone())
            .with_observer(observer.clone())
    });
    stage.play(|| two_turns(&stage));
    assert_eq!(lines(&stage, &observer), TWO_TURNS);
    assert_eq!(panics.0.load(Ordering::SeqCst), 2);
}

#[test]
fn observers_may_emit_events_and_open_conversations() {
    /// Notes each turn in a conversation of its own.
    struct Notes;
    impl Observer for Notes {
        fn turn_ended(&self, turn: &TurnSummary) {
            if &*turn.conversation_id == "c1" {
                let note = info_span!("conversation", conversation.id = "notes");
                let _note = note.entered();
                info!("a turn has ended");
                tracing_conversation::annotate!(noted = turn.number);
            }
        }
    }
    let stage = Stage::with(|layer| layer.with_observer(Notes));
    stage.play(|| two_turns(&stage));
    stage.output.processor.force_flush().unwrap();
    let spans = stage.spans();
    let notes: Vec<_> = spans
        .iter()
        .filter_map(|span| crate::stage::attribute(span, "noted"))
        .collect();
    assert_eq!(notes, ["1", "2"]);
}

#[test]
fn flush_on_the_thread_of_the_observers_returns() {
    struct Flushes(Mutex<Option<opentelemetry_sdk::trace::SdkTracerProvider>>);
    impl Observer for Flushes {
        fn conversation_ended(&self, _: &ConversationSummary) {
            let provider = self.0.lock().unwrap().take().unwrap();
            assert!(provider.force_flush().is_err(), "it cannot have waited");
        }
    }
    let output = Output::new();
    let flushes = Arc::new(Flushes(Mutex::new(Some(output.provider.clone()))));
    let stage = Stage::over(output, |layer| layer.with_observer(flushes.clone()));
    stage.play(|| drop(scope()));
    stage.output.processor.force_flush().unwrap();
    assert!(flushes.0.lock().unwrap().is_none());
}

#[test]
fn order_holds_within_a_conversation_whatever_thread_things_happen_on() {
    let observer = Arc::new(Lines::default());
    let stage = observed(Output::new(), std::slice::from_ref(&observer));
    let threads = 4;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let dispatch = stage.dispatch.clone();
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    for _ in 0..200 {
                        let at = event::in_conversation("c1");
                        match thread % 2 {
                            0 => at.bot_started_speaking(),
                            _ => at.user_started_speaking(),
                        }
                    }
                });
            });
        }
    });
    stage.play(|| event::in_conversation("c1").conversation_ended());
    let lines = lines(&stage, &observer);
    let turns = lines.len() / 2;
    assert!(turns > 1, "the threads made no turns");
    for (number, pair) in (1..).zip(lines[..2 * turns].chunks(2)) {
        assert_eq!(pair[0], format!("c1 turn {number} starts"));
        assert!(
            pair[1].starts_with(&format!("c1 turn {number} ")),
            "{pair:?}"
        );
    }
    assert!(lines[2 * turns].starts_with("c1 voice ends"));
}

#[test]
fn observers_end_with_their_layer() {
    struct Ends(Sender<()>);
    impl Observer for Ends {}
    impl Drop for Ends {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (ends, has_ended) = channel();
    let stage = Stage::with(|layer| layer.with_observer(Ends(ends)));
    stage.play(|| drop(scope()));
    drop(stage);
    has_ended.recv_timeout(Duration::from_secs(60)).unwrap();
}
