//! The speech model against a computation over the whole list of events, as the contract defines the sums.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    UserStarted(u64),
    UserStopped(u64),
    BotStarted,
    BotStopped,
    /// The user interrupts the bot: a turn ends, and the next starts.
    Interrupted,
    TurnEnded,
    TurnStarted,
}

use Event::*;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Events in order of time, some at the same time.
fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        3 => (0..600_u64).prop_map(UserStarted),
        3 => (0..600_u64).prop_map(UserStopped),
        3 => Just(BotStarted),
        3 => Just(BotStopped),
        1 => Just(Interrupted),
        1 => Just(TurnEnded),
        1 => Just(TurnStarted),
    ];
    let step = (prop_oneof![1 => Just(0_u64), 6 => 1..3_000_u64], event);
    prop::collection::vec(step, 0..60).prop_map(|steps| {
        let mut at = 0;
        steps
            .into_iter()
            .map(|(after, event)| {
                at += after;
                (at, event)
            })
            .collect()
    })
}

/// A turn as it was seen by the model.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    turns: Vec<TurnSpeech>,
    total: SpeechSums,
}

/// Runs the model as a conversation does. Turns are open or not as the events say.
fn model(events: &[(u64, Event)], end: u64) -> Seen {
    let mut speech = Speech::default();
    let mut seen = Seen::default();
    let mut is_open = true;
    speech.turn_started(ms(0), false);
    for &(at, event) in events {
        let at = ms(at);
        match event {
            UserStarted(since) => speech.user_started(at, ms(since)),
            UserStopped(since) => speech.user_stopped(at, ms(since)),
            BotStarted => speech.bot_started(at),
            BotStopped => speech.bot_stopped(at),
            Interrupted if is_open => {
                speech.user_started(at, ms(0));
                speech.interrupted(at);
                seen.turns.push(speech.turn_ended());
                speech.turn_started(at, true);
            }
            TurnEnded if is_open => {
                seen.turns.push(speech.turn_ended());
                is_open = false;
            }
            TurnStarted if !is_open => {
                speech.turn_started(at, false);
                is_open = true;
            }
            Interrupted | TurnEnded | TurnStarted => {}
        }
    }
    speech.finish(ms(end));
    if is_open {
        seen.turns.push(speech.turn_ended());
    }
    seen.total = speech.total();
    seen
}

/// A stretch of time, and the number of the event at which its end is known.
struct Stretch {
    from: u64,
    to: u64,
    known: usize,
}

impl Stretch {
    fn len(&self) -> u64 {
        self.to - self.from
    }
}

/// The stretches of the user's speech: from the first start to the first stop after it.
fn user_speech(events: &[(u64, Event)], end: u64) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    let mut next = 0;
    while let Some((start, from)) = (next..events.len()).find_map(|index| match events[index] {
        (at, UserStarted(since)) => Some((index, at.saturating_sub(since))),
        (at, Interrupted) => Some((index, at)),
        _ => None,
    }) {
        let from = from.max(found.last().map_or(0, |last| last.to));
        let stop = (start + 1..events.len()).find_map(|index| match events[index] {
            (at, UserStopped(since)) => Some((index, at.saturating_sub(since))),
            _ => None,
        });
        let (known, to) = stop.unwrap_or((events.len(), end));
        found.push(Stretch {
            from,
            to: to.max(from),
            known,
        });
        next = known.saturating_add(1);
    }
    found
}

/// The stretches of the bot's speech: from the first start to the first stop, or interruption, after it.
fn bot_speech(events: &[(u64, Event)], end: u64) -> Vec<Stretch> {
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(start) = (next..events.len()).find(|index| events[*index].1 == BotStarted) {
        let ends = |index: &usize| matches!(events[*index].1, BotStopped | Interrupted);
        let known = (start..events.len()).find(ends).unwrap_or(events.len());
        let to = events.get(known).map_or(end, |(at, _)| *at);
        found.push(Stretch {
            from: events[start].0,
            to,
            known,
        });
        next = known + 1;
    }
    found
}

/// The stretches in which an answer is owed: from an end of the user's speech while the bot is silent, to the next start of
/// either's speech.
fn owed(events: &[(u64, Event)], end: u64) -> Vec<Stretch> {
    let (user, bot) = (user_speech(events, end), bot_speech(events, end));
    let starts = |index: usize, from: u64| match events.get(index) {
        Some((at, UserStarted(since))) => Some(at.saturating_sub(*since).max(from)),
        Some((at, BotStarted | Interrupted)) => Some(*at),
        Some(_) => None,
        None => Some(end),
    };
    user.iter()
        .filter(|spoken| spoken.known < events.len())
        .filter(|spoken| {
            !bot.iter().any(|bot| {
                let start = (0..bot.known)
                    .rev()
                    .find(|index| events[*index] == (bot.from, BotStarted));
                start.is_some_and(|start| start < spoken.known) && bot.known > spoken.known
            })
        })
        .filter_map(|spoken| {
            (spoken.known + 1..=events.len()).find_map(|index| {
                let to = starts(index, spoken.to)?;
                Some(Stretch {
                    from: spoken.to,
                    to: to.max(spoken.to),
                    known: index,
                })
            })
        })
        .collect()
}

