//! Whole outputs, for a reviewer to read; `UPDATE_GOLDEN=1` writes them.

use crate::{calls, folder, printed, write};

#[track_caller]
fn assert_golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(
        text == golden,
        "{name} is now so:\n{text}\nand not so:\n{golden}"
    );
}

/// Written by the replay of a timeline, with sums and prices as the contract has them put in by hand.
fn agent() -> Vec<u8> {
    std::fs::read(format!(
        "{}/tests/golden/agent.jsonl",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

#[test]
fn text() {
    assert_golden("calls.txt", &printed(&[], calls(7, 0.0, 40).as_bytes()));
    assert_golden("agent.txt", &printed(&["-"], &agent()));
}

#[test]
fn markdown() {
    assert_golden("agent.md", &printed(&["--format", "markdown"], &agent()));
}

#[test]
fn json() {
    assert_golden("agent.json", &printed(&["--format", "json"], &agent()));
}

#[test]
fn comparison() {
    let folder = folder("golden_comparison");
    let before = write(&folder.join("before.jsonl"), calls(1, 0.0, 60));
    let after = write(&folder.join("after.jsonl"), calls(2, 0.3, 60));
    let compared = |format: &str| printed(&["--compare", &before, &after, "--format", format], b"");
    assert_golden("comparison.txt", &compared("text"));
    assert_golden("comparison.md", &compared("markdown"));
}

#[test]
fn tree() {
    assert_golden(
        "agent_tree.txt",
        &printed(&["--tree", "call-4711"], &agent()),
    );
}
