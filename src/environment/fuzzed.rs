//! Settings from variables with any values: run by the tests beside this file and by the fuzz target `environment`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness fails by a panic"
)]
#![allow(
    unreachable_pub,
    reason = "public where the crate is built for fuzzing"
)]

use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsString,
    sync::LazyLock,
};

use super::{Settings, Variables};
use crate::terminal::is_unsafe;

/// Stands where keys stand in values.
const KEY: &str = "sk-5up3r";

/// Every documented variable, and those of proxies.
pub(super) static VARIABLES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let documented: BTreeSet<_> = include_str!("../../docs/environment.md")
        .split('`')
        .filter(|word| {
            let prefixes = ["OTEL_", "CONVERSATION_", "LANGFUSE_"];
            let is_name = |b: u8| b.is_ascii_uppercase() || b == b'_';
            prefixes.iter().any(|prefix| word.starts_with(prefix))
                && !word.ends_with('_')
                && word.bytes().all(is_name)
        })
        .collect();
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
    documented.into_iter().chain(proxies).collect()
});

/// Reads the bytes as variables, each a number, a length and a value of that length.
pub fn run(mut data: &[u8]) {
    let mut values = Vec::new();
    while let [number, length, rest @ ..] = data {
        let (value, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        values.push((VARIABLES[usize::from(*number) % VARIABLES.len()], value));
        data = rest;
    }
    check(&values);
}

/// Fails if reading these variables panics, or if what is said of them shows a key or could drive a terminal.
pub(super) fn check(values: &[(&'static str, &[u8])]) {
    let environment: HashMap<&str, OsString> = values
        .iter()
        .map(|(name, value)| (*name, os_string(with_key(name, value))))
        .collect();
    let explicit = HashMap::new();
    let lookup = |name: &str| environment.get(name).cloned();
    let text = match Settings::read(&Variables::new(&explicit, &lookup)) {
        Err(error) => {
            let text = error.to_string();
            assert!(values.iter().any(|(name, _)| text.contains(name)), "{text}");
            text
        }
        // Logged with what becomes of spans.
        #[cfg(any(feature = "grpc", feature = "http"))]
        Ok(Settings {
            otlp: Some(otlp), ..
        }) => otlp.connection.destination().to_owned(),
        Ok(_) => String::new(),
    };
    assert!(!text.contains(KEY), "{text}");
    assert!(!text.contains(is_unsafe), "{text:?}");
}

fn with_key(name: &str, value: &[u8]) -> Vec<u8> {
    let key = KEY.as_bytes();
    match name {
        _ if name.ends_with("HEADERS") || name == "OTEL_RESOURCE_ATTRIBUTES" => {
            [value, key, value].concat()
        }
        _ if name.ends_with("ENDPOINT") => [value, b"?key=", key, value].concat(),
        _ if name.ends_with("_PROXY") => [b"http://me:", key, b"@", value].concat(),
        "LANGFUSE_PUBLIC_KEY" | "LANGFUSE_SECRET_KEY" => [value, key].concat(),
        _ => value.to_vec(),
    }
}

#[cfg(unix)]
pub(super) fn os_string(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
pub(super) fn os_string(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}
