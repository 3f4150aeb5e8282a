//! The examples as programs.

use std::path::PathBuf;
use std::process::Command;

/// The example `name`, built as this test was: `cargo test --test …` alone would not build it.
pub fn built(name: &str) -> PathBuf {
    // target/PROFILE/deps/TEST-HASH
    let profile = std::env::current_exe()
        .unwrap()
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned();
    let features: Vec<_> = [
        (cfg!(feature = "default"), "default"),
        (cfg!(feature = "http"), "http"),
        (cfg!(feature = "grpc"), "grpc"),
        (cfg!(feature = "console"), "console"),
        (cfg!(feature = "attributes"), "attributes"),
    ]
    .into_iter()
    .filter_map(|(on, name)| on.then_some(name))
    .collect();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--example", name])
        .args(["--no-default-features", "--features"])
        .arg(features.join(","))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", profile.parent().unwrap());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success());
    profile.join("examples").join(name)
}
