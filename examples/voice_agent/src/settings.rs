//! Where the services are and what opens them: from the environment, or from a `.env` file in the working directory.

use crate::services::{cartesia, deepgram, openai};
use std::collections::HashMap;
use std::fmt;

/// A key. It prints as `***`, so that no log line and no span can hold it by accident.
#[derive(Clone, Default)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key itself, for the one header it belongs in.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without the key: providers repeat it in their error messages.
    pub(crate) fn redact(&self, text: &str) -> String {
        if self.0.is_empty() {
            text.to_owned()
        } else {
            text.replace(&self.0, "***")
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One service set each; the ones without a key are to be stood in for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) deepgram: Option<deepgram::Config>,
    pub(crate) openai: Option<openai::Config>,
    pub(crate) cartesia: Option<cartesia::Config>,
    /// Base addresses of Open-Meteo's geocoding and forecast services, which need no key.
    pub(crate) weather: (String, String),
}

impl Settings {
    pub(crate) fn load() -> Self {
        let file = std::fs::read_to_string(".env")
            .map(|text| parse(&text))
            .unwrap_or_default();
        Self::from(|name| {
            std::env::var(name)
                .ok()
                .or_else(|| file.get(name).cloned())
                .filter(|v| !v.is_empty())
        })
    }

    fn from(get: impl Fn(&str) -> Option<String>) -> Self {
        let or = |name: &str, default: &str| get(name).unwrap_or_else(|| default.to_owned());
        let openai_url = get("OPENAI_BASE_URL");
        let openai_key = get("OPENAI_API_KEY");
        Self {
            deepgram: get("DEEPGRAM_API_KEY").map(|key| deepgram::Config {
                url: or("DEEPGRAM_URL", "wss://api.deepgram.com"),
                key: Secret::new(key),
                model: or("DEEPGRAM_MODEL", "nova-3"),
                language: or("DEEPGRAM_LANGUAGE", "en"),
            }),
            // A server of one's own often has an address and no key.
            openai: (openai_url.is_some() || openai_key.is_some()).then(|| openai::Config {
                base_url: openai_url.unwrap_or_else(|| "https://api.openai.com/v1".to_owned()),
                key: Secret::new(openai_key.unwrap_or_default()),
                model: or("OPENAI_MODEL", "gpt-4o-mini"),
            }),
            cartesia: get("CARTESIA_API_KEY").map(|key| cartesia::Config {
                url: or("CARTESIA_URL", "wss://api.cartesia.ai"),
                key: Secret::new(key),
                model: or("CARTESIA_MODEL", "sonic-3"),
                voice: or("CARTESIA_VOICE_ID", "6ccbfb76-1fc6-48f7-b71d-91ac6298247b"),
            }),
            weather: (
                or("GEOCODING_URL", "https://geocoding-api.open-meteo.com"),
                or("WEATHER_URL", "https://api.open-meteo.com"),
            ),
        }
    }
}

/// `NAME=value` lines; `#` starts a comment line, `export` and quotes around the value are allowed.
fn parse(text: &str) -> HashMap<String, String> {
    text.lines()
        .map(|line| line.trim().trim_start_matches("export "))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            (
                name.trim().to_owned(),
                value.trim().trim_matches(['"', '\'']).to_owned(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_prints() {
        let file = parse(
            "# keys\nexport OPENAI_API_KEY=\"sk-verysecret\"\nDEEPGRAM_API_KEY = dg-verysecret\n",
        );
        let settings = Settings::from(|name| file.get(name).cloned());
        assert_eq!(
            settings.openai.as_ref().unwrap().key.expose(),
            "sk-verysecret"
        );
        assert!(settings.deepgram.is_some() && settings.cartesia.is_none());
        assert!(!format!("{settings:?}").contains("verysecret"));
        let said = "401: wrong key sk-verysecret given";
        assert_eq!(
            settings.openai.unwrap().key.redact(said),
            "401: wrong key *** given"
        );
    }
}
