//! Speech-to-speech.

use super::*;
use crate::services::realtime::{Config, Realtime};
use crate::tools::{Tools, Weather};

const GREETING: &str = "realtime Hello, this is your travel assistant. How can I help you?\n";

/// Is greeted; returns the samples and the words that are passed on, and the spans.
async fn greet(config: Config, patience: Patience) -> (usize, String, ConversationRecorder) {
    let (recorder, _installed) = record();
    let (heard, to_service) = mpsc::channel::<Heard>(8);
    let (floor, events) = mpsc::channel::<Floor>(8);
    let (speech, mut spoken) = mpsc::channel(1000);
    let weather = Weather::new(crate::http_client().unwrap(), String::new(), String::new());
    let service = Realtime {
        config,
        instructions: "Be kind.",
        tools: Tools::new(weather),
        conversation: "c1".to_owned(),
        patience,
        pace: Pace::times(20.0),
        ended: CancellationToken::new(),
        speech,
    };
    let task = tokio::spawn(service.run(to_service, events));
    let (mut samples, mut words) = (0, Vec::new());
    loop {
        let piece = tokio::time::timeout(Duration::from_secs(20), spoken.recv()).await;
        match piece.unwrap().unwrap() {
            Speech::Audio(_, audio) => samples += audio.len(),
            Speech::Word(_, word, _) => words.push(word),
            Speech::End(_) => break,
        }
    }
    drop((heard, floor));
    task.await.unwrap();
    (samples, words.join(" "), recorder)
}

async fn greet_with(faults: &[(Provider, u64, Kind)]) -> (usize, String, ConversationRecorder) {
    greet(stand_ins(faults).await.realtime(), patience(faults)).await
}

#[tokio::test]
async fn answer_that_fails_before_its_first_sound_is_asked_for_again() {
    for (fault, kind) in [
        (Kind::Status(429), "rate_limit_exceeded"),
        (Kind::Status(500), "server_error"),
        (Kind::Disconnect(0), "connection_lost"),
        (Kind::Malformed, "malformed_response"),
        (Kind::Silence, "timeout"),
    ] {
        let (samples, words, recorder) = greet_with(&[(Provider::OpenAi, 1, fault)]).await;
        assert!(samples > 20_000, "{fault:?}: {samples}");
        assert!(words.starts_with("Hello, this is"), "{fault:?}: {words}");
        assert_eq!(
            outcome(&recorder),
            format!("\nrealtime {kind} | ERROR\n{GREETING}")
        );
    }
}

#[tokio::test]
async fn answer_that_fails_for_good_ends() {
    let faults = [1, 2, 3].map(|nth| (Provider::OpenAi, nth, Kind::Status(500)));
    let (samples, _, recorder) = greet_with(&faults).await;
    assert_eq!(samples, 0);
    let failed = "realtime server_error | ERROR\n";
    assert_eq!(outcome(&recorder), format!("\n{failed}{failed}{failed}"));
}

#[tokio::test]
async fn refused_key_does_not_leak() {
    let config = Config {
        key: Secret::new(WRONG_KEY),
        ..stand_ins(&[]).await.realtime()
    };
    let (samples, _, recorder) = greet(config, Patience::default()).await;
    assert_eq!(samples, 0);
    assert_eq!(outcome(&recorder), "\nrealtime invalid_api_key | ERROR\n");
    assert!(!everything(&recorder).contains(WRONG_KEY));
}
