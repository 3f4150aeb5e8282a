//! Servers on loopback that stand in for the providers when there are no keys. They speak the providers' wire protocols
//! on real sockets, take as long as real ones do, and fail on request.

mod cartesia;
mod deepgram;
mod dialogue;
mod ear;
pub(crate) mod faults;
mod openai;
mod realtime;
mod voice;
mod weather;

use crate::pace::Pace;
use crate::secret::Secret;
use crate::services;
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{any, get, post};
use faults::{Fault, Faults, Provider};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// What the stand-ins accept as a key.
const KEY: &str = "stand-in-key";

/// The usual delays of the providers, in seconds. Each one is drawn anew around its figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    /// From the end of the speech, as `Finalize` marks it, to the final transcript.
    pub(crate) transcript: f64,
    /// From a request to the language model's first token.
    pub(crate) first_token: f64,
    /// From one token to the next.
    pub(crate) token: f64,
    /// From a sentence to its first audio.
    pub(crate) first_audio: f64,
    /// Each call of the weather service.
    pub(crate) weather: f64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            transcript: 0.16,
            first_token: 0.38,
            token: 0.02,
            first_audio: 0.14,
            weather: 0.12,
        }
    }
}

/// How the stand-ins behave.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    pub(crate) seed: u64,
    pub(crate) pace: Pace,
    pub(crate) delays: Delays,
    pub(crate) faults: Vec<Fault>,
}

/// What the stand-ins have sent and been sent, by conversation: for comparison with what the traces say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Account {
    /// Tokens in and out of each answer, in the order of the requests.
    pub(crate) usage: Vec<(u64, u64)>,
    pub(crate) characters: u64,
    pub(crate) transcripts: Vec<String>,
    /// Milliseconds that were heard of the answers which were cut off.
    pub(crate) truncated: Vec<u64>,
}

/// Running stand-ins. They live as long as the runtime they were started in.
#[derive(Clone)]
pub(crate) struct StandIns {
    address: String,
    #[cfg(test)]
    shared: Arc<Shared>,
}

struct Shared {
    behaviour: Behaviour,
    faults: Faults,
    draws: Mutex<HashMap<(Provider, String), u64>>,
    accounts: Mutex<HashMap<String, Account>>,
    ear: ear::Ear,
    voice: voice::Voice,
}

impl StandIns {
    /// Serves on a port of loopback that is free.
    pub(crate) async fn start(behaviour: Behaviour) -> io::Result<Self> {
        Self::serve(TcpListener::bind(("127.0.0.1", 0)).await?, behaviour)
    }

    pub(crate) fn serve(listener: TcpListener, behaviour: Behaviour) -> io::Result<Self> {
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            faults: Faults::new(&behaviour.faults),
            draws: Mutex::default(),
            accounts: Mutex::default(),
            ear: ear::Ear::new().map_err(io::Error::other)?,
            voice: voice::Voice::default(),
            behaviour,
        });
        let router = Router::new()
            .route("/v1/listen", any(deepgram::listen))
            .route("/v1/chat/completions", post(openai::complete))
            .route("/v1/models", get(openai::models))
            .route("/v1/realtime", any(realtime::converse))
            .route("/tts/websocket", any(cartesia::speak))
            .route("/v1/search", get(weather::search))
            .route("/v1/forecast", get(weather::forecast))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            #[cfg(test)]
            shared,
        })
    }

    pub(crate) fn deepgram(&self) -> services::deepgram::Config {
        services::deepgram::Config {
            url: format!("ws://{}", self.address),
            key: Secret::new(KEY),
            model: "nova-3".to_owned(),
            language: "en".to_owned(),
        }
    }

    pub(crate) fn openai(&self) -> services::openai::Config {
        services::openai::Config {
            base_url: format!("http://{}/v1", self.address),
            key: Secret::new(KEY),
            model: "gpt-4o-mini".to_owned(),
            temperature: None,
            max_completion_tokens: services::openai::MAX_COMPLETION_TOKENS,
        }
    }

    pub(crate) fn realtime(&self) -> services::realtime::Config {
        services::realtime::Config {
            url: format!("ws://{}/v1", self.address),
            key: Secret::new(KEY),
            model: "gpt-realtime".to_owned(),
            voice: "marin".to_owned(),
            transcription: "gpt-4o-mini-transcribe".to_owned(),
            language: Some("en".to_owned()),
        }
    }

    pub(crate) fn cartesia(&self) -> services::cartesia::Config {
        services::cartesia::Config {
            url: format!("ws://{}", self.address),
            key: Secret::new(KEY),
            model: "sonic-3".to_owned(),
            voice: "stand-in-voice".to_owned(),
            language: Some("en".to_owned()),
        }
    }

    /// How other programs reach them.
    pub(crate) fn description(&self) -> String {
        let address = &self.address;
        format!(
            "Stand-ins for Deepgram (ws://{address}), OpenAI (http://{address}/v1), Cartesia (ws://{address}) and Open-Meteo \
             (http://{address}); the key is {KEY}."
        )
    }

    /// Base addresses of geocoding and forecast.
    pub(crate) fn weather(&self) -> (String, String) {
        (
            format!("http://{}", self.address),
            format!("http://{}", self.address),
        )
    }

    /// What was exchanged with `conversation` so far.
    #[cfg(test)]
    pub(crate) fn account(&self, conversation: &str) -> Account {
        let accounts = self
            .shared
            .accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        accounts.get(conversation).cloned().unwrap_or_default()
    }
}

impl Shared {
    fn pace(&self) -> Pace {
        self.behaviour.pace
    }

    /// The chance of one exchange. It depends on the seed and on how many exchanges `whose` has had with the provider,
    /// not on what other conversations do meanwhile.
    fn chance(&self, provider: Provider, whose: &str) -> Chance {
        let mut draws = self.draws.lock().unwrap_or_else(PoisonError::into_inner);
        let count = draws.entry((provider, whose.to_owned())).or_default();
        *count += 1;
        self.chance_of((provider, *count))
    }

    /// The chance of `what`, the same each time.
    fn chance_of(&self, what: impl Hash) -> Chance {
        let mut hasher = DefaultHasher::new();
        (self.behaviour.seed, what).hash(&mut hasher);
        Chance(StdRng::seed_from_u64(hasher.finish()))
    }

    fn account(&self, conversation: &str, change: impl FnOnce(&mut Account)) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        change(accounts.entry(conversation.to_owned()).or_default());
    }
}

struct Chance(StdRng);

impl Chance {
    /// A delay around `usual`: mostly near it, now and then up to twice as long, as networks are.
    fn around(&mut self, usual: f64) -> f64 {
        let spread: f64 = self.0.random_range(-0.25..0.25);
        let tail: f64 = self.0.random_range(0.0f64..1.0).powi(8);
        usual * (1.0 + spread + 0.75 * tail)
    }
}

/// An id as the providers give them.
fn fresh_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// What follows one of `schemes` in `authorization`.
fn given_key<'a>(headers: &'a HeaderMap, schemes: &[&str]) -> Option<&'a str> {
    let given = headers.get("authorization")?.to_str().ok()?;
    let (scheme, key) = given.split_once(' ')?;
    let known = schemes
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme));
    known.then(|| key.trim())
}
