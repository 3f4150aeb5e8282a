//! The meter provider that the environment asks for, from its start to its end.

use std::{io, sync::Arc, time::Instant};

use opentelemetry_sdk::{
    Resource,
    metrics::{
        Aggregation, Instrument, InstrumentKind, MeterProviderBuilder, PeriodicReader,
        SdkMeterProvider, Stream, Temporality,
    },
};

use super::{MetricsSink, exporter::MetricsExporter, flush::Flusher, progress::Progress};
use crate::{
    environment::MetricsSettings,
    export::{Reporter, deadline::left},
};

/// A view of the program's.
pub(crate) type View = Box<dyn Fn(&Instrument) -> Option<Stream> + Send + Sync>;

/// Collects the readers, and makes the provider.
pub(crate) struct MetricsExportBuilder<'a> {
    settings: &'a MetricsSettings,
    reporter: &'a Reporter,
    provider: MeterProviderBuilder,
    destinations: Vec<Arc<Progress>>,
}

impl<'a> MetricsExportBuilder<'a> {
    /// Adds a destination.
    pub(crate) fn add(
        mut self,
        destination: &str,
        sink: impl MetricsSink,
        temporality: Temporality,
    ) -> io::Result<Self> {
        let progress = Arc::new(Progress::new(destination.to_owned()));
        let (timeout, reporter) = (self.settings.timeout, self.reporter.clone());
        let exporter =
            MetricsExporter::new(sink, Arc::clone(&progress), timeout, temporality, reporter)?;
        let reader = PeriodicReader::builder(exporter)
            .with_interval(self.settings.interval)
            .build();
        self.provider = self.provider.with_reader(reader);
        self.destinations.push(progress);
        Ok(self)
    }

    pub(crate) fn build(self) -> MetricsExport {
        MetricsExport {
            provider: self.provider.build(),
            destinations: self.destinations,
            flusher: Flusher::default(),
        }
    }
}

/// The provider with its destinations.
pub(crate) struct MetricsExport {
    provider: SdkMeterProvider,
    destinations: Vec<Arc<Progress>>,
    flusher: Flusher,
}

impl MetricsExport {
    pub(crate) fn builder<'a>(
        settings: &'a MetricsSettings,
        resource: Resource,
        views: Vec<View>,
        reporter: &'a Reporter,
    ) -> MetricsExportBuilder<'a> {
        let exponential = settings.exponential;
        let view = move |instrument: &Instrument| {
            // One stream for each instrument: the SDK makes as many as there are views that match.
            let own = views.iter().find_map(|view| view(instrument));
            own.or_else(|| exponential.then(|| exponential_stream(instrument))?)
        };
        MetricsExportBuilder {
            settings,
            reporter,
            provider: SdkMeterProvider::builder()
                .with_resource(resource)
                .with_view(view),
            destinations: Vec::new(),
        }
    }

    pub(crate) fn provider(&self) -> &SdkMeterProvider {
        &self.provider
    }

    /// Starts to send what there is; see [`wait_flushed`](Self::wait_flushed).
    pub(crate) fn start_flush(&self) -> u64 {
        let provider = self.provider.clone();
        self.flusher.start(move || {
            // What failed is known to the destination.
            let _ = provider.force_flush();
        })
    }

    /// Waits until a flush is done. The error says what was not sent.
    pub(crate) fn wait_flushed(&self, flush: u64, deadline: Instant) -> Result<(), String> {
        let in_time = self.flusher.wait(flush, deadline);
        let mut problems: Vec<String> = self
            .destinations
            .iter()
            .filter_map(|destination| destination.problem())
            .collect();
        if !in_time && problems.is_empty() {
            problems.push("metrics: still being sent (out of time)".to_owned());
        }
        verdict(problems)
    }

    /// Has everything sent, and the threads end by `deadline`.
    pub(crate) fn start_close(&self, deadline: Instant) {
        // A little earlier, so that there is time to learn what they achieved.
        let stop = Instant::now() + left(deadline).mul_f64(0.95);
        for destination in &self.destinations {
            destination.close(stop);
        }
        let provider = self.provider.clone();
        let thread = std::thread::Builder::new().name("metrics-shutdown".into());
        // It waits for one reader after the other, each for up to five seconds. If the program has shut it down before, the
        // destinations have ended.
        let _ = thread.spawn(move || provider.shutdown());
    }

    /// Waits for the end. The error says what was not sent.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> Result<(), String> {
        let ends = self.destinations.iter();
        verdict(
            ends.filter_map(|destination| destination.wait_ended(deadline).err())
                .collect(),
        )
    }
}

fn exponential_stream(instrument: &Instrument) -> Option<Stream> {
    (instrument.kind() == InstrumentKind::Histogram).then_some(())?;
    Stream::builder()
        .with_aggregation(Aggregation::Base2ExponentialHistogram {
            max_size: 160,
            max_scale: 20,
            record_min_max: true,
        })
        .build()
        .ok()
}

fn verdict(problems: Vec<String>) -> Result<(), String> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("; "))
    }
}
