//! Tests only, in a separate package: rig brings 28 crates that nothing else here needs.
