//! What a layer has seen so far, for the doctor. Counted where something rare happens; what may happen often costs a load
//! and a branch.

use crate::clock::lock;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// So many service spans are looked at for what stands above them, and no more.
const MAX_PARENTS_READ: u32 = 256;
const MAX_HANDLERS: usize = 32;

#[derive(Default)]
pub(crate) struct Seen {
    /// The addresses of their metadata, and how many of them concern conversations.
    callsites: Mutex<(HashSet<usize>, usize)>,
    /// A bit for each kind of boundary event.
    events: AtomicU32,
    pub(crate) conversations: Count,
    pub(crate) ended_by_program: Count,
    pub(crate) lost: Count,
    pub(crate) turns: Count,
    pub(crate) services: Count,
    /// Boundary events of a name that is unknown.
    pub(crate) unknown_events: Count,
    /// Boundary events outside of any conversation.
    pub(crate) events_outside: Count,
    /// Boundary events for a conversation that has ended.
    pub(crate) late_events: Count,
    is_resting: AtomicBool,
    parents_read: AtomicU32,
    handlers: Mutex<HashMap<&'static str, Handler>>,
    advice: AtomicU32,
}

/// A counter of something that happens often, but not so often that an atomic increment would show.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Kinds of boundary events that say whether a program does what makes a turn.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum SeenEvent {
    /// Of the user's or the bot's speech.
    Turn = 1,
    /// That the user takes the turn.
    UserStarted = 1 << 1,
    BotStarted = 1 << 2,
    /// Of voice activity.
    Vad = 1 << 3,
}

/// What a program is advised of once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Advice {
    ServicesWithoutTurns = 1,
    TurnsWithoutVoiceActivity = 1 << 1,
    ConversationsNeverEnd = 1 << 2,
}

impl Advice {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::ServicesWithoutTurns => {
                "services were seen, but no event of a turn: emit user_started_speaking and bot_started_speaking as \
                 conversation.event; docs/which-events.md says which"
            }
            Self::TurnsWithoutVoiceActivity => {
                "turns were seen, but no voice activity: without vad_user_stopped_speaking and its stop_secs, \
                 turn.user_bot_latency_seconds counts from user_stopped_speaking and has no parts; docs/which-events.md \
                 says what to emit"
            }
            Self::ConversationsNeverEnd => {
                "conversations do not end: emit conversation_ended, or drop every handle to the span of the conversation"
            }
        }
    }
}

/// A kind of ordinary span that service spans were started in.
struct Handler {
    span: u64,
    turn: Option<u32>,
    services: u64,
    /// One of them was there for more than one turn: it is a task of the session and no handler.
    is_task: bool,
}

#[cfg_attr(
    not(feature = "setup"),
    allow(dead_code, reason = "the doctor alone reads all of it")
)]
impl Seen {
    pub(crate) fn callsite(&self, address: usize, concerns_conversation: bool) {
        let (known, concern) = &mut *lock(&self.callsites);
        if known.insert(address) && concerns_conversation {
            *concern += 1;
        }
    }

    /// How many callsites, and how many of them concern conversations.
    pub(crate) fn callsites(&self) -> (usize, usize) {
        let (known, concern) = &*lock(&self.callsites);
        (known.len(), *concern)
    }

    #[inline]
    pub(crate) fn event(&self, bits: u32) {
        if self.events.load(Relaxed) & bits != bits {
            self.events.fetch_or(bits, Relaxed);
        }
    }

    pub(crate) fn has(&self, event: SeenEvent) -> bool {
        self.events.load(Relaxed) & event as u32 != 0
    }

    pub(crate) fn has_any_event(&self) -> bool {
        self.events.load(Relaxed) != 0
    }

    pub(crate) fn rest(&self) {
        self.is_resting.store(true, Relaxed);
    }

    pub(crate) fn is_resting(&self) -> bool {
        self.is_resting.load(Relaxed)
    }

    /// Whether what stands above a service span is still to be read.
    #[inline]
    pub(crate) fn wants_parents(&self) -> bool {
        self.parents_read.load(Relaxed) < MAX_PARENTS_READ
    }

    pub(crate) fn count_parent(&self) {
        self.parents_read.fetch_add(1, Relaxed);
    }

    /// Takes note of the ordinary span that a service span was started in, and has been moved out of.
    pub(crate) fn parent_of_service(&self, name: &'static str, span: u64, turn: Option<u32>) {
        let mut handlers = lock(&self.handlers);
        if handlers.len() >= MAX_HANDLERS && !handlers.contains_key(name) {
            return;
        }
        let handler = handlers.entry(name).or_insert(Handler {
            span,
            turn,
            services: 0,
            is_task: false,
        });
        handler.is_task |= handler.span == span && handler.turn != turn;
        (handler.span, handler.turn) = (span, turn);
        handler.services += 1;
    }

    /// The names of ordinary spans, and how many service spans were started in them.
    pub(crate) fn handlers(&self) -> Vec<(&'static str, u64)> {
        let handlers = lock(&self.handlers);
        let mut found: Vec<_> = handlers
            .iter()
            .filter(|(_, handler)| !handler.is_task)
            .map(|(name, handler)| (*name, handler.services))
            .collect();
        found.sort_unstable();
        found
    }

    /// What the program lacks, as far as can be said when a conversation has ended.
    pub(crate) fn lacks(&self) -> Option<Advice> {
        let has = |event| self.has(event);
        if self.services.get() > 0 && !has(SeenEvent::Turn) {
            Some(Advice::ServicesWithoutTurns)
        } else if has(SeenEvent::UserStarted) && has(SeenEvent::BotStarted) && !has(SeenEvent::Vad)
        {
            Some(Advice::TurnsWithoutVoiceActivity)
        } else {
            None
        }
    }

    /// Whether an advice has been given.
    pub(crate) fn was_advised(&self, advice: Advice) -> bool {
        self.advice.load(Relaxed) & advice as u32 != 0
    }

    /// Whether an advice is given for the first time.
    pub(crate) fn is_first(&self, advice: Advice) -> bool {
        self.advice.fetch_or(advice as u32, Relaxed) & advice as u32 == 0
    }
}
