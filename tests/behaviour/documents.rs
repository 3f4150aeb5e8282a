//! What the documentation tests of `src/lib.rs` cannot run: changes shown as a diff.

fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let fence = format!("```{language}\n");
    let (_, rest) = page.split_once(&fence).expect("a block of this language");
    rest.split_once("```").expect("its end").0
}

#[test]
fn change_to_a_program_with_tracing_opentelemetry_is_that_of_a_program_that_runs() {
    let guide = include_str!("../../docs/migrating-from-tracing-opentelemetry.md");
    let change = block(guide, "diff");
    assert_eq!(block(include_str!("../../README.md"), "diff"), change);

    let mut program = block(guide, "rust").lines().map(str::trim);
    let kept = change.lines().filter(|line| !line.starts_with('-'));
    // One after the other, with lines of the program's own between them.
    for line in kept.map(|line| line[1..].trim()) {
        assert!(program.any(|other| other == line), "{line}");
    }
}
