//! What every span passes before a processor of the program takes it.

use super::{Ended, Marks, OwnedRoot, PendingTurn, RootSpan};
use crate::attribute_list::{AttributeList, fingerprint};
use crate::clock::lock;
use crate::content::{Bounds, ContentPolicy};
use crate::names;
use crate::observe::Observers;
use opentelemetry::trace::{Span as _, SpanId, Status};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanLimits, SpanProcessor};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// How long `force_flush` waits for observers.
const OBSERVERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes the spans of a [`ConversationLayer`](crate::ConversationLayer) and of a tracer provider, and passes them on to
/// the processor that leads to an exporter.
///
/// The spans of turns and services are the layer's own: it hands them to the processor that it was [given](crate::layer),
/// when they end. Ordinary spans, and the root of each trace, come from the provider that the same processor is part of.
/// It marks ordinary spans in a conversation with `conversation.id`, `gen_ai.conversation.id` and `turn.number`, sees to
/// it that no key is exported twice and no value that OTLP cannot carry, and applies the [`ContentPolicy`].
///
/// A clone is a handle to one and the same processor.
///
/// ```
/// use opentelemetry::trace::TracerProvider as _;
/// use opentelemetry_sdk::trace::{BatchSpanProcessor, InMemorySpanExporter, SdkTracerProvider};
/// use tracing_conversation::ConversationProcessor;
/// use tracing_subscriber::Registry;
///
/// let exporter = InMemorySpanExporter::default();
/// let processor = ConversationProcessor::new(BatchSpanProcessor::builder(exporter).build());
/// let provider = SdkTracerProvider::builder()
///     .with_span_processor(processor.clone())
///     .build();
/// let layer = tracing_conversation::layer::<Registry>(provider.tracer("my-agent"), &processor);
/// # drop(layer);
/// # provider.shutdown().ok();
/// ```
///
/// Other processors of the provider see roots and ordinary spans only. One that is to see all spans goes inside, with
/// [`and`](Self::and). `on_start` is called for the spans of the provider, not for those of turns and services.
#[derive(Clone)]
pub struct ConversationProcessor(Arc<Shared>);

struct Shared {
    inner: RwLock<Inner>,
    /// What is to be done to open spans of the provider when they end.
    corrections: Mutex<HashMap<SpanId, Correction>>,
    /// Roots that are just ending: the policy has been applied to their attributes.
    ending_roots: Mutex<Vec<SpanId>>,
    /// How many of both there are: read without the locks.
    special_count: AtomicUsize,
    /// What a flush waits for before the processors: they may start and end spans.
    observers: Mutex<Vec<Observers>>,
}

enum Correction {
    /// Waits for the turn of the transcription above it.
    Pending(Arc<PendingTurn>),
    /// Has turned out to belong elsewhere.
    Marks(Marks),
}

struct Inner {
    processors: Vec<Box<dyn SpanProcessor>>,
    content: ContentPolicy,
    limits: SpanLimits,
}

impl ConversationProcessor {
    /// Passes spans on to `processor`.
    ///
    /// The limits of turn and service spans come from `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`, `OTEL_SPAN_EVENT_COUNT_LIMIT`
    /// and `OTEL_SPAN_LINK_COUNT_LIMIT`, as the SDK's do for its spans.
    pub fn new(processor: impl SpanProcessor + 'static) -> Self {
        Self(Arc::new(Shared {
            inner: RwLock::new(Inner {
                processors: vec![Box::new(processor)],
                content: ContentPolicy::default(),
                limits: limits_from_environment(),
            }),
            corrections: Mutex::default(),
            ending_roots: Mutex::default(),
            special_count: AtomicUsize::new(0),
            observers: Mutex::default(),
        }))
    }

    /// Passes every span on to one more processor, after those that are there.
    #[must_use]
    pub fn and(self, processor: impl SpanProcessor + 'static) -> Self {
        self.write().processors.push(Box::new(processor));
        self
    }

