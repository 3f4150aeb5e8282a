//! From the trace to the sound: what is traced of a recorded call, as cue points in its WAV file and as a label track.
//!
//! Formats: the chunks `cue ` and `LIST`/`adtl` of Microsoft's and IBM's *Multimedia Programming Interface and Data
//! Specifications 1.0*, and the tab-separated label tracks of Audacity's manual, *Importing and Exporting Labels*.

use crate::audio::RATE;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long after its end a conversation's spans may take to come.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// The spans of the conversations that are recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By conversation; only of those that are followed.
    spans: Mutex<HashMap<String, Vec<SpanData>>>,
    more: Notify,
}

/// Where the marks of a recording go, and what they are made of.
pub(crate) struct Recording {
    pub(crate) marks: Marks,
    pub(crate) conversation: String,
    /// The label track, if it is wanted.
    pub(crate) labels: Option<PathBuf>,
}

impl Marks {
    fn spans(&self) -> MutexGuard<'_, HashMap<String, Vec<SpanData>>> {
        self.0.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is traced of `conversation` from now on.
    pub(crate) fn follow(&self, conversation: &str) {
        self.spans().insert(conversation.to_owned(), Vec::new());
    }

    /// What was traced of `conversation`, once it is over.
    async fn take(&self, conversation: &str) -> Vec<SpanData> {
        let whole = async {
            loop {
                let more = self.0.more.notified();
                let over = self
                    .spans()
                    .get(conversation)
                    .is_none_or(|spans| spans.iter().any(|span| span.name == "conversation"));
                if over {
                    return;
                }
                more.await;
            }
        };
        // What has come by then is better than nothing.
        let _ = timeout(AFTERWARDS, whole).await;
        self.spans().remove(conversation).unwrap_or_default()
    }
}

impl SpanExporter for Marks {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        for span in batch {
            let id = text(&span, "conversation.id");
            if let Some(spans) = self.spans().get_mut(&id) {
                spans.push(span);
            }
        }
        self.0.more.notify_waiters();
        Ok(())
    }
}

impl Recording {
    /// Marks the WAV file at `path`, whose first sample is of the time `started`, and `speed` times as fast as life.
    pub(crate) async fn finish(
        &self,
        path: &Path,
        started: SystemTime,
        speed: f64,
    ) -> Result<(), String> {
        let spans = self.marks.take(&self.conversation).await;
        let labels = labels(&spans, started, speed);
        let turns: Vec<_> = labels.iter().filter(|label| label.turn).collect();
        add_cues(path, &turns).map_err(|error| format!("{}: {error}", path.display()))?;
        if let Some(path) = &self.labels {
            let track = labels.iter().fold(String::new(), |mut track, label| {
                let (start, end, text) = (label.start, label.end, &label.text);
                let _ = writeln!(track, "{start:.3}\t{end:.3}\t{text}");
                track
            });
            std::fs::write(path, track).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// Something with a start and an end, in seconds of the recording.
struct Label {
    start: f64,
    end: f64,
    text: String,
    turn: bool,
}

fn labels(spans: &[SpanData], started: SystemTime, speed: f64) -> Vec<Label> {
    let at = |time: SystemTime| {
        let since = time.duration_since(started).unwrap_or_default();
        since.as_secs_f64() * speed
    };
    let mut labels: Vec<_> = spans
        .iter()
        .filter_map(|span| {
            let turn = span.name == "turn";
            let said = match &*span.name {
                "turn" => {
                    let number = text(span, "turn.number");
                    let latency = text(span, "turn.user_bot_latency_seconds").parse::<f64>();
                    let answered = latency.map_or(String::new(), |secs| {
                        format!(", answered after {:.2} s", secs * speed)
                    });
                    format!("turn {number}{answered}")
                }
                "stt" => format!("stt {}", text(span, "transcript")),
                "llm" => format!("llm {}", text(span, "output")),
                "tts" => format!("tts {}", text(span, "text")),
                "tool" => format!("tool {}", text(span, "gen_ai.tool.name")),
                _ => return None,
            };
            let text = said.replace(['\t', '\r', '\n'], " ").trim_end().to_owned();
            let (start, end) = (at(span.start_time), at(span.end_time));
            Some(Label {
                start,
                end,
                text,
                turn,
            })
        })
        .collect();
    labels.sort_by(|one, other| one.start.total_cmp(&other.start));
    labels
}

fn text(span: &SpanData, key: &str) -> String {
    let attribute = span
        .attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == key);
    attribute.map_or(String::new(), |attribute| attribute.value.to_string())
}

/// Appends cue points and their names to a WAV file that ends with its samples.
fn add_cues(path: &Path, labels: &[&Label]) -> io::Result<()> {
    let position = |label: &Label| (label.start * f64::from(RATE)) as u32;
    let number = |value: usize| u32::try_from(value).map_err(io::Error::other);
    let mut cue = number(labels.len())?.to_le_bytes().to_vec();
    let mut names = b"adtl".to_vec();
    for (index, label) in labels.iter().enumerate() {
        let id = number(index + 1)?.to_le_bytes();
        let at = position(label).to_le_bytes();
        let nothing = [0; 4];
        for part in [&id, &at, b"data", &nothing, &nothing, &at] {
            cue.extend(part);
        }
        let name = [&id, label.text.as_bytes(), &[0]].concat();
        names.extend(chunk(b"labl", &name)?);
    }
    let added = [chunk(b"cue ", &cue)?, chunk(b"LIST", &names)?].concat();
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.write_all(&added)?;
    let riff =
        number(added.len())?.checked_add(u32::try_from(length).map_err(io::Error::other)? - 8);
    let riff =
        riff.ok_or_else(|| io::Error::other("the recording is longer than a WAV file can be"))?;
    file.seek(SeekFrom::Start(4))?;
    file.write_all(&riff.to_le_bytes())
}

/// A chunk of a RIFF file, which has an even length.
fn chunk(name: &[u8; 4], content: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut chunk = [name.as_slice(), &length.to_le_bytes(), content].concat();
    if chunk.len() % 2 == 1 {
        chunk.push(0);
    }
    Ok(chunk)
}
