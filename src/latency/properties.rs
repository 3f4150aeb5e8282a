//! Invariants of the latency parts for arbitrary events, and each part as the contract defines it.

use super::*;
use proptest::prelude::*;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Renders an interval and its parts in milliseconds.
fn rendered(measured: Option<Measured>) -> String {
    let Some(measured) = measured else {
        return "nothing".to_owned();
    };
    let mut text = format!(
        "{} {}:",
        measured.from.as_str(),
        measured.total.as_secs_f64() * 1e3
    );
    for (part, lasted) in measured.parts.iter().flat_map(Parts::iter) {
        let name = part.attribute().trim_start_matches("turn.latency.");
        text.push_str(&format!(" {name}={}", lasted.as_secs_f64() * 1e3));
    }
    text
}

#[test]
fn answer_has_every_part() {
    let mut latency = Latency::default();
    latency.vad_started();
    latency.vad_stopped(ms(1_200), ms(200)); // Silent since 1000.
    latency.final_transcript(ms(1_300));
    latency.service_started(1, ServiceKind::Llm, ms(1_450));
    latency.first_byte(1, ms(1_800), FirstByte::Output);
    latency.service_started(2, ServiceKind::Tts, ms(1_900));
    latency.first_byte(2, ms(2_100), FirstByte::Output);
    assert_eq!(
        rendered(latency.bot_started(ms(2_150))),
        "user_silence 1150: endpointing_wait=200 transcription=100 turn_detection=150 llm_inference=350 \
         sentence_aggregation=100 speech_synthesis=200 output_transport=50"
    );
}

#[test]
fn tool_call_sums_both_inferences_and_counts_overlapping_tools_once() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(0));
    latency.service_started(1, ServiceKind::Llm, ms(1_000));
    latency.first_byte(1, ms(1_100), FirstByte::ToolCall);
    latency.service_ended(1, ms(1_150));
    latency.service_started(2, ServiceKind::Tool, ms(1_200));
    latency.service_started(3, ServiceKind::Tool, ms(1_250));
    latency.service_ended(2, ms(1_400));
    latency.service_ended(3, ms(1_500));
    latency.service_started(4, ServiceKind::Llm, ms(1_520));
    latency.first_byte(4, ms(1_720), FirstByte::Output);
    latency.service_started(5, ServiceKind::Tts, ms(1_720));
    latency.first_byte(5, ms(1_820), FirstByte::Output);
    assert_eq!(
        rendered(latency.bot_started(ms(1_900))),
        "user_silence 900: llm_inference=300 llm_tool_call=100 function_handler=300 speech_synthesis=100 \
         output_transport=80 pipeline=20"
    );
}

#[test]
fn greeting_is_measured_from_connection() {
    let mut latency = Latency::default();
    latency.client_connected(ms(500));
    latency.service_started(1, ServiceKind::Llm, ms(700));
    latency.first_byte(1, ms(900), FirstByte::Output);
    latency.service_started(2, ServiceKind::Tts, ms(1_000));
    latency.first_byte(2, ms(1_100), FirstByte::Output);
    assert_eq!(
        rendered(latency.bot_started(ms(1_150))),
        "client_connected 650: first_request=200 llm_inference=200 sentence_aggregation=100 speech_synthesis=100 \
         output_transport=50"
    );
    // There is only one greeting.
    assert_eq!(rendered(latency.bot_started(ms(5_000))), "nothing");
}

#[test]
fn greeting_after_user_speech_is_not_measured() {
    for user_speaks in [Latency::user_started, Latency::vad_started] {
        let mut latency = Latency::default();
        latency.client_connected(ms(500));
        user_speaks(&mut latency);
        assert_eq!(rendered(latency.bot_started(ms(1_000))), "nothing");
    }
}

#[test]
fn speech_end_is_cleared_when_speech_resumes_and_after_use() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(200));
    latency.vad_started();
    assert_eq!(rendered(latency.bot_started(ms(1_500))), "nothing");
    latency.vad_stopped(ms(2_000), ms(200));
    assert_eq!(
        rendered(latency.bot_started(ms(2_500))),
        "user_silence 700: endpointing_wait=200 pipeline=500"
    );
    assert_eq!(rendered(latency.bot_started(ms(3_000))), "nothing");
}

