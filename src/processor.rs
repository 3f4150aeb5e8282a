//! The last word on a finished span, between the SDK and the exporter's processor.

use crate::content::{Bounds, ContentPolicy};
use crate::conversation::Membership;
use crate::core::{undisturbed, with};
use crate::fields;
use crate::names;
use crate::profile::Profile;
use opentelemetry::trace::{SpanContext, SpanId, SpanRef, Status};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

thread_local! {
    static HANDED_OVER: RefCell<Option<HandedOver>> = const { RefCell::new(None) };
    /// Of which span, to be told at a glance.
    static ENDING: Cell<SpanId> = const { Cell::new(SpanId::INVALID) };
    static MARKS_ITSELF: Cell<bool> = const { Cell::new(false) };
}

/// What the layer has to say of a span that it is about to end.
pub(crate) struct LastWords {
    pub(crate) start: Option<SystemTime>,
    /// Where the span belongs after all: its parent, and the number of the turn if that is one.
    pub(crate) place: Option<Box<(SpanContext, Option<u32>)>>,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) status: Status,
    /// What all attributes keep to, where it is certain that they do.
    pub(crate) bounds: Option<Bounds>,
    /// The address of the SDK's list of attributes, as it was when the span began.
    pub(crate) buffer: usize,
}

/// How a processor comes to hear of attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// One by one, as the span ends: all processors hear of them.
    OneByOne,
    /// The same, where it is known that there is one processor alone, which is ours.
    OneByOneAlone,
    /// All at once, by that processor.
    AllAtOnce,
}

/// Last words on their way. The processor runs inside the call that ends a span, on the same thread.
struct HandedOver {
    words: LastWords,
    way: Way,
    /// As many attributes the processor alone has been found to be given, with none left out.
    learned: Option<usize>,
}

/// Whether there is any sense in telling a span something.
pub(crate) fn is_recording(span: &SpanRef<'_>) -> bool {
    // What is sampled is recorded; that alone can be had without a lock.
    span.span_context().is_sampled() || span.is_recording()
}

/// Starts a span; if `itself`, the layer marks it by itself as it ends.
pub(crate) fn without_marks<R>(itself: bool, start: impl FnOnce() -> R) -> R {
    with(&MARKS_ITSELF, itself, || undisturbed(start))
}

/// Ends a span with `words` to be heard. Gives what was learned of the way.
pub(crate) fn end_with(
    span: &SpanRef<'_>,
    words: LastWords,
    way: Way,
    end: impl FnOnce(),
) -> Option<usize> {
    let mut handed = Some(HandedOver {
        words,
        way,
        learned: None,
    });
    // A thread that is about to go has no place for them any more; what can be set on the span is still set.
    let _ = HANDED_OVER.try_with(|place| place.replace(handed.take()));
    if let Some(HandedOver { words, .. }) = handed {
        span.set_attributes(words.attributes);
        span.set_status(words.status);
        end();
        return None;
    }
    with(&ENDING, span.span_context().span_id(), end);
    HANDED_OVER.try_with(RefCell::take).ok()??.learned
}

/// Takes the attributes and the status that are handed over of `span`, to be set on it. What is set by the program leaves
/// no room for another way.
pub(crate) fn take_values(span: &SpanContext, is_set: bool) -> Option<(Vec<KeyValue>, Status)> {
    if ENDING.get() != span.span_id() {
        return None;
    }
    let take = |place: &RefCell<Option<HandedOver>>| {
        let mut place = place.borrow_mut();
        let handed = place.as_mut()?;
        let attributes = match handed.way {
            Way::AllAtOnce if !is_set => Vec::new(),
            _ => std::mem::take(&mut handed.words.attributes),
        };
        Some((attributes, std::mem::take(&mut handed.words.status)))
    };
    HANDED_OVER.try_with(take).ok()?
}

impl HandedOver {
    /// Completes a finished span. Tells what its attributes keep to, if they are all the layer's.
    fn complete(span: &mut SpanData) -> Option<Bounds> {
        if ENDING.get() != span.span_context.span_id() {
            return None;
        }
        let complete = |place: &RefCell<Option<HandedOver>>| {
            let mut place = place.borrow_mut();
            let handed = place.as_mut()?;
            let own = std::mem::take(&mut handed.words.attributes);
            let bounds = if own.is_empty() {
                // The SDK copies the list where there are others to hear of it.
                let is_alone = handed.way == Way::OneByOneAlone
                    || handed.words.buffer == span.attributes.as_ptr().addr();
                let is_all = span.dropped_attributes_count == 0;
                handed.learned = (is_alone && is_all).then_some(span.attributes.len());
                None
            } else if span.attributes.is_empty() {
                span.attributes = own;
                handed.words.bounds
            } else {
                span.attributes.extend(own);
                None
            };
            if let Some(start) = handed.words.start {
                span.start_time = start;
            }
            if let Some(place) = &handed.words.place {
                let (parent, turn) = &**place;
                adopt(span, parent, *turn);
            }
            bounds
        };
        HANDED_OVER.try_with(complete).ok()?
    }
}

