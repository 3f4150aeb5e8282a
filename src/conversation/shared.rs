//! What the conversations of one layer share.

use super::counted::{OpenService, OpenServices};
use super::warnings::Warnings;
use crate::clock::{Clock, lock};
use crate::content::ContentPolicy;
use crate::observe::SummarySinks;
use crate::prices::{PricedService, Unpriced};
use crate::recording::{ConversationProcessor, RootSpan};
use crate::reentrancy::guarded;
use crate::seen::Seen;
use crate::settings::LayerSettings;
use crate::timer::Timer;
use opentelemetry::trace::{SpanBuilder, SpanContext, SpanId};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SpanLimits};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use tracing_core::dispatcher::WeakDispatch;
use tracing_core::{Dispatch, dispatcher, span};

/// So many models are warned of, should a program make names up.
const MAX_UNPRICED: usize = 1_000;

pub(crate) struct Shared {
    pub(crate) settings: LayerSettings,
    pub(crate) content: ContentPolicy,
    pub(crate) limits: SpanLimits,
    pub(crate) clock: Clock,
    pub(crate) timer: Timer,
    pub(crate) tracer: SdkTracer,
    pub(crate) processor: ConversationProcessor,
    /// What is told of turns, services and conversations besides.
    pub(crate) sinks: SummarySinks,
    services: Weak<dyn OpenServices>,
    pub(crate) seen: Arc<Seen>,
    ids: RandomIdGenerator,
    instrumentation_scope: OnceLock<InstrumentationScope>,
    pub(crate) warnings: Arc<Warnings>,
    /// The models whose cost was not known.
    unpriced: Mutex<HashSet<String>>,
    /// The subscriber that the layer is part of: the way to a scope's span from outside the layer's hooks.
    subscriber: OnceLock<WeakDispatch>,
}

impl Shared {
    pub(crate) fn new(
        tracer: SdkTracer,
        processor: ConversationProcessor,
        settings: LayerSettings,
        sinks: SummarySinks,
        services: Weak<dyn OpenServices>,
    ) -> Self {
        let clock = settings
            .clock
            .clone()
            .map_or_else(Clock::default, Clock::Manual);
        Self {
            content: processor.content(),
            limits: processor.limits(),
            timer: Timer::new(clock.clone()),
            clock,
            tracer,
            processor,
            sinks,
            services,
            seen: Arc::default(),
            ids: RandomIdGenerator::default(),
            instrumentation_scope: OnceLock::new(),
            warnings: Arc::default(),
            unpriced: Mutex::default(),
            subscriber: OnceLock::new(),
            settings,
        }
    }

    /// An open service span of any conversation.
    pub(super) fn open_service(&self, key: u64) -> Option<OpenService> {
        self.services.upgrade()?.open_service(key)
    }

    pub(crate) fn new_span_id(&self) -> SpanId {
        self.ids.new_span_id()
    }

    /// Starts the root of a trace.
    pub(crate) fn start_root(&self, builder: SpanBuilder, parent: &Context) -> RootSpan {
        let root = guarded(|| RootSpan::start(&self.tracer, builder, parent));
        if self.instrumentation_scope.get().is_none()
            && let Some(scope) = root.instrumentation_scope()
        {
            let _ = self.instrumentation_scope.set(scope);
        }
        root
    }

    /// The scope under which the layer's spans are exported.
    pub(crate) fn instrumentation_scope(&self) -> InstrumentationScope {
        self.instrumentation_scope
            .get()
            .cloned()
            .unwrap_or_default()
    }

    /// Keeps the subscriber that the layer is part of. The first is as good as any other.
    pub(crate) fn set_subscriber(&self, dispatch: &Dispatch) {
        if self.subscriber.set(dispatch.downgrade()).is_ok() {
            self.sinks.registered(dispatch);
        }
    }

    #[inline]
    pub(crate) fn has_subscriber(&self) -> bool {
        self.subscriber.get().is_some()
    }

    pub(crate) fn subscriber(&self) -> Option<Dispatch> {
        self.subscriber.get()?.upgrade()
    }

    /// Emits a warning from a thread of its own: what is emitted inside a hook is lost.
    pub(crate) fn warn(&self, warn: impl FnOnce() + Send + 'static) {
        let subscriber = self.subscriber();
        let thread = std::thread::Builder::new().name("conversation-warning".into());
        let pending = self.warnings.start();
        // Without a thread there is no warning, which is no loss to the program.
        let _ = thread.spawn(move || {
            let _pending = pending;
            match subscriber {
                Some(subscriber) => dispatcher::with_default(&subscriber, warn),
                None => warn(),
            }
        });
    }

    /// Warns once of each model whose cost is not known.
    #[cold]
    pub(super) fn warn_of_unknown_cost(&self, service: PricedService<'_>, unpriced: Unpriced) {
        let model = service.to_string();
        let is_new = {
            let mut known = lock(&self.unpriced);
            known.len() < MAX_UNPRICED && known.insert(model.clone())
        };
        if is_new {
            self.warn(move || {
                tracing::warn!(
                    target: "tracing_conversation",
                    "the cost of {model} is not known: {unpriced}"
                );
            });
        }
    }

    /// The OpenTelemetry context of an open `tracing` span, which is started for that.
    pub(crate) fn context_of(&self, id: &span::Id) -> Option<Context> {
        let subscriber = self.subscriber()?;
        guarded(|| tracing_opentelemetry::get_otel_context(id, &subscriber))
    }
}

/// The context of a new span below `parent`.
pub(crate) fn child_of(parent: &SpanContext, span_id: SpanId) -> SpanContext {
    SpanContext::new(
        parent.trace_id(),
        span_id,
        parent.trace_flags(),
        false,
        parent.trace_state().clone(),
    )
}
