//! Wrong use points at the user's token and says what to write.

#[test]
fn wrong_use_is_explained_where_it_stands() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