    /// What of the words may be exported. Default: everything, in bounds.
    ///
    /// A layer that is made with the processor afterwards does not even read what the policy excludes.
    #[must_use]
    pub fn with_content(self, content: ContentPolicy) -> Self {
        self.write().content = content;
        self
    }

    /// How many attributes, events and links a turn or service span has at most. Default: as the environment says, else
    /// 128 of each.
    ///
    /// The provider's own limits hold for ordinary spans and the roots of traces.
    #[must_use]
    pub fn with_limits(self, limits: SpanLimits) -> Self {
        self.write().limits = limits;
        self
    }

    /// Has a flush wait for `observers`.
    pub(crate) fn wait_for(&self, observers: Observers) {
        lock(&self.0.observers).push(observers);
    }

    fn flush_observers(&self, timeout: Duration) -> OTelSdkResult {
        let observers = lock(&self.0.observers).clone();
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now);
        let are_done = observers.iter().all(|one| one.flush_by(deadline));
        are_done.then_some(()).ok_or(OTelSdkError::Timeout(timeout))
    }

    pub(crate) fn content(&self) -> ContentPolicy {
        self.read().content.clone()
    }

    pub(crate) fn limits(&self) -> SpanLimits {
        self.read().limits
    }

    #[inline]
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exports a span of the layer that has only attributes, all within `bounds`, each key once.
    // Span data is large, and the compiler copies it where it is handed on: so it is made where it is needed.
    #[inline]
    pub(crate) fn export_plain(&self, bounds: Bounds, span: impl FnOnce() -> SpanData) {
        let inner = self.read();
        match &*inner.processors {
            _ if !inner.content.passes_all(bounds) => inner.export(span()),
            [only] => only.on_end(span()),
            _ => inner.pass_on(span()),
        }
    }

    /// Exports a span of the layer, once its turn is known.
    pub(crate) fn export(&self, span: SpanData, pending: Option<&PendingTurn>) {
        match pending {
            Some(pending) => self.export_decided(span, pending),
            None => self.read().export(span),
        }
    }

    /// Exports a span once its turn is known.
    #[cold]
    fn export_decided(&self, span: SpanData, pending: &PendingTurn) {
        if let Some(span) = pending.submit(span) {
            self.read().export(span);
        }
    }

    /// Exports spans that waited for a turn.
    pub(crate) fn export_all(&self, spans: Vec<SpanData>) {
        for span in spans {
            self.read().export(span);
        }
    }

    /// Ends a root, with all that the layer knows of it. The policy is applied before, so that it holds for the other
    /// processors of the provider too.
    pub(crate) fn end_root(&self, root: &RootSpan, mut ended: Ended) {
        let Some(mut span) = root.take() else {
            return;
        };
        self.read()
            .content
            .apply_to_root(&mut ended.attributes, &mut ended.status);
        span.set_attributes(ended.attributes);
        span.set_status(ended.status);
        let id = span.span_context().span_id();
        lock(&self.0.ending_roots).push(id);
        self.0.special_count.fetch_add(1, Ordering::Relaxed);
        let _forget = Forget(&self.0, id);
        span.end_with_timestamp(ended.time);

        struct Forget<'a>(&'a Shared, SpanId);
        impl Drop for Forget<'_> {
            fn drop(&mut self) {
                self.0.special_count.fetch_sub(1, Ordering::Relaxed);
                lock(&self.0.ending_roots).retain(|id| *id != self.1);
            }
        }
    }

    fn is_ending_root(&self, id: SpanId) -> bool {
        lock(&self.0.ending_roots).contains(&id)
    }

    /// Exports a span of the provider while roots end or spans wait to be corrected.
    #[cold]
    fn end_special(&self, mut span: SpanData) {
        let id = span.span_context.span_id();
        if self.is_ending_root(id) {
            let inner = self.read();
            span.end_time = span.end_time.max(span.start_time);
            mend_keys(&mut span);
            inner.content.apply_to_events_and_links(&mut span);
            return inner.pass_on(span);
        }
        match self.take_correction(id) {
            Some(Correction::Pending(pending)) => self.export_decided(span, &pending),
            Some(Correction::Marks(marks)) => {
                marks.replace(&mut span.attributes);
                self.read().export(span);
            }
            None => self.read().export(span),
        }
    }

    /// Marks an open span of the provider as another conversation's when it ends.
    pub(crate) fn replace_marks(&self, id: SpanId, marks: Marks) {
        self.correct(id, Correction::Marks(marks));
    }

    #[cold]
    fn correct(&self, id: SpanId, correction: Correction) {
        let mut corrections = lock(&self.0.corrections);
        if corrections.insert(id, correction).is_none() {
            self.0.special_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cold]
    fn take_correction(&self, id: SpanId) -> Option<Correction> {
        let correction = lock(&self.0.corrections).remove(&id)?;
        self.0.special_count.fetch_sub(1, Ordering::Relaxed);
        Some(correction)
    }
}

