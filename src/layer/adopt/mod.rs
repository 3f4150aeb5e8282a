//! What rules adopt: spans and events of a program under names of its own.
//!
//! The metadata of a callsite decides once which rules may match there ([`Adoption::adopts`]); of the others the layer keeps
//! only that they were seen.

mod adopted;
mod events;
mod kept;
mod renamed;
mod report;
mod spans;
mod works;

pub(super) use adopted::Adopted;
pub(super) use renamed::without_fields;

use super::boundary_event::{Boundary, BoundaryField, BoundaryFields};
use super::callsite::{CallsiteKind, SLOTS, slot};
use crate::names;
use crate::rules::{Checks, Meaning, Rule, Setting};
use crate::settings::LayerSettings;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use tracing_core::{LevelFilter, Metadata};
use works::Works;

/// So many callsites are remembered. Those of a program are in its code; some bridges make them as they run.
const MAX_CALLSITES: usize = 1 << 14;

/// A layer's rules, and what they have adopted.
pub(crate) struct Adoption {
    rules: Vec<AdoptedRule>,
    is_dry_run: bool,
    /// Whether the report is printed at the end.
    is_reported: bool,
    is_concluded: AtomicBool,
    /// What the layer's filter lets through beside what rules may match.
    level: LevelFilter,
    /// The fields that are looked up on spans above.
    sources: Vec<Box<str>>,
    has_works: bool,
    /// The adopted callsites, where no other has the slot.
    slots: Box<[OnceLock<Arc<AdoptedCallsite>>]>,
    callsites: RwLock<HashMap<usize, SeenCallsite>>,
    works: Works,
}

struct AdoptedRule {
    rule: Rule,
    /// What an event is.
    boundary: Option<Boundary>,
    open: Option<Boundary>,
    close: Option<Boundary>,
}

/// A callsite at which rules may match, or whose fields are looked up from below.
struct AdoptedCallsite {
    metadata: &'static Metadata<'static>,
    /// What it is without rules.
    kind: CallsiteKind,
    checks: Checks<Step>,
    /// Whether it declares fields that are looked up on spans above.
    has_sources: bool,
    /// Whether it declares fields that say anything of a boundary event.
    has_boundary_fields: bool,
    /// Of the first message that was seen there, as much as was compared, for reports.
    message: OnceLock<String>,
}

impl AdoptedCallsite {
    fn has_taken(&self, rule: usize) -> bool {
        self.checks.all().any(|step| match step {
            Step::Apply(application) => {
                application.rule == rule && application.has_taken.load(Ordering::Relaxed)
            }
            Step::End(_) => false,
        })
    }
}

/// What is done where a condition holds.
#[derive(Debug)]
enum Step {
    Apply(Application),
    /// Ends the work that the rule's event has begun.
    End(usize),
}

/// A rule at a callsite.
#[derive(Debug)]
struct Application {
    rule: usize,
    /// Where the fields of a boundary event come from that the rule sets.
    fields: Box<[BoundarySource]>,
    has_taken: AtomicBool,
}

