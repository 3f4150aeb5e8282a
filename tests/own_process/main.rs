//! Tests that need a global subscriber, a global provider or the threads of a process to themselves: each runs in a process of
//! its own, so that one binary is enough.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail, and print why"
)]

/// `own_process!(name, || { … });`: a test that runs in a process of its own, this binary started anew for it alone.
macro_rules! own_process {
    ($(#[$attribute:meta])* $name:ident, $body:expr) => {
        #[test]
        $(#[$attribute])*
        fn $name() {
            match crate::child(concat!(module_path!(), "::", stringify!($name))) {
                None => $body(),
                Some(output) => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    let ran = String::from_utf8_lossy(&output.stdout);
                    assert!(output.status.success(), "{ran}{said}");
                    eprint!("{said}");
                }
            }
        }
    };
}

#[cfg(all(feature = "grpc", feature = "http"))]
mod feedback;
mod global;
#[cfg(feature = "setup")]
mod init;
#[cfg(all(feature = "http", target_os = "linux"))]
mod memory;
#[cfg(feature = "http")]
mod runtimes;
#[cfg(feature = "http")]
mod scoped_dispatcher;
#[path = "../stage/mod.rs"]
mod stage;
#[cfg(feature = "http")]
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "http")]
#[path = "../talk/mod.rs"]
mod talk;
mod turn_timer;

/// Runs the test `path` in a process of its own and returns its output, or `None` where this is that process.
fn child(path: &str) -> Option<std::process::Output> {
    const MARK: &str = "TEST_IN_ITS_OWN_PROCESS";
    if std::env::var_os(MARK).is_some() {
        return None;
    }
    let (_crate, name) = path.split_once("::").unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(MARK, "1")
        .output();
    Some(child.unwrap())
}
