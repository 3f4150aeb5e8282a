//! One piece of work of a service: what its span collects between start and end.

use crate::clock::{Time, lock};
use crate::content::ContentPolicy;
use crate::conversation::{Identity, Live, Turn};
use crate::core::Core;
use crate::fields::{self, Given, Keyed, Text};
use crate::names;
use crate::processor::{LastWords, is_recording, without_marks};
use crate::recognise::Service;
use crate::tracer::LayerSpan;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;
use tracing_core::span::Id;

/// Room for so many attributes is made at once: few spans have more, and as many fit in the kilobyte up to which
/// allocators are quickest.
pub(crate) const USUAL_ATTRIBUTES: usize = 18;

/// A service span under way.
pub(crate) struct Work {
    pub(crate) key: u64,
    pub(crate) service: Service,
    pub(crate) turn: Option<Arc<Turn>>,
    /// The number of the turn that it was put in when it began.
    pub(crate) began_in: Option<u32>,
    pub(crate) started: Time,
    /// How often the conversation had been interrupted when the span began.
    pub(crate) interruptions: u64,
    pub(crate) first_byte: Option<Time>,
    /// Seconds, of speech-to-text.
    pub(crate) transcription_lag: Option<f64>,
    transcript: Option<Arc<str>>,
    pub(crate) final_transcript_at: Option<Time>,
    is_final: Option<bool>,
    /// Whether a transcript has told which turn the span belongs to.
    pub(crate) placed: bool,
    pub(crate) interrupted: bool,
    text: Text,
    characters_counted: usize,
    characters_given: Option<i64>,
    ttfb_given: Option<f64>,
    succeeded: bool,
    failed: bool,
    failure: Option<String>,
    attributes: Keyed,
}

/// What a recording told that the conversation should hear of.
#[derive(Default)]
pub(crate) struct News {
    /// The operation was recorded, and it is another than thought.
    pub(crate) service: bool,
    /// A transcript or its finality was recorded.
    pub(crate) transcript: bool,
    /// A sentence to be spoken.
    pub(crate) sentence: Option<Arc<str>>,
    /// The attribute under which a speech-to-speech service told what the user said.
    pub(crate) input: Option<&'static str>,
    /// An answer was recorded.
    pub(crate) answer: Option<Arc<str>>,
    /// The service says that it is done.
    pub(crate) ended: bool,
}

impl News {
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.service
            || self.transcript
            || self.sentence.is_some()
            || self.input.is_some()
            || self.answer.is_some()
    }
}

/// Whether a field leaves as an attribute: it is neither the layer's own nor the wrapped layer's.
fn is_attribute(field: &str) -> bool {
    let own = matches!(
        field,
        names::CONVERSATION_ID
            | names::CONVERSATION_EVENT
            | names::TURN_NUMBER
            | names::AGO_SECS
            | names::SERVICE_ENDED
            | "message"
    );
    !own && !field.starts_with("otel.")
}

/// A field as the attribute that it leaves as, if it does.
pub(crate) fn attribute(
    field: &'static str,
    given: Given<'_>,
    policy: &ContentPolicy,
) -> Option<Value> {
    (is_attribute(field) && policy.admits(field))
        .then(|| given.value(policy))
        .flatten()
}

/// How the OpenTelemetry span of a service is to be made, once it is needed.
pub(crate) struct Plan {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Option<SpanKind>,
    start: SystemTime,
    /// Where it is put unless the program says otherwise.
    parent: Context,
}

/// A service span as the spans below it see it.
pub(crate) struct ServiceSpan {
    pub(crate) conversation: Option<Arc<Live>>,
    /// The number of its turn; none is 0.
    turn: AtomicU32,
    finished: AtomicBool,
    /// Whether the layer that it is of has gone.
    pub(crate) is_orphan: AtomicBool,
    /// Whether the wrapped layer knows of it: it may then keep something that is still to be taken over.
    pub(crate) is_told: AtomicBool,
    /// Whether it is closed. As long as the lock is held, it does not close.
    pub(crate) is_closed: Mutex<bool>,
    pub(crate) plan: Plan,
    /// Of its OpenTelemetry span, once that is started.
    context: OnceLock<Context>,
    /// Where the SDK keeps the attributes of that.
    buffer: AtomicUsize,
    pub(crate) work: Mutex<Option<Work>>,
}

