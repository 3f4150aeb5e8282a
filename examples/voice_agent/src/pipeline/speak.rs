//! Audio out: plays the bot's speech at the speed of sound, says when it starts and stops, and stops at once when it is
//! cut off.

use crate::audio::{FRAME, FRAME_SECS, seconds};
use crate::frames::{Floor, Response, Speech, cut_off};
use crate::pace::Pace;
use crate::transport::Playback;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::info;

/// Time without audio, in the middle of a response, after which the bot counts as silent. Not sped up: a busy machine
/// is no pause.
const GAP: Duration = Duration::from_millis(350);
/// Lateness that is made up for by playing faster. Not sped up.
const LATE: Duration = Duration::from_millis(100);

pub(crate) struct Speaker {
    pub(crate) pace: Pace,
    pub(crate) playback: mpsc::Sender<Playback>,
    pub(crate) floor: mpsc::Sender<Floor>,
}

/// A response that is being played.
struct Playing {
    response: Response,
    waiting: VecDeque<i16>,
    words: VecDeque<(String, f64)>,
    played: usize,
    /// When the next frame is due. `None` while there is nothing to play.
    due: Option<Instant>,
    /// When the last frame will have sounded.
    sounded: Instant,
    speaking: bool,
    complete: bool,
}

impl Speaker {
    /// Plays until `speech` ends.
    pub(crate) async fn run(self, mut speech: mpsc::Receiver<Speech>) {
        let mut playing: Option<Playing> = None;
        loop {
            let response = playing.as_ref().map(|playing| playing.response.clone());
            let wake = playing.as_ref().and_then(Self::wake);
            let alive = tokio::select! {
                biased;
                () = cut_off(response.as_ref()) => {
                    if let Some(cut) = playing.take() {
                        let _ = self.playback.send(Playback::Clear).await;
                        if cut.speaking {
                            info!(conversation.event = "bot_stopped_speaking");
                        }
                    }
                    true
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.play(&mut playing).await
                }
                piece = speech.recv() => match piece {
                    Some(piece) => self.take(&mut playing, piece).await,
                    None => false,
                },
            };
            if !alive {
                break;
            }
        }
        if playing.is_some_and(|playing| playing.speaking) {
            info!(conversation.event = "bot_stopped_speaking");
        }
    }

    fn wake(playing: &Playing) -> Option<Instant> {
        playing.due.or(match (playing.complete, playing.speaking) {
            (true, _) => Some(playing.sounded),
            (false, true) => Some(playing.sounded + GAP),
            (false, false) => None,
        })
    }

    async fn take(&self, playing: &mut Option<Playing>, piece: Speech) -> bool {
        let (Speech::Audio(response, _) | Speech::Word(response, ..) | Speech::End(response)) =
            &piece;
        if response.is_cancelled() {
            return true;
        }
        let now = Instant::now();
        let current = match playing {
            Some(current) if current.response == *response => current,
            _ => playing.insert(Playing {
                response: response.clone(),
                waiting: VecDeque::new(),
                words: VecDeque::new(),
                played: 0,
                due: None,
                sounded: now,
                speaking: false,
                complete: false,
            }),
        };
        match piece {
            Speech::Audio(_, samples) => {
                current.waiting.extend(samples);
                if current.due.is_none() && current.waiting.len() >= FRAME {
                    current.due = Some(now.max(current.sounded));
                }
            }
            Speech::Word(_, word, start) => current.words.push_back((word, start)),
            Speech::End(_) => {
                current.complete = true;
                if current.due.is_none() && !current.waiting.is_empty() {
                    current.due = Some(now.max(current.sounded));
                }
            }
        }
        true
    }

    /// Plays the frame that is due, or sees that there is none.
    async fn play(&self, playing: &mut Option<Playing>) -> bool {
        let Some(current) = playing else { return true };
        let Some(due) = current.due else {
            if current.speaking {
                current.speaking = false;
                info!(conversation.event = "bot_stopped_speaking");
            }
            if current.complete {
                let response = current.response.clone();
                *playing = None;
                let sent = self.playback.send(Playback::Finished).await.is_ok();
                return sent && self.floor.send(Floor::Finished(response)).await.is_ok();
            }
            return true;
        };
        if !current.speaking {
            current.speaking = true;
            info!(conversation.event = "bot_started_speaking");
        }
        let length = current.waiting.len().min(FRAME);
        let mut frame: Vec<i16> = current.waiting.drain(..length).collect();
        frame.resize(FRAME, 0);
        current.played += FRAME;
        current.response.play(length);
        while current
            .words
            .front()
            .is_some_and(|(_, start)| *start < seconds(current.played))
        {
            if let Some((word, _)) = current.words.pop_front() {
                current.response.spoke(&word);
            }
        }
        // A frame that is late does not delay those after it, unless the machine was away for long.
        let next = (due + self.pace.duration(FRAME_SECS)).max(Instant::now() - LATE);
        current.sounded = next;
        let enough =
            current.waiting.len() >= FRAME || (current.complete && !current.waiting.is_empty());
        current.due = enough.then_some(next);
        self.playback
            .send(Playback::Audio(frame.into()))
            .await
            .is_ok()
    }
}
