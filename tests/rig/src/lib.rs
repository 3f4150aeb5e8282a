//! Tests only, in a separate package: rig brings crates that nothing else here needs.
