//! The command line.

use crate::stand_in::Delays;
use crate::stand_in::faults::{Fault, Kind, Provider};
use std::path::PathBuf;
use std::str::FromStr;

pub(crate) const HELP: &str = "\
A voice agent, traced.

usage: cargo run -p voice_agent -- [options]

Without options a bundled caller talks with the agent, for somewhat less than a minute, and the turns are printed as
they end. Keys in the environment or in .env (see .env.example) put real providers in the stand-ins' place.

  --wav FILE       a WAV file is the caller
  --serve ADDRESS  a browser is the caller: open http://ADDRESS, e.g. 127.0.0.1:8080
  --stand-ins ADDRESS
                   serve the stand-ins to other programs, e.g. at 127.0.0.1:9000, and hold no conversation
  --record FILE    write the first conversation to a WAV file, the user left, the bot right; with --serve every call, the
                   second to FILE-2 and so on
  --labels FILE    with --record: write what was traced as a label track for Audacity
  --realtime       speech-to-speech by OpenAI's Realtime API, in the place of the three services
  --calls N        N conversations at once (1)
  --fast           run 8 times as fast; every figure in the traces is an eighth
  --speed X        run X times as fast
  --seed N         seed of the stand-ins' delays (1)
  --delay WHAT=S   a stand-in's usual delay in seconds: transcript, first_token, token, first_audio or weather
  --fault P:N:KIND what goes wrong at provider P (deepgram, openai, cartesia, weather) the Nth time it is used in a
                   conversation: an HTTP status, disconnect, malformed, silence or slow; none: nothing (openai:5:429)
  --help           this text";

/// Who the user is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum User {
    Bundled,
    File(PathBuf),
    Browser(String),
    /// Nobody: only the stand-ins are wanted, at this address.
    Nobody(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    pub(crate) user: User,
    pub(crate) record: Option<PathBuf>,
    pub(crate) labels: Option<PathBuf>,
    pub(crate) realtime: bool,
    pub(crate) calls: usize,
    pub(crate) speed: f64,
    pub(crate) seed: u64,
    pub(crate) delays: Delays,
    pub(crate) faults: Vec<Fault>,
}

impl Arguments {
    /// `Err` is the text to show the user.
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            user: User::Bundled,
            record: None,
            labels: None,
            realtime: false,
            calls: 1,
            speed: 1.0,
            seed: 1,
            delays: Delays::default(),
            faults: Vec::new(),
        };
        let mut faults = None;
        while let Some(option) = given.next() {
            let mut value = || {
                given
                    .next()
                    .ok_or_else(|| format!("{option} needs a value; see --help"))
            };
            match option.as_str() {
                "--wav" => parsed.user = User::File(value()?.into()),
                "--serve" => parsed.user = User::Browser(value()?),
                "--stand-ins" => parsed.user = User::Nobody(value()?),
                "--record" => parsed.record = Some(value()?.into()),
                "--labels" => parsed.labels = Some(value()?.into()),
                "--realtime" => parsed.realtime = true,
                "--calls" => {
                    parsed.calls = number(&option, &value()?, |&calls| (1..=1000).contains(&calls))?
                }
                "--fast" => parsed.speed = 8.0,
                "--speed" => {
                    parsed.speed =
                        number(&option, &value()?, |&speed| (0.1..=50.0).contains(&speed))?
                }
                "--seed" => parsed.seed = number(&option, &value()?, |_| true)?,
                "--delay" => delay(&mut parsed.delays, &value()?)?,
                "--fault" => faults
                    .get_or_insert_with(Vec::new)
                    .extend(fault(&value()?)?),
                "--help" | "-h" => return Err(HELP.to_owned()),
                other => return Err(format!("unknown option `{other}`; see --help")),
            }
        }
        if parsed.labels.is_some()
            && (parsed.record.is_none() || matches!(parsed.user, User::Browser(_)))
        {
            return Err("--labels goes with --record, and not with --serve".to_owned());
        }
        // By default the fifth request to the language model hits a rate limit: the traces then have an
        // error to show.
        let rate_limit = Fault {
            provider: Provider::OpenAi,
            nth: 5,
            kind: Kind::Status(429),
        };
        let usual = match parsed.user {
            User::Nobody(_) => Vec::new(),
            _ => vec![rate_limit],
        };
        parsed.faults = faults.unwrap_or(usual);
        Ok(parsed)
    }
}

