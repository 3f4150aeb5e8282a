//! Collects spans, which arrive in the order in which they end, into blocks: a turn with all its spans.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::mem::take;
use std::time::SystemTime;

use opentelemetry::{SpanId, TraceId};
use opentelemetry_sdk::trace::SpanData;

use super::record::{Kind, Record};
use super::totals::Totals;

/// Bounds on memory. A record takes at most a few kilobytes, because its texts are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// Number of open conversations. Beyond it, the least recently updated one is summarized early.
    pub(super) conversations: usize,
    /// Number of spans that wait for their turn to end. Beyond it, those of the least recently updated conversation are
    /// shown.
    pub(super) waiting: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            conversations: 1_000,
            waiting: 10_000,
        }
    }
}

/// A unit of output.
#[derive(Debug)]
pub(super) enum Block {
    /// A turn that has ended.
    Turn {
        conversation: String,
        turn: Record,
        spans: Vec<Record>,
    },
    /// Spans without a turn to show them in: it has been shown already, or does not exist.
    Loose {
        conversation: String,
        placement: Placement,
        axis: Frame,
        spans: Vec<Record>,
    },
    /// The end of a conversation, with the spans that belong to it and to none of its turns.
    Summary {
        conversation: String,
        totals: Totals,
        span: Option<Record>,
        spans: Vec<Record>,
    },
    /// Spans outside any conversation.
    Outside { spans: Vec<Record> },
}

#[derive(Debug, PartialEq)]
pub(super) enum Placement {
    /// Arrived after their turn, or their conversation, was shown.
    Late { turn: Option<u64> },
    /// Their turn has not ended.
    Unfinished { turn: Option<u64> },
    /// Between turns.
    Between,
}

/// A time interval, such as that of a turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
}

