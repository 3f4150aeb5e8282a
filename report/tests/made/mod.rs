//! Made-up calls as OTLP/JSON lines, the same for the same seed.

use serde_json::{Value, json};

/// The generator splitmix64.
pub struct Random(pub u64);

impl Random {
    /// Evenly from 0 to 1.
    pub fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// With the median `median`, and a factor of about 1.5 for each standard deviation: a sum of twelve is nearly normal.
    pub fn around(&mut self, median: f64) -> f64 {
        let normal = (0..12).map(|_| self.share()).sum::<f64>() - 6.0;
        median * (0.4 * normal).exp()
    }
}

pub struct Calls {
    random: Random,
    /// Seconds by which the language model answers later.
    slower: f64,
    made: u64,
    at: u64,
}

impl Calls {
    pub fn new(seed: u64, slower: f64) -> Self {
        Self {
            random: Random(seed),
            slower,
            made: 0,
            at: 1_767_225_600_000_000_000,
        }
    }

    /// A call of one to eight turns: its spans in the order in which they end, the conversation last.
    pub fn next(&mut self) -> Vec<Value> {
        self.made += 1;
        let id = format!("call-{}-{}", self.made, (self.random.share() * 1e6) as u64);
        let trace = format!("{:032x}", (self.random.share() * 1e18) as u128 + 1);
        let mut span = 0_u64;
        let mut new_id = || {
            span += 1;
            format!("{:016x}", (self.made << 12) + span)
        };
        let conversation = new_id();
        let start = self.at;
        let mut spans = Vec::new();
        // Some callers are slower to understand than others, so that turns of a call resemble each other.
        let caller = self.random.around(1.0).sqrt();
        let turns = 1 + (self.random.share() * 8.0) as u64;
        let mut at = start;
        for number in 1..=turns {
            let turn = new_id();
            let parts = [
                ("endpointing_wait", 0.2),
                ("transcription", self.random.around(0.05)),
                ("turn_detection", self.random.around(0.1)),
                (
                    "llm_inference",
                    self.random.around(0.4) * caller + self.slower,
                ),
                ("sentence_aggregation", self.random.around(0.1)),
                ("speech_synthesis", self.random.around(0.15)),
                ("output_transport", 0.05),
            ];
            let latency: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
            let failed = self.random.share() < 0.02;
            let interrupted = !failed && self.random.share() < 0.15;
            let length = latency + self.random.around(3.0);
            let base = |name: &str, id: &str, parent: &str, start: u64, seconds: f64| {
                json!({
                    "traceId": trace, "spanId": id, "parentSpanId": parent, "name": name, "kind": 1, "flags": 257,
                    "traceState": "", "startTimeUnixNano": start.to_string(),
                    "endTimeUnixNano": (start + (seconds * 1e9) as u64).to_string(),
                    "events": [], "links": [], "status": {"message": "", "code": 0},
                })
            };
            let own = [
                ("conversation.id", json!({"stringValue": id})),
                ("turn.number", json!({"intValue": number.to_string()})),
            ];
            let heard = "I would like to know what the weather will be like tomorrow in the north of the country, and whether I need a coat.";
            let said = "Tomorrow it will be mostly sunny in the north, with a light breeze from the west and a high of twenty-one degrees.";
            let mut put = |mut span: Value, more: Vec<(&str, Value)>| {
                let attributes = own.iter().cloned().chain(more);
                span["attributes"] = attributes
                    .map(|(key, value)| json!({"key": key, "value": value}))
                    .collect();
                spans.push(span);
            };
            let text = |text: &str| json!({"stringValue": text});
            let int = |int: u64| json!({"intValue": int.to_string()});
            let double = |double: f64| json!({"doubleValue": double});
            put(
                base("stt", &new_id(), &turn, at, 1.5),
                vec![
                    ("gen_ai.operation.name", text("stt")),
                    ("gen_ai.provider.name", text("deepgram")),
                    ("gen_ai.request.model", text("nova-3")),
                    ("metrics.ttfb", double(parts[1].1)),
                    ("metrics.audio_seconds", double(1.5)),
                    ("transcript", text(heard)),
                ],
            );
            let mut llm = base("llm", &new_id(), &turn, at, latency);
            let mut more = vec![
                ("gen_ai.operation.name", text("chat")),
                ("gen_ai.provider.name", text("openai")),
                (
                    "gen_ai.request.model",
                    text(if number % 2 == 0 {
                        "gpt-4o"
                    } else {
                        "gpt-4o-mini"
                    }),
                ),
                ("gen_ai.usage.input_tokens", int(100 + number * 50)),
                (
                    "gen_ai.usage.output_tokens",
                    int(20 + (self.random.share() * 40.0) as u64),
                ),
                ("usage.cost_usd", double(0.000_4 * self.random.around(1.0))),
                ("output", text(said)),
            ];
            if failed {
                llm["status"] = json!({"message": "503 from upstream", "code": 2});
                more.push(("error.type", text("503")));
            } else {
                more.push(("metrics.ttfb", double(parts[3].1)));
            }
            put(llm, more);
            let mut turn_attributes = vec![
                ("turn.type", text("conversation")),
                ("turn.duration_seconds", double(length)),
                (
                    "turn.was_interrupted",
                    json!({"boolValue": interrupted || number == turns}),
                ),
                (
                    "turn.end_reason",
                    text(match number {
                        _ if interrupted => "interrupted",
                        number if number == turns => "conversation_ended",
                        _ => "user_spoke",
                    }),
                ),
                ("turn.input", text(heard)),
            ];
            if !failed {
                put(
                    base("tts", &new_id(), &turn, at, 2.0),
                    vec![
                        ("gen_ai.operation.name", text("tts")),
                        ("gen_ai.provider.name", text("cartesia")),
                        ("gen_ai.request.model", text("sonic-2")),
                        ("metrics.ttfb", double(parts[5].1)),
                        ("metrics.character_count", int(said.len() as u64)),
                        ("text", text(said)),
                        ("interrupted", json!({"boolValue": interrupted})),
                    ],
                );
                turn_attributes.push(("turn.user_bot_latency_seconds", double(latency)));
                turn_attributes.push(("turn.latency.measured_from", text("user_silence")));
                turn_attributes.push(("turn.output", text(said)));
            }
            let names = parts.map(|(part, seconds)| (format!("turn.latency.{part}"), seconds));
            if !failed {
                turn_attributes.extend(
                    names
                        .iter()
                        .map(|(name, seconds)| (name.as_str(), double(*seconds))),
                );
            }
            put(
                base("turn", &turn, &conversation, at, length),
                turn_attributes,
            );
            at += (length * 1e9) as u64;
        }
        let duration = (at - start) as f64 / 1e9;
        spans.push(json!({
            "traceId": trace, "spanId": conversation, "name": "conversation", "kind": 1,
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": at.to_string(), "status": {"message": "", "code": 0},
            "attributes": [
                {"key": "conversation.id", "value": {"stringValue": id}},
                {"key": "conversation.type", "value": {"stringValue": "voice"}},
                {"key": "conversation.turn_count", "value": {"intValue": turns.to_string()}},
                {"key": "conversation.duration_seconds", "value": {"doubleValue": duration}},
                {"key": "conversation.dead_air_seconds", "value": {"doubleValue": self.random.share()}},
            ],
        }));
        self.at = at;
        spans
    }
}

/// One export request as a line.
pub fn line(spans: &[Value]) -> String {
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "made-up"}}]},
        "scopeSpans": [{"scope": {"name": "tracing-conversation"}, "spans": spans}],
    }]});
    request.to_string() + "\n"
}
