//! The examples as programs. `cargo test` builds examples before it runs tests; with `--test behaviour` it does not.

use std::process::Command;

/// The example `name`, in an environment without any variable that the crate reads.
pub(crate) fn command(name: &str) -> Command {
    // target/PROFILE/deps/TEST-HASH
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let program = examples
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        program.exists(),
        "{} is not there: `cargo build --example {name}`, with the features and the profile of this test, builds it",
        program.display()
    );
    let mut command = Command::new(program);
    for (name, _) in std::env::vars() {
        let concerns = ["OTEL_", "CONVERSATION_", "LANGFUSE_", "RUST_LOG"];
        if concerns.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}
