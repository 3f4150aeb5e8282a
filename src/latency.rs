//! Where the time between the user's last word and the bot's first went.
//!
//! Pure, like the turn model beside it: offsets from the start of the conversation in, durations out. All arithmetic is
//! on whole nanoseconds, so that the parts sum to their interval exactly.

use crate::service_kind::ServiceKind;
use std::time::Duration;

/// At most so many service spans are remembered for one interval; the oldest are forgotten first.
const REMEMBERED: usize = 64;
/// A part that lasted less is absent.
const ABSENT_UNDER: Nanos = 500_000;
/// A part that only some turns have counts as `pipeline` if it lasted less.
const NEGLIGIBLE_UNDER: Nanos = 5_000_000;

/// Whole nanoseconds between two points in time, or since [`EPOCH`]: enough for centuries.
type Nanos = u64;

/// Points in time are counted from a day before the conversation's start: the user's silence may begin before it.
const EPOCH: Nanos = 24 * 60 * 60 * 1_000_000_000;

fn nanos(time: Duration) -> Nanos {
    let whole = time.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(time.subsec_nanos().into())
}

/// The point in time that lies `offset` after the conversation's start.
fn point(offset: Duration) -> Nanos {
    EPOCH.saturating_add(nanos(offset))
}

/// A part of the way from the user's silence to the bot's speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    EndpointingWait,
    Transcription,
    TurnDetection,
    FirstRequest,
    LlmInference,
    LlmToolCall,
    FunctionHandler,
    SentenceAggregation,
    SpeechSynthesis,
    OutputTransport,
    Pipeline,
}

impl Part {
    /// Every part, in the order of its way.
    pub(crate) const ALL: [Self; 11] = [
        Self::EndpointingWait,
        Self::Transcription,
        Self::TurnDetection,
        Self::FirstRequest,
        Self::LlmInference,
        Self::LlmToolCall,
        Self::FunctionHandler,
        Self::SentenceAggregation,
        Self::SpeechSynthesis,
        Self::OutputTransport,
        Self::Pipeline,
    ];

    /// The attribute that carries the part, in seconds.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::EndpointingWait => "turn.latency.endpointing_wait",
            Self::Transcription => "turn.latency.transcription",
            Self::TurnDetection => "turn.latency.turn_detection",
            Self::FirstRequest => "turn.latency.first_request",
            Self::LlmInference => "turn.latency.llm_inference",
            Self::LlmToolCall => "turn.latency.llm_tool_call",
            Self::FunctionHandler => "turn.latency.function_handler",
            Self::SentenceAggregation => "turn.latency.sentence_aggregation",
            Self::SpeechSynthesis => "turn.latency.speech_synthesis",
            Self::OutputTransport => "turn.latency.output_transport",
            Self::Pipeline => "turn.latency.pipeline",
        }
    }

    fn is_on_every_way(self) -> bool {
        !matches!(
            self,
            Self::FirstRequest | Self::LlmToolCall | Self::FunctionHandler | Self::Pipeline
        )
    }
}

/// Where an interval is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeasuredFrom {
    /// The end of the user's speech.
    UserSilence,
    /// The client's connection: a greeting.
    ClientConnected,
}

impl MeasuredFrom {
    /// The value of `turn.latency.measured_from`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::UserSilence => "user_silence",
            Self::ClientConnected => "client_connected",
        }
    }
}

/// The durations of all parts; zero where one is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts([Nanos; Part::ALL.len()]);

impl Parts {
    /// The parts that are present.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Part, Duration)> + '_ {
        Part::ALL
            .into_iter()
            .zip(self.0)
            .filter(|(_, lasted)| *lasted != 0)
            .map(|(part, lasted)| (part, Duration::from_nanos(lasted)))
    }

    fn add(&mut self, part: Part, lasted: Nanos) {
        self.0[part as usize] += lasted;
    }

    /// Moves what is too short to be told into `pipeline`, and a `pipeline` too short into the longest part.
    fn settle(&mut self) {
        let mut rest = self.0[Part::Pipeline as usize];
        let mut longest = Part::Pipeline as usize;
        let mut most = 0;
        for part in Part::ALL {
            let lasted = &mut self.0[part as usize];
            if *lasted == 0 || part == Part::Pipeline {
                continue;
            }
            if *lasted < ABSENT_UNDER || (*lasted < NEGLIGIBLE_UNDER && !part.is_on_every_way()) {
                rest += std::mem::take(lasted);
            } else if *lasted >= most {
                (longest, most) = (part as usize, *lasted);
            }
        }
        self.0[Part::Pipeline as usize] = rest;
        if rest < ABSENT_UNDER && longest != Part::Pipeline as usize {
            self.0[Part::Pipeline as usize] = 0;
            self.0[longest] += rest;
        }
    }
}

/// One measured interval that ended when the bot began to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) from: MeasuredFrom,
    pub(crate) total: Duration,
    /// Absent where the interval has no voice activity to stand on.
    pub(crate) parts: Option<Parts>,
}

