//! The bounds of a destination, `OTEL_BSP_*`.

use std::time::Duration;

/// The bounds of one destination.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Spans in the queue and under way together.
    pub(crate) queue_spans: usize,
    /// Their memory, as export estimates it.
    pub(crate) queue_bytes: usize,
    /// Spans in one request.
    pub(crate) batch_spans: usize,
    /// Their memory. A collector takes gRPC messages of up to 4 MiB unless configured otherwise.
    pub(crate) batch_bytes: usize,
    /// How long the first span of a batch waits for more to come.
    pub(crate) delay: Duration,
    /// How long a batch is retried.
    pub(crate) give_up_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_spans: 65_536,
            queue_bytes: 64 << 20,
            batch_spans: 512,
            batch_bytes: 2 << 20,
            delay: Duration::from_millis(500),
            give_up_after: Duration::from_secs(120),
        }
    }
}
