//! Splits the time between the end of the user's speech and the start of the bot's into parts.
//!
//! Pure, like the turn model: it takes offsets from the start of the conversation and returns durations. All arithmetic is
//! on whole nanoseconds, so that the parts sum exactly to their interval.

use crate::service_kind::ServiceKind;
use std::time::Duration;

/// The most service spans, and transcripts, kept for one interval; the oldest are dropped first.
const MAX_KEPT: usize = 64;
/// A shorter part is absent.
const ABSENT_UNDER: Nanos = 500_000;
/// A shorter part counts as `pipeline` if it is one that only some turns have.
const NEGLIGIBLE_UNDER: Nanos = 5_000_000;

/// Nanoseconds between two points in time, or since [`EPOCH`]: enough for centuries.
type Nanos = u64;

/// Points in time are counted from a day before the conversation's start, because the user's silence may begin before it.
const EPOCH: Nanos = 24 * 60 * 60 * 1_000_000_000;

fn nanos(time: Duration) -> Nanos {
    let whole = time.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(time.subsec_nanos().into())
}

/// Returns the point in time `offset` after the conversation's start.
fn point(offset: Duration) -> Nanos {
    EPOCH.saturating_add(nanos(offset))
}

/// A part of the interval from the user's silence, or for a greeting the client's connection, to the bot's speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Part {
    /// From the user's silence to its confirmation.
    EndpointingWait,
    /// To the final transcript.
    Transcription,
    /// To the request to a language model.
    TurnDetection,
    /// Of a greeting: from the client's connection to that request.
    FirstRequest,
    /// From a request to its first byte.
    LlmInference,
    /// From the first byte of a tool call to the start of the tool.
    LlmToolCall,
    /// Tools run.
    FunctionHandler,
    /// From a language model's first text to the request for speech.
    SentenceAggregation,
    /// From that request to its first audio.
    SpeechSynthesis,
    /// To the bot's speech.
    OutputTransport,
    /// Whatever no other part names.
    Pipeline,
}

impl Part {
    /// Every part, in the order in which they usually occur.
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

    /// Returns the attribute that carries the part, in seconds.
    pub fn attribute(self) -> &'static str {
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

    /// Returns its name: that of the attribute without `turn.latency.`.
    pub fn name(self) -> &'static str {
        let attribute = self.attribute();
        attribute.strip_prefix("turn.latency.").unwrap_or(attribute)
    }

    fn is_in_every_turn(self) -> bool {
        !matches!(
            self,
            Self::FirstRequest | Self::LlmToolCall | Self::FunctionHandler | Self::Pipeline
        )
    }
}

/// What an interval is measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MeasuredFrom {
    /// The end of the user's speech.
    UserSilence,
    /// The client's connection, for a greeting.
    ClientConnected,
}

impl MeasuredFrom {
    /// Returns the value of `turn.latency.measured_from`.
    pub fn as_str(self) -> &'static str {
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
    /// Returns the parts that are present.
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

    /// Moves parts that are too short into `pipeline`, and a `pipeline` that is too short into the longest part.
    fn fold_short_parts(&mut self) {
        let mut rest = self.0[Part::Pipeline as usize];
        let mut longest = Part::Pipeline as usize;
        let mut most = 0;
        for part in Part::ALL {
            let lasted = &mut self.0[part as usize];
            if *lasted == 0 || part == Part::Pipeline {
                continue;
            }
            if *lasted < ABSENT_UNDER || (*lasted < NEGLIGIBLE_UNDER && !part.is_in_every_turn()) {
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

/// A measured interval, which ended when the bot started to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) from: MeasuredFrom,
    pub(crate) total: Duration,
    /// `None` if the end of speech is not known from voice activity.
    pub(crate) parts: Option<Parts>,
}

/// What the first byte of a service was.
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
    /// When the user stopped speaking.
    at: Nanos,
    /// When the silence was confirmed.
    confirmed: Nanos,
    by_vad: bool,
}

/// What has been recorded since the user stopped speaking.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    has_vad_events: bool,
    /// Cleared when the bot starts to speak.
    speech_end: Option<SpeechEnd>,
    /// The same point in time, kept while the bot speaks: a transcript may arrive late.
    last_speech_end: Option<Nanos>,
    connected: Option<Nanos>,
    transcripts: Vec<Nanos>,
    services: Vec<Service>,
    steps: Steps,
}

impl Latency {
    pub(crate) fn client_connected(&mut self, at: Duration) {
        self.connected = Some(point(at));
    }

    pub(crate) fn user_started(&mut self) {
        self.connected = None;
        if !self.has_vad_events {
            self.clear_speech_end();
        }
    }

    pub(crate) fn user_stopped(&mut self, at: Duration) {
        if !self.has_vad_events {
            let at = point(at);
            self.speech_end = Some(SpeechEnd {
                at,
                confirmed: at,
                by_vad: false,
            });
        }
    }

    pub(crate) fn vad_started(&mut self) {
        self.has_vad_events = true;
        self.connected = None;
        self.clear_speech_end();
    }

