//! Where the services are and what opens them: from the environment, or from a `.env` file in the working directory.

use crate::secret::Secret;
use crate::services::{cartesia, deepgram, openai, realtime};
use std::collections::HashMap;
use std::io;

/// Beside the environment, which wins.
const FILE: &str = ".env";

/// One service set each; the ones without a key are to be stood in for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) deepgram: Option<deepgram::Config>,
    pub(crate) openai: Option<openai::Config>,
    pub(crate) cartesia: Option<cartesia::Config>,
    /// OpenAI's, for `--realtime`.
    pub(crate) realtime: Option<realtime::Config>,
    /// Base addresses of Open-Meteo's geocoding and forecast services, which need no key.
    pub(crate) weather: (String, String),
}

impl Settings {
    /// `Err` names the file or the variable that cannot be used, without its value.
    pub(crate) fn load() -> Result<Self, String> {
        let file = match std::fs::read_to_string(FILE) {
            Ok(text) => parse(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(format!("{FILE} cannot be read: {error}")),
        };
        Self::from(|name| {
            std::env::var(name)
                .ok()
                .or_else(|| file.get(name).cloned())
                .filter(|value| !value.is_empty())
        })
    }

    fn from(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let or = |name: &str, default: &str| get(name).unwrap_or_else(|| default.to_owned());
        let key = |name: &str| match get(name) {
            Some(key) if !key.bytes().all(|byte| byte.is_ascii_graphic()) => Err(format!(
                "{name} cannot be used: a key has no spaces, line breaks or letters beyond ASCII; what is beside the key \
                 has to go"
            )),
            key => Ok(key),
        };
        let number = |name: &str, lowest: f64, highest: f64| {
            let Some(value) = get(name) else {
                return Ok(None);
            };
            let number = value.trim().parse().ok();
            match number.filter(|number| (lowest..=highest).contains(number)) {
                Some(number) => Ok(Some(number)),
                None => Err(format!(
                    "{name} cannot be `{value}`: allowed is a number from {lowest} to {highest}"
                )),
            }
        };
        let temperature = number("OPENAI_TEMPERATURE", 0.0, 2.0)?;
        let max_completion_tokens = number("OPENAI_MAX_COMPLETION_TOKENS", 1.0, 1e6)?
            .map_or(openai::MAX_COMPLETION_TOKENS, |tokens| tokens as u64);
        let language = or("DEEPGRAM_LANGUAGE", "en");
        let openai_url = get("OPENAI_BASE_URL");
        let openai_key = key("OPENAI_API_KEY")?;
        let realtime = (openai_url.is_some() || openai_key.is_some()).then(|| realtime::Config {
            url: get("OPENAI_REALTIME_URL").unwrap_or_else(|| {
                web_socket(openai_url.as_deref().unwrap_or("https://api.openai.com/v1"))
            }),
            key: Secret::new(openai_key.clone().unwrap_or_default()),
            model: or("OPENAI_REALTIME_MODEL", "gpt-realtime"),
            voice: or("OPENAI_REALTIME_VOICE", "marin"),
            transcription: or("OPENAI_TRANSCRIPTION_MODEL", "gpt-4o-mini-transcribe"),
            language: spoken(&language),
        });
        Ok(Self {
            realtime,
            deepgram: key("DEEPGRAM_API_KEY")?.map(|key| deepgram::Config {
                url: or("DEEPGRAM_URL", "wss://api.deepgram.com"),
                key: Secret::new(key),
                model: or("DEEPGRAM_MODEL", "nova-3"),
                language: language.clone(),
            }),
            // A server of one's own often has an address and no key.
            openai: (openai_url.is_some() || openai_key.is_some()).then(|| openai::Config {
                base_url: openai_url.unwrap_or_else(|| "https://api.openai.com/v1".to_owned()),
                key: Secret::new(openai_key.unwrap_or_default()),
                model: or("OPENAI_MODEL", "gpt-4o-mini"),
                temperature,
                max_completion_tokens,
            }),
            cartesia: key("CARTESIA_API_KEY")?.map(|key| cartesia::Config {
                url: or("CARTESIA_URL", "wss://api.cartesia.ai"),
                key: Secret::new(key),
                model: or("CARTESIA_MODEL", "sonic-3"),
                voice: or("CARTESIA_VOICE_ID", "6ccbfb76-1fc6-48f7-b71d-91ac6298247b"),
                language: spoken(&language),
            }),
            weather: (
                or("GEOCODING_URL", "https://geocoding-api.open-meteo.com"),
                or("WEATHER_URL", "https://api.open-meteo.com"),
            ),
        })
    }
}

/// The address of a WebSocket beside an HTTP service.
fn web_socket(url: &str) -> String {
    let url = url.trim_end_matches('/');
    match url.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => url.to_owned(),
    }
}

