//! Errors point at the user's token and say what to write.

#[test]
fn invalid_use_reports_error_at_its_token() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
