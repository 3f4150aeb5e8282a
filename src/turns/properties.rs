//! What holds for the turns whatever is said, whenever.

use super::*;
use proptest::prelude::*;

fn speech() -> impl Strategy<Value = Speech> {
    prop_oneof![
        Just(Speech::UserStarted),
        Just(Speech::BotStarted),
        Just(Speech::BotStopped)
    ]
}

/// What the model is asked: something is heard, or time passes. Times run backwards now and then.
#[derive(Clone, Debug)]
enum Step {
    Hear(Duration, Speech),
    Advance(Duration),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few different times, so that some coincide, among them with deadlines.
    let at = (0u64..40).prop_map(|n| Duration::from_millis(n * 250));
    let step = prop_oneof![
        4 => (at.clone(), speech()).prop_map(|(at, speech)| Step::Hear(at, speech)),
        1 => at.prop_map(Step::Advance),
    ];
    (prop::collection::vec(step, 0..60), any::<bool>()).prop_map(|(mut steps, in_order)| {
        if in_order {
            steps.sort_by_key(|step| match step {
                Step::Hear(at, _) | Step::Advance(at) => *at,
            });
        }
        steps
    })
}

#[derive(Debug, PartialEq)]
struct Told {
    number: u32,
    from: Duration,
    to: Option<(Duration, EndReason)>,
}

/// Plays the steps; fails at a turn that starts while another is open, or that ends without being open.
fn play(timeout: Duration, steps: &[Step], end: Option<(Duration, EndReason)>) -> Vec<Told> {
    let mut turns = Turns::new(timeout);
    let mut told: Vec<Told> = Vec::new();
    let mut tell = |change| match change {
        Change::Started { number, at } => {
            assert!(
                told.last().is_none_or(|last| last.to.is_some()),
                "a turn starts in another"
            );
            told.push(Told {
                number,
                from: at,
                to: None,
            });
        }
        Change::Ended { at, reason } => {
            let open = told.last_mut().filter(|last| last.to.is_none());
            open.expect("a turn that ends is open").to = Some((at, reason));
        }
    };
    turns.begin(Duration::ZERO, &mut tell);
    for step in steps {
        match step {
            Step::Hear(at, speech) => turns.hear(*at, *speech, &mut tell),
            Step::Advance(at) => {
                turns.advance(*at, &mut tell);
            }
        }
    }
    if let Some((at, reason)) = end {
        turns.finish(at, reason, &mut tell);
        // The end of a conversation is told more than once.
        turns.finish(at, reason, &mut tell);
    }
    told
}

proptest! {
    #[test]
    fn turns_are_numbered_without_gaps_and_never_overlap(steps in steps(), end in 0u64..12_000, timeout in 0u64..4_000) {
        let end = (Duration::from_millis(end), EndReason::ConversationEnded);
        let told = play(Duration::from_millis(timeout), &steps, Some(end));
        for (index, turn) in told.iter().enumerate() {
            prop_assert_eq!(turn.number as usize, index + 1);
            let (to, _) = turn.to.expect("every started turn ends");
            prop_assert!(turn.from <= to, "a negative duration: {:?}", turn);
            if let Some(next) = told.get(index + 1) {
                prop_assert!(to <= next.from, "{:?} overlaps {:?}", turn, next);
            }
        }
    }

    #[test]
    fn only_the_last_turn_is_ended_by_the_conversation(steps in steps(), end in 0u64..12_000, lost in any::<bool>()) {
        let reason = if lost { EndReason::ConversationLost } else { EndReason::ConversationEnded };
        let told = play(Duration::from_millis(2_500), &steps, Some((Duration::from_millis(end), reason)));
        for (index, turn) in told.iter().enumerate() {
            let ended_by = turn.to.map(|(_, reason)| reason);
            let is_last = index + 1 == told.len();
            prop_assert!(is_last || !ended_by.is_some_and(EndReason::is_conversation_end), "{:?}", told);
        }
    }

    #[test]
    fn when_time_is_let_pass_makes_no_difference(steps in steps(), timeout in 0u64..4_000) {
        // A timer that fires between two events, late or not at all, changes only when a turn is told of.
        let timeout = Duration::from_millis(timeout);
        let mut steps: Vec<Step> = steps.into_iter().filter(|step| matches!(step, Step::Hear(..))).collect();
        steps.sort_by_key(|step| match step { Step::Hear(at, _) | Step::Advance(at) => *at });
        let mut watched = Vec::new();
        let mut now = Duration::ZERO;
        for step in &steps {
            let (Step::Hear(at, _) | Step::Advance(at)) = step;
            while now < *at {
                watched.push(Step::Advance(now));
                now += Duration::from_millis(70);
            }
            watched.push(step.clone());
        }
        let end = Some((Duration::from_secs(20), EndReason::ConversationEnded));
        prop_assert_eq!(play(timeout, &steps, end), play(timeout, &watched, end));
    }

    #[test]
    fn an_open_turn_either_waits_for_speech_or_has_a_deadline_that_ends_it(steps in steps()) {
        let mut turns = Turns::new(Duration::from_millis(2_500));
        let mut open = 0;
        let mut count = |change| match change {
            Change::Started { .. } => open += 1,
            Change::Ended { .. } => open -= 1,
        };
        turns.begin(Duration::ZERO, &mut count);
        for step in &steps {
            if let Step::Hear(at, speech) = step {
                turns.hear(*at, *speech, &mut count);
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
