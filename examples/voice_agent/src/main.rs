//! A complete small voice agent whose pipeline and services know only `tracing`; see `docs/voice_agent.md`.
//!
//! ```text
//! cargo run -p voice_agent                 # a conversation with the bundled caller
//! cargo run -p voice_agent -- --help
//! ```

mod agent;
mod arguments;
mod audio;
mod context;
mod frames;
mod live;
mod marks;
mod pace;
mod pipeline;
mod secret;
mod services;
mod settings;
mod stand_in;
mod telemetry;
#[cfg(test)]
mod tests;
mod tools;
mod transport;
mod vad;

use agent::Agent;
use arguments::{Arguments, User};
use marks::{Marks, Recording};
use pace::Pace;
use services::openai::OpenAi;
use services::{Patience, cartesia, deepgram};
use settings::Settings;
use stand_in::{Behaviour, StandIns};
use std::error::Error;
use std::io::ErrorKind;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use transport::web::Served;
use transport::{caller, record, wav, web};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(text) => {
            say(&text);
            let asked_for = text == arguments::HELP;
            return if asked_for {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("voice_agent: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// To the person at the terminal. Standard output belongs to the traces.
#[allow(clippy::print_stderr, reason = "a program talks to whoever started it")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[tokio::main]
async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if let User::Nobody(address) = &arguments.user {
        return stand_in(address, arguments).await;
    }
    let updates = matches!(arguments.user, User::Browser(_)).then(|| broadcast::Sender::new(1024));
    let marks = arguments.record.is_some().then(Marks::default);
    let telemetry = telemetry::start(updates.clone(), marks.clone())?;
    // Ctrl-c in the middle of a call loses nothing of it.
    telemetry.exit_on_signal()?;
    let (agent, stood_in) = prepare(arguments).await?;
    match (&arguments.user, updates) {
        (User::Browser(address), Some(updates)) => {
            let served = Served {
                agent,
                updates,
                record: arguments.record.clone().zip(marks),
                stood_in,
            };
            serve(address, served).await
        }
        _ => talk(arguments, &agent, marks).await,
    }
}

/// The agent, and the names of the keys that it has to do without.
async fn prepare(arguments: &Arguments) -> Result<(Agent, Vec<&'static str>), Box<dyn Error>> {
    let mut settings = Settings::load()?;
    if arguments.realtime {
        // One provider does the work of three.
        (settings.deepgram, settings.cartesia) = (None, None);
    }
    let pace = Pace::times(arguments.speed);
    let missing: Vec<_> = [
        (
            settings.deepgram.is_none() && !arguments.realtime,
            "DEEPGRAM_API_KEY",
        ),
        (settings.openai.is_none(), "OPENAI_API_KEY"),
        (
            settings.cartesia.is_none() && !arguments.realtime,
            "CARTESIA_API_KEY",
        ),
    ]
    .into_iter()
    .filter_map(|(missing, name)| missing.then_some(name))
    .collect();
    let stand_ins = StandIns::start(behaviour(arguments)).await?;
    if !missing.is_empty() {
        say(&format!(
            "No {}: servers in this process stand in, speaking the providers' wire protocols (seed {}).",
            missing.join(", "),
            arguments.seed
        ));
    }
    let all_stood_in = missing.len() == if arguments.realtime { 1 } else { 3 };
    let http = http_client()?;
    check(&settings, &http).await?;
    let agent = Agent {
        http,
        weather: if all_stood_in {
            stand_ins.weather()
        } else {
            settings.weather
        },
        deepgram: settings.deepgram.unwrap_or_else(|| stand_ins.deepgram()),
        openai: settings.openai.unwrap_or_else(|| stand_ins.openai()),
        cartesia: settings.cartesia.unwrap_or_else(|| stand_ins.cartesia()),
        realtime: arguments
            .realtime
            .then(|| settings.realtime.unwrap_or_else(|| stand_ins.realtime())),
        patience: Patience::default(),
        pace,
    };
    Ok((agent, missing))
}

/// Sees whether the providers take their keys: a wrong one would show in the middle of a call otherwise.
async fn check(settings: &Settings, http: &reqwest::Client) -> Result<(), String> {
    let patience = Patience::default();
    let deepgram = async {
        match &settings.deepgram {
            Some(config) => deepgram::check(config, patience).await,
            None => Ok(()),
        }
    };
    let openai = async {
        match &settings.openai {
            Some(config) => {
                OpenAi::new(http.clone(), config.clone(), patience)
                    .check()
                    .await
            }
            None => Ok(()),
        }
    };
    let cartesia = async {
        match &settings.cartesia {
            Some(config) => cartesia::check(config, patience).await,
            None => Ok(()),
        }
    };
    let (deepgram, openai, cartesia) = tokio::join!(deepgram, openai, cartesia);
    for (name, key, checked) in [
        ("Deepgram", "DEEPGRAM_API_KEY", deepgram),
        ("OpenAI", "OPENAI_API_KEY", openai),
        ("Cartesia", "CARTESIA_API_KEY", cartesia),
    ] {
        match checked {
            Err(error) if error.unauthorized => return Err(format!("{key} is refused: {error}")),
            // It may be back by the time it is needed.
            Err(error) => say(&format!("{name} cannot be reached: {error}")),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn behaviour(arguments: &Arguments) -> Behaviour {
    Behaviour {
        seed: arguments.seed,
        pace: Pace::times(arguments.speed),
        delays: arguments.delays,
        faults: arguments.faults.clone(),
    }
}

/// Serves the stand-ins alone, until ctrl-c.
async fn stand_in(address: &str, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let stand_ins = StandIns::serve(bind(address).await?, behaviour(arguments))?;
    say(&format!("{} ctrl-c ends.", stand_ins.description()));
    std::future::pending().await
}

async fn bind(address: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::InvalidInput => "; an address is such as 127.0.0.1:8080",
            _ => "",
        };
        format!("{address}: {error}{hint}")
    })
}

/// The client of all HTTP services.
fn http_client() -> reqwest::Result<reqwest::Client> {
    // One TLS implementation for all clients. It fails only if one is chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().build()
}

/// Answers browsers until ctrl-c.
async fn serve(address: &str, served: Served) -> Result<(), Box<dyn Error>> {
    let listener = bind(address).await?;
    say(&format!(
        "Open http://{} and press Call; ctrl-c ends.",
        listener.local_addr()?
    ));
    Ok(web::serve(listener, served).await?)
}

/// Holds the calls that the arguments ask for.
async fn talk(
    arguments: &Arguments,
    agent: &Agent,
    marks: Option<Marks>,
) -> Result<(), Box<dyn Error>> {
    let mut calls = tokio::task::JoinSet::new();
    for number in 1..=arguments.calls {
        let (connection, channel) = match &arguments.user {
            User::File(path) => {
                let bytes =
                    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
                let samples = audio::read_wav(&bytes)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                (wav::play(samples, agent.pace), "wav")
            }
            _ => (caller::call(&caller::script(), agent.pace)?, "caller"),
        };
        let id = fresh_id();
        let mut connection = connection;
        if let (1, Some(path), Some(marks)) = (number, &arguments.record, &marks) {
            let recording = Recording {
                marks: marks.clone(),
                conversation: id.clone(),
                labels: arguments.labels.clone(),
            };
            let (tapped, recorded) = record::tap(connection, path, agent.pace, recording)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            connection = tapped;
            calls.spawn(async move {
                let _ = recorded.await;
            });
        }
        let agent = agent.clone();
        calls.spawn(async move { agent.converse(id, channel, connection).await });
    }
    while calls.join_next().await.is_some() {}
    Ok(())
}

/// An id that no other conversation has.
fn fresh_id() -> String {
    format!("call-{:016x}", rand::random::<u64>())
}
