//! Only tests, in a package of their own: rig brings 28 crates that nothing else here needs.