impl Inner {
    fn export(&self, mut span: SpanData) {
        self.mend(&mut span);
        self.pass_on(span);
    }

    fn pass_on(&self, span: SpanData) {
        if let Some(last) = self.pass_to_all_but_last(&span) {
            last.on_end(span);
        }
    }

    /// Passes a span to every processor but the last, which is returned: it gets the span itself.
    #[inline]
    fn pass_to_all_but_last(&self, span: &SpanData) -> Option<&dyn SpanProcessor> {
        let (last, others) = self.processors.split_last()?;
        for processor in others {
            processor.on_end(span.clone());
        }
        Some(&**last)
    }

    /// Mends what of a span cannot be exported.
    #[inline]
    fn mend(&self, span: &mut SpanData) {
        if !self.is_sound(span) {
            span.end_time = span.end_time.max(span.start_time);
            mend_keys(span);
            self.content.apply(span);
        }
    }

    /// Calls every processor, also after one has failed. Returns the first failure.
    fn for_each(&self, call: impl Fn(&dyn SpanProcessor) -> OTelSdkResult) -> OTelSdkResult {
        let mut result = Ok(());
        for processor in &self.processors {
            let own = call(&**processor);
            result = result.and(own);
        }
        result
    }

    /// Whether nothing of a span needs mending, as is nearly always so; where it is hard to tell, `false`.
    #[inline]
    fn is_sound(&self, span: &SpanData) -> bool {
        span.end_time >= span.start_time
            && span.events.events.is_empty()
            && span.links.links.is_empty()
            && !matches!(span.status, Status::Error { .. })
            && self
                .content
                .limit_of_texts()
                .is_some_and(|limit| are_sound(&span.attributes, limit))
    }
}

/// Leaves each key of a span once, and adds the type that a failed service's error needs.
fn mend_keys(span: &mut SpanData) {
    merge_repeated(&mut span.attributes);
    let has = |key| {
        let mut attributes = span.attributes.iter();
        attributes.any(|attribute| attribute.key.as_str() == key)
    };
    if matches!(span.status, Status::Error { .. })
        && has(names::GEN_AI_OPERATION_NAME)
        && !has(names::ERROR_TYPE)
    {
        span.attributes
            .push(KeyValue::new(names::ERROR_TYPE, names::ERROR_TYPE_OTHER));
    }
    for event in &mut span.events.events {
        merge_repeated(&mut event.attributes);
    }
}

impl SpanProcessor for ConversationProcessor {
    #[inline]
    fn on_start(&self, span: &mut Span, context: &Context) {
        if let Some(marks) = context.get::<Marks>()
            && context.get::<OwnedRoot>().is_none()
        {
            marks
                .identity
                .for_each_mark(marks.turn, |mark| span.set_attribute(mark));
            let id = span.span_context().span_id();
            if let Some(pending) = marks.pending_of(id, context) {
                self.correct(id, Correction::Pending(pending));
            }
        }
        for processor in &self.read().processors {
            processor.on_start(span, context);
        }
    }