impl Frame {
    /// Returns the interval from the first start to the last end.
    pub(super) fn of(spans: &[Record]) -> Self {
        let time = |times: Option<SystemTime>| times.unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            start: time(spans.iter().map(|span| span.start).min()),
            end: time(spans.iter().map(|span| span.end).max()),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Collector {
    capacity: Capacity,
    conversations: HashMap<String, Conversation>,
    /// Traces of the open conversations, for spans without a conversation id.
    traces: HashMap<TraceId, String>,
    ended: Ended,
    waiting: usize,
    now: u64,
}

#[derive(Debug, Default)]
struct Conversation {
    waiting: Vec<Record>,
    turns: Vec<Record>,
    span: Option<Record>,
    totals: Totals,
    trace: Option<TraceId>,
    /// The turn that was shown last.
    shown: Option<(u64, Frame)>,
    updated: u64,
}

/// The most recently summarized conversations and when they ended. Spans that started before are stragglers; those
/// that started later belong to a new conversation with the same id.
#[derive(Debug, Default)]
struct Ended {
    order: VecDeque<String>,
    ends: HashMap<String, SystemTime>,
}

impl Ended {
    const KEPT: usize = 1_000;

    fn insert(&mut self, id: &str, end: SystemTime) {
        if self.ends.insert(id.to_owned(), end).is_none() {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > Self::KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.ends.remove(&oldest);
        }
    }

    fn is_straggler(&self, id: &str, span: &Record) -> bool {
        self.ends.get(id).is_some_and(|end| span.start < *end)
    }
}

impl Collector {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// Adds finished spans and returns the blocks that can be shown now.
    pub(super) fn take(&mut self, batch: &[SpanData]) -> Vec<Block> {
        let before = self.now;
        let mut updated = Vec::new();
        let mut stragglers: Vec<(String, Vec<Record>)> = Vec::new();
        let mut outside = Vec::new();
        let mut records: Vec<Record> = batch.iter().map(Record::of).collect();
        // Spans with a conversation id first: they determine the conversation of their trace.
        records.sort_by_key(|record| record.conversation.is_none());
        for record in records {
            let named = record.conversation.as_ref();
            let Some(id) = named.or_else(|| self.traces.get(&record.trace)).cloned() else {
                outside.push(record);
                continue;
            };
            if self.ended.is_straggler(&id, &record) {
                match stragglers.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, spans)) => spans.push(record),
                    None => stragglers.push((id, vec![record])),
                }
                continue;
            }
            if self
                .conversations
                .get(&id)
                .is_none_or(|known| known.updated <= before)
            {
                updated.push(id.clone());
            }
            self.keep(id, record);
        }
        let mut blocks = Vec::new();
        for id in updated {
            self.show(&id, &mut blocks);
        }
        for (id, spans) in stragglers {
            for (turn, spans) in by_turn(spans) {
                blocks.push(loose(&id, Placement::Late { turn }, None, spans));
            }
        }
        if !outside.is_empty() {
            blocks.push(Block::Outside { spans: outside });
        }
        self.shrink(&mut blocks);
        blocks
    }

    /// Returns everything that is still waiting, at shutdown.
    pub(super) fn finish(&mut self) -> Vec<Block> {
        let mut open: Vec<(u64, String)> = self
            .conversations
            .iter()
            .map(|(id, it)| (it.updated, id.clone()))
            .collect();
        open.sort();
        let mut blocks = Vec::new();
        for (_, id) in open {
            self.summarize(&id, &mut blocks);
        }
        blocks
    }

    fn keep(&mut self, id: String, record: Record) {
        self.now += 1;
        if !self.conversations.contains_key(&id) {
            self.traces.insert(record.trace, id.clone());
        }
        let conversation = self.conversations.entry(id).or_default();
        conversation.updated = self.now;
        conversation.trace.get_or_insert(record.trace);
        conversation.totals.add(&record);
        match record.kind {
            Kind::Conversation(_) => conversation.span = Some(record),
            Kind::Turn(_) => conversation.turns.push(record),
            Kind::Service(_) | Kind::Ordinary => {
                conversation.waiting.push(record);
                self.waiting += 1;
            }
        }
    }

    fn show(&mut self, id: &str, blocks: &mut Vec<Block>) {
        let Some(conversation) = self.conversations.get_mut(id) else {
            return;
        };
        let before = conversation.waiting.len();
        let mut turns = take(&mut conversation.turns);
        turns.sort_by_key(|turn| (turn.turn, turn.start));
        for turn in turns {
            let between = conversation.between_turns_before(&turn);
            if !between.is_empty() {
                blocks.push(loose(id, Placement::Between, None, between));
            }
            let spans = conversation.spans_in(&turn);
            let shown = conversation.shown.map_or(0, |(number, _)| number);
            if let Some(number) = turn.turn
                && number >= shown
            {
                conversation.shown = Some((
                    number,
                    Frame {
                        start: turn.start,
                        end: turn.end,
                    },
                ));
            }
            blocks.push(Block::Turn {
                conversation: id.to_owned(),
                turn,
                spans,
            });
        }
        if let Some((shown, frame)) = conversation.shown {
            let late =
                conversation.take_waiting(|span| span.turn.is_some_and(|turn| turn <= shown));
            for (turn, spans) in by_turn(late) {
                let axis = (turn == Some(shown)).then_some(frame);
                blocks.push(loose(id, Placement::Late { turn }, axis, spans));
            }
        }
        self.waiting -= before - conversation.waiting.len();
        if conversation.span.is_some() {
            self.summarize(id, blocks);
        }
    }

    /// Shows everything that is left of a conversation, and removes it.
    fn summarize(&mut self, id: &str, blocks: &mut Vec<Block>) {
        self.show_waiting(id, blocks);
        let Some(conversation) = self.conversations.remove(id) else {
            return;
        };
        self.waiting -= conversation.waiting.len();
        if let Some(trace) = conversation.trace {
            self.traces.remove(&trace);
        }
        if let Some(span) = &conversation.span {
            self.ended.insert(id, span.end);
        }
        blocks.push(Block::Summary {
            conversation: id.to_owned(),
            totals: conversation.totals,
            span: conversation.span,
            spans: conversation.waiting,
        });
    }

    /// Shows the spans that wait for a turn, and services outside turns. Ordinary spans outside turns are kept for the
    /// summary.
    fn show_waiting(&mut self, id: &str, blocks: &mut Vec<Block>) {
        let Some(conversation) = self.conversations.get_mut(id) else {
            return;
        };
        let before = conversation.waiting.len();
        for (turn, spans) in by_turn(conversation.take_waiting(|span| span.turn.is_some())) {
            blocks.push(loose(id, Placement::Unfinished { turn }, None, spans));
        }
        let roots: HashSet<SpanId> = conversation
            .waiting
            .iter()
            .filter(|span| span.service().is_some())
            .map(|span| span.id)
            .collect();
        let spans = conversation.take_with_descendants(roots);
        if !spans.is_empty() {
            blocks.push(loose(id, Placement::Between, None, spans));
        }
        self.waiting -= before - conversation.waiting.len();
    }

    fn shrink(&mut self, blocks: &mut Vec<Block>) {
        while self.conversations.len() > self.capacity.conversations {
            let Some(id) = self.least_recent(|_| true) else {
                break;
            };
            self.summarize(&id, blocks);
        }
        while self.waiting > self.capacity.waiting {
            let Some(id) = self.least_recent(|conversation| !conversation.waiting.is_empty())
            else {
                break;
            };
            self.show_waiting(&id, blocks);
            let rest = self
                .conversations
                .get_mut(&id)
                .map(|it| take(&mut it.waiting))
                .unwrap_or_default();
            self.waiting -= rest.len();
            if !rest.is_empty() {
                blocks.push(loose(&id, Placement::Between, None, rest));
            }
        }
    }

    fn least_recent(&self, filter: impl Fn(&Conversation) -> bool) -> Option<String> {
        let candidates = self
            .conversations
            .iter()
            .filter(|(_, conversation)| filter(conversation));
        candidates
            .min_by_key(|(_, conversation)| conversation.updated)
            .map(|(id, _)| id.clone())
    }
}

