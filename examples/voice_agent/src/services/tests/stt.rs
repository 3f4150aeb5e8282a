//! Speech-to-text.

use super::*;

fn speech() -> (Vec<Samples>, &'static str) {
    let line = caller::script()[0];
    let samples = read_wav(line.recording).unwrap();
    (
        samples.chunks(FRAME).map(Samples::from).collect(),
        line.says,
    )
}

/// Says the first bundled line; returns the event that turn-taking gets.
async fn transcribe(config: deepgram::Config, patience: Patience) -> (Floor, ConversationRecorder) {
    let (recorder, _installed) = record();
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
    let event = tokio::time::timeout(Duration::from_secs(20), to_turns.recv())
        .await
        .unwrap()
        .unwrap();
    drop(heard);
    task.await.unwrap();
    (event, recorder)
}

async fn transcribe_with(faults: &[(Provider, u64, Kind)]) -> (Floor, ConversationRecorder) {
    transcribe(stand_ins(faults).await.deepgram(), patience(faults)).await
}

#[track_caller]
fn assert_understood(event: &Floor) {
    assert!(
        matches!(event, Floor::Transcript(text) if text == speech().1),
        "{event:?}"
    );
}

const UNDERSTOOD: &str = "stt What is the weather like in Paris today?\n";

#[tokio::test]
async fn slow_transcript_is_waited_for() {
    let (event, recorder) = transcribe_with(&[(Provider::Deepgram, 1, Kind::Slow(6.0))]).await;
    assert_understood(&event);
    assert_eq!(outcome(&recorder), format!("\n{UNDERSTOOD}"));
}

#[tokio::test]
async fn speech_survives_a_connection_lost_in_the_middle_of_it() {
    let (event, recorder) = transcribe_with(&[(Provider::Deepgram, 1, Kind::Disconnect(20))]).await;
    assert_understood(&event);
    assert_eq!(
        outcome(&recorder),
        format!("\nstt connection_lost | stt.incomplete | ERROR\n{UNDERSTOOD}")
    );
}

#[tokio::test]
async fn speech_survives_a_provider_that_refuses_at_first() {
    for (status, kind) in [(429, "429"), (500, "500")] {
        let (event, recorder) =
            transcribe_with(&[(Provider::Deepgram, 1, Kind::Status(status))]).await;
        assert_understood(&event);
        let first = format!("stt {kind} | stt.incomplete | ERROR");
        assert_eq!(outcome(&recorder), format!("\n{first}\n{UNDERSTOOD}"));
    }
}

#[tokio::test]
async fn speech_survives_a_malformed_message() {
    let (event, recorder) = transcribe_with(&[(Provider::Deepgram, 1, Kind::Malformed)]).await;
    assert_understood(&event);
    assert_eq!(
        outcome(&recorder),
        format!("\nstt malformed_response | stt.incomplete | ERROR\n{UNDERSTOOD}")
    );
}

#[tokio::test]
async fn silence_of_the_provider_is_a_timeout() {
    let (event, recorder) = transcribe_with(&[(Provider::Deepgram, 1, Kind::Silence)]).await;
    assert!(matches!(event, Floor::TranscriptionFailed), "{event:?}");
    assert_eq!(
        outcome(&recorder),
        "\nstt timeout | stt.incomplete | ERROR\n"
    );
}

#[tokio::test]
async fn refused_key_ends_each_utterance_at_once_and_does_not_leak() {
    let config = deepgram::Config {
        key: Secret::new(WRONG_KEY),
        ..stand_ins(&[]).await.deepgram()
    };
    let (event, recorder) = transcribe(config, Patience::default()).await;
    assert!(matches!(event, Floor::TranscriptionFailed), "{event:?}");
    assert_eq!(
        outcome(&recorder),
        "\nstt INVALID_AUTH | stt.incomplete | ERROR\n"
    );
    assert!(!everything(&recorder).contains(WRONG_KEY));
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
        let (event, recorder) = transcribe(config, Patience::default()).await;
        assert_understood(&event);
        assert_eq!(
            outcome(&recorder),
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
    let (event, recorder) = transcribe(config, SETTLING).await;
    assert_understood(&event);
    assert_eq!(outcome(&recorder), format!("\n{UNDERSTOOD}"));
}

#[tokio::test]
async fn final_result_without_words_ends_the_wait() {
    let (config, _) = peer(&[("", false)], false).await;
    let (event, _) = transcribe(config, SETTLING).await;
    assert!(
        matches!(&event, Floor::Transcript(text) if text.is_empty()),
        "{event:?}"
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
