//! The clients against the stand-ins, and against peers that split and merge what they send.

use super::{Patience, cartesia, deepgram};
use crate::audio::{FRAME, Samples, read_wav};
use crate::context::{Function, Message, ToolCall};
use crate::frames::{Floor, Heard, Response, Sentence, Speech, Words};
use crate::pace::Pace;
use crate::secret::Secret;
use crate::services::openai::OpenAi;
use crate::stand_in::faults::{Fault, Kind, Provider};
use crate::stand_in::{Behaviour, Delays, StandIns};
use crate::tests::{Collected, essence, tree};
use crate::transport::caller;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Message as Wire, Utf8Bytes};
use tokio_util::sync::CancellationToken;

const WRONG_KEY: &str = "sk-this-key-must-not-leak";
/// Only for providers that are silent on purpose: a busy machine must not look like one.
const IMPATIENT: Patience = Patience {
    connect: Duration::from_secs(5),
    silence: Duration::from_millis(400),
    settle: Duration::from_millis(100),
    keep_alive: Duration::from_secs(4),
};

fn patience(faults: &[(Provider, u64, Kind)]) -> Patience {
    let silent = faults.iter().any(|(.., kind)| *kind == Kind::Silence);
    if silent {
        IMPATIENT
    } else {
        Patience::default()
    }
}

async fn stand_ins(faults: &[(Provider, u64, Kind)]) -> StandIns {
    let faults = faults
        .iter()
        .map(|&(provider, nth, kind)| Fault {
            provider,
            nth,
            kind,
        })
        .collect();
    let behaviour = Behaviour {
        seed: 1,
        pace: Pace::times(20.0),
        delays: Delays::default(),
        faults,
    };
    StandIns::start(behaviour).await.unwrap()
}

/// What was exported, key by key: the place to look for what must not be there.
fn everything(collected: &Collected) -> String {
    format!("{:?}", collected.spans())
}

/// The service spans and how they ended. The spans below them are HTTP's.
fn outcome(collected: &Collected) -> String {
    let spans = collected.spans();
    let services: Vec<_> = spans
        .into_iter()
        .filter(|span| matches!(&*span.name, "stt" | "llm" | "tts"))
        .collect();
    let ids: Vec<_> = services
        .iter()
        .map(|span| span.span_context.span_id())
        .collect();
    assert!(
        services
            .iter()
            .all(|span| !ids.contains(&span.parent_span_id))
    );
    let mut roots = services;
    roots
        .iter_mut()
        .for_each(|span| span.parent_span_id = opentelemetry::trace::SpanId::INVALID);
    tree(&roots, essence)
}

mod llm {
    use super::*;
    use crate::services::ServiceError;
    use crate::services::openai::{Answer, Config, MAX_COMPLETION_TOKENS};

    fn config(base_url: String, key: &str) -> Config {
        Config {
            base_url,
            key: Secret::new(key),
            model: "m".to_owned(),
            temperature: None,
            max_completion_tokens: MAX_COMPLETION_TOKENS,
        }
    }

    async fn chat(
        config: Config,
        patience: Patience,
        words: mpsc::Sender<Words>,
    ) -> Result<Answer, ServiceError> {
        let client = OpenAi::new(crate::http_client().unwrap(), config, patience);
        let response = Response::new(1, &CancellationToken::new());
        let messages = [
            Message::new("system", "Be kind."),
            Message::new("user", "Hello"),
        ];
        client.chat(&messages, &[], "c1", &response, &words).await
    }

    /// Asks once; returns what came of it, the text that was passed on, and the spans.
    async fn ask(
        base_url: String,
        key: &str,
        patience: Patience,
    ) -> (Result<String, String>, String, Collected) {
        let (collected, _installed) = Collected::install();
        let (words, mut heard) = mpsc::channel(100);
        let answer = chat(config(base_url, key), patience, words).await;
        let mut text = String::new();
        while let Some(Words::Delta(_, delta)) = heard.recv().await {
            text.push_str(&delta);
        }
        let answer = answer
            .map(|answer| answer.text)
            .map_err(|error| error.to_string());
        (answer, text, collected)
    }

    async fn ask_with(kind: Kind) -> (Result<String, String>, String, Collected) {
        let faults = [(Provider::OpenAi, 1, kind)];
        let config = stand_ins(&faults).await.openai();
        ask(config.base_url, config.key.expose(), patience(&faults)).await
    }

    #[tokio::test]
    async fn an_answer_that_starts_slowly_is_waited_for() {
        let (answer, text, collected) = ask_with(Kind::Slow(4.0)).await;
        assert_eq!(
            answer.unwrap(),
            "Hello to you too. Where would you like to go?"
        );
        assert_eq!(text, "Hello to you too. Where would you like to go?");
        assert_eq!(
            outcome(&collected),
            "\nllm Hello to you too. Where would you like to go?\n"
        );
    }