/// The language to speak where speech is transcribed in `language`: `en` for `en-US`, none for Deepgram's `multi`.
fn spoken(language: &str) -> Option<String> {
    let primary = language.split('-').next().unwrap_or_default();
    (primary != "multi").then(|| primary.to_lowercase())
}

/// The first of each variable in a `.env` file. No part of a value gets into the error.
fn parse(text: &str) -> Result<HashMap<String, String>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut variables = HashMap::new();
    for line in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, value) = line.map_err(|error| match error {
            // What it could not read may be a key: that is for finding the line only.
            dotenvy::Error::LineParse(unread, _) => {
                let line = text
                    .lines()
                    .position(|line| line.trim_end().ends_with(unread.trim_end()));
                let at = line.map_or(String::new(), |index| format!(", line {}", index + 1));
                format!(
                    "{FILE}{at} cannot be read: allowed is NAME=value, with quotes around a value that has spaces"
                )
            }
            error => format!("{FILE} cannot be read: {error}"),
        })?;
        variables.entry(name).or_insert(value);
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(file: &str) -> Result<Settings, String> {
        let file = parse(file)?;
        Settings::from(|name| file.get(name).filter(|value| !value.is_empty()).cloned())
    }

    #[test]
    fn comment_after_key_is_no_part_of_it() {
        let settings = settings(
            "\u{feff}# keys\nexport OPENAI_API_KEY=\"sk-quoted\" # mine\nDEEPGRAM_API_KEY = dg-plain # my key\nCARTESIA_API_KEY=\n",
        )
        .unwrap();
        assert_eq!(settings.openai.as_ref().unwrap().key.expose(), "sk-quoted");
        assert_eq!(settings.deepgram.as_ref().unwrap().key.expose(), "dg-plain");
        assert!(settings.cartesia.is_none());
        let printed = format!("{settings:?}");
        assert!(
            !printed.contains("quoted") && !printed.contains("plain"),
            "{printed}"
        );
    }

    #[test]
    fn speech_is_synthesised_in_the_language_that_is_transcribed() {
        for (given, spoken) in [("en", Some("en")), ("pt-BR", Some("pt")), ("multi", None)] {
            let settings =
                settings(&format!("CARTESIA_API_KEY=k\nDEEPGRAM_LANGUAGE={given}")).unwrap();
            assert_eq!(settings.cartesia.unwrap().language.as_deref(), spoken);
        }
        let cartesia = settings("CARTESIA_API_KEY=k").unwrap().cartesia.unwrap();
        assert_eq!(cartesia.language.as_deref(), Some("en"));
    }

    #[test]
    fn errors_name_the_variable_and_not_its_value() {
        for (file, error) in [
            (
                "# keys\nOPENAI_API_KEY=sk-secret my key",
                ".env, line 2 cannot be read: allowed is NAME=value, with quotes around a value that has spaces",
            ),
            (
                "sk-secret",
                ".env, line 1 cannot be read: allowed is NAME=value, with quotes around a value that has spaces",
            ),
            (
                "CARTESIA_API_KEY='sk-secret # my key'",
                "CARTESIA_API_KEY cannot be used: a key has no spaces, line breaks or letters beyond ASCII; what is beside \
                 the key has to go",
            ),
            (
                "OPENAI_TEMPERATURE=hot",
                "OPENAI_TEMPERATURE cannot be `hot`: allowed is a number from 0 to 2",
            ),
        ] {
            assert_eq!(settings(file).unwrap_err(), error);
        }
    }
}
