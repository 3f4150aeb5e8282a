//! Where the time between the user's last word and the bot's first went.
//!
//! Pure, like the turn model beside it: offsets from the start of the conversation in, durations out. All arithmetic is
//! on whole nanoseconds, so that the parts sum to their interval exactly.

use std::time::Duration;

/// At most so many service spans are remembered for one interval; the oldest are forgotten first.
const REMEMBERED: usize = 64;
/// A part that lasted less is absent.
const ABSENT_UNDER: Duration = Duration::from_micros(500);
/// A part that only some turns have counts as `pipeline` if it lasted less.
const NEGLIGIBLE_UNDER: Duration = Duration::from_millis(5);

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
pub(crate) struct Parts([Duration; Part::ALL.len()]);

impl Parts {
    /// The parts that are present.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Part, Duration)> + '_ {
        Part::ALL
            .into_iter()
            .map(|part| (part, self.of(part)))
            .filter(|(_, lasted)| !lasted.is_zero())
    }

    fn of(&self, part: Part) -> Duration {
        self.0[part as usize]
    }

    fn add(&mut self, part: Part, lasted: Duration) {
        self.0[part as usize] += lasted;
    }

    /// Moves what is too short to be told into `pipeline`, and a `pipeline` too short into the longest part.
    fn settle(&mut self) {
        for part in Part::ALL {
            let lasted = self.of(part);
            if part != Part::Pipeline
                && (lasted < ABSENT_UNDER || (lasted < NEGLIGIBLE_UNDER && !part.is_on_every_way()))
            {
                self.0[part as usize] = Duration::ZERO;
                self.add(Part::Pipeline, lasted);
            }
        }
        let rest = self.of(Part::Pipeline);
        let longest = Part::ALL
            .into_iter()
            .filter(|part| *part != Part::Pipeline)
            .max_by_key(|part| self.of(*part));
        if rest < ABSENT_UNDER
            && let Some(longest) = longest.filter(|part| !self.of(*part).is_zero())
        {
            self.0[Part::Pipeline as usize] = Duration::ZERO;
            self.add(longest, rest);
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

/// The kinds of service whose timing makes a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A language model.
    Llm,
    /// A tool.
    Tool,
    /// Speech synthesis.
    Tts,
    /// Speech to speech: a language model whose first byte is audio.
    Realtime,
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
    stage: Stage,
    started: Duration,
    output: Option<Duration>,
    tool_call: Option<Duration>,
    ended: Option<Duration>,
}

impl Service {
    fn first_byte(&self) -> Option<Duration> {
        match (self.output, self.tool_call) {
            (Some(output), Some(call)) => Some(output.min(call)),
            (first, None) | (None, first) => first,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct SpeechEnd {
    /// When the user fell silent.
    at: Duration,
    /// When that was confirmed.
    confirmed: Duration,
    by_vad: bool,
}

/// What is known of the way from the user's silence to the bot's speech.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    vad_heard: bool,
    /// Forgotten once the bot has spoken.
    speech_end: Option<SpeechEnd>,
    /// As above, but kept: a transcript may arrive after the bot has begun.
    last_speech_end: Option<Duration>,
    connected: Option<Duration>,
    transcripts: Vec<Duration>,
    services: Vec<Service>,
}

impl Latency {
    pub(crate) fn client_connected(&mut self, at: Duration) {
        self.connected = Some(at);
    }

    pub(crate) fn user_started(&mut self) {
        self.connected = None;
        if !self.vad_heard {
            self.forget_speech_end();
        }
    }

    pub(crate) fn user_stopped(&mut self, at: Duration) {
        if !self.vad_heard {
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
        let end = at.saturating_sub(after);
        self.speech_end = Some(SpeechEnd {
            at: end,
            confirmed: at,
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
        push_bounded(&mut self.transcripts, at);
        self.since_speech_end(at)
    }

    /// The time from the end of the user's speech, as voice activity told it, to `at`.
    pub(crate) fn since_speech_end(&self, at: Duration) -> Option<Duration> {
        at.checked_sub(self.last_speech_end?)
            .filter(|since| !since.is_zero())
    }

    pub(crate) fn service_started(&mut self, key: u64, stage: Stage, at: Duration) {
        let service = Service {
            key,
            stage,
            started: at,
            output: None,
            tool_call: None,
            ended: None,
        };
        push_bounded(&mut self.services, service);
    }

    pub(crate) fn first_byte(&mut self, key: u64, at: Duration, what: FirstByte) {
        if let Some(service) = self
            .services
            .iter_mut()
            .rev()
            .find(|service| service.key == key)
        {
            match what {
                FirstByte::Output => service.output.get_or_insert(at),
                FirstByte::ToolCall => service.tool_call.get_or_insert(at),
            };
        }
    }

    pub(crate) fn service_ended(&mut self, key: u64, at: Duration) {
        if let Some(service) = self
            .services
            .iter_mut()
            .rev()
            .find(|service| service.key == key)
        {
            service.ended.get_or_insert(at);
        }
    }

    /// The bot begins to speak: what it took to get there, once.
    pub(crate) fn bot_started(&mut self, at: Duration) -> Option<Measured> {
        let connected = self.connected.take();
        let measured = match (self.speech_end.take(), connected) {
            (Some(end), _) => Some(Measured {
                from: MeasuredFrom::UserSilence,
                total: at.saturating_sub(end.at),
                parts: end
                    .by_vad
                    .then(|| self.parts(end.at, Some(end.confirmed), at)),
            }),
            (None, Some(connected)) => Some(Measured {
                from: MeasuredFrom::ClientConnected,
                total: at.saturating_sub(connected),
                parts: Some(self.parts(connected, None, at)),
            }),
            (None, None) => None,
        };
        self.forget_what_is_over();
        measured
    }

    /// Splits `from..to`. `confirmed` is when the user's silence was; a greeting has none.
    fn parts(&self, from: Duration, confirmed: Option<Duration>, to: Duration) -> Parts {
        let within = |of: fn(Stage) -> bool| {
            self.services.iter().filter(move |service| {
                of(service.stage) && service.started >= from && service.started <= to
            })
        };
        let models = || within(|stage| matches!(stage, Stage::Llm | Stage::Realtime));
        let tools = || within(|stage| stage == Stage::Tool);
        let before_bot = |time: Option<Duration>| time.filter(|time| *time <= to);
        let first_request = models().map(|model| model.started).min();

        let mut way = Way(Vec::with_capacity(8 + 2 * self.services.len()));
        match confirmed {
            Some(confirmed) => {
                way.step(Part::EndpointingWait, from, confirmed);
                let understood_by = first_request.unwrap_or(to);
                let transcript = self
                    .transcripts
                    .iter()
                    .copied()
                    .filter(|at| *at <= understood_by)
                    .max();
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
        for model in models() {
            if let Some(first_byte) = before_bot(model.first_byte()) {
                way.step(Part::LlmInference, model.started, first_byte);
            }
            if let Some(call) = before_bot(model.tool_call)
                && let Some(tool) = tools()
                    .map(|tool| tool.started)
                    .filter(|at| *at >= call)
                    .min()
            {
                way.step(Part::LlmToolCall, call, tool);
            }
        }
        for tool in tools() {
            // One that still runs when the bot speaks was not on the way.
            if let Some(ended) = before_bot(tool.ended) {
                way.step(Part::FunctionHandler, tool.started, ended);
            }
        }
        // The speech that the bot began with is the one whose audio came first.
        let spoken = within(|stage| stage == Stage::Tts)
            .filter_map(|tts| Some((before_bot(tts.output)?, tts.started)))
            .min();
        if let Some((audio, request)) = spoken {
            let text = models()
                .filter_map(|model| model.output)
                .filter(|text| *text <= request)
                .max();
            if let Some(text) = text {
                way.step(Part::SentenceAggregation, text, request);
            }
            way.step(Part::SpeechSynthesis, request, audio);
            way.step(Part::OutputTransport, audio, to);
        } else if let Some(audio) = within(|stage| stage == Stage::Realtime)
            .filter_map(|model| before_bot(model.output))
            .min()
        {
            way.step(Part::OutputTransport, audio, to);
        }
        way.split(from, to)
    }
}

/// Steps on the way, in any order, overlapping or not.
struct Way(Vec<(Duration, Part, Duration)>);

impl Way {
    fn step(&mut self, part: Part, from: Duration, to: Duration) {
        if to > from {
            self.0.push((from, part, to));
        }
    }

    /// Walks the steps in the order of their beginnings. A moment belongs to the step that began first, what no step
    /// covers to `pipeline`; so each moment counts once and the parts sum to the whole.
    fn split(mut self, from: Duration, to: Duration) -> Parts {
        self.0.sort_unstable();
        let mut parts = Parts::default();
        let mut reached = from;
        for (begins, part, ends) in self.0 {
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
