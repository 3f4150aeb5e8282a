//! Starts the workers: one for each place that spans go to.

use std::io;

use opentelemetry_sdk::trace::SpanExporter;

#[cfg(any(feature = "grpc", feature = "http"))]
use crate::environment::{Otlp, Protocol};
#[cfg(feature = "console")]
use crate::{environment::Limits, profile::Profiles};
use crate::{
    environment::{Console, Settings, SetupError},
    export::{ExporterSink, Reporter, Worker},
};

/// Starts the workers that the settings ask for.
pub(super) fn start(settings: &Settings, reporter: &Reporter) -> Result<Vec<Worker>, SetupError> {
    let mut workers = Vec::new();
    // First what can fail for a reason: no thread is left behind then.
    #[cfg(any(feature = "grpc", feature = "http"))]
    if let Some(otlp) = &settings.otlp {
        workers.push(start_otlp(otlp, settings, reporter)?);
    }
    if let Some(view) = settings.console {
        workers.push(start_console(view, settings, reporter).map_err(SetupError::Thread)?);
    }
    Ok(workers)
}

/// Starts the worker of an exporter that the program brings.
pub(super) fn start_exporter(
    exporter: impl SpanExporter + 'static,
    settings: &Settings,
    reporter: &Reporter,
) -> io::Result<Worker> {
    let name = std::any::type_name_of_val(&exporter).to_owned();
    let limits = settings.limits.clone();
    let (resource, profiles) = (&settings.resource, &settings.profiles);
    let sink = ExporterSink::once(exporter, resource, profiles, limits.give_up_after);
    Worker::start(name, limits, sink.with_retries(), reporter.clone())
}

#[cfg(feature = "console")]
fn start_console(view: Console, settings: &Settings, reporter: &Reporter) -> io::Result<Worker> {
    use crate::console::{JsonLinesExporter, StdoutExporter, TreeExporter};
    // Somebody is looking: a turn that ends shows at once.
    let delay = settings
        .limits
        .delay
        .min(std::time::Duration::from_millis(100));
    let limits = Limits {
        delay,
        ..settings.limits.clone()
    };
    match view {
        Console::Tree => start_view(view, TreeExporter::stdout(), settings, limits, reporter),
        Console::Json => start_view(
            view,
            JsonLinesExporter::stdout(),
            settings,
            limits,
            reporter,
        ),
        Console::Stdout => start_view(view, StdoutExporter::stdout(), settings, limits, reporter),
    }
}

#[cfg(feature = "console")]
fn start_view(
    view: Console,
    exporter: impl SpanExporter + 'static,
    settings: &Settings,
    limits: Limits,
    reporter: &Reporter,
) -> io::Result<Worker> {
    let name = format!("console ({})", view.name());
    let (resource, contract) = (&settings.resource, Profiles::default());
    let profiles = match view {
        // It knows spans by the contract's own names.
        Console::Tree => &contract,
        Console::Json | Console::Stdout => &settings.profiles,
    };
    // What is printed in part would be printed twice.
    let sink = ExporterSink::once(exporter, resource, profiles, limits.give_up_after);
    Worker::start(name, limits, sink, reporter.clone())
}

#[cfg(not(feature = "console"))]
fn start_console(_view: Console, _settings: &Settings, _reporter: &Reporter) -> io::Result<Worker> {
    // `Settings::read` refuses a console in such a build.
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(any(feature = "grpc", feature = "http"))]
fn start_otlp(otlp: &Otlp, settings: &Settings, reporter: &Reporter) -> Result<Worker, SetupError> {
    let connection = &otlp.connection;
    let destination = connection.destination().to_owned();
    let (limits, reporter) = (settings.limits.clone(), reporter.clone());
    let (resource, profiles) = (&settings.resource, &settings.profiles);
    let started = match otlp.protocol {
        #[cfg(feature = "grpc")]
        Protocol::Grpc => {
            let sink = crate::export::GrpcSink::new(connection, resource, profiles)?;
            Worker::start(destination, limits, sink, reporter)
        }
        #[cfg(feature = "http")]
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            let json = otlp.protocol == Protocol::HttpJson;
            let sink = crate::export::HttpSink::new(connection, json, resource, profiles)?;
            Worker::start(destination, limits, sink, reporter)
        }
        // `Settings::read` refuses what is not built.
        #[cfg(not(all(feature = "grpc", feature = "http")))]
        _ => Err(io::ErrorKind::Unsupported.into()),
    };
    started.map_err(SetupError::Thread)
}
