//! TLS for both OTLP clients: one connector, over whichever of the three features is on.
//!
//! With several on, because crates of one program ask for different ones, `tls` and `tls-ring` come before `tls-native`.

#[cfg(all(
    feature = "tls-native",
    not(any(feature = "tls", feature = "tls-ring"))
))]
#[path = "native.rs"]
mod implementation;
#[cfg(not(any(feature = "tls", feature = "tls-ring", feature = "tls-native")))]
#[path = "none.rs"]
mod implementation;
#[cfg(any(feature = "tls", feature = "tls-ring"))]
#[path = "rustls.rs"]
mod implementation;

pub(crate) use implementation::{Tls, over};

/// What is spoken over the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each OTLP client constructs one of them")]
pub(crate) enum Application {
    /// HTTP/1.1.
    Http,
    /// HTTP/2, which has to be negotiated.
    Grpc,
}
