//! Text-to-speech.

use super::*;

const SAYS: [&str; 2] = ["It is a fine day.", "Take a walk!"];

/// Says two sentences; returns the number of samples, the words, and the spans.
async fn say(
    config: cartesia::Config,
    patience: Patience,
) -> (usize, String, ConversationRecorder) {
    let (recorder, _installed) = record();
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
    (samples, words.join(" "), recorder)
}

async fn say_with(faults: &[(Provider, u64, Kind)]) -> (usize, String, ConversationRecorder) {
    say(stand_ins(faults).await.cartesia(), patience(faults)).await
}

const SPOKEN: &str = "tts It is a fine day. Take a walk!";

#[tokio::test]
async fn slow_speech_is_waited_for() {
    let (samples, words, recorder) = say_with(&[(Provider::Cartesia, 1, Kind::Slow(6.0))]).await;
    assert!(samples > 20_000, "{samples}");
    assert_eq!(words, SAYS.join(" "));
    assert_eq!(outcome(&recorder), format!("\n{SPOKEN}\n"));
    let characters = SAYS.iter().map(|text| text.len() as i64).sum::<i64>();
    assert!(everything(&recorder).contains(&format!("I64({characters})")));
}

#[tokio::test]
async fn unheard_response_is_said_again_over_another_connection() {
    for (fault, kind) in [
        (Kind::Disconnect(0), "connection_lost"),
        (Kind::Malformed, "malformed_response"),
    ] {
        let (samples, _, recorder) = say_with(&[(Provider::Cartesia, 1, fault)]).await;
        assert!(samples > 20_000, "{samples}");
        assert_eq!(
            outcome(&recorder),
            format!("\n{SPOKEN} | {kind} | ERROR\n{SPOKEN}\n")
        );
    }
}

#[tokio::test]
async fn response_cut_off_by_the_provider_ends() {
    let (samples, _, recorder) = say_with(&[(Provider::Cartesia, 1, Kind::Disconnect(3))]).await;
    assert_eq!(samples, 3 * 1600);
    assert_eq!(
        outcome(&recorder),
        format!("\n{SPOKEN} | connection_lost | ERROR\n")
    );
}

#[tokio::test]
async fn silent_provider_does_not_hang_the_turn() {
    let silent = [
        (Provider::Cartesia, 1, Kind::Silence),
        (Provider::Cartesia, 2, Kind::Silence),
    ];
    let (samples, _, recorder) = say_with(&silent).await;
    assert_eq!(samples, 0);
    assert_eq!(
        outcome(&recorder),
        format!("\n{SPOKEN} | timeout | ERROR\n{SPOKEN} | timeout | ERROR\n")
    );
}

#[tokio::test]
async fn refused_connection_is_an_error_span_and_does_not_leak_the_key() {
    for status in [429, 500] {
        let refused: Vec<_> = (1..=9)
            .map(|nth| (Provider::Cartesia, nth, Kind::Status(status)))
            .collect();
        let (samples, _, recorder) = say_with(&refused).await;
        assert_eq!(samples, 0);
        let first = format!("tts It is a fine day. | {status} | ERROR");
        assert_eq!(outcome(&recorder), format!("\n{first}\n{first}\n"));
    }
    let config = cartesia::Config {
        key: Secret::new(WRONG_KEY),
        ..stand_ins(&[]).await.cartesia()
    };
    let (samples, _, recorder) = say(config, Patience::default()).await;
    assert_eq!(samples, 0);
    assert_eq!(
        outcome(&recorder),
        "\ntts It is a fine day. | unauthorized | ERROR\n"
    );
    assert!(!everything(&recorder).contains(WRONG_KEY));
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
    let (recorder, _installed) = record();
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
    assert_eq!(outcome(&recorder), format!("\n{SPOKEN}\n"));
}

#[tokio::test]
async fn response_between_two_contexts_is_interruptible() {
    let (recorder, _installed) = record();
    let (config, mut seen, send) = peer().await;
    let (sentences, mut speech, task) = speak_to(config);
    let conversation = CancellationToken::new();
    let response = Response::new(1, &conversation);
    let say = |response: &Response, text: &str| Sentence::Say(response.clone(), text.to_owned());
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
        outcome(&recorder),
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
        while let Ok(piece) = tokio::time::timeout(Duration::from_millis(1300), speech.recv()).await
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
async fn interrupted_response_is_cancelled_at_the_provider() {
    let (recorder, _installed) = record();
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
        outcome(&recorder),
        "\ntts It is a fine day. | interrupted\n"
    );
}
