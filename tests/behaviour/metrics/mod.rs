//! Metrics say what the spans say.

mod cardinality;
mod instruments;
#[cfg(all(feature = "console", feature = "http"))]
mod programs;
mod random;
mod spans;

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, MeterProviderBuilder, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, Metric, MetricData},
};

use crate::stage::Stage;

/// A meter provider of a program's, and what it has exported.
struct Meters {
    exporter: InMemoryMetricExporter,
    provider: SdkMeterProvider,
}

impl Meters {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// Creates a provider; `set` configures it.
    fn with(set: impl FnOnce(MeterProviderBuilder) -> MeterProviderBuilder) -> Self {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = set(SdkMeterProvider::builder().with_reader(reader)).build();
        Self { exporter, provider }
    }

    /// A stage whose layer feeds the provider.
    fn stage(&self) -> Stage {
        Stage::with(|layer| layer.with_meter_provider(&self.provider))
    }

    /// Collects, and returns what there is by now.
    fn read(&self) -> Readings {
        self.exporter.reset();
        self.provider.force_flush().unwrap();
        let collected = self.exporter.get_finished_metrics().unwrap();
        let mut readings = Readings::default();
        for scope in collected
            .iter()
            .flat_map(|resource| resource.scope_metrics())
        {
            assert_eq!(scope.scope().name(), "tracing_conversation");
            for metric in scope.metrics() {
                readings.add(metric);
            }
        }
        readings
    }
}

/// Values by `instrument{attribute=value, …}`.
#[derive(Debug, Default, PartialEq)]
struct Readings(BTreeMap<String, Reading>);

#[derive(Clone, Debug, PartialEq)]
enum Reading {
    Sum(f64),
    Histogram {
        count: u64,
        sum: f64,
        bounds: Vec<f64>,
        buckets: Vec<u64>,
    },
}

impl Readings {
    fn add(&mut self, metric: &Metric) {
        match metric.data() {
            AggregatedMetrics::F64(data) => self.add_data(metric.name(), data, |value| value),
            AggregatedMetrics::I64(data) => {
                self.add_data(metric.name(), data, |value| value as f64)
            }
            AggregatedMetrics::U64(data) => {
                self.add_data(metric.name(), data, |value| value as f64)
            }
        }
    }

    fn add_data<T: Copy>(&mut self, name: &str, data: &MetricData<T>, float: fn(T) -> f64) {
        match data {
            MetricData::Sum(sum) => {
                for point in sum.data_points() {
                    let series = series(name, point.attributes());
                    self.insert(series, Reading::Sum(float(point.value())));
                }
            }
            MetricData::Histogram(histogram) => {
                for point in histogram.data_points() {
                    let reading = Reading::Histogram {
                        count: point.count(),
                        sum: float(point.sum()),
                        bounds: point.bounds().collect(),
                        buckets: point.bucket_counts().collect(),
                    };
                    self.insert(series(name, point.attributes()), reading);
                }
            }
            _ => panic!("{name} is neither a sum nor a histogram"),
        }
    }

    fn insert(&mut self, series: String, reading: Reading) {
        let before = self.0.insert(series.clone(), reading);
        assert_eq!(before, None, "{series} twice");
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .0
            .keys()
            .map(|series| series.split('{').next().unwrap())
            .collect();
        names.dedup();
        names
    }

    /// Count and sum of a histogram, or the value of a counter.
    #[track_caller]
    fn of(&self, series: &str) -> (u64, f64) {
        match self.0.get(series) {
            Some(Reading::Sum(value)) => (1, *value),
            Some(Reading::Histogram { count, sum, .. }) => (*count, *sum),
            None => panic!("no {series} among {:#?}", self.0.keys()),
        }
    }
}

/// `instrument{attribute=value, …}`, sorted.
fn series<'a>(name: &str, attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let mut pairs: Vec<String> = attributes
        .map(|pair| format!("{}={}", pair.key, pair.value))
        .collect();
    pairs.sort();
    format!("{name}{{{}}}", pairs.join(", "))
}