impl ServiceSpan {
    /// One that begins at `now`, and is in no conversation yet.
    pub(crate) fn new(id: &Id, service: Service, name: &'static str, now: Time) -> Self {
        Self {
            conversation: None,
            turn: AtomicU32::new(0),
            finished: AtomicBool::new(false),
            is_orphan: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            is_closed: Mutex::new(false),
            plan: Plan {
                name: name.into(),
                kind: None,
                start: SystemTime::UNIX_EPOCH,
                parent: Context::new(),
            },
            context: OnceLock::new(),
            buffer: AtomicUsize::new(0),
            work: Mutex::new(Some(Work::new(id.into_u64(), service, now))),
        }
    }

    #[inline]
    pub(crate) fn work_mut(&mut self) -> Option<&mut Work> {
        self.work
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
    }

    /// Puts it in a conversation, if it is in any, and below `parent`.
    pub(crate) fn place(&mut self, conversation: Option<Arc<Live>>, parent: Context) {
        if let Some(work) = self.work_mut() {
            let (turn, started) = (work.turn_number(), work.started);
            *self.turn.get_mut() = turn.unwrap_or(0);
            self.plan.start = match &conversation {
                Some(live) => live.wall(started),
                None => SystemTime::now(),
            };
        }
        self.conversation = conversation;
        self.plan.parent = parent;
    }

    /// The context of its OpenTelemetry span, if that is started.
    #[inline]
    pub(crate) fn context(&self) -> Option<&Context> {
        self.context.get()
    }

    /// The context of its OpenTelemetry span, which is started if need be.
    pub(crate) fn start(&self, core: &Core) -> &Context {
        self.context.get_or_init(|| {
            let room = core.room();
            self.buffer.store(room.as_ptr().addr(), Ordering::Relaxed);
            let builder = SpanBuilder {
                attributes: Some(room),
                ..SpanBuilder::default()
            };
            self.build(&core.tracer, builder, &self.plan.parent)
        })
    }

    /// The same, on behalf of the wrapped layer: with what that was told of the span meanwhile.
    pub(crate) fn started_by_builder(
        &self,
        tracer: &SdkTracer,
        mut builder: SpanBuilder,
        parent: &Context,
    ) -> &Context {
        let mut told = Some(&mut builder);
        let context = self.context.get_or_init(|| {
            let builder = told.take().map(std::mem::take).unwrap_or_default();
            self.build(tracer, builder, parent)
        });
        if let Some(told) = told {
            let span = context.span();
            span.set_attributes(told.attributes.take().unwrap_or_default());
            for event in told.events.take().unwrap_or_default() {
                span.add_event_with_timestamp(event.name, event.timestamp, event.attributes);
            }
            for link in told.links.take().unwrap_or_default() {
                span.add_link(link.span_context, link.attributes);
            }
        }
        context
    }

    fn build(&self, tracer: &SdkTracer, mut builder: SpanBuilder, parent: &Context) -> Context {
        builder.name = self.plan.name.clone();
        builder.span_kind = self.plan.kind.clone();
        builder.start_time = Some(self.plan.start);
        without_marks(self.conversation.is_some(), || {
            parent.with_span(LayerSpan::new(tracer.build_with_context(builder, parent)))
        })
    }

    #[inline]
    pub(crate) fn parent(&self) -> &Context {
        &self.plan.parent
    }

    #[inline]
    pub(crate) fn turn(&self) -> Option<u32> {
        Some(self.turn.load(Ordering::Relaxed)).filter(|number| *number != 0)
    }

