//! Tests only, in a separate package: rig and llmprism bring crates that nothing else here needs.
