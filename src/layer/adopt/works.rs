//! The work of services that events begin and end, where no span stands for it.

use crate::clock::lock;
use crate::conversation::service::ServiceSpan;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// So many pieces of work are open in a conversation. The oldest ends when there is one more.
const MAX_OPEN: usize = 64;

/// The work under way, by the id of its conversation; `""` outside of any.
#[derive(Default)]
pub(super) struct Works {
    open: Mutex<HashMap<Arc<str>, Vec<Work>>>,
    keys: AtomicU64,
}

#[derive(Clone)]
struct Work {
    rule: usize,
    key: Option<Box<str>>,
    /// Of the event that has begun it: its target and its nearest span.
    target: &'static str,
    span: Option<u64>,
    service: Arc<ServiceSpan>,
}

/// Where an event is that may be inside of some work.
pub(super) struct WorkPlace {
    pub(super) conversation: Option<Arc<str>>,
    pub(super) target: &'static str,
    pub(super) span: Option<u64>,
    /// Whether it is in a service span.
    pub(super) is_in_service: bool,
}

impl Works {
    /// What tells new work apart from the service spans of the layer, whose keys are ids of the registry.
    pub(super) fn new_key(&self) -> u64 {
        u64::MAX - self.keys.fetch_add(1, Ordering::Relaxed)
    }

    /// Keeps work that has begun. Work of the same rule and key ends with that.
    pub(super) fn begin(
        &self,
        rule: usize,
        key: Option<Box<str>>,
        target: &'static str,
        span: Option<u64>,
        service: Arc<ServiceSpan>,
    ) {
        let conversation = match &service.conversation {
            Some(conversation) => conversation.id().clone(),
            None => Arc::default(),
        };
        let mut ended = Vec::new();
        {
            let mut open = lock(&self.open);
            let works = open.entry(conversation).or_default();
            let is_same = |work: &Work| work.rule == rule && work.key == key;
            if let Some(same) = works.iter().position(is_same) {
                ended.push(works.remove(same));
            }
            if works.len() >= MAX_OPEN {
                ended.push(works.remove(0));
            }
            works.push(Work {
                rule,
                key,
                target,
                span,
                service,
            });
        }
        // Not under the lock: processors run.
        for work in ended {
            work.service.finish();
        }
    }

    /// Takes out the work of a rule. `key` is the key that the event gives, where the rule has one.
    pub(super) fn end(
        &self,
        rule: usize,
        conversation: Option<&str>,
        key: Option<Option<Box<str>>>,
    ) -> Option<Arc<ServiceSpan>> {
        let is_it = |work: &Work| {
            work.rule == rule
                && match &key {
                    Some(key) => *key == work.key,
                    None => true,
                }
        };
        let mut open = lock(&self.open);
        let id = match conversation {
            Some(id) => Some(id),
            // Code outside of any conversation still says by the key what it means.
            None if key.is_some() => open
                .iter()
                .find(|(_, works)| works.iter().any(is_it))
                .map(|(id, _)| &**id),
            None => Some(""),
        };
        let id: Arc<str> = id?.into();
        let works = open.get_mut(&id)?;
        let at = works.iter().position(is_it)?;
        let work = works.remove(at);
        if works.is_empty() {
            open.remove(&id);
        }
        Some(work.service)
    }

    /// The work that an event is inside of: the one whose key it has, else outside of service spans the last that was begun
    /// from its target, else in its span. `key` is what the event has in the key field of a rule; `None` of one without.
    pub(super) fn inside(
        &self,
        at: &WorkPlace,
        key: impl Fn(usize) -> Option<Option<Box<str>>>,
    ) -> Option<Arc<ServiceSpan>> {
        // Formatting a key may run code of the program, so not under the lock.
        let works: Vec<Work> = {
            let open = lock(&self.open);
            match &at.conversation {
                Some(id) => open.get(id)?.clone(),
                None => open.values().flatten().cloned().collect(),
            }
        };
        let scored = works.into_iter().rev().filter_map(|work| {
            let is_same_target = work.target == at.target;
            let is_same_span = work.span.is_some() && work.span == at.span;
            let is_inside = match key(work.rule) {
                Some(key) => key.is_some() && key == work.key,
                None => {
                    !at.is_in_service
                        && at.conversation.is_some()
                        && (is_same_target || is_same_span)
                }
            };
            let score = (work.key.is_some(), is_same_target, is_same_span);
            is_inside.then_some((score, work.service))
        });
        // The first of equals: the last that was begun.
        let mut best: Option<((bool, bool, bool), Arc<ServiceSpan>)> = None;
        for (score, service) in scored {
            if best.as_ref().is_none_or(|(known, _)| score > *known) {
                best = Some((score, service));
            }
        }
        best.map(|(_, service)| service)
    }

    /// Ends the work of a conversation.
    pub(super) fn end_all(&self, conversation: &str) {
        let works = lock(&self.open).remove(conversation);
        for work in works.into_iter().flatten() {
            work.service.finish();
        }
    }

    /// Ends all work.
    pub(super) fn end_everything(&self) {
        let all = std::mem::take(&mut *lock(&self.open));
        for work in all.into_values().flatten() {
            work.service.finish();
        }
    }
}