/// What a service's first byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstByte {
    /// Text or audio.
    Output,
    /// The start of a tool call.
    ToolCall,
}

#[derive(Debug)]
struct Service {
    key: u64,
    kind: ServiceKind,
    started: Nanos,
    output: Option<Nanos>,
    tool_call: Option<Nanos>,
    ended: Option<Nanos>,
}

impl Service {
    fn first_byte(&self) -> Option<Nanos> {
        match (self.output, self.tool_call) {
            (Some(output), Some(call)) => Some(output.min(call)),
            (first, None) | (None, first) => first,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct SpeechEnd {
    /// When the user fell silent.
    at: Nanos,
    /// When that was confirmed.
    confirmed: Nanos,
    by_vad: bool,
}

/// What is known of the way from the user's silence to the bot's speech.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    vad_heard: bool,
    /// Forgotten once the bot has spoken.
    speech_end: Option<SpeechEnd>,
    /// As above, but kept: a transcript may arrive after the bot has begun.
    last_speech_end: Option<Nanos>,
    connected: Option<Nanos>,
    transcripts: Vec<Nanos>,
    services: Vec<Service>,
    way: Way,
}

impl Latency {
    pub(crate) fn client_connected(&mut self, at: Duration) {
        self.connected = Some(point(at));
    }

    pub(crate) fn user_started(&mut self) {
        self.connected = None;
        if !self.vad_heard {
            self.forget_speech_end();
        }
    }

    pub(crate) fn user_stopped(&mut self, at: Duration) {
        if !self.vad_heard {
            let at = point(at);
            self.speech_end = Some(SpeechEnd {
                at,
                confirmed: at,
                by_vad: false,
            });
        }
    }

    pub(crate) fn vad_started(&mut self) {
        self.vad_heard = true;
        self.connected = None;
        self.forget_speech_end();
    }

    /// Silence is confirmed at `at`, `after` it began.
    pub(crate) fn vad_stopped(&mut self, at: Duration, after: Duration) {
        self.vad_heard = true;
        let confirmed = point(at);
        let end = confirmed.saturating_sub(nanos(after));
        self.speech_end = Some(SpeechEnd {
            at: end,
            confirmed,
            by_vad: true,
        });
        self.last_speech_end = Some(end);
    }

    fn forget_speech_end(&mut self) {
        self.speech_end = None;
        self.last_speech_end = None;
        self.forget_what_is_over();
    }

    fn forget_what_is_over(&mut self) {
        self.transcripts.clear();
        self.services.retain(|service| service.ended.is_none());
    }

    /// The user's words have arrived in full. Gives the time since the end of the user's speech, if that is known.
    pub(crate) fn final_transcript(&mut self, at: Duration) -> Option<Duration> {
        push_bounded(&mut self.transcripts, point(at));
        self.since_speech_end(at)
    }

    /// The time from the end of the user's speech, as voice activity told it, to `at`.
    pub(crate) fn since_speech_end(&self, at: Duration) -> Option<Duration> {
        let since = point(at).checked_sub(self.last_speech_end?)?;
        (since != 0).then(|| Duration::from_nanos(since))
    }

    pub(crate) fn service_started(&mut self, key: u64, kind: ServiceKind, at: Duration) {
        let service = Service {
            key,
            kind,
            started: point(at),
            output: None,
            tool_call: None,
            ended: None,
        };
        push_bounded(&mut self.services, service);
    }

    /// What a service does turns out only now.
    pub(crate) fn service_is(&mut self, key: u64, kind: ServiceKind, started: Duration) {
        match self.service_mut(key) {
            Some(service) => service.kind = kind,
            None => self.service_started(key, kind, started),
        }
    }

    fn service_mut(&mut self, key: u64) -> Option<&mut Service> {
        let mut latest = self.services.iter_mut().rev();
        latest.find(|service| service.key == key)
    }

    pub(crate) fn first_byte(&mut self, key: u64, at: Duration, what: FirstByte) {
        if let Some(service) = self.service_mut(key) {
            match what {
                FirstByte::Output => service.output.get_or_insert(point(at)),
                FirstByte::ToolCall => service.tool_call.get_or_insert(point(at)),
            };
        }
    }

    pub(crate) fn service_ended(&mut self, key: u64, at: Duration) {
        if let Some(service) = self.service_mut(key) {
            service.ended.get_or_insert(point(at));
        }
    }

    /// The bot begins to speak: what it took to get there, once.
    pub(crate) fn bot_started(&mut self, at: Duration) -> Option<Measured> {
        let at = point(at);
        let connected = self.connected.take();
        let (from, since, parts) = match (self.speech_end.take(), connected) {
            (Some(end), _) => {
                let parts = end
                    .by_vad
                    .then(|| self.parts(end.at, Some(end.confirmed), at));
                (MeasuredFrom::UserSilence, end.at, parts)
            }
            (None, Some(connected)) => {
                let parts = self.parts(connected, None, at);
                (MeasuredFrom::ClientConnected, connected, Some(parts))
            }
            (None, None) => {
                self.forget_what_is_over();
                return None;
            }
        };
        self.forget_what_is_over();
        Some(Measured {
            from,
            total: Duration::from_nanos(at.saturating_sub(since)),
            parts,
        })
    }

    /// Splits `from..to`. `confirmed` is when the user's silence was; a greeting has none.
    fn parts(&mut self, from: Nanos, confirmed: Option<Nanos>, to: Nanos) -> Parts {
        let way = &mut self.way;
        way.steps.clear();
        let within = || {
            let services = self.services.iter();
            services.filter(|service| service.started >= from && service.started <= to)
        };
        let is_model = |service: &&Service| service.kind.is_model();
        let before_bot = |time: Option<Nanos>| time.filter(|time| *time <= to);
        let first_request = within().filter(is_model).map(|model| model.started).min();

        match confirmed {
            Some(confirmed) => {
                way.step(Part::EndpointingWait, from, confirmed);
                let understood_by = first_request.unwrap_or(to);
                let transcripts = self.transcripts.iter().copied();
                let transcript = transcripts.filter(|at| *at <= understood_by).max();
                let understood = transcript.map_or(confirmed, |at| at.max(confirmed));
                way.step(Part::Transcription, confirmed, understood);
                if let Some(request) = first_request {
                    way.step(Part::TurnDetection, understood, request);
                }
            }
            None => {
                if let Some(request) = first_request {
                    way.step(Part::FirstRequest, from, request);
                }
            }
        }
        // The speech that the bot began with is the one whose audio came first.
        let mut spoken = None;
        let mut realtime = None;
        for service in within() {
            if is_model(&service) {
                if let Some(first_byte) = before_bot(service.first_byte()) {
                    way.step(Part::LlmInference, service.started, first_byte);
                }
                if let Some(call) = before_bot(service.tool_call) {
                    let tools = within().filter(|tool| tool.kind == ServiceKind::Tool);
                    let tool = tools
                        .map(|tool| tool.started)
                        .filter(|at| *at >= call)
                        .min();
                    way.step(Part::LlmToolCall, call, tool.unwrap_or(call));
                }
            }
            match service.kind {
                // One that still runs when the bot speaks was not on the way.
                ServiceKind::Tool => {
                    if let Some(ended) = before_bot(service.ended) {
                        way.step(Part::FunctionHandler, service.started, ended);
                    }
                }
                ServiceKind::Tts => {
                    if let Some(audio) = before_bot(service.output) {
                        let this = (audio, service.started);
                        spoken = Some(spoken.map_or(this, |other| this.min(other)));
                    }
                }
                ServiceKind::Realtime => {
                    if let Some(audio) = before_bot(service.output) {
                        realtime = Some(realtime.map_or(audio, |other| audio.min(other)));
                    }
                }
                ServiceKind::Llm | ServiceKind::Stt | ServiceKind::Other => {}
            }
        }
        if let Some((audio, request)) = spoken {
            let texts = within().filter(is_model).filter_map(|model| model.output);
            if let Some(text) = texts.filter(|text| *text <= request).max() {
                way.step(Part::SentenceAggregation, text, request);
            }
            way.step(Part::SpeechSynthesis, request, audio);
            way.step(Part::OutputTransport, audio, to);
        } else if let Some(audio) = realtime {
            way.step(Part::OutputTransport, audio, to);
        }
        way.split(from, to)
    }
}

/// Steps on the way, in any order, overlapping or not. Kept from one interval to the next for its room.
#[derive(Debug, Default)]
struct Way {
    steps: Vec<(Nanos, Part, Nanos)>,
}

impl Way {
    fn step(&mut self, part: Part, from: Nanos, to: Nanos) {
        if to > from {
            self.steps.push((from, part, to));
        }
    }

    /// Walks the steps in the order of their beginnings. A moment belongs to the step that began first, what no step
    /// covers to `pipeline`; so each moment counts once and the parts sum to the whole.
    fn split(&mut self, from: Nanos, to: Nanos) -> Parts {
        self.steps.sort_unstable();
        let mut parts = Parts::default();
        let mut reached = from;
        for &(begins, part, ends) in &self.steps {
            let (begins, ends) = (begins.max(reached), ends.min(to));
            if ends > begins {
                parts.add(Part::Pipeline, begins - reached);
                parts.add(part, ends - begins);
                reached = ends;
            }
        }
        parts.add(Part::Pipeline, to.saturating_sub(reached));
        parts.settle();
        parts
    }
}

fn push_bounded<T>(remembered: &mut Vec<T>, new: T) {
    if remembered.len() >= REMEMBERED {
        remembered.remove(0);
    }
    remembered.push(new);
}

#[cfg(test)]
mod properties;