impl Conversation {
    fn take_waiting(&mut self, take: impl Fn(&Record) -> bool) -> Vec<Record> {
        self.waiting.extract_if(.., |record| take(record)).collect()
    }

    /// Takes the spans with these ids and their descendants that have no turn number.
    fn take_with_descendants(&mut self, mut ids: HashSet<SpanId>) -> Vec<Record> {
        loop {
            let before = ids.len();
            // A parent ends after its children and comes later in the list: in reverse, one pass is usually enough.
            for span in self.waiting.iter().rev() {
                if span.turn.is_none() && ids.contains(&span.parent) {
                    ids.insert(span.id);
                }
            }
            if ids.len() == before {
                break;
            }
        }
        self.take_waiting(|span| ids.contains(&span.id))
    }

    fn spans_in(&mut self, turn: &Record) -> Vec<Record> {
        let ids = self
            .waiting
            .iter()
            .filter(|span| span.turn.is_some() && span.turn == turn.turn)
            .map(|span| span.id);
        let ids = ids.chain([turn.id]).collect();
        self.take_with_descendants(ids)
    }

    /// Takes the services outside turns that had ended by the end of `turn`.
    fn between_turns_before(&mut self, turn: &Record) -> Vec<Record> {
        let ids: HashSet<SpanId> = self.waiting.iter().map(|span| span.id).collect();
        let roots = self.waiting.iter().filter(|span| {
            // A span whose parent is the turn, or is waiting too, is shown with its parent.
            let has_shown_parent = span.parent == turn.id || ids.contains(&span.parent);
            span.service().is_some()
                && span.turn.is_none()
                && span.end <= turn.end
                && !has_shown_parent
        });
        let roots = roots.map(|span| span.id).collect();
        self.take_with_descendants(roots)
    }
}

/// `axis` defaults to the interval from the first start to the last end.
fn loose(id: &str, placement: Placement, axis: Option<Frame>, spans: Vec<Record>) -> Block {
    Block::Loose {
        conversation: id.to_owned(),
        placement,
        axis: axis.unwrap_or_else(|| Frame::of(&spans)),
        spans,
    }
}

fn by_turn(spans: Vec<Record>) -> BTreeMap<Option<u64>, Vec<Record>> {
    let mut turns: BTreeMap<Option<u64>, Vec<Record>> = BTreeMap::new();
    for span in spans {
        turns.entry(span.turn).or_default().push(span);
    }
    turns
}
