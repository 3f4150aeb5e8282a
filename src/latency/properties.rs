//! What holds for the parts of the latency whatever happens, whenever; and each part as the contract describes it.

use super::*;
use proptest::prelude::*;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The parts as text, in milliseconds.
fn told(measured: Option<Measured>) -> String {
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
fn an_answer_is_split_along_its_whole_way() {
    let mut latency = Latency::default();
    latency.vad_started();
    latency.vad_stopped(ms(1_200), ms(200)); // Silent since 1000.
    latency.final_transcript(ms(1_300));
    latency.service_started(1, ServiceKind::Llm, ms(1_450));
    latency.first_byte(1, ms(1_800), FirstByte::Output);
    latency.service_started(2, ServiceKind::Tts, ms(1_900));
    latency.first_byte(2, ms(2_100), FirstByte::Output);
    assert_eq!(
        told(latency.bot_started(ms(2_150))),
        "user_silence 1150: endpointing_wait=200 transcription=100 turn_detection=150 llm_inference=350 \
         sentence_aggregation=100 speech_synthesis=200 output_transport=50"
    );
}

#[test]
fn a_tool_call_sums_both_inferences_and_counts_overlapping_tools_once() {
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
        told(latency.bot_started(ms(1_900))),
        "user_silence 900: llm_inference=300 llm_tool_call=100 function_handler=300 speech_synthesis=100 \
         output_transport=80 pipeline=20"
    );
}

#[test]
fn a_greeting_is_measured_from_the_connection() {
    let mut latency = Latency::default();
    latency.client_connected(ms(500));
    latency.service_started(1, ServiceKind::Llm, ms(700));
    latency.first_byte(1, ms(900), FirstByte::Output);
    latency.service_started(2, ServiceKind::Tts, ms(1_000));
    latency.first_byte(2, ms(1_100), FirstByte::Output);
    assert_eq!(
        told(latency.bot_started(ms(1_150))),
        "client_connected 650: first_request=200 llm_inference=200 sentence_aggregation=100 speech_synthesis=100 \
         output_transport=50"
    );
    // A greeting happens once.
    assert_eq!(told(latency.bot_started(ms(5_000))), "nothing");
}

#[test]
fn a_greeting_that_the_user_forestalls_is_none() {
    for forestall in [Latency::user_started, Latency::vad_started] {
        let mut latency = Latency::default();
        latency.client_connected(ms(500));
        forestall(&mut latency);
        assert_eq!(told(latency.bot_started(ms(1_000))), "nothing");
    }
}

#[test]
fn the_end_of_speech_is_forgotten_when_speech_goes_on_and_when_it_was_used() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(200));
    latency.vad_started();
    assert_eq!(told(latency.bot_started(ms(1_500))), "nothing");
    latency.vad_stopped(ms(2_000), ms(200));
    assert_eq!(
        told(latency.bot_started(ms(2_500))),
        "user_silence 700: endpointing_wait=200 pipeline=500"
    );
    assert_eq!(told(latency.bot_started(ms(3_000))), "nothing");
}

#[test]
fn without_any_voice_activity_the_released_turn_serves_and_has_no_parts() {
    let mut latency = Latency::default();
    latency.user_stopped(ms(1_000));
    let measured = latency.bot_started(ms(1_700)).expect("it is measured");
    assert_eq!((measured.total, measured.parts), (ms(700), None));
    // Once there is voice activity in the conversation, it alone counts.
    latency.vad_started();
    latency.user_stopped(ms(2_000));
    assert_eq!(told(latency.bot_started(ms(2_700))), "nothing");
}

#[test]
fn a_request_that_never_answered_has_no_inference() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(0));
    latency.service_started(1, ServiceKind::Llm, ms(1_100));
    latency.service_ended(1, ms(1_300)); // Failed; the program says something canned.
    latency.service_started(2, ServiceKind::Tts, ms(1_300));
    latency.first_byte(2, ms(1_400), FirstByte::Output);
    assert_eq!(
        told(latency.bot_started(ms(1_450))),
        "user_silence 450: turn_detection=100 speech_synthesis=100 output_transport=50 pipeline=200"
    );
}

#[test]
fn a_request_made_again_counts_from_each_request_to_its_own_answer() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(0));
    latency.service_started(1, ServiceKind::Llm, ms(1_100));
    latency.service_ended(1, ms(1_300)); // Failed.
    latency.service_started(2, ServiceKind::Llm, ms(1_350));
    latency.first_byte(2, ms(1_500), FirstByte::Output);
    assert_eq!(
        told(latency.bot_started(ms(1_500))),
        "user_silence 500: turn_detection=100 llm_inference=150 pipeline=250"
    );
}

#[test]
fn a_request_made_before_the_user_fell_silent_is_not_on_the_way() {
    let mut latency = Latency::default();
    latency.vad_started();
    latency.service_started(1, ServiceKind::Llm, ms(900)); // Speculative, and wrong.
    latency.first_byte(1, ms(950), FirstByte::Output);
    latency.vad_stopped(ms(1_200), ms(200));
    latency.service_started(2, ServiceKind::Llm, ms(1_250));
    latency.first_byte(2, ms(1_450), FirstByte::Output);
    assert_eq!(
        told(latency.bot_started(ms(1_500))),
        "user_silence 500: endpointing_wait=200 turn_detection=50 llm_inference=200 pipeline=50"
    );
}