/// Wraps the processor that leads to an exporter, so that what leaves is right to the last detail.
///
/// It marks every span of a conversation with `conversation.id` and `turn.number`, gives a transcription that opened
/// before its turn the parent that it turned out to have, sees to it that no key leaves twice and no value leaves that
/// OTLP cannot carry, and applies the [`ContentPolicy`].
///
/// [`init`](crate::init) and [`Telemetry`](crate::Telemetry) install it by themselves. In a program that brings its own
/// provider it goes around the processor that is there, as the outermost: what is around it hears of a span's end before
/// the layer's last words on it. Other processors may stand beside it.
///
/// ```
/// use opentelemetry_sdk::trace::{BatchSpanProcessor, InMemorySpanExporter, SdkTracerProvider};
/// use tracing_conversation::ConversationProcessor;
///
/// let exporter = InMemorySpanExporter::default();
/// let batch = BatchSpanProcessor::builder(exporter).build();
/// let provider = SdkTracerProvider::builder()
///     .with_span_processor(ConversationProcessor::new(batch))
///     .build();
/// # provider.shutdown().ok();
/// ```
#[derive(Debug)]
pub struct ConversationProcessor<P> {
    inner: P,
    content: ContentPolicy,
    profile: Profile,
}

impl<P: SpanProcessor> ConversationProcessor<P> {
    /// Passes mended spans on to `inner`.
    pub fn new(inner: P) -> Self {
        Self {
            inner,
            content: ContentPolicy::default(),
            profile: Profile::default(),
        }
    }

    /// What of the words may leave. Default: everything, in bounds.
    ///
    /// Give the layer the [same policy](crate::ConversationLayer::with_content): what it does not even read needs no
    /// removing here.
    #[must_use]
    pub fn with_content(mut self, content: ContentPolicy) -> Self {
        self.content = content;
        self
    }

    /// Whose names spans carry besides those of the contract. Default: nobody's.
    ///
    /// [`Telemetry`](crate::Telemetry) has no need of it: it adds them on its export thread.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }
}

impl<P> ConversationProcessor<P> {
    /// Whether nothing of a span needs mending, as is nearly always so; where it is hard to tell, `false`.
    fn is_sound(&self, span: &SpanData, kept: Option<Bounds>) -> bool {
        span.events.events.is_empty()
            && span.links.links.is_empty()
            && !matches!(span.status, Status::Error { .. })
            && (kept.is_some_and(|bounds| self.content.passes_all(bounds))
                || are_surely_different(&span.attributes)
                    && span.attributes.iter().all(|attribute| {
                        can_leave(&attribute.value) && self.content.passes(&attribute.value)
                    }))
    }

    fn mend(&self, span: &mut SpanData) {
        merge_repeated(&mut span.attributes);
        if matches!(span.status, Status::Error { .. })
            && fields::has(&span.attributes, names::GEN_AI_OPERATION_NAME)
            && !fields::has(&span.attributes, names::ERROR_TYPE)
        {
            span.attributes
                .push(KeyValue::new(names::ERROR_TYPE, names::ERROR_TYPE_OTHER));
        }
        for event in &mut span.events.events {
            merge_repeated(&mut event.attributes);
        }
        self.content.apply(span);
    }
}

impl<P: SpanProcessor> SpanProcessor for ConversationProcessor<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        if !MARKS_ITSELF.get()
            && let Some(membership) = context.get::<Membership>()
        {
            use opentelemetry::trace::Span as _;
            membership
                .identity
                .mark(membership.turn, |mark| span.set_attribute(mark));
        }
        self.inner.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        let kept = HandedOver::complete(&mut span);
        span.end_time = span.end_time.max(span.start_time);
        if !self.is_sound(&span, kept) {
            self.mend(&mut span);
        }
        self.profile.apply(&mut span);
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

fn adopt(span: &mut SpanData, parent: &SpanContext, turn: Option<u32>) {
    // It was marked with the turn that it began in.
    span.attributes
        .retain(|attribute| attribute.key.as_str() != names::TURN_NUMBER);
    let number = turn.map(|number| KeyValue::new(names::TURN_NUMBER, i64::from(number)));
    span.attributes.extend(number);
    let own = &span.span_context;
    span.parent_span_id = parent.span_id();
    span.parent_span_is_remote = false;
    span.span_context = SpanContext::new(
        parent.trace_id(),
        own.span_id(),
        own.trace_flags(),
        own.is_remote(),
        own.trace_state().clone(),
    );
}

/// Leaves each key once, with the value it got last, if that can leave.
fn merge_repeated(attributes: &mut Vec<KeyValue>) {
    let mut index = 1;
    while index < attributes.len() {
        let (earlier, rest) = attributes.split_at_mut(index);
        match earlier.iter_mut().find(|known| known.key == rest[0].key) {
            Some(known) => {
                std::mem::swap(&mut known.value, &mut rest[0].value);
                attributes.remove(index);
            }
            None => index += 1,
        }
    }
    attributes.retain(|attribute| can_leave(&attribute.value));
}

/// Whether no key is there twice; where it takes long to tell, `false`.
fn are_surely_different(attributes: &[KeyValue]) -> bool {
    /// So few are compared with each other.
    const FEW: usize = 4;
    if attributes.len() <= FEW {
        let is_new = |(index, attribute): (usize, &KeyValue)| {
            let mut earlier = attributes[..index].iter();
            !earlier.any(|other| other.key == attribute.key)
        };
        return attributes.iter().enumerate().all(is_new);
    }
    let mut seen = [0_u64; 16];
    attributes.iter().all(|attribute| {
        let mark = fields::fingerprint(attribute.key.as_str());
        let word = &mut seen[mark / 64 % 16];
        let bit = 1 << (mark % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    })
}

/// What is not a number has no form in OTLP/JSON, and an array of it neither.
fn can_leave(value: &Value) -> bool {
    match value {
        Value::F64(value) => value.is_finite(),
        Value::Array(opentelemetry::Array::F64(values)) => {
            values.iter().all(|value| value.is_finite())
        }
        _ => true,
    }
}