#[test]
fn without_vad_events_latency_is_measured_from_user_stopped_without_parts() {
    let mut latency = Latency::default();
    latency.user_stopped(ms(1_000));
    let measured = latency.bot_started(ms(1_700)).expect("an interval");
    assert_eq!((measured.total, measured.parts), (ms(700), None));
    // After the first VAD event, only VAD events count.
    latency.vad_started();
    latency.user_stopped(ms(2_000));
    assert_eq!(rendered(latency.bot_started(ms(2_700))), "nothing");
}

#[test]
fn request_without_first_byte_has_no_inference() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(0));
    latency.service_started(1, ServiceKind::Llm, ms(1_100));
    latency.service_ended(1, ms(1_300)); // Failed; the program speaks a fixed sentence.
    latency.service_started(2, ServiceKind::Tts, ms(1_300));
    latency.first_byte(2, ms(1_400), FirstByte::Output);
    assert_eq!(
        rendered(latency.bot_started(ms(1_450))),
        "user_silence 450: turn_detection=100 speech_synthesis=100 output_transport=50 pipeline=200"
    );
}

#[test]
fn retried_request_counts_each_inference_separately() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(0));
    latency.service_started(1, ServiceKind::Llm, ms(1_100));
    latency.service_ended(1, ms(1_300)); // Failed.
    latency.service_started(2, ServiceKind::Llm, ms(1_350));
    latency.first_byte(2, ms(1_500), FirstByte::Output);
    assert_eq!(
        rendered(latency.bot_started(ms(1_500))),
        "user_silence 500: turn_detection=100 llm_inference=150 pipeline=250"
    );
}

#[test]
fn request_before_user_silence_is_not_counted() {
    let mut latency = Latency::default();
    latency.vad_started();
    latency.service_started(1, ServiceKind::Llm, ms(900)); // Speculative, and discarded.
    latency.first_byte(1, ms(950), FirstByte::Output);
    latency.vad_stopped(ms(1_200), ms(200));
    latency.service_started(2, ServiceKind::Llm, ms(1_250));
    latency.first_byte(2, ms(1_450), FirstByte::Output);
    assert_eq!(
        rendered(latency.bot_started(ms(1_500))),
        "user_silence 500: endpointing_wait=200 turn_detection=50 llm_inference=200 pipeline=50"
    );
}

#[test]
fn transcript_before_endpointing_leaves_no_transcription_part() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_200), ms(200));
    latency.final_transcript(ms(1_150));
    latency.service_started(1, ServiceKind::Llm, ms(1_200));
    latency.first_byte(1, ms(1_400), FirstByte::Output);
    assert_eq!(
        rendered(latency.bot_started(ms(1_400))),
        "user_silence 400: endpointing_wait=200 llm_inference=200"
    );
}

#[test]
fn short_part_is_absent_and_short_optional_part_counts_as_pipeline() {
    let us = Duration::from_micros;
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(0));
    latency.final_transcript(us(1_000_499)); // 0.499 ms: absent.
    latency.service_started(1, ServiceKind::Llm, us(1_001_000)); // 0.501 ms: present, as a part of every turn.
    latency.first_byte(1, us(1_101_000), FirstByte::ToolCall);
    latency.service_started(2, ServiceKind::Tool, us(1_105_999)); // 4.999 ms: optional part, counts as pipeline.
    latency.service_ended(2, us(1_110_999)); // 5 ms.
    assert_eq!(
        rendered(latency.bot_started(ms(1_120))),
        "user_silence 120: turn_detection=0.501 llm_inference=100 function_handler=5 pipeline=14.499"
    );
}

#[test]
fn realtime_service_has_inference_and_transport_parts() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(0));
    latency.service_started(1, ServiceKind::Realtime, ms(1_050));
    latency.first_byte(1, ms(1_250), FirstByte::Output);
    assert_eq!(
        rendered(latency.bot_started(ms(1_300))),
        "user_silence 300: turn_detection=50 llm_inference=200 output_transport=50"
    );
}