    #[inline]
    fn on_end(&self, mut span: SpanData) {
        if self.0.special_count.load(Ordering::Relaxed) != 0 {
            return self.end_special(span);
        }
        let inner = self.read();
        inner.mend(&mut span);
        if let Some(last) = inner.pass_to_all_but_last(&span) {
            last.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        let observed = self.flush_observers(OBSERVERS_TIMEOUT);
        let flushed = self.read().for_each(|processor| processor.force_flush());
        observed.and(flushed)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        // Half of it is left for the spans.
        let observed = self.flush_observers(timeout / 2);
        let shut_down = self
            .read()
            .for_each(|processor| processor.shutdown_with_timeout(timeout));
        observed.and(shut_down)
    }

    fn set_resource(&mut self, resource: &Resource) {
        for processor in &mut self.write().processors {
            processor.set_resource(resource);
        }
    }
}

impl std::fmt::Debug for ConversationProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.read();
        f.debug_struct("ConversationProcessor")
            .field("processors", &inner.processors)
            .field("content", &inner.content)
            .field("limits", &inner.limits)
            .finish()
    }
}

/// The limits that the SDK takes from the environment for its own spans.
fn limits_from_environment() -> SpanLimits {
    let read = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let mut limits = SpanLimits::default();
    for (name, limit) in [
        (
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
            &mut limits.max_attributes_per_span,
        ),
        (
            "OTEL_SPAN_EVENT_COUNT_LIMIT",
            &mut limits.max_events_per_span,
        ),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", &mut limits.max_links_per_span),
    ] {
        *limit = read(name).unwrap_or(*limit);
    }
    limits
}

/// Leaves each key once, with the value it got last, if that can be exported.
fn merge_repeated(attributes: &mut Vec<KeyValue>) {
    if !are_surely_different(attributes) {
        let merged: AttributeList = std::mem::take(attributes).into_iter().collect();
        *attributes = merged.into_parts().0;
    }
    attributes.retain(|attribute| can_be_exported(&attribute.value));
}

/// Keys of which hardly any two share a bit.
#[derive(Default)]
struct SeenKeys([u64; 8]);

impl SeenKeys {
    /// Whether `key` is surely another than all before it.
    #[inline]
    fn is_new(&mut self, key: &str) -> bool {
        let mark = fingerprint(key);
        let word = &mut self.0[mark / 64 % 8];
        let bit = 1 << (mark % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// Whether no key is there twice; where it takes long to tell, `false`.
fn are_surely_different(attributes: &[KeyValue]) -> bool {
    let mut seen = SeenKeys::default();
    attributes
        .iter()
        .all(|attribute| seen.is_new(attribute.key.as_str()))
}

/// Whether no key is there twice, no text is longer than `limit`, and all values can be exported; where it takes long to
/// tell, `false`.
#[inline]
fn are_sound(attributes: &[KeyValue], limit: usize) -> bool {
    let mut seen = SeenKeys::default();
    attributes.iter().all(|attribute| {
        let is_sound = match &attribute.value {
            Value::String(text) => text.as_str().len() <= limit,
            Value::F64(value) => value.is_finite(),
            Value::Array(_) => false,
            _ => true,
        };
        is_sound && seen.is_new(attribute.key.as_str())
    })
}

/// Whether OTLP/JSON has a form for the value: NaN and infinities have none, nor has an array with one.
fn can_be_exported(value: &Value) -> bool {
    match value {
        Value::F64(value) => value.is_finite(),
        Value::Array(Array::F64(values)) => values.iter().all(|value| value.is_finite()),
        _ => true,
    }
}
