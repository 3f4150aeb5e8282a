//! What rules have taken of what was seen.

use super::{AdoptedCallsite, AdoptedRule, Adoption};
use crate::rules::{Meaning, Rule, distance};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use tracing_core::Metadata;

impl Adoption {
    /// Says once which rules have never matched, and prints the report if that is wanted.
    pub(in crate::layer) fn conclude(&self, warn: impl Fn(String)) {
        if self.is_concluded.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.is_reported {
            // Nobody is left to be told that standard error is closed.
            let _ = std::io::stderr().write_all(self.report().as_bytes());
        } else {
            self.unused().into_iter().for_each(warn);
        }
    }

    fn has_taken(&self, rule: usize) -> bool {
        let callsites = self
            .callsites
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut adopted = callsites.values().filter_map(|seen| seen.adopted.as_ref());
        adopted.any(|adopted| adopted.has_taken(rule))
    }

    /// A line for each rule of the program's own that has never matched, with the callsite that is nearest to it.
    pub(in crate::layer) fn unused(&self) -> Vec<String> {
        let rules = self.rules.iter().enumerate();
        let unused = rules.filter(|(at, rule)| !rule.rule.is_of_preset && !self.has_taken(*at));
        unused
            .map(|(_, rule)| self.describe_unused(&rule.rule))
            .collect()
    }

    fn describe_unused(&self, rule: &Rule) -> String {
        let Rule {
            origin, condition, ..
        } = rule;
        let kind = if rule.is_of_events() { "event" } else { "span" };
        match self.nearest(rule) {
            Some(nearest) => {
                format!("{origin}: no {kind} matched {condition}; the nearest seen is {nearest}")
            }
            None => format!("{origin}: no {kind} matched {condition}; none was seen at all"),
        }
    }

    /// The callsite that is most like what a rule matches.
    fn nearest(&self, rule: &Rule) -> Option<String> {
        let condition = &rule.condition;
        let callsites = self
            .callsites
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let seen = callsites
            .values()
            .filter(|seen| seen.metadata.is_event() == rule.is_of_events());
        let scored = seen.map(|seen| {
            let message = seen
                .adopted
                .as_ref()
                .and_then(|adopted| adopted.message.get());
            let far =
                |pattern: Option<&crate::rules::Pattern>, text: Option<&str>| match (pattern, text)
                {
                    (Some(pattern), Some(text)) if !pattern.matches(text) => {
                        1 + distance(pattern.text(), text)
                    }
                    (Some(pattern), None) => 1 + pattern.text().len(),
                    _ => 0,
                };
            let declares = |name: &str| seen.metadata.fields().field(name).is_some();
            let missing = condition
                .fields
                .iter()
                .filter(|(name, _)| !declares(name))
                .count();
            let is_other_level = condition
                .level
                .is_some_and(|level| level != *seen.metadata.level());
            let distance = far(condition.target.as_ref(), Some(seen.metadata.target()))
                + far(condition.span.as_ref(), Some(seen.metadata.name()))
                + far(condition.message.as_ref(), message.map(String::as_str))
                + 4 * missing
                + 4 * usize::from(is_other_level);
            (
                distance,
                describe(seen.metadata, message.map(String::as_str)),
            )
        });
        scored.min().map(|(_, description)| description)
    }

    /// Every rule with what it has taken, and every callsite with the rules that may match there.
    pub(in crate::layer) fn report(&self) -> String {
        let mut report = String::new();
        let title = if self.is_dry_run {
            "rules (dry run: nothing was adopted)"
        } else {
            "rules"
        };
        let _ = writeln!(report, "{title}");
        for rule in &self.rules {
            let Rule {
                origin, condition, ..
            } = &rule.rule;
            let _ = writeln!(report, "  {origin}: {condition} is {}", rule.meaning());
        }
        let _ = writeln!(report, "callsites");
        let callsites = self
            .callsites
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<String> = callsites
            .values()
            .map(|seen| {
                let adopted = seen.adopted.as_ref();
                let message = adopted.and_then(|adopted| adopted.message.get());
                let rules = adopted.map_or_else(
                    || "no rule".to_owned(),
                    |adopted| self.describe_taken(adopted),
                );
                let what = describe(seen.metadata, message.map(String::as_str));
                format!("  {what}: {rules}")
            })
            .collect();
        drop(callsites);
        lines.sort();
        for line in lines {
            let _ = writeln!(report, "{line}");
        }
        for unused in self.unused() {
            let _ = writeln!(report, "never matched: {unused}");
        }
        report
    }
}

impl Adoption {
    /// Which rules have taken something at a callsite, or might have.
    fn describe_taken(&self, callsite: &AdoptedCallsite) -> String {
        let origins = |takes: &dyn Fn(usize, &AdoptedRule) -> bool| {
            let rules = self.rules.iter().enumerate();
            let origins = rules
                .filter(|(at, rule)| takes(*at, rule))
                .map(|(_, rule)| rule.rule.origin.as_str());
            origins.collect::<Vec<_>>().join(", ")
        };
        let taken = origins(&|at, _| callsite.has_taken(at));
        if !taken.is_empty() {
            return format!("taken by {taken}");
        }
        let metadata = callsite.metadata;
        let possible = origins(&|_, rule| rule.rule.may_match(metadata));
        if possible.is_empty() {
            "no rule".to_owned()
        } else {
            format!("no rule; {possible} might have matched")
        }
    }
}

impl AdoptedRule {
    fn meaning(&self) -> String {
        match &self.rule.meaning {
            Meaning::Event(event) => format!("event {event}"),
            Meaning::Conversation(_) => "conversation".to_owned(),
            Meaning::Service(operation) => format!("service {}", operation.as_str()),
            Meaning::Span => "span".to_owned(),
        }
    }
}

fn describe(metadata: &Metadata<'_>, message: Option<&str>) -> String {
    let mut text = if metadata.is_span() {
        format!(
            "span {:?} of target {:?}",
            metadata.name(),
            metadata.target()
        )
    } else {
        format!("event of target {:?}", metadata.target())
    };
    if let Some(message) = message {
        let _ = write!(text, " with message {message:?}");
    }
    let _ = write!(text, ", level {}", metadata.level().as_str().to_lowercase());
    if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
        let _ = write!(text, " ({file}:{line})");
    }
    text
}
