//! Totals of a conversation.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::record::{Kind, Record, SpeechSums, seconds_between};
use crate::service_kind::ServiceKind;

#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) turns: u64,
    pub(super) interruptions: u64,
    pub(super) failures: u64,
    pub(super) models: u64,
    pub(super) tools: u64,
    pub(super) speech: SpeechSums,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) characters: u64,
    pub(super) audio_seconds: f64,
    pub(super) slowest_reply: f64,
    /// The last [`Totals::REPLIES`] reply times in seconds.
    pub(super) replies: VecDeque<f64>,
    first: Option<SystemTime>,
    last: Option<SystemTime>,
}

impl Totals {
    /// Number of reply times kept for the median, to bound memory.
    const REPLIES: usize = 1_000;

    pub(super) fn add(&mut self, record: &Record) {
        self.first = self.first.into_iter().chain([record.start]).min();
        self.last = self.last.into_iter().chain([record.end]).max();
        match &record.kind {
            Kind::Conversation(sums) => {
                if let Some(sums) = sums {
                    self.turns = sums.turns;
                    self.interruptions = sums.interruptions;
                    self.speech = sums.speech;
                    self.input_tokens = sums.input_tokens;
                    self.output_tokens = sums.output_tokens;
                    self.characters = sums.characters;
                    self.audio_seconds = sums.audio_seconds;
                }
            }
            Kind::Ordinary => return,
            Kind::Turn(turn) => {
                self.turns += 1;
                self.interruptions += u64::from(turn.interrupted);
                self.speech.user += turn.speech.user;
                self.speech.bot += turn.speech.bot;
                self.speech.dead_air += turn.speech.dead_air;
                if let Some(seconds) = turn.reply_seconds {
                    self.slowest_reply = self.slowest_reply.max(seconds);
                    self.replies.push_back(seconds);
                    if self.replies.len() > Self::REPLIES {
                        self.replies.pop_front();
                    }
                }
            }
            Kind::Service(service) => {
                self.models += u64::from(service.service == ServiceKind::Llm);
                self.tools += u64::from(service.service == ServiceKind::Tool);
                for (total, count) in [
                    (&mut self.input_tokens, service.input_tokens),
                    (&mut self.output_tokens, service.output_tokens),
                    (&mut self.cached_tokens, service.cached_tokens),
                    (&mut self.characters, service.characters),
                ] {
                    *total = total.saturating_add(count.unwrap_or(0));
                }
                self.audio_seconds += service.audio_seconds.unwrap_or(0.0);
            }
        }
        self.failures += u64::from(record.failure.is_some());
    }

    pub(super) fn median_reply(&self) -> Option<f64> {
        let mut replies: Vec<f64> = self.replies.iter().copied().collect();
        replies.sort_by(f64::total_cmp);
        let middle = replies.len() / 2;
        let upper = *replies.get(middle)?;
        Some(if replies.len() % 2 == 1 {
            upper
        } else {
            (replies[middle - 1] + upper) / 2.0
        })
    }

    /// Returns the seconds between the first start and the last end.
    pub(super) fn seconds(&self) -> f64 {
        self.first
            .zip(self.last)
            .map_or(0.0, |(first, last)| seconds_between(first, last))
    }
}
