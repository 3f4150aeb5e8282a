//! The attributes of `tracing-conversation`; use them through that crate.