#[derive(Clone, Debug)]
enum LatencyEvent {
    Connected,
    UserStarted,
    UserStopped,
    VadStarted,
    VadStopped(Duration),
    Transcript,
    Started(u64, ServiceKind),
    FirstByte(u64, FirstByte),
    Ended(u64),
    BotStarted,
}

fn latency_event() -> impl Strategy<Value = LatencyEvent> {
    let key = 0u64..6;
    let stage = prop_oneof![
        Just(ServiceKind::Llm),
        Just(ServiceKind::Tool),
        Just(ServiceKind::Tts),
        Just(ServiceKind::Realtime)
    ];
    let what = prop_oneof![Just(FirstByte::Output), Just(FirstByte::ToolCall)];
    prop_oneof![
        1 => Just(LatencyEvent::Connected),
        1 => Just(LatencyEvent::UserStarted),
        1 => Just(LatencyEvent::UserStopped),
        1 => Just(LatencyEvent::VadStarted),
        3 => (0u64..2_000_000).prop_map(|after| LatencyEvent::VadStopped(Duration::from_micros(after))),
        2 => Just(LatencyEvent::Transcript),
        6 => (key.clone(), stage).prop_map(|(key, stage)| LatencyEvent::Started(key, stage)),
        6 => (key.clone(), what).prop_map(|(key, what)| LatencyEvent::FirstByte(key, what)),
        4 => key.prop_map(LatencyEvent::Ended),
        3 => Just(LatencyEvent::BotStarted),
    ]
}

proptest! {
    #[test]
    fn parts_sum_exactly_to_interval_and_none_is_too_short(
        script in prop::collection::vec((0u64..300_000_000, latency_event()), 0..80),
        in_order in any::<bool>(),
    ) {
        let mut latency = Latency::default();
        let mut now = Duration::ZERO;
        for (step, event) in script {
            // At nanosecond resolution, and in some runs out of order.
            let step = Duration::from_nanos(step);
            let at = if in_order { now += step; now } else { step * 7 };
            match event {
                LatencyEvent::Connected => latency.client_connected(at),
                LatencyEvent::UserStarted => latency.user_started(),
                LatencyEvent::UserStopped => latency.user_stopped(at),
                LatencyEvent::VadStarted => latency.vad_started(),
                LatencyEvent::VadStopped(after) => latency.vad_stopped(at, after),
                LatencyEvent::Transcript => {
                    prop_assert!(latency.final_transcript(at).is_none_or(|lag| !lag.is_zero()));
                }
                LatencyEvent::Started(key, stage) => latency.service_started(key, stage, at),
                LatencyEvent::FirstByte(key, what) => latency.first_byte(key, at, what),
                LatencyEvent::Ended(key) => latency.service_ended(key, at),
                LatencyEvent::BotStarted => {
                    let Some(measured) = latency.bot_started(at) else { continue };
                    // The silence may begin before the conversation, by at most the longest `stop_secs`.
                    prop_assert!(measured.total <= at + Duration::from_secs(2));
                    let Some(parts) = measured.parts else { continue };
                    let sum: Duration = parts.iter().map(|(_, lasted)| lasted).sum();
                    prop_assert_eq!(sum, measured.total);
                    for (part, lasted) in parts.iter() {
                        let alone = part == Part::Pipeline && lasted == measured.total;
                        prop_assert!(nanos(lasted) >= ABSENT_UNDER || alone, "{:?} {:?}", part, lasted);
                        prop_assert!(nanos(lasted) >= NEGLIGIBLE_UNDER || part.is_in_every_turn() || part == Part::Pipeline);
                        let greeting = measured.from == MeasuredFrom::ClientConnected;
                        let of_speech = matches!(part, Part::EndpointingWait | Part::Transcription | Part::TurnDetection);
                        prop_assert!(!(greeting && of_speech), "greeting with {:?}", part);
                        prop_assert!(greeting || part != Part::FirstRequest);
                    }
                }
            }
        }
        prop_assert!(latency.services.len() <= MAX_KEPT && latency.transcripts.len() <= MAX_KEPT);
    }
}
