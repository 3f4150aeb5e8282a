//! The language model's client.

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
) -> (Result<String, String>, String, ConversationRecorder) {
    let (recorder, _installed) = record();
    let (words, mut heard) = mpsc::channel(100);
    let answer = chat(config(base_url, key), patience, words).await;
    let mut text = String::new();
    while let Some(Words::Delta(_, delta)) = heard.recv().await {
        text.push_str(&delta);
    }
    let answer = answer
        .map(|answer| answer.text)
        .map_err(|error| error.to_string());
    (answer, text, recorder)
}

async fn ask_with(kind: Kind) -> (Result<String, String>, String, ConversationRecorder) {
    let faults = [(Provider::OpenAi, 1, kind)];
    let config = stand_ins(&faults).await.openai();
    ask(config.base_url, config.key.expose(), patience(&faults)).await
}

#[tokio::test]
async fn slow_answer_is_waited_for() {
    let (answer, text, recorder) = ask_with(Kind::Slow(4.0)).await;
    assert_eq!(
        answer.unwrap(),
        "Hello to you too. Where would you like to go?"
    );
    assert_eq!(text, "Hello to you too. Where would you like to go?");
    assert_eq!(
        outcome(&recorder),
        "\nllm Hello to you too. Where would you like to go?\n"
    );
}

#[tokio::test]
async fn refused_key_is_a_permanent_error_and_does_not_leak() {
    let stand_ins = stand_ins(&[]).await;
    let (answer, _, recorder) =
        ask(stand_ins.openai().base_url, WRONG_KEY, Patience::default()).await;
    assert_eq!(
        answer.unwrap_err(),
        "invalid_api_key: HTTP 401: Incorrect API key provided: ***."
    );
    assert_eq!(outcome(&recorder), "\nllm invalid_api_key | ERROR\n");
    assert!(!everything(&recorder).contains(WRONG_KEY));
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
        let (answer, _, recorder) = ask(
            refusing("401 Unauthorized", body).await,
            WRONG_KEY,
            Patience::default(),
        )
        .await;
        let shown = answer.unwrap_err() + &everything(&recorder);
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
    let (answer, _, recorder) = ask_with(Kind::Status(429)).await;
    let said =
        "rate_limit_exceeded: HTTP 429: Rate limit reached for requests. Please try again in 1s.";
    assert_eq!(answer.unwrap_err(), said);
    assert_eq!(outcome(&recorder), "\nllm rate_limit_exceeded | ERROR\n");
    let (answer, _, recorder) = ask_with(Kind::Status(500)).await;
    let said = "server_error: HTTP 500: The server had an error while processing your request.";
    assert_eq!(answer.unwrap_err(), said);
    assert_eq!(outcome(&recorder), "\nllm server_error | ERROR\n");
}

#[tokio::test]
async fn answer_cut_off_in_the_middle_keeps_what_had_come() {
    let (answer, text, recorder) = ask_with(Kind::Disconnect(4)).await;
    assert!(answer.unwrap_err().starts_with("connection_lost: "));
    assert_eq!(text, "Hello to you ");
    assert_eq!(
        outcome(&recorder),
        "\nllm Hello to you  | connection_lost | ERROR\n"
    );
}

#[tokio::test]
async fn malformed_answer_and_silence_are_different_errors() {
    let (answer, text, recorder) = ask_with(Kind::Malformed).await;
    assert!(answer.unwrap_err().starts_with("malformed_response: "));
    assert_eq!(text, "Hello ");
    assert_eq!(
        outcome(&recorder),
        "\nllm Hello  | malformed_response | ERROR\n"
    );
    let (answer, _, recorder) = ask_with(Kind::Silence).await;
    assert_eq!(
        answer.unwrap_err(),
        "timeout: the beginning of the answer took longer than 0.4 s"
    );
    assert_eq!(outcome(&recorder), "\nllm timeout | ERROR\n");
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
async fn answer_does_not_depend_on_how_its_bytes_are_split() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Grüß\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\" Gott\"}}]}\r\n\r\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    for size in [1, 7, body.len()] {
        let (answer, text, recorder) = ask(
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
        assert_eq!(outcome(&recorder), "\nllm Grüß Gott\n");
    }
}

/// The answer that a server sends as these events.
async fn answer_of(events: &[Value], done: bool) -> Result<Answer, ServiceError> {
    let (_recorder, _installed) = record();
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
    let (_recorder, _installed) = record();
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
async fn dropped_request_is_interrupted() {
    let stand_ins = stand_ins(&[(Provider::OpenAi, 1, Kind::Silence)]).await;
    let (recorder, _installed) = record();
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
    assert_eq!(outcome(&recorder), "\nllm interrupted\n");
}