/// The same sums from the stretches.
fn expected(events: &[(u64, Event)], end: u64) -> Seen {
    let events = &effective(events);
    let user = user_speech(events, end);
    let bot = bot_speech(events, end);
    let owed = owed(events, end);
    let dead_air = |stretch: &Stretch| stretch.len().saturating_sub(2_000);
    // What an event ends counts for the turn that was open before it.
    let sums = |from: usize, to: usize| {
        let within = |stretch: &&Stretch| (from..to).contains(&stretch.known);
        SpeechSums {
            user: ms(user.iter().filter(within).map(Stretch::len).sum()),
            bot: ms(bot.iter().filter(within).map(Stretch::len).sum()),
            dead_air: ms(owed.iter().filter(within).map(dead_air).sum()),
        }
    };
    let mut turns = Vec::new();
    let mut open = Some((0, None));
    for (index, (at, event)) in events.iter().enumerate() {
        let turn = |(first, barged_in): (usize, Option<u64>), interrupted_after| TurnSpeech {
            sums: sums(first, index + 1),
            interrupted_after,
            barge_in_stop: barged_in.and_then(|began| barge_in_stop(events, first, index, began)),
        };
        match event {
            Interrupted => {
                let cut = bot.iter().find(|stretch| stretch.known == index);
                turns.extend(open.map(|open| turn(open, cut.map(|cut| ms(cut.len())))));
                open = Some((index + 1, Some(*at)));
            }
            TurnEnded => turns.extend(open.take().map(|open| turn(open, None))),
            TurnStarted => open = Some((index + 1, None)),
            _ => {}
        }
    }
    let last = events.len();
    turns.extend(open.map(|(first, barged_in)| TurnSpeech {
        sums: sums(first, last + 1),
        interrupted_after: None,
        barge_in_stop: barged_in.and_then(|began| barge_in_stop(events, first, last, began)),
    }));
    Seen {
        turns,
        total: sums(0, last + 1),
    }
}

fn barge_in_stop(events: &[(u64, Event)], from: usize, to: usize, began: u64) -> Option<Duration> {
    let mut bot = events[from..to]
        .iter()
        .filter(|(_, event)| matches!(event, BotStarted | BotStopped));
    let (at, event) = bot.next()?;
    (*event == BotStopped).then(|| ms(at - began))
}

/// The events without those that change no turn.
fn effective(events: &[(u64, Event)]) -> Vec<(u64, Event)> {
    let mut is_open = true;
    let mut effective = events.to_vec();
    effective.retain(|(_, event)| match event {
        Interrupted => is_open,
        TurnEnded => std::mem::replace(&mut is_open, false),
        TurnStarted => !std::mem::replace(&mut is_open, true),
        _ => true,
    });
    effective
}

proptest! {
    #[test]
    fn sums_are_those_of_the_stretches(events in events(), rest in 0..4_000_u64) {
        let end = events.last().map_or(0, |(at, _)| *at) + rest;
        prop_assert_eq!(model(&events, end), expected(&events, end));
    }

    #[test]
    fn nobody_speaks_longer_than_the_conversation(events in events(), rest in 0..4_000_u64) {
        let end = events.last().map_or(0, |(at, _)| *at) + rest;
        let total = model(&events, end).total;
        prop_assert!(total.user + total.dead_air <= ms(end));
        prop_assert!(total.bot <= ms(end));
    }
}

#[test]
fn silence_after_the_user_is_dead_air_beyond_two_seconds() {
    let mut speech = Speech::default();
    speech.turn_started(ms(0), false);
    speech.user_started(ms(1_000), ms(200));
    speech.user_stopped(ms(2_000), ms(500));
    speech.bot_started(ms(4_750));
    speech.bot_stopped(ms(6_000));
    speech.finish(ms(20_000));
    let sums = SpeechSums {
        user: ms(700),
        bot: ms(1_250),
        dead_air: ms(1_250),
    };
    assert_eq!(speech.turn_ended().sums, sums);
    assert_eq!(speech.total(), sums);
}

#[test]
fn nothing_is_owed_while_the_bot_speaks_nor_after_it() {
    let mut speech = Speech::default();
    speech.bot_started(ms(0));
    speech.user_started(ms(1_000), ms(0));
    speech.user_stopped(ms(2_000), ms(0));
    speech.bot_stopped(ms(5_000));
    speech.finish(ms(60_000));
    assert_eq!(speech.total().dead_air, ms(0));
}