fn delay(delays: &mut Delays, given: &str) -> Result<(), String> {
    let wrong = || format!("--delay cannot be `{given}`; see --help");
    let (what, secs) = given.split_once('=').ok_or_else(wrong)?;
    let secs = secs
        .parse()
        .ok()
        .filter(|secs| (0.0..=60.0).contains(secs))
        .ok_or_else(wrong)?;
    *match what {
        "transcript" => &mut delays.transcript,
        "first_token" => &mut delays.first_token,
        "token" => &mut delays.token,
        "first_audio" => &mut delays.first_audio,
        "weather" => &mut delays.weather,
        _ => return Err(wrong()),
    } = secs;
    Ok(())
}

fn fault(given: &str) -> Result<Option<Fault>, String> {
    let wrong = || format!("--fault cannot be `{given}`; see --help");
    if given == "none" {
        return Ok(None);
    }
    let mut parts = given.split(':');
    let provider = match parts.next() {
        Some("deepgram") => Provider::Deepgram,
        Some("openai") => Provider::OpenAi,
        Some("cartesia") => Provider::Cartesia,
        Some("weather") => Provider::Weather,
        _ => return Err(wrong()),
    };
    let nth = parts
        .next()
        .and_then(|nth| nth.parse().ok())
        .ok_or_else(wrong)?;
    let kind = match parts.next().ok_or_else(wrong)? {
        "disconnect" => Kind::Disconnect(4),
        "malformed" => Kind::Malformed,
        "silence" => Kind::Silence,
        "slow" => Kind::Slow(2.0),
        status => Kind::Status(
            status
                .parse()
                .ok()
                .filter(|status| (400..=599).contains(status))
                .ok_or_else(wrong)?,
        ),
    };
    if parts.next().is_some() {
        Err(wrong())
    } else {
        Ok(Some(Fault {
            provider,
            nth,
            kind,
        }))
    }
}

fn number<T: FromStr>(option: &str, value: &str, fits: impl Fn(&T) -> bool) -> Result<T, String> {
    value
        .parse()
        .ok()
        .filter(fits)
        .ok_or_else(|| format!("{option} cannot be `{value}`; see --help"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn faults_and_delays_are_settable() {
        let given =
            parse("--fast --fault openai:2:500 --fault deepgram:1:silence --delay first_token=1.5")
                .unwrap();
        assert_eq!(
            (given.speed, given.delays.first_token, given.faults.len()),
            (8.0, 1.5, 2)
        );
        assert_eq!(parse("--fault none").unwrap().faults.len(), 0);
        assert_eq!(parse("").unwrap().faults.len(), 1);
        assert_eq!(parse("--stand-ins a:1").unwrap().faults.len(), 0);
    }

    #[test]
    fn unusable_values_are_named() {
        let wrong = [
            "--calls 0",
            "--speed fast",
            "--fault openai:1:200",
            "--fault cake:1:500",
            "--delay tea=1",
            "--delay token=-1",
        ];
        for line in wrong {
            let (option, value) = line.split_once(' ').unwrap();
            assert_eq!(
                parse(line).unwrap_err(),
                format!("{option} cannot be `{value}`; see --help")
            );
        }
        assert_eq!(
            parse("--wav").unwrap_err(),
            "--wav needs a value; see --help"
        );
        assert_eq!(
            parse("--labels a.txt").unwrap_err(),
            "--labels goes with --record, and not with --serve"
        );
        assert_eq!(parse("-x").unwrap_err(), "unknown option `-x`; see --help");
    }
}