    #[tokio::test]
    async fn a_refused_key_is_a_permanent_error_and_does_not_leak() {
        let stand_ins = stand_ins(&[]).await;
        let (answer, _, collected) =
            ask(stand_ins.openai().base_url, WRONG_KEY, Patience::default()).await;
        assert_eq!(
            answer.unwrap_err(),
            "invalid_api_key: HTTP 401: Incorrect API key provided: ***."
        );
        assert_eq!(outcome(&collected), "\nllm invalid_api_key | ERROR\n");
        assert!(!everything(&collected).contains(WRONG_KEY));
    }

    /// A server that refuses everything with `status` and `body`.
    async fn refusing(status: &str, body: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 16_384];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn key_repeated_in_any_part_of_a_refusal_does_not_leak() {
        let masked = "sk-this*************leak";
        for body in [
            format!(r#"{{"error": {{"message": "wrong key", "code": "{WRONG_KEY}"}}}}"#),
            format!(r#"{{"error": "wrong key {masked}"}}"#),
            format!("<html>{} {WRONG_KEY}</html>", "x".repeat(280)),
        ] {
            let (answer, _, collected) = ask(
                refusing("401 Unauthorized", body).await,
                WRONG_KEY,
                Patience::default(),
            )
            .await;
            let shown = answer.unwrap_err() + &everything(&collected);
            assert!(shown.contains("***"), "{shown}");
            for part in [WRONG_KEY, masked, &WRONG_KEY[..8]] {
                assert!(!shown.contains(part), "{part} is in {shown}");
            }
        }
    }

    #[tokio::test]
    async fn refusals_of_compatible_servers_are_understood() {
        for (body, error) in [
            (
                r#"{"error": "model 'm' not found"}"#,
                "404: HTTP 404: model 'm' not found",
            ),
            (
                r#"{"error": {"code": 404, "message": "no such model", "type": null}}"#,
                "404: HTTP 404: no such model",
            ),
            ("not here", "404: HTTP 404: not here"),
        ] {
            let url = refusing("404 Not Found", body.to_owned()).await;
            let (answer, ..) = ask(url, "k", Patience::default()).await;
            assert_eq!(answer.unwrap_err(), error);
        }
    }

    #[tokio::test]
    async fn rate_limits_and_server_errors_are_error_spans() {
        let (answer, _, collected) = ask_with(Kind::Status(429)).await;
        let said = "rate_limit_exceeded: HTTP 429: Rate limit reached for requests. Please try again in 1s.";
        assert_eq!(answer.unwrap_err(), said);
        assert_eq!(outcome(&collected), "\nllm rate_limit_exceeded | ERROR\n");
        let (answer, _, collected) = ask_with(Kind::Status(500)).await;
        let said = "server_error: HTTP 500: The server had an error while processing your request.";
        assert_eq!(answer.unwrap_err(), said);
        assert_eq!(outcome(&collected), "\nllm server_error | ERROR\n");
    }

    #[tokio::test]
    async fn an_answer_cut_off_in_the_middle_keeps_what_had_come() {
        let (answer, text, collected) = ask_with(Kind::Disconnect(4)).await;
        assert!(answer.unwrap_err().starts_with("connection_lost: "));
        assert_eq!(text, "Hello to you ");
        assert_eq!(
            outcome(&collected),
            "\nllm Hello to you  | connection_lost | ERROR\n"
        );
    }

    #[tokio::test]
    async fn what_is_no_json_and_what_is_silence_are_told_apart() {
        let (answer, text, collected) = ask_with(Kind::Malformed).await;
        assert!(answer.unwrap_err().starts_with("malformed_response: "));
        assert_eq!(text, "Hello ");
        assert_eq!(
            outcome(&collected),
            "\nllm Hello  | malformed_response | ERROR\n"
        );
        let (answer, _, collected) = ask_with(Kind::Silence).await;
        assert_eq!(
            answer.unwrap_err(),
            "timeout: the beginning of the answer took longer than 0.4 s"
        );
        assert_eq!(outcome(&collected), "\nllm timeout | ERROR\n");
    }

    /// A server that sends `body` in pieces of `size` bytes.
    async fn serve_in_pieces(body: String, size: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut request = vec![0; 16_384];
            let _ = stream.read(&mut request).await.unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            for piece in body.as_bytes().chunks(size) {
                // The client may have seen enough.
                if stream.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn an_answer_is_the_same_split_into_bytes_or_all_in_one_piece() {
        let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Grüß\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\" Gott\"}}]}\r\n\r\n\
            data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
        for size in [1, 7, body.len()] {
            let (answer, text, collected) = ask(
                serve_in_pieces(body.to_owned(), size).await,
                "k",
                Patience::default(),
            )
            .await;
            assert_eq!(
                (answer.unwrap().as_str(), text.as_str()),
                ("Grüß Gott", "Grüß Gott"),
                "in pieces of {size}"
            );
            assert_eq!(outcome(&collected), "\nllm Grüß Gott\n");
        }
    }

    /// The answer that a server sends as these events.
    async fn answer_of(events: &[Value], done: bool) -> Result<Answer, ServiceError> {
        let (_collected, _installed) = Collected::install();
        let events = events.iter().map(|event| format!("data: {event}\n\n"));
        let mut body: String = events.collect();
        if done {
            body.push_str("data: [DONE]\n\n");
        }
        let (words, _heard) = mpsc::channel(100);
        let length = body.len();
        let config = config(serve_in_pieces(body, length).await, "k");
        chat(config, Patience::default(), words).await
    }

    fn delta(delta: Value) -> Value {
        json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    }

    fn call(id: &str, arguments: &str) -> ToolCall {
        ToolCall {
            id: id.to_owned(),
            kind: "function".to_owned(),
            function: Function {
                name: "get_weather".to_owned(),
                arguments: arguments.to_owned(),
            },
        }
    }

    #[tokio::test]
    async fn harmless_forms_of_compatible_servers_are_accepted() {
        let finished = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
        let events = [
            json!({"choices": null, "usage": null, "error": null}),
            json!({"choices": [{"delta": null}]}),
            delta(json!({"role": "assistant", "content": null, "tool_calls": null})),
            delta(json!({"content": "Hello.", "tool_calls": null, "reasoning_content": "hm"})),
            finished,
            json!({"choices": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}),
        ];
        for done in [true, false] {
            let answer = answer_of(&events, done).await.unwrap();
            assert_eq!(
                (answer.text.as_str(), answer.tool_calls.len()),
                ("Hello.", 0)
            );
        }
        let error = answer_of(&events[..4], false).await.unwrap_err();
        assert_eq!(error.kind, "connection_lost");
    }

    #[tokio::test]
    async fn tool_calls_are_put_together_whatever_the_server_numbers() {
        let function = |arguments: &str| json!({"name": "get_weather", "arguments": arguments});
        let paris = call("call_a", r#"{"city":"Paris"}"#);
        let tokyo = call("call_b", r#"{"city":"Tokyo"}"#);
        // In pieces, each with its index.
        let pieces = [
            delta(json!({"tool_calls": [{"index": 0, "id": "call_a", "function": function("")}]})),
            delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"city\":"}}]})),
            delta(
                json!({"tool_calls": [{"index": 1, "id": "call_b", "function": function(r#"{"city":"Tokyo"}"#)}]}),
            ),
            delta(
                json!({"tool_calls": [{"index": 0, "id": null, "function": {"name": null, "arguments": "\"Paris\"}"}}]}),
            ),
        ];
        // Whole, all with the same index, as Ollama sends them; and with none.
        let whole = |index: Value| {
            [
                delta(
                    json!({"tool_calls": [{"index": index, "id": "call_a", "function": function(r#"{"city":"Paris"}"#)}]}),
                ),
                delta(
                    json!({"tool_calls": [{"index": index, "id": "call_b", "function": function(r#"{"city":"Tokyo"}"#)}]}),
                ),
            ]
        };
        for events in [&pieces[..], &whole(json!(0)), &whole(Value::Null)] {
            let answer = answer_of(events, true).await.unwrap();
            assert_eq!(answer.tool_calls, [paris.clone(), tokyo.clone()]);
        }
        // Without an id, with the arguments as an object.
        let event = delta(
            json!({"tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}]}),
        );
        let answer = answer_of(&[event], true).await.unwrap();
        assert_eq!(answer.tool_calls, [call("call_0", r#"{"city":"Paris"}"#)]);
    }

    #[tokio::test]
    async fn answer_that_was_all_reasoning_is_an_error() {
        let event = json!({"choices": [{"delta": {}, "finish_reason": "length"}]});
        let error = answer_of(&[event], true).await.unwrap_err();
        assert_eq!((error.kind.as_str(), error.transient), ("length", false));
    }

    #[tokio::test]
    async fn request_has_what_reasoning_models_accept() {
        let (_collected, _installed) = Collected::install();
        let (requests, mut seen) = mpsc::unbounded_channel();
        let complete = async move |axum::Json(request): axum::Json<Value>| {
            requests.send(request).unwrap();
            "data: [DONE]\n\n"
        };
        let router = axum::Router::new().route("/chat/completions", axum::routing::post(complete));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        for temperature in [None, Some(0.5)] {
            let config = Config {
                temperature,
                ..config(url.clone(), "k")
            };
            let (words, _heard) = mpsc::channel(1);
            chat(config, Patience::default(), words).await.unwrap();
            let request = seen.recv().await.unwrap();
            assert_eq!(request["max_completion_tokens"], MAX_COMPLETION_TOKENS);
            assert_eq!(request.get("max_tokens"), None);
            assert_eq!(
                request.get("temperature").and_then(Value::as_f64),
                temperature
            );
        }
    }

    #[tokio::test]
    async fn endless_answer_is_not_read_on() {
        let body = format!("data: {}", "x".repeat(5 << 20));
        let (answer, _, _) = ask(
            serve_in_pieces(body, 1 << 16).await,
            "k",
            Patience::default(),
        )
        .await;
        assert_eq!(
            answer.unwrap_err(),
            "malformed_response: the answer is longer than 4 MiB"
        );
    }

    #[tokio::test]
    async fn an_answer_nobody_waits_for_any_more_is_interrupted() {
        let stand_ins = stand_ins(&[(Provider::OpenAi, 1, Kind::Silence)]).await;
        let (collected, _installed) = Collected::install();
        let client = OpenAi::new(
            crate::http_client().unwrap(),
            stand_ins.openai(),
            Patience::default(),
        );
        let response = Response::new(1, &CancellationToken::new());
        let (words, _heard) = mpsc::channel(100);
        let messages = [Message::new("user", "Hello")];
        tokio::select! {
            _ = client.chat(&messages, &[], "c1", &response, &words) => panic!("silence answered"),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        assert_eq!(outcome(&collected), "\nllm interrupted\n");
    }
}

mod stt {
    use super::*;

    fn speech() -> (Vec<Samples>, &'static str) {
        let line = caller::script()[0];
        let samples = read_wav(line.recording).unwrap();
        (
            samples.chunks(FRAME).map(Samples::from).collect(),
            line.says,
        )
    }

    /// Says the first bundled line; returns what turn-taking hears of it.
    async fn transcribe(config: deepgram::Config, patience: Patience) -> (Floor, Collected) {
        let (collected, _installed) = Collected::install();
        let (heard, to_stt) = mpsc::channel(8);
        let (floor, mut to_turns) = mpsc::channel(8);
        let task = tokio::spawn(deepgram::transcribe(
            config,
            "c1".to_owned(),
            patience,
            to_stt,
            floor,
        ));
        // As from a microphone: what is said comes while the connection is being made, lost and made again.
        heard.send(Heard::SpeechStarted).await.unwrap();
        for samples in speech().0 {
            heard.send(Heard::Audio(samples)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        heard.send(Heard::SpeechStopped).await.unwrap();
        let told = tokio::time::timeout(Duration::from_secs(20), to_turns.recv())
            .await
            .unwrap()
            .unwrap();
        drop(heard);
        task.await.unwrap();
        (told, collected)
    }

    async fn transcribe_with(faults: &[(Provider, u64, Kind)]) -> (Floor, Collected) {
        transcribe(stand_ins(faults).await.deepgram(), patience(faults)).await
    }

    #[track_caller]
    fn assert_understood(told: &Floor) {
        assert!(
            matches!(told, Floor::Transcript(text) if text == speech().1),
            "{told:?}"
        );
    }

    const UNDERSTOOD: &str = "stt What is the weather like in Paris today?\n";

    #[tokio::test]
    async fn a_transcript_that_takes_its_time_is_waited_for() {
        let (told, collected) = transcribe_with(&[(Provider::Deepgram, 1, Kind::Slow(6.0))]).await;
        assert_understood(&told);
        assert_eq!(outcome(&collected), format!("\n{UNDERSTOOD}"));
    }

    #[tokio::test]
    async fn speech_survives_a_connection_lost_in_the_middle_of_it() {
        let (told, collected) =
            transcribe_with(&[(Provider::Deepgram, 1, Kind::Disconnect(20))]).await;
        assert_understood(&told);
        assert_eq!(
            outcome(&collected),
            format!("\nstt connection_lost | stt.incomplete | ERROR\n{UNDERSTOOD}")
        );
    }

    #[tokio::test]
    async fn speech_survives_a_provider_that_refuses_at_first() {
        for (status, kind) in [(429, "429"), (500, "500")] {
            let (told, collected) =
                transcribe_with(&[(Provider::Deepgram, 1, Kind::Status(status))]).await;
            assert_understood(&told);
            let first = format!("stt {kind} | stt.incomplete | ERROR");
            assert_eq!(outcome(&collected), format!("\n{first}\n{UNDERSTOOD}"));
        }
    }

    #[tokio::test]
    async fn speech_survives_what_is_no_json() {
        let (told, collected) = transcribe_with(&[(Provider::Deepgram, 1, Kind::Malformed)]).await;
        assert_understood(&told);
        assert_eq!(
            outcome(&collected),
            format!("\nstt malformed_response | stt.incomplete | ERROR\n{UNDERSTOOD}")
        );
    }

    #[tokio::test]
    async fn silence_of_the_provider_ends_the_wait_for_it() {
        let (told, collected) = transcribe_with(&[(Provider::Deepgram, 1, Kind::Silence)]).await;
        assert!(matches!(told, Floor::TranscriptionFailed), "{told:?}");
        assert_eq!(
            outcome(&collected),
            "\nstt timeout | stt.incomplete | ERROR\n"
        );
    }

    #[tokio::test]
    async fn a_refused_key_ends_each_utterance_at_once_and_does_not_leak() {
        let config = deepgram::Config {
            key: Secret::new(WRONG_KEY),
            ..stand_ins(&[]).await.deepgram()
        };
        let (told, collected) = transcribe(config, Patience::default()).await;
        assert!(matches!(told, Floor::TranscriptionFailed), "{told:?}");
        assert_eq!(
            outcome(&collected),
            "\nstt INVALID_AUTH | stt.incomplete | ERROR\n"
        );
        assert!(!everything(&collected).contains(WRONG_KEY));
    }

    /// A peer that answers `Finalize` with final results, each a text and whether it says `from_finalize`. Beside it,
    /// the types of the control messages that it gets.
    async fn peer(
        answers: &'static [(&'static str, bool)],
        split: bool,
    ) -> (deepgram::Config, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (messages, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                let Wire::Text(text) = message else { continue };
                let message: Value = serde_json::from_str(&text).unwrap();
                let _ = messages.send(message["type"].as_str().unwrap().to_owned());
                if message["type"] != "Finalize" {
                    continue;
                }
                for (text, finalized) in answers {
                    let mut results = json!({
                        "type": "Results", "is_final": true,
                        "channel": {"alternatives": [{"transcript": text}]},
                    });
                    // The SDK's model says that it may be null, too.
                    results["from_finalize"] = finalized.then_some(true).into();
                    let results = results.to_string();
                    if split {
                        let pieces: Vec<_> = results.as_bytes().chunks(5).collect();
                        for (index, piece) in pieces.iter().enumerate() {
                            let code = if index == 0 {
                                Data::Text
                            } else {
                                Data::Continue
                            };
                            let last = index + 1 == pieces.len();
                            let frame = Frame::message(piece.to_vec(), OpCode::Data(code), last);
                            socket.send(Wire::Frame(frame)).await.unwrap();
                        }
                    } else {
                        socket
                            .feed(Wire::Text(Utf8Bytes::from(results)))
                            .await
                            .unwrap();
                    }
                }
                socket.flush().await.unwrap();
            }
        });
        let config = deepgram::Config {
            url,
            key: Secret::new("k"),
            model: "m".to_owned(),
            language: "en".to_owned(),
        };
        (config, seen)
    }

    #[tokio::test]
    async fn frames_may_be_split_or_merged() {
        let answers = &[
            ("What is the weather", false),
            ("like in Paris today?", true),
        ];
        for split in [true, false] {
            let (config, _) = peer(answers, split).await;
            let (told, collected) = transcribe(config, Patience::default()).await;
            assert_understood(&told);
            assert_eq!(
                outcome(&collected),
                format!("\n{UNDERSTOOD}"),
                "split: {split}"
            );
        }
    }

    /// Deepgram's guide promises no `from_finalize`. The patience for silence is longer than a test may take.
    const SETTLING: Patience = Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_secs(600),
        settle: Duration::from_millis(100),
        keep_alive: Duration::from_secs(4),
    };

    #[tokio::test]
    async fn final_text_is_enough_without_from_finalize() {
        let (config, _) = peer(
            &[("What is the weather like in Paris today?", false)],
            false,
        )
        .await;
        let (told, collected) = transcribe(config, SETTLING).await;
        assert_understood(&told);
        assert_eq!(outcome(&collected), format!("\n{UNDERSTOOD}"));
    }

    #[tokio::test]
    async fn final_result_without_words_ends_the_wait() {
        let (config, _) = peer(&[("", false)], false).await;
        let (told, _) = transcribe(config, SETTLING).await;
        assert!(
            matches!(&told, Floor::Transcript(text) if text.is_empty()),
            "{told:?}"
        );
    }

    #[tokio::test]
    async fn connection_without_audio_is_kept_alive() {
        let (config, mut seen) = peer(&[], false).await;
        let patience = Patience {
            keep_alive: Duration::from_millis(20),
            ..Patience::default()
        };
        let (heard, to_stt) = mpsc::channel(8);
        let (floor, _to_turns) = mpsc::channel(8);
        let task = tokio::spawn(deepgram::transcribe(
            config,
            "c1".to_owned(),
            patience,
            to_stt,
            floor,
        ));
        for _ in 0..3 {
            let message = tokio::time::timeout(Duration::from_secs(20), seen.recv()).await;
            assert_eq!(message.unwrap().as_deref(), Some("KeepAlive"));
        }
        drop(heard);
        task.await.unwrap();
        let mut last = None;
        while let Some(message) = seen.recv().await {
            last = Some(message);
        }
        assert_eq!(last.as_deref(), Some("CloseStream"));
    }
}

mod tts {
    use super::*;

    const SAYS: [&str; 2] = ["It is a fine day.", "Take a walk!"];

    /// Says two sentences; returns the number of samples, the words, and the spans.
    async fn say(config: cartesia::Config, patience: Patience) -> (usize, String, Collected) {
        let (collected, _installed) = Collected::install();
        let (sentences, to_tts) = mpsc::channel(8);
        let (speech, mut spoken) = mpsc::channel(1000);
        let task = tokio::spawn(cartesia::synthesise(
            config,
            "c1".to_owned(),
            patience,
            to_tts,
            speech,
        ));
        let response = Response::new(1, &CancellationToken::new());
        for text in SAYS {
            sentences
                .send(Sentence::Say(response.clone(), text.to_owned()))
                .await
                .unwrap();
        }
        sentences.send(Sentence::End(response)).await.unwrap();
        let (mut samples, mut words) = (0, Vec::new());
        loop {
            match tokio::time::timeout(Duration::from_secs(20), spoken.recv())
                .await
                .unwrap()
                .unwrap()
            {
                Speech::Audio(_, audio) => samples += audio.len(),
                Speech::Word(_, word, _) => words.push(word),
                Speech::End(_) => break,
            }
        }
        drop(sentences);
        task.await.unwrap();
        (samples, words.join(" "), collected)
    }

    async fn say_with(faults: &[(Provider, u64, Kind)]) -> (usize, String, Collected) {
        say(stand_ins(faults).await.cartesia(), patience(faults)).await
    }

    const SPOKEN: &str = "tts It is a fine day. Take a walk!";

    #[tokio::test]
    async fn speech_that_starts_slowly_is_waited_for() {
        let (samples, words, collected) =
            say_with(&[(Provider::Cartesia, 1, Kind::Slow(6.0))]).await;
        assert!(samples > 20_000, "{samples}");
        assert_eq!(words, SAYS.join(" "));
        assert_eq!(outcome(&collected), format!("\n{SPOKEN}\n"));
        let characters = SAYS.iter().map(|text| text.len() as i64).sum::<i64>();
        assert!(everything(&collected).contains(&format!("I64({characters})")));
    }

    #[tokio::test]
    async fn a_response_not_heard_yet_is_said_again_over_another_connection() {
        for (fault, kind) in [
            (Kind::Disconnect(0), "connection_lost"),
            (Kind::Malformed, "malformed_response"),
        ] {
            let (samples, _, collected) = say_with(&[(Provider::Cartesia, 1, fault)]).await;
            assert!(samples > 20_000, "{samples}");
            assert_eq!(
                outcome(&collected),
                format!("\n{SPOKEN} | {kind} | ERROR\n{SPOKEN}\n")
            );
        }
    }

    #[tokio::test]
    async fn a_response_cut_off_by_the_provider_ends_where_it_was() {
        let (samples, _, collected) =
            say_with(&[(Provider::Cartesia, 1, Kind::Disconnect(3))]).await;
        assert_eq!(samples, 3 * 1600);
        assert_eq!(
            outcome(&collected),
            format!("\n{SPOKEN} | connection_lost | ERROR\n")
        );
    }

    #[tokio::test]
    async fn a_provider_that_stays_silent_does_not_hang_the_turn() {
        let silent = [
            (Provider::Cartesia, 1, Kind::Silence),
            (Provider::Cartesia, 2, Kind::Silence),
        ];
        let (samples, _, collected) = say_with(&silent).await;
        assert_eq!(samples, 0);
        assert_eq!(
            outcome(&collected),
            format!("\n{SPOKEN} | timeout | ERROR\n{SPOKEN} | timeout | ERROR\n")
        );
    }

    #[tokio::test]
    async fn a_refused_connection_is_an_error_span_and_does_not_leak_the_key() {
        for status in [429, 500] {
            let refused: Vec<_> = (1..=9)
                .map(|nth| (Provider::Cartesia, nth, Kind::Status(status)))
                .collect();
            let (samples, _, collected) = say_with(&refused).await;
            assert_eq!(samples, 0);
            let first = format!("tts It is a fine day. | {status} | ERROR");
            assert_eq!(outcome(&collected), format!("\n{first}\n{first}\n"));
        }
        let config = cartesia::Config {
            key: Secret::new(WRONG_KEY),
            ..stand_ins(&[]).await.cartesia()
        };
        let (samples, _, collected) = say(config, Patience::default()).await;
        assert_eq!(samples, 0);
        assert_eq!(
            outcome(&collected),
            "\ntts It is a fine day. | unauthorized | ERROR\n"
        );
        assert!(!everything(&collected).contains(WRONG_KEY));
    }

    /// A peer that gives away each request and sends what it is handed.
    async fn peer() -> (
        cartesia::Config,
        mpsc::UnboundedReceiver<Value>,
        mpsc::UnboundedSender<Value>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (requests, seen) = mpsc::unbounded_channel();
        let (send, mut answers) = mpsc::unbounded_channel::<Value>();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            loop {
                tokio::select! {
                    message = socket.next() => match message {
                        Some(Ok(message)) => {
                            if let Ok(request) = serde_json::from_slice(&message.into_data()) {
                                let _ = requests.send(request);
                            }
                        }
                        _ => return,
                    },
                    Some(answer) = answers.recv() => {
                        let _ = socket.send(Wire::text(answer.to_string())).await;
                    }
                }
            }
        });
        let config = cartesia::Config {
            url,
            key: Secret::new("k"),
            model: "m".into(),
            voice: "v".into(),
            language: Some("fr".into()),
        };
        (config, seen, send)
    }

    /// What the peer sends as one 100 ms piece of audio and one word that begins with it.
    fn spoken(context: &Value, word: &str) -> [Value; 2] {
        let audio = BASE64_STANDARD.encode([0; 3200]);
        let times = json!({"words": [word], "start": [0.0], "end": [0.1]});
        [
            json!({"type": "timestamps", "context_id": context, "word_timestamps": times}),
            json!({"type": "chunk", "context_id": context, "data": audio}),
        ]
    }

    async fn next<T>(from: &mut mpsc::UnboundedReceiver<T>) -> T {
        let next = tokio::time::timeout(Duration::from_secs(20), from.recv()).await;
        next.unwrap().unwrap()
    }

    /// Says sentences to a peer: the sentences' sender, the speech that comes, the task.
    fn speak_to(
        config: cartesia::Config,
    ) -> (
        mpsc::Sender<Sentence>,
        mpsc::Receiver<Speech>,
        tokio::task::JoinHandle<()>,
    ) {
        let (sentences, to_tts) = mpsc::channel(8);
        let (speech, spoken) = mpsc::channel(8);
        let patience = Patience::default();
        let conversation = "c1".to_owned();
        let task = tokio::spawn(cartesia::synthesise(
            config,
            conversation,
            patience,
            to_tts,
            speech,
        ));
        (sentences, spoken, task)
    }

    async fn assert_word(spoken: &mut mpsc::Receiver<Speech>, word: &str, start: f64) {
        let got = tokio::time::timeout(Duration::from_secs(20), spoken.recv()).await;
        let got = got.unwrap().unwrap();
        assert!(
            matches!(&got, Speech::Word(_, said, at) if said == word && (at - start).abs() < 1e-9),
            "{got:?}"
        );
        let got = spoken.recv().await.unwrap();
        assert!(matches!(got, Speech::Audio(..)), "{got:?}");
    }

    #[tokio::test]
    async fn context_that_expires_is_followed_by_another_under_the_same_response() {
        let (collected, _installed) = Collected::install();
        let (config, mut seen, send) = peer().await;
        let (sentences, mut speech, task) = speak_to(config);
        let response = Response::new(1, &CancellationToken::new());
        let say = |text: &str| Sentence::Say(response.clone(), text.to_owned());

        sentences.send(say(SAYS[0])).await.unwrap();
        let first = next(&mut seen).await["context_id"].clone();
        for answer in spoken(&first, "It") {
            send.send(answer).unwrap();
        }
        assert_word(&mut speech, "It", 0.0).await;
        // The provider closes the context while the next sentence is under way to it.
        send.send(json!({"type": "done", "done": true, "context_id": first}))
            .unwrap();
        sentences.send(say(SAYS[1])).await.unwrap();
        let mut request = next(&mut seen).await;
        if request["context_id"] == first {
            request = next(&mut seen).await;
        }
        let second = request["context_id"].clone();
        assert_ne!(second, first);
        assert_eq!(request["transcript"], "Take a walk! ");
        for answer in spoken(&second, "Take") {
            send.send(answer).unwrap();
        }
        assert_word(&mut speech, "Take", 0.1).await;
        sentences.send(Sentence::End(response)).await.unwrap();
        let request = next(&mut seen).await;
        assert_eq!(
            (&request["context_id"], &request["continue"]),
            (&second, &false.into())
        );
        send.send(json!({"type": "done", "done": true, "context_id": second}))
            .unwrap();
        let end = speech.recv().await.unwrap();
        assert!(matches!(end, Speech::End(_)), "{end:?}");
        drop(sentences);
        task.await.unwrap();
        assert_eq!(outcome(&collected), format!("\n{SPOKEN}\n"));
    }

    #[tokio::test]
    async fn response_between_two_contexts_is_interruptible() {
        let (collected, _installed) = Collected::install();
        let (config, mut seen, send) = peer().await;
        let (sentences, mut speech, task) = speak_to(config);
        let conversation = CancellationToken::new();
        let response = Response::new(1, &conversation);
        let say =
            |response: &Response, text: &str| Sentence::Say(response.clone(), text.to_owned());
        sentences.send(say(&response, SAYS[0])).await.unwrap();
        let first = next(&mut seen).await["context_id"].clone();
        for answer in spoken(&first, "It") {
            send.send(answer).unwrap();
        }
        assert_word(&mut speech, "It", 0.0).await;
        send.send(json!({"type": "done", "done": true, "context_id": first}))
            .unwrap();
        response.cancel();
        sentences.send(say(&response, SAYS[1])).await.unwrap();
        // Only the next response is sent.
        sentences
            .send(say(&Response::new(2, &conversation), "Yes."))
            .await
            .unwrap();
        let mut request = next(&mut seen).await;
        if request["cancel"] == true {
            request = next(&mut seen).await;
        }
        assert_eq!(request["transcript"], "Yes. ");
        drop(sentences);
        task.await.unwrap();
        assert_eq!(
            outcome(&collected),
            "\ntts It is a fine day. | interrupted\ntts Yes. | interrupted\n"
        );
    }

    #[tokio::test]
    async fn response_goes_on_after_the_stand_in_closed_its_context() {
        let config = stand_ins(&[]).await.cartesia();
        let (sentences, mut speech, task) = speak_to(config);
        let response = Response::new(1, &CancellationToken::new());
        let (mut samples, mut said) = ([0, 0], 0);
        for (index, text) in SAYS.iter().enumerate() {
            sentences
                .send(Sentence::Say(response.clone(), (*text).to_owned()))
                .await
                .unwrap();
            // Longer than a context lasts after its last audio.
            while let Ok(piece) =
                tokio::time::timeout(Duration::from_millis(1300), speech.recv()).await
            {
                match piece.unwrap() {
                    Speech::Audio(_, audio) => samples[index] += audio.len(),
                    Speech::Word(..) => said += 1,
                    Speech::End(_) => panic!("the response has not ended"),
                }
            }
        }
        sentences.send(Sentence::End(response)).await.unwrap();
        let end = tokio::time::timeout(Duration::from_secs(20), speech.recv()).await;
        assert!(matches!(end.unwrap().unwrap(), Speech::End(_)));
        assert!(
            samples.iter().all(|samples| *samples > 8_000),
            "{samples:?}"
        );
        assert_eq!(said, 8);
        drop(sentences);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn an_interrupted_response_is_cancelled_at_the_provider() {
        let (collected, _installed) = Collected::install();
        let (config, mut seen, _send) = peer().await;
        let (sentences, _speech, task) = speak_to(config);
        let response = Response::new(1, &CancellationToken::new());
        sentences
            .send(Sentence::Say(response.clone(), SAYS[0].to_owned()))
            .await
            .unwrap();
        let request = next(&mut seen).await;
        assert_eq!(
            (
                &request["transcript"],
                &request["continue"],
                &request["language"]
            ),
            (&"It is a fine day. ".into(), &true.into(), &"fr".into())
        );
        assert_eq!(request["max_buffer_delay_ms"], 0);
        response.cancel();
        assert_eq!(
            next(&mut seen).await,
            json!({"context_id": request["context_id"], "cancel": true})
        );
        drop(sentences);
        task.await.unwrap();
        assert_eq!(
            outcome(&collected),
            "\ntts It is a fine day. | interrupted\n"
        );
    }
}
