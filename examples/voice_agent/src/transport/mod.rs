//! Where the user is: the bundled caller, a WAV file, or a browser.

pub(crate) mod caller;
pub(crate) mod record;
pub(crate) mod wav;
pub(crate) mod web;

use crate::audio::Samples;
use tokio::sync::mpsc;

/// One user's line.
pub(crate) struct Connection {
    /// What the user says, frame by frame, at the speed of sound. Its end is the client's disconnect.
    pub(crate) microphone: mpsc::Receiver<Samples>,
    /// What the user hears.
    pub(crate) speaker: mpsc::Sender<Playback>,
}

/// To the user's end of the line.
#[derive(Clone, Debug)]
pub(crate) enum Playback {
    Audio(Samples),
    /// Drop what has not sounded yet: the bot was cut off.
    Clear,
    /// The bot has finished what it had to say.
    Finished,
}

/// Frames that a line holds in each direction: two seconds.
const BUFFERED: usize = 64;

/// Both ends of a line: the agent's, and what the user's end reads and writes.
fn line() -> (Connection, mpsc::Sender<Samples>, mpsc::Receiver<Playback>) {
    let (said, microphone) = mpsc::channel(BUFFERED);
    let (speaker, heard) = mpsc::channel(BUFFERED);
    (
        Connection {
            microphone,
            speaker,
        },
        said,
        heard,
    )
}