impl Application {
    /// Notes that the rule has taken something at the callsite.
    #[inline]
    fn take(&self) {
        if !self.has_taken.load(Ordering::Relaxed) {
            self.has_taken.store(true, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
struct BoundarySource {
    field: BoundaryField,
    /// Its place among the fields that the rule sets.
    setting: usize,
    /// The index of the callsite's field that it comes from, if it declares that.
    from: Option<usize>,
}

struct SeenCallsite {
    metadata: &'static Metadata<'static>,
    /// `None` where no rule may match.
    adopted: Option<Arc<AdoptedCallsite>>,
}

impl Adoption {
    /// `None` without any rule that can be used. With what is wrong with the others.
    pub(super) fn new(settings: &LayerSettings) -> (Option<Self>, Vec<String>) {
        let rules = &settings.rules;
        let (usable, faults) = rules.usable();
        if usable.is_empty() && !rules.is_reported() {
            return (None, faults);
        }
        let rules_of: Vec<AdoptedRule> = usable.into_iter().map(AdoptedRule::new).collect();
        let mut sources: Vec<Box<str>> = Vec::new();
        for name in rules_of.iter().flat_map(|rule| rule.rule.sources()) {
            if !sources.iter().any(|known| **known == *name) {
                sources.push(name.into());
            }
        }
        let adoption = Self {
            is_dry_run: rules.is_dry_run(),
            is_reported: rules.is_reported(),
            is_concluded: AtomicBool::new(false),
            level: settings.level,
            has_works: rules_of.iter().any(|rule| rule.rule.begins_work()),
            rules: rules_of,
            sources,
            slots: (0..SLOTS).map(|_| OnceLock::new()).collect(),
            callsites: RwLock::default(),
            works: Works::default(),
        };
        (Some(adoption), faults)
    }

    /// Whether spans or events of a callsite are adopted, which is `kind` without rules.
    #[cold]
    pub(super) fn adopts(&self, metadata: &'static Metadata<'static>, kind: CallsiteKind) -> bool {
        let address = std::ptr::from_ref(metadata).addr();
        let callsites = self
            .callsites
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = callsites.get(&address) {
            return seen.adopted.is_some();
        }
        let is_full = callsites.len() >= MAX_CALLSITES;
        drop(callsites);
        if is_full {
            return false;
        }
        let adopted = self.adopted_callsite(metadata, kind).map(Arc::new);
        if let Some(adopted) = &adopted {
            let _ = self.slots[slot(address)].set(adopted.clone());
        }
        let is_adopted = adopted.is_some();
        let mut callsites = self
            .callsites
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        callsites
            .entry(address)
            .or_insert(SeenCallsite { metadata, adopted });
        is_adopted
    }

    /// Whether any rule may match something of a callsite.
    pub(super) fn may_match(&self, metadata: &Metadata<'_>) -> bool {
        self.rules.iter().any(|rule| rule.rule.may_match(metadata))
    }

    fn adopted_callsite(
        &self,
        metadata: &'static Metadata<'static>,
        kind: CallsiteKind,
    ) -> Option<AdoptedCallsite> {
        let mut checks = Checks::default();
        for (at, rule) in self.rules.iter().enumerate() {
            if rule.rule.is_of_events() != metadata.is_event() {
                continue;
            }
            // The end of work comes before the next begins.
            for until in &rule.rule.until {
                if until.may_match(metadata) {
                    checks.add(metadata, until, Step::End(at));
                }
            }
            let condition = &rule.rule.condition;
            if condition.may_match(metadata) {
                let fields = rule.boundary_sources(metadata);
                let application = Application {
                    rule: at,
                    fields,
                    has_taken: AtomicBool::new(false),
                };
                checks.add(metadata, condition, Step::Apply(application));
            }
        }
        let declares = |name: &str| metadata.fields().field(name).is_some();
        let has_sources = metadata.is_span() && self.sources.iter().any(|name| declares(name));
        // Boundary events belong to the works that rules begin as they do to service spans.
        let may_be_of_work = self.has_works && kind == CallsiteKind::Boundary;
        // Where the level lets no ordinary span through, it is there for the rules alone.
        let is_looked_at = *metadata.level() > self.level
            && self.rules.iter().any(|rule| rule.rule.looks_at(metadata));
        if checks.is_empty() && !has_sources && !may_be_of_work && !is_looked_at {
            return None;
        }
        Some(AdoptedCallsite {
            metadata,
            kind,
            checks,
            has_sources,
            has_boundary_fields: BoundaryFields::NAMES.iter().any(|name| declares(name)),
            message: OnceLock::new(),
        })
    }

    /// An adopted callsite, if it is the one that has its slot.
    #[inline]
    fn callsite_in_slot(
        &self,
        metadata: &'static Metadata<'static>,
    ) -> Option<&Arc<AdoptedCallsite>> {
        let address = std::ptr::from_ref(metadata).addr();
        let adopted = self.slots[slot(address)].get()?;
        std::ptr::eq(adopted.metadata, metadata).then_some(adopted)
    }

    /// An adopted callsite.
    fn callsite(&self, metadata: &'static Metadata<'static>) -> Option<Arc<AdoptedCallsite>> {
        if let Some(adopted) = self.callsite_in_slot(metadata) {
            return Some(adopted.clone());
        }
        let address = std::ptr::from_ref(metadata).addr();
        let callsites = self
            .callsites
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        callsites.get(&address)?.adopted.clone()
    }

    /// Ends the works of a conversation, which is over.
    pub(super) fn end_works(&self, conversation: &str) {
        if self.has_works {
            self.works.end_all(conversation);
        }
    }

    /// Ends all works.
    pub(super) fn end_all_works(&self) {
        self.works.end_everything();
    }
}

impl AdoptedRule {
    fn new(mut rule: Rule) -> Self {
        if let Meaning::Conversation(id) = &rule.meaning {
            let setting = Setting::new(names::CONVERSATION_ID, id.clone());
            rule.fields.insert(0, setting);
        }
        let boundary = |name: &Option<String>| name.as_deref().and_then(Boundary::named);
        Self {
            boundary: match &rule.meaning {
                Meaning::Event(event) => Boundary::named(event),
                _ => None,
            },
            open: boundary(&rule.open),
            close: boundary(&rule.close),
            rule,
        }
    }

    /// A bit for each of the fields it sets whose name satisfies `selects`.
    fn set_fields(&self, selects: &dyn Fn(&str) -> bool) -> u64 {
        let fields = self.rule.fields.iter().enumerate();
        let selected = fields.filter(|(_, setting)| selects(setting.to));
        selected.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// Where what it sets of a boundary event comes from at a callsite.
    fn boundary_sources(&self, callsite: &Metadata<'_>) -> Box<[BoundarySource]> {
        let settings = self.rule.fields.iter().enumerate();
        let sources = settings.filter_map(|(at, setting)| {
            let from = setting.source.needs();
            Some(BoundarySource {
                field: BoundaryField::named(setting.to)?,
                setting: at,
                from: from.and_then(|name| Some(callsite.fields().field(name)?.index())),
            })
        });
        sources.collect()
    }

    /// The operation of the service that it makes of a span or event.
    fn operation(&self) -> Option<&str> {
        match &self.rule.meaning {
            Meaning::Service(operation) => Some(operation.as_str()),
            _ => None,
        }
    }
}
