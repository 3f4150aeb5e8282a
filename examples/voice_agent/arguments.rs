//! The command line.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
A voice agent, traced.

usage: cargo run --example voice_agent -- [options]

Without options a bundled caller talks with the agent, for somewhat less than a minute, and the turns are printed as
they end. Keys in the environment or in .env (see .env.example) put real providers in the stand-ins' place.

  --wav FILE       a WAV file is the caller
  --serve ADDRESS  a browser is the caller: open http://ADDRESS, e.g. 127.0.0.1:8080
  --record FILE    write the first conversation to a WAV file, the user left, the bot right
  --calls N        N conversations at once (1)
  --fast           run 8 times as fast; every figure in the traces is an eighth
  --speed X        run X times as fast
  --seed N         seed of the stand-ins' delays (1)
  --help           this text";

/// Who the user is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum User {
    Bundled,
    File(PathBuf),
    Browser(String),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) user: User,
    pub(crate) record: Option<PathBuf>,
    pub(crate) calls: usize,
    pub(crate) speed: f64,
    pub(crate) seed: u64,
}

impl Arguments {
    /// `Err` holds what to tell the user.
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self { user: User::Bundled, record: None, calls: 1, speed: 1.0, seed: 1 };
        while let Some(option) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{option} needs a value; --help tells more"));
            match option.as_str() {
                "--wav" => parsed.user = User::File(value()?.into()),
                "--serve" => parsed.user = User::Browser(value()?),
                "--record" => parsed.record = Some(value()?.into()),
                "--calls" => parsed.calls = number(&option, &value()?, |&calls| (1..=1000).contains(&calls))?,
                "--fast" => parsed.speed = 8.0,
                "--speed" => parsed.speed = number(&option, &value()?, |&speed| (0.1..=50.0).contains(&speed))?,
                "--seed" => parsed.seed = number(&option, &value()?, |_| true)?,
                "--help" | "-h" => return Err(HELP.to_owned()),
                other => return Err(format!("unknown option `{other}`; --help tells more")),
            }
        }
        Ok(parsed)
    }
}

fn number<T: std::str::FromStr>(option: &str, value: &str, fits: impl Fn(&T) -> bool) -> Result<T, String> {
    value.parse().ok().filter(fits).ok_or_else(|| format!("{option} cannot be `{value}`; --help tells more"))
}
