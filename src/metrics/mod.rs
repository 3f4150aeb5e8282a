//! Metrics of conversations, turns and services, from the summaries that observers are given as well.
//!
//! An SDK's instrument costs a thousand instructions for each value with two or three attributes, and a turn has a dozen
//! values. So the program's threads only put facts into a [`Backlog`]; they are recorded on the thread that collects, before it
//! does, and on a helper thread if too many wait.

mod backlog;
mod fact;
mod instruments;
mod names;

use std::sync::{Arc, Mutex};

use opentelemetry::{
    InstrumentationScope,
    metrics::{Meter, MeterProvider},
};

use crate::{
    clock::lock,
    observe::{Notice, SummarySink},
};
use backlog::Backlog;
use fact::Fact;
use instruments::Instruments;

/// The instruments of one meter, and what is still to be recorded with them.
pub(crate) struct Metrics {
    backlog: Backlog,
    /// Held while facts are recorded, so that whoever has waited for it finds everything recorded.
    instruments: Mutex<Instruments>,
}

impl Metrics {
    /// Makes the instruments. They are fed as long as the handle that is returned exists.
    pub(crate) fn new(provider: &impl MeterProvider) -> Arc<Self> {
        let scope = InstrumentationScope::builder("tracing_conversation")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let meter = provider.meter_with_scope(scope);
        let metrics = Arc::new(Self {
            backlog: Backlog::default(),
            instruments: Mutex::new(Instruments::new(&meter)),
        });
        metrics.record_before_collection(&meter);
        metrics
    }

    /// Has the backlog recorded when the provider collects. Callbacks of observable instruments are called then; this one
    /// observes nothing, so that nothing is exported for it. A provider that calls them last exports what was waiting with its
    /// next collection.
    fn record_before_collection(self: &Arc<Self>, meter: &Meter) {
        let metrics = Arc::downgrade(self);
        meter
            .u64_observable_counter("tracing_conversation.collection")
            .with_callback(move |_| {
                if let Some(metrics) = metrics.upgrade() {
                    metrics.record_backlog();
                }
            })
            .build();
    }

    /// Records everything that waits.
    pub(crate) fn record_backlog(&self) {
        let mut instruments = lock(&self.instruments);
        for fact in self.backlog.take() {
            instruments.record(fact);
        }
    }

    fn push(self: &Arc<Self>, fact: Fact) {
        match self.backlog.push(fact) {
            backlog::Room::Enough => {}
            backlog::Room::Little => self.record_elsewhere(),
            backlog::Room::None => self.record_backlog(),
        }
    }

    /// Records the backlog on a helper thread, or on this one where there are no threads to be had.
    #[cold]
    fn record_elsewhere(self: &Arc<Self>) {
        let metrics = Arc::clone(self);
        let thread = std::thread::Builder::new().name("metrics-backlog".into());
        let started = thread.spawn(move || {
            let _silenced = crate::silence::silence_this_thread();
            metrics.record_backlog();
        });
        if started.is_err() {
            self.record_backlog();
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        // The layer goes before the provider, whose last collection would not find this any more.
        self.record_backlog();
    }
}

/// [`Metrics`] as what summaries are given to.
pub(crate) struct MetricsSink(pub(crate) Arc<Metrics>);

impl SummarySink for MetricsSink {
    fn take(&self, notice: Notice) {
        self.0.push(match notice {
            Notice::ConversationStarted => Fact::Started,
            Notice::TurnStarted(_) => return,
            Notice::ServiceEnded(service) => Fact::Service(service),
            Notice::TurnEnded(turn) => Fact::turn(&turn),
            Notice::ConversationEnded(conversation) => Fact::conversation(&conversation),
        });
    }
}