    /// Silence is confirmed at `at`, `stop_duration` after it began.
    pub(crate) fn vad_stopped(&mut self, at: Duration, stop_duration: Duration) {
        self.has_vad_events = true;
        let confirmed = point(at);
        let end = confirmed.saturating_sub(nanos(stop_duration));
        self.speech_end = Some(SpeechEnd {
            at: end,
            confirmed,
            by_vad: true,
        });
        self.last_speech_end = Some(end);
    }

    fn clear_speech_end(&mut self) {
        self.speech_end = None;
        self.last_speech_end = None;
        self.clear_ended();
    }

    fn clear_ended(&mut self) {
        self.transcripts.clear();
        self.services.retain(|service| service.ended.is_none());
    }

    /// Records a final transcript. Returns the time since the end of the user's speech, if that is known.
    pub(crate) fn final_transcript(&mut self, at: Duration) -> Option<Duration> {
        push_bounded(&mut self.transcripts, point(at));
        self.since_speech_end(at)
    }

    /// Returns the time from the end of the user's speech, according to voice activity events, to `at`.
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

    /// Sets the kind of a service that was not known when its span started.
    pub(crate) fn set_service_kind(&mut self, key: u64, kind: ServiceKind, started: Duration) {
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

    /// The bot starts to speak. Returns the interval that ends with it, unless it has been returned already.
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
                self.clear_ended();
                return None;
            }
        };
        self.clear_ended();
        Some(Measured {
            from,
            total: Duration::from_nanos(at.saturating_sub(since)),
            parts,
        })
    }

    /// Splits `from..to`. `confirmed` is when the user's silence was confirmed; `None` for a greeting.
    fn parts(&mut self, from: Nanos, confirmed: Option<Nanos>, to: Nanos) -> Parts {
        let steps = &mut self.steps;
        steps.0.clear();
        let within = || {
            let services = self.services.iter();
            services.filter(|service| service.started >= from && service.started <= to)
        };
        let is_model = |service: &&Service| service.kind.is_model();
        let before_bot = |time: Option<Nanos>| time.filter(|time| *time <= to);
        let first_request = within().filter(is_model).map(|model| model.started).min();

        match confirmed {
            Some(confirmed) => {
                steps.add(Part::EndpointingWait, from, confirmed);
                let transcribed_by = first_request.unwrap_or(to);
                let transcripts = self.transcripts.iter().copied();
                let transcript = transcripts.filter(|at| *at <= transcribed_by).max();
                let transcribed = transcript.map_or(confirmed, |at| at.max(confirmed));
                steps.add(Part::Transcription, confirmed, transcribed);
                if let Some(request) = first_request {
                    steps.add(Part::TurnDetection, transcribed, request);
                }
            }
            None => {
                if let Some(request) = first_request {
                    steps.add(Part::FirstRequest, from, request);
                }
            }
        }
        // The bot's speech starts with the audio that arrived first.
        let mut spoken = None;
        let mut realtime = None;
        for service in within() {
            if is_model(&service) {
                if let Some(first_byte) = before_bot(service.first_byte()) {
                    steps.add(Part::LlmInference, service.started, first_byte);
                }
                if let Some(call) = before_bot(service.tool_call) {
                    let tools = within().filter(|tool| tool.kind == ServiceKind::Tool);
                    let tool = tools
                        .map(|tool| tool.started)
                        .filter(|at| *at >= call)
                        .min();
                    steps.add(Part::LlmToolCall, call, tool.unwrap_or(call));
                }
            }
            match service.kind {
                // The bot did not wait for a tool that is still running.
                ServiceKind::Tool => {
                    if let Some(ended) = before_bot(service.ended) {
                        steps.add(Part::FunctionHandler, service.started, ended);
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
                steps.add(Part::SentenceAggregation, text, request);
            }
            steps.add(Part::SpeechSynthesis, request, audio);
            steps.add(Part::OutputTransport, audio, to);
        } else if let Some(audio) = realtime {
            steps.add(Part::OutputTransport, audio, to);
        }
        steps.split(from, to)
    }
}

/// The steps of an interval, in any order, possibly overlapping. Reused for each interval to keep its allocation.
#[derive(Debug, Default)]
struct Steps(Vec<(Nanos, Part, Nanos)>);

impl Steps {
    fn add(&mut self, part: Part, from: Nanos, to: Nanos) {
        if to > from {
            self.0.push((from, part, to));
        }
    }

    /// Splits `from..to` among the steps. Where steps overlap, the time counts for the one that started first; time that
    /// no step covers counts as `pipeline`. So the parts sum to the whole.
    fn split(&mut self, from: Nanos, to: Nanos) -> Parts {
        self.0.sort_unstable();
        let mut parts = Parts::default();
        let mut reached = from;
        for &(start, part, end) in &self.0 {
            let (start, end) = (start.max(reached), end.min(to));
            if end > start {
                parts.add(Part::Pipeline, start - reached);
                parts.add(part, end - start);
                reached = end;
            }
        }
        parts.add(Part::Pipeline, to.saturating_sub(reached));
        parts.fold_short_parts();
        parts
    }
}

fn push_bounded<T>(kept: &mut Vec<T>, new: T) {
    if kept.len() >= MAX_KEPT {
        kept.remove(0);
    }
    kept.push(new);
}

#[cfg(test)]
mod properties;