#[test]
fn a_transcript_that_beats_the_endpointing_leaves_no_transcription() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_200), ms(200));
    latency.final_transcript(ms(1_150));
    latency.service_started(1, ServiceKind::Llm, ms(1_200));
    latency.first_byte(1, ms(1_400), FirstByte::Output);
    assert_eq!(
        told(latency.bot_started(ms(1_400))),
        "user_silence 400: endpointing_wait=200 llm_inference=200"
    );
}

#[test]
fn a_part_under_half_a_millisecond_is_absent_and_a_detour_under_five_is_pipeline() {
    let us = Duration::from_micros;
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(0));
    latency.final_transcript(us(1_000_499)); // 0.499 ms: absent.
    latency.service_started(1, ServiceKind::Llm, us(1_001_000)); // 0.501 ms: on every way, and told.
    latency.first_byte(1, us(1_101_000), FirstByte::ToolCall);
    latency.service_started(2, ServiceKind::Tool, us(1_105_999)); // 4.999 ms: a detour.
    latency.service_ended(2, us(1_110_999)); // 5 ms.
    assert_eq!(
        told(latency.bot_started(ms(1_120))),
        "user_silence 120: turn_detection=0.501 llm_inference=100 function_handler=5 pipeline=14.499"
    );
}

#[test]
fn speech_to_speech_has_an_inference_and_a_transport() {
    let mut latency = Latency::default();
    latency.vad_stopped(ms(1_000), ms(0));
    latency.service_started(1, ServiceKind::Realtime, ms(1_050));
    latency.first_byte(1, ms(1_250), FirstByte::Output);
    assert_eq!(
        told(latency.bot_started(ms(1_300))),
        "user_silence 300: turn_detection=50 llm_inference=200 output_transport=50"
    );
}

#[derive(Clone, Debug)]
enum Happening {
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

fn happening() -> impl Strategy<Value = Happening> {
    let key = 0u64..6;
    let stage = prop_oneof![
        Just(ServiceKind::Llm),
        Just(ServiceKind::Tool),
        Just(ServiceKind::Tts),
        Just(ServiceKind::Realtime)
    ];
    let what = prop_oneof![Just(FirstByte::Output), Just(FirstByte::ToolCall)];
    prop_oneof![
        1 => Just(Happening::Connected),
        1 => Just(Happening::UserStarted),
        1 => Just(Happening::UserStopped),
        1 => Just(Happening::VadStarted),
        3 => (0u64..2_000_000).prop_map(|after| Happening::VadStopped(Duration::from_micros(after))),
        2 => Just(Happening::Transcript),
        6 => (key.clone(), stage).prop_map(|(key, stage)| Happening::Started(key, stage)),
        6 => (key.clone(), what).prop_map(|(key, what)| Happening::FirstByte(key, what)),
        4 => key.prop_map(Happening::Ended),
        3 => Just(Happening::BotStarted),
    ]
}

proptest! {
    #[test]
    fn the_parts_sum_to_their_interval_exactly_and_none_is_too_short_to_tell(
        script in prop::collection::vec((0u64..300_000_000, happening()), 0..80),
        in_order in any::<bool>(),
    ) {
        let mut latency = Latency::default();
        let mut now = Duration::ZERO;
        for (step, what) in script {
            // Nanoseconds, and in the odd run out of order.
            let step = Duration::from_nanos(step);
            let at = if in_order { now += step; now } else { step * 7 };
            match what {
                Happening::Connected => latency.client_connected(at),
                Happening::UserStarted => latency.user_started(),
                Happening::UserStopped => latency.user_stopped(at),
                Happening::VadStarted => latency.vad_started(),
                Happening::VadStopped(after) => latency.vad_stopped(at, after),
                Happening::Transcript => {
                    prop_assert!(latency.final_transcript(at).is_none_or(|lag| !lag.is_zero()));
                }
                Happening::Started(key, stage) => latency.service_started(key, stage, at),
                Happening::FirstByte(key, what) => latency.first_byte(key, at, what),
                Happening::Ended(key) => latency.service_ended(key, at),
                Happening::BotStarted => {
                    let Some(measured) = latency.bot_started(at) else { continue };
                    // The silence may begin before the conversation, by what the detector took at most.
                    prop_assert!(measured.total <= at + Duration::from_secs(2));
                    let Some(parts) = measured.parts else { continue };
                    let sum: Duration = parts.iter().map(|(_, lasted)| lasted).sum();
                    prop_assert_eq!(sum, measured.total);
                    for (part, lasted) in parts.iter() {
                        let alone = part == Part::Pipeline && lasted == measured.total;
                        prop_assert!(nanos(lasted) >= ABSENT_UNDER || alone, "{:?} {:?}", part, lasted);
                        prop_assert!(nanos(lasted) >= NEGLIGIBLE_UNDER || part.is_on_every_way() || part == Part::Pipeline);
                        let greeting = measured.from == MeasuredFrom::ClientConnected;
                        let of_speech = matches!(part, Part::EndpointingWait | Part::Transcription | Part::TurnDetection);
                        prop_assert!(!(greeting && of_speech), "{:?} of a greeting", part);
                        prop_assert!(greeting || part != Part::FirstRequest);
                    }
                }
            }
        }
        prop_assert!(latency.services.len() <= REMEMBERED && latency.transcripts.len() <= REMEMBERED);
    }
}
