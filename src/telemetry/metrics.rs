//! Metrics from their start to their end.

use std::{io, sync::Arc, time::Instant};

use opentelemetry::{Key, KeyValue, global, metrics::MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
#[cfg(any(feature = "grpc", feature = "http"))]
use opentelemetry_sdk::metrics::Temporality;
use uuid::Uuid;

#[cfg(any(feature = "grpc", feature = "http"))]
use crate::environment::{Otlp, Protocol};
use crate::{
    environment::{MetricsSettings, Settings, SetupError},
    export::{MetricsExport, MetricsExportBuilder, Reporter, View},
    metrics::{Metrics, MetricsSink},
    observe::SummarySinks,
};

/// What a program sets about metrics.
#[derive(Default)]
pub(super) struct MetricsSetup {
    providers: Vec<Arc<Metrics>>,
    views: Vec<View>,
}

impl MetricsSetup {
    pub(super) fn add_provider(&mut self, provider: &impl MeterProvider) {
        self.providers.push(Metrics::new(provider));
    }

    pub(super) fn add_view(&mut self, view: View) {
        self.views.push(view);
    }
}

/// What feeds the instruments, and what exports them.
pub(super) struct RunningMetrics {
    feeds: Vec<Arc<Metrics>>,
    export: Option<MetricsExport>,
}

impl RunningMetrics {
    /// The provider that the settings ask for.
    pub(super) fn provider(&self) -> Option<&SdkMeterProvider> {
        self.export.as_ref().map(MetricsExport::provider)
    }

    /// Starts what the settings ask for.
    pub(super) fn start(
        setup: MetricsSetup,
        settings: &Settings,
        reporter: &Reporter,
    ) -> Result<Self, SetupError> {
        if settings.is_disabled {
            return Ok(Self {
                feeds: Vec::new(),
                export: None,
            });
        }
        let export = start(settings, setup.views, reporter)?;
        let mut feeds = setup.providers;
        feeds.extend(export.iter().map(|export| Metrics::new(export.provider())));
        Ok(Self { feeds, export })
    }

    /// Has the instruments fed by layers with these sinks.
    pub(super) fn add_to(&self, sinks: &mut SummarySinks) {
        for feed in &self.feeds {
            sinks.push(Arc::new(MetricsSink(feed.clone())));
        }
    }

    pub(super) fn set_global_provider(&self) {
        if let Some(export) = &self.export {
            global::set_meter_provider(export.provider().clone());
        }
    }

    fn record(&self) {
        self.feeds.iter().for_each(|feed| feed.record_backlog());
    }

    /// Starts to send what there is. What it returns waits for that.
    pub(super) fn start_flush(&self) -> impl FnOnce(Instant) -> Result<(), String> {
        self.record();
        let flush = self.export.as_ref().map(MetricsExport::start_flush);
        move |deadline| match (&self.export, flush) {
            (Some(export), Some(flush)) => export.wait_flushed(flush, deadline),
            _ => Ok(()),
        }
    }

    /// Has everything sent and the threads end by `deadline`. What it returns waits for that.
    pub(super) fn start_close(
        &self,
        deadline: Instant,
    ) -> impl FnOnce(Instant) -> Result<(), String> {
        self.record();
        if let Some(export) = &self.export {
            export.start_close(deadline);
        }
        move |deadline| {
            let export = self.export.as_ref();
            export.map_or(Ok(()), |export| export.wait_closed(deadline))
        }
    }
}

/// Starts what the settings ask for: a reader with a thread for each destination.
fn start(
    settings: &Settings,
    views: Vec<View>,
    reporter: &Reporter,
) -> Result<Option<MetricsExport>, SetupError> {
    let Some(metrics) = &settings.metrics else {
        return Ok(None);
    };
    let resource = with_instance(&settings.resource);
    let mut export = MetricsExport::builder(metrics, resource, views, reporter);
    #[cfg(any(feature = "grpc", feature = "http"))]
    if let Some(otlp) = &metrics.otlp {
        export = add_otlp(export, otlp, metrics.temporality)?;
    }
    if metrics.console {
        export = add_console(export, metrics).map_err(SetupError::Thread)?;
    }
    Ok(Some(export.build()))
}

/// The resource with a `service.instance.id`: without one, the metrics of several processes of one service would be taken for
/// those of one.
fn with_instance(resource: &Resource) -> Resource {
    let key = Key::from_static_str("service.instance.id");
    let instance = match resource.get(&key) {
        Some(id) => id,
        None => Uuid::new_v4().to_string().into(),
    };
    let attributes = resource
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()))
        .chain([KeyValue::new(key.clone(), instance)]);
    Resource::builder_empty()
        .with_attributes(attributes)
        .build()
}

#[cfg(any(feature = "grpc", feature = "http"))]
fn add_otlp<'a>(
    export: MetricsExportBuilder<'a>,
    otlp: &Otlp,
    temporality: Temporality,
) -> Result<MetricsExportBuilder<'a>, SetupError> {
    let connection = &otlp.connection;
    let destination = connection.destination();
    let added = match otlp.protocol {
        #[cfg(feature = "grpc")]
        Protocol::Grpc => {
            let sink = crate::export::GrpcMetricsSink::new(connection)?;
            export.add(destination, sink, temporality)
        }
        #[cfg(feature = "http")]
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            let json = otlp.protocol == Protocol::HttpJson;
            let sink = crate::export::HttpMetricsSink::new(connection, json, temporality)?;
            export.add(destination, sink, temporality)
        }
        // `Settings::read` refuses what is not built.
        #[cfg(not(all(feature = "grpc", feature = "http")))]
        _ => Err(io::ErrorKind::Unsupported.into()),
    };
    added.map_err(SetupError::Thread)
}

#[cfg(feature = "console")]
fn add_console<'a>(
    export: MetricsExportBuilder<'a>,
    metrics: &MetricsSettings,
) -> io::Result<MetricsExportBuilder<'a>> {
    use crate::{console::StdoutMetricExporter, export::PushSink};
    let sink = PushSink(StdoutMetricExporter::new(metrics.temporality));
    export.add("console", sink, metrics.temporality)
}

#[cfg(not(feature = "console"))]
fn add_console<'a>(
    _: MetricsExportBuilder<'a>,
    _: &MetricsSettings,
) -> io::Result<MetricsExportBuilder<'a>> {
    // `Settings::read` refuses a console in such a build.
    Err(io::ErrorKind::Unsupported.into())
}
