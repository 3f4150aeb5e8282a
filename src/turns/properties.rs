//! Invariants of the turn model for arbitrary events at arbitrary times.

use super::*;
use proptest::prelude::*;

fn speech_event() -> impl Strategy<Value = SpeechEvent> {
    prop_oneof![
        Just(SpeechEvent::UserStarted),
        Just(SpeechEvent::BotStarted),
        Just(SpeechEvent::BotStopped)
    ]
}

/// A call of the model. Times may run backwards.
#[derive(Clone, Debug)]
enum Step {
    Apply(Duration, SpeechEvent),
    Advance(Duration),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few distinct times, so that some coincide with each other and with deadlines.
    let at = (0u64..40).prop_map(|n| Duration::from_millis(n * 250));
    let step = prop_oneof![
        4 => (at.clone(), speech_event()).prop_map(|(at, event)| Step::Apply(at, event)),
        1 => at.prop_map(Step::Advance),
    ];
    (prop::collection::vec(step, 0..60), any::<bool>()).prop_map(|(mut steps, in_order)| {
        if in_order {
            steps.sort_by_key(|step| match step {
                Step::Apply(at, _) | Step::Advance(at) => *at,
            });
        }
        steps
    })
}

#[derive(Debug, PartialEq)]
struct PlayedTurn {
    number: u32,
    from: Duration,
    to: Option<(Duration, EndReason)>,
}

/// Runs the steps; panics if a turn starts while another is open, or ends without being open.
fn play(timeout: Duration, steps: &[Step], end: Option<(Duration, EndReason)>) -> Vec<PlayedTurn> {
    let mut model = Turns::new(timeout);
    let mut turns: Vec<PlayedTurn> = Vec::new();
    let mut record = |change| match change {
        Change::Started { number, at } => {
            assert!(
                turns.last().is_none_or(|last| last.to.is_some()),
                "a turn starts while another is open"
            );
            turns.push(PlayedTurn {
                number,
                from: at,
                to: None,
            });
        }
        Change::Ended { at, reason } => {
            let open = turns.last_mut().filter(|last| last.to.is_none());
            open.expect("only an open turn ends").to = Some((at, reason));
        }
    };
    model.begin(Duration::ZERO, &mut record);
    for step in steps {
        match step {
            Step::Apply(at, event) => model.apply(*at, *event, &mut record),
            Step::Advance(at) => {
                model.advance(*at, &mut record);
            }
        }
    }
    if let Some((at, reason)) = end {
        model.finish(at, reason, &mut record);
        // Ending a conversation twice has no further effect.
        model.finish(at, reason, &mut record);
    }
    turns
}

proptest! {
    #[test]
    fn turns_have_consecutive_numbers_and_do_not_overlap(steps in steps(), end in 0u64..12_000, timeout in 0u64..4_000) {
        let end = (Duration::from_millis(end), EndReason::ConversationEnded);
        let turns = play(Duration::from_millis(timeout), &steps, Some(end));
        for (index, turn) in turns.iter().enumerate() {
            prop_assert_eq!(turn.number as usize, index + 1);
            let (to, _) = turn.to.expect("every started turn ends");
            prop_assert!(turn.from <= to, "negative duration: {:?}", turn);
            if let Some(next) = turns.get(index + 1) {
                prop_assert!(to <= next.from, "{:?} overlaps {:?}", turn, next);
            }
        }
    }

    #[test]
    fn conversation_end_ends_only_last_turn(steps in steps(), end in 0u64..12_000, lost in any::<bool>()) {
        let reason = if lost { EndReason::ConversationLost } else { EndReason::ConversationEnded };
        let turns = play(Duration::from_millis(2_500), &steps, Some((Duration::from_millis(end), reason)));
        for (index, turn) in turns.iter().enumerate() {
            let ended_by = turn.to.map(|(_, reason)| reason);
            let is_last = index + 1 == turns.len();
            prop_assert!(is_last || !ended_by.is_some_and(EndReason::is_conversation_end), "{:?}", turns);
        }
    }

    #[test]
    fn advancing_between_events_does_not_change_turns(steps in steps(), timeout in 0u64..4_000) {
        // A timer that fires between two events, late or never changes only when a turn's end is reported.
        let timeout = Duration::from_millis(timeout);
        let mut steps: Vec<Step> = steps.into_iter().filter(|step| matches!(step, Step::Apply(..))).collect();
        steps.sort_by_key(|step| match step { Step::Apply(at, _) | Step::Advance(at) => *at });
        let mut with_advances = Vec::new();
        let mut now = Duration::ZERO;
        for step in &steps {
            let (Step::Apply(at, _) | Step::Advance(at)) = step;
            while now < *at {
                with_advances.push(Step::Advance(now));
                now += Duration::from_millis(70);
            }
            with_advances.push(step.clone());
        }
        let end = Some((Duration::from_secs(20), EndReason::ConversationEnded));
        prop_assert_eq!(play(timeout, &steps, end), play(timeout, &with_advances, end));
    }

    #[test]
    fn deadline_ends_open_turn(steps in steps()) {
        let mut turns = Turns::new(Duration::from_millis(2_500));
        let mut open = 0;
        let mut count = |change| match change {
            Change::Started { .. } => open += 1,
            Change::Ended { .. } => open -= 1,
        };
        turns.begin(Duration::ZERO, &mut count);
        for step in &steps {
            if let Step::Apply(at, event) = step {
                turns.apply(*at, *event, &mut count);
            }
        }
        if let Some(deadline) = turns.deadline() {
            turns.advance(deadline.saturating_sub(Duration::from_nanos(1)).max(turns.now), &mut |_| {});
            turns.advance(deadline, &mut count);
            prop_assert_eq!(open, 0);
            prop_assert_eq!(turns.deadline(), None);
        }
    }
}
