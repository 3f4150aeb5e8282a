//! Generated values: no panic, no key in an error.

use proptest::strategy::Strategy as _;

use super::*;

/// Characters that parsers stumble over, and the words that the values are made of.
fn hostile_value() -> impl proptest::strategy::Strategy<Value = String> {
    proptest::collection::vec(
        proptest::prop_oneof![
            proptest::sample::select(vec![
                "http://",
                "https://",
                "[::1]",
                "@",
                ":",
                "/",
                "?",
                "#",
                "=",
                ",",
                "%",
                "%0a",
                "%ff",
                "grpc",
                "http/json",
                "http/protobuf",
                "18446744073709551615",
                "-1",
                "1e400",
                "NaN",
                "inf",
                "gzip",
                "none",
                "content-length=1",
                "console",
                "otlp",
                "é",
                "\u{202e}",
                "\0",
                "\r\n",
                " ",
            ])
            .prop_map(str::to_owned),
            ".{0,3}",
        ],
        0..8,
    )
    .prop_map(|parts| parts.concat())
}

proptest::proptest! {
    #[test]
    fn no_value_panics_and_no_error_shows_a_key(
        values in proptest::collection::vec((proptest::sample::select(fuzzed::VARIABLES.clone()), hostile_value()), 1..6)
    ) {
        let bytes: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        fuzzed::check(&bytes);
    }

    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        fuzzed::run(&data);
    }
}