    #[inline]
    pub(crate) fn set_turn(&self, work: &Work) {
        self.turn
            .store(work.turn_number().unwrap_or(0), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Ends the work. Tells whether it had not ended before.
    pub(crate) fn is_finished_now(&self) -> bool {
        !self.finished.swap(true, Ordering::Relaxed)
    }

    /// Ends the OpenTelemetry span, of work that has just been finished.
    pub(crate) fn end(&self, core: &Core, now: Time) {
        let span = self.start(core).span();
        let mut place = lock(&self.work);
        let Some(work) = place.as_mut() else {
            return;
        };
        let live = self.conversation.as_ref();
        if let Some(live) = live {
            live.finish_service(core, now, work);
        }
        if !is_recording(&span) {
            *place = None;
            return;
        }
        let number = work.turn_number();
        let moved = number != work.began_in;
        if moved && let Some(number) = number {
            work.set(names::TURN_NUMBER, i64::from(number));
        }
        let (attributes, status) = work.finish(&core.settings.content);
        let turn = work.turn.take();
        *place = None;
        drop(place);

        let moved_to = live.filter(|_| moved).map(|live| {
            let parent = live.parent_context(core, turn.as_deref()).span();
            Box::new((parent.span_context().clone(), number))
        });
        let words = LastWords {
            start: None,
            place: moved_to,
            attributes,
            status,
            bounds: Some(core.settings.content.bounds()),
            buffer: self.buffer.load(Ordering::Relaxed),
        };
        let end = live.map_or_else(SystemTime::now, |live| live.wall(now));
        core.end(&span, words, end);
    }
}

impl Work {
    #[inline]
    pub(crate) fn turn_number(&self) -> Option<u32> {
        self.turn.as_ref().map(|turn| turn.number)
    }

    pub(crate) fn new(key: u64, service: Service, started: Time) -> Self {
        Self {
            key,
            service,
            turn: None,
            began_in: None,
            started,
            interruptions: 0,
            first_byte: None,
            transcription_lag: None,
            transcript: None,
            final_transcript_at: None,
            is_final: None,
            placed: false,
            interrupted: false,
            text: Text::default(),
            characters_counted: 0,
            characters_given: None,
            ttfb_given: None,
            succeeded: false,
            failed: false,
            failure: None,
            attributes: Keyed::with_capacity(USUAL_ATTRIBUTES),
        }
    }

    /// Marks it as its conversation's. Before anything else: the SDK keeps what comes first where there is too much.
    pub(crate) fn mark(&mut self, identity: &Identity) {
        identity.give_marks(self.turn_number(), |mark| {
            self.attributes.set(mark.key, mark.value);
        });
    }

    /// Takes in a recorded field.
    pub(crate) fn note(
        &mut self,
        field: &'static str,
        given: Given<'_>,
        policy: &ContentPolicy,
        news: &mut News,
    ) {
        match (field, self.service) {
            (names::GEN_AI_OPERATION_NAME, _) => {
                let operation = given.text();
                let (service, operation) = match Service::known(&operation) {
                    Some((service, name)) => (service, StringValue::from(name)),
                    None => {
                        let own = policy.bound(operation.into_owned());
                        (Service::Other, StringValue::from(own))
                    }
                };
                news.service |= self.service != service;
                self.service = service;
                self.set(field, operation);
            }
            (
                names::GEN_AI_PROVIDER_NAME
                | names::GEN_AI_REQUEST_MODEL
                | names::GEN_AI_RESPONSE_MODEL
                | names::GEN_AI_TOOL_NAME
                | names::LANGUAGE
                | names::VOICE_ID,
                _,
            ) => match given {
                Given::Str(text) => self.set(field, fields::name(text, policy)),
                _ => self.keep(field, given, policy),
            },
            (names::SERVICE_ENDED, _) => news.ended |= given.boolean() == Some(true),
            (names::INTERRUPTED | names::TTS_INTERRUPTED, _) => {
                self.interrupted |= given.boolean() == Some(true)
            }
            ("otel.status_code", _) => {
                let code = given.text();
                self.succeeded = code.eq_ignore_ascii_case("ok");
                self.failed = code.eq_ignore_ascii_case("error") || self.failed && !self.succeeded;
            }
            ("error", _) if given.boolean().is_some() => {
                self.failed |= given.boolean() == Some(true);
            }
            ("otel.status_description" | "error", _) => {
                self.failed = true;
                if policy.captures() {
                    self.failure = Some(policy.bound(given.text().into_owned()));
                }
            }
            (names::METRICS_TTFB | names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, _) => {
                self.ttfb_given = given
                    .number()
                    .filter(|seconds| *seconds > 0.0)
                    .or(self.ttfb_given);
            }
            (names::IS_FINAL, Service::Stt) => {
                self.is_final = given.boolean().or(self.is_final);
                news.transcript = true;
                self.keep(field, given, policy);
            }
            (names::TRANSCRIPT, Service::Stt) => {
                news.transcript = true;
                self.transcript = Some(if policy.captures() {
                    given.shared(policy)
                } else {
                    Arc::default()
                });
            }
            (names::TEXT, Service::Tts) => {
                let sentence = given.text();
                self.characters_counted += sentence.chars().count();
                if policy.captures() && !sentence.is_empty() {
                    let sentence: Arc<str> = Arc::from(&*sentence);
                    news.sentence = Some(sentence.clone());
                    // What is beyond the limit on a value would not leave anyway.
                    self.text.add(sentence, policy.max_value_bytes());
                }
            }
            (names::OUTPUT, Service::Llm | Service::Realtime) if policy.admits(field) => {
                let answer = given.shared(policy);
                news.answer = Some(answer.clone());
                if given.is_text() {
                    self.set(field, StringValue::from(answer));
                } else {
                    self.keep(field, given, policy);
                }
            }
            (names::METRICS_CHARACTER_COUNT, Service::Tts) => {
                if let Some(count) = given.integer() {
                    self.characters_given =
                        Some(self.characters_given.unwrap_or(0).saturating_add(count));
                }
            }
            (names::ERROR_TYPE, _) => {
                self.failed = true;
                self.keep(field, given, policy);
            }
            (field, _) if !is_attribute(field) => {}
            _ => {
                if self.service == Service::Realtime
                    && matches!(field, names::TRANSCRIPT | names::INPUT)
                {
                    news.input = Some(field);
                }
                self.keep(field, given, policy);
            }
        }
    }

    fn keep(&mut self, field: &'static str, given: Given<'_>, policy: &ContentPolicy) {
        if policy.admits(field)
            && let Some(value) = given.value(policy)
        {
            self.set(field, value);
        }
    }

    /// The text of an attribute recorded so far.
    pub(crate) fn told(&self, key: &str) -> Option<Cow<'_, str>> {
        Some(self.attributes.get(key)?.as_str())
    }

    /// The transcript, if what has been recorded so far makes it final. One that nobody calls interim is.
    pub(crate) fn final_transcript(&self) -> Option<&Arc<str>> {
        self.transcript
            .as_ref()
            .filter(|_| self.is_final != Some(false))
    }

    pub(crate) fn has_transcript(&self) -> bool {
        self.transcript.is_some()
    }

    /// The finished attributes and status.
    pub(crate) fn finish(&mut self, policy: &ContentPolicy) -> (Vec<KeyValue>, Status) {
        let answered = self
            .first_byte
            .and_then(|at| at.checked_sub(self.started))
            .map(|wait| wait.as_secs_f64());
        let measured = match self.service {
            Service::Stt => self.transcription_lag,
            Service::Llm | Service::Tts | Service::Realtime | Service::Other => answered,
            Service::Tool => None,
        };
        if let Some(seconds) = self
            .ttfb_given
            .or(measured.filter(|seconds| *seconds > 0.0))
        {
            self.set(names::METRICS_TTFB, seconds);
            self.set(names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, seconds);
        }
        match self.service {
            Service::Stt => {
                if self.final_transcript().is_none() {
                    self.set(names::STT_INCOMPLETE, true);
                }
                if let Some(transcript) = self.transcript.take().filter(|_| policy.captures()) {
                    self.set(names::TRANSCRIPT, StringValue::from(transcript));
                }
            }
            Service::Llm if !self.attributes.has(names::GEN_AI_OUTPUT_TYPE) => {
                self.set(names::GEN_AI_OUTPUT_TYPE, "text");
            }
            Service::Tts => {
                if !self.attributes.has(names::GEN_AI_OUTPUT_TYPE) {
                    self.set(names::GEN_AI_OUTPUT_TYPE, "speech");
                }
                let counted = i64::try_from(self.characters_counted)
                    .ok()
                    .filter(|count| *count > 0);
                if let Some(count) = self.characters_given.or(counted) {
                    self.set(names::METRICS_CHARACTER_COUNT, count);
                }
                if let Some(text) = self.text.take(policy) {
                    self.set(names::TEXT, text);
                }
            }
            _ => {}
        }
        if self.interrupted {
            self.set(names::INTERRUPTED, true);
            if self.service == Service::Tts {
                self.set(names::TTS_INTERRUPTED, true);
            }
        }
        let status = if self.failed {
            if !self.attributes.has(names::ERROR_TYPE) {
                self.set(names::ERROR_TYPE, names::ERROR_TYPE_OTHER);
            }
            Status::error(self.failure.take().unwrap_or_default())
        } else if self.succeeded {
            Status::Ok
        } else {
            Status::Unset
        };
        (std::mem::take(&mut self.attributes).into_list(), status)
    }

    #[inline]
    fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.set(key, value);
    }
}
