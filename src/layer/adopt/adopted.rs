//! What a span or event records, under the names that rules give it.

use super::{AdoptedRule, Adoption};
use crate::field::{FieldValue, NamedFields};
use crate::layer::recorded::{Recorded, Renaming};
use crate::names;
use crate::rules::{KeptValue, PlainValues, Source};
use tracing_core::field::Visit;

/// What `tracing-log` adds to a record of the `log` crate: where it comes from, which is nothing of a service or a turn.
const LOG_FIELDS: &[&str] = &["log.target", "log.module_path", "log.file", "log.line"];

/// Looks up a field on the spans above.
pub(super) type LookUp<'a> = dyn Fn(&str) -> Option<KeptValue> + 'a;

/// What a span or event records, as the rules `applied` have it.
pub(in crate::layer) struct Adopted<'a> {
    pub(super) adoption: &'a Adoption,
    pub(super) applied: &'a [usize],
    pub(super) record: &'a dyn Fn(&mut dyn Visit),
    /// Looks up what is not recorded on spans above; `None` for what is recorded late.
    pub(super) above: Option<&'a LookUp<'a>>,
    /// The operation that a rule makes of it.
    pub(super) operation: Option<&'a str>,
}

impl<'a> Adopted<'a> {
    fn rules(&self) -> impl Iterator<Item = &'a AdoptedRule> {
        self.applied
            .iter()
            .filter_map(|rule| self.adoption.rules.get(*rule))
    }

    fn visit(
        &self,
        selects: &dyn Fn(&str) -> bool,
        act: &mut dyn FnMut(&'static str, FieldValue<'_>),
    ) {
        if let Some(operation) = self.operation
            && selects(names::GEN_AI_OPERATION_NAME)
        {
            act(names::GEN_AI_OPERATION_NAME, FieldValue::Str(operation));
        }
        (self.record)(&mut NamedFields::new(
            |name| selects(name) && !self.consumes(name) && !LOG_FIELDS.contains(&name),
            &mut *act,
        ));
        self.visit_set(selects, act);
    }

    /// Hands on what the rules set.
    fn visit_set(
        &self,
        selects: &dyn Fn(&str) -> bool,
        act: &mut dyn FnMut(&'static str, FieldValue<'_>),
    ) {
        for rule in self.rules() {
            let wanted = rule.set_fields(selects);
            if wanted != 0 {
                self.visit_set_by(rule, wanted, act);
            }
        }
    }

    /// Hands on the fields that an event of `rule` is made of where its callsite declares none of them itself. `plain` are
    /// values that are read already.
    #[inline]
    pub(super) fn visit_boundary(
        &self,
        rule: &AdoptedRule,
        plain: &PlainValues,
        mut act: impl FnMut(&'static str, FieldValue<'_>),
    ) {
        let mut wanted = rule.boundary_fields;
        if wanted == 0 {
            return;
        }
        for (at, (to, source)) in rule.rule.fields.iter().enumerate() {
            if wanted & (1 << at) != 0
                && let Some(value) = source.needs().and_then(|name| plain.get(name))
            {
                wanted &= !(1 << at);
                source.convert(to, value, |value| act(to, value));
            }
        }
        if wanted != 0 {
            self.visit_set_by(rule, wanted, &mut act);
        }
    }

    /// Hands on what `rule` sets, as far as the bits of `wanted` say.
    fn visit_set_by(
        &self,
        rule: &AdoptedRule,
        wanted: u64,
        act: &mut dyn FnMut(&'static str, FieldValue<'_>),
    ) {
        let fields = || rule.rule.fields.iter().enumerate();
        let mut found = 0_u64;
        let needs = |at: usize, source: &Source, name: &str| {
            wanted & (1 << at) != 0 && source.needs() == Some(name)
        };
        (self.record)(&mut NamedFields::new(
            |name| fields().any(|(at, (_, source))| needs(at, source, name)),
            |name: &'static str, value: FieldValue<'_>| {
                for (at, (to, source)) in fields() {
                    if needs(at, source, name) {
                        found |= 1 << at;
                        source.convert(to, value, |value| act(to, value));
                    }
                }
            },
        ));
        let Some(above) = self.above else {
            return;
        };
        for (at, (to, source)) in fields() {
            if wanted & !found & (1 << at) == 0 {
                continue;
            }
            // An agent's totals are not those of the requests below it.
            let looks_up = !rule.rule.is_of_preset;
            let kept = source
                .needs()
                .map(|name| looks_up.then(|| above(name)).flatten());
            match kept {
                // It needs nothing to be there.
                None => source.convert(to, FieldValue::Bool(true), |value| act(to, value)),
                Some(Some(kept)) => source.convert(to, kept.value(), |value| act(to, value)),
                Some(None) => {}
            }
        }
    }
}

impl Recorded for Adopted<'_> {
    fn each(&self, mut act: impl FnMut(&'static str, FieldValue<'_>)) {
        self.visit(&|_| true, &mut act);
    }

    fn each_of(
        &self,
        names: &'static [&'static str],
        mut act: impl FnMut(&'static str, FieldValue<'_>),
    ) {
        self.visit(&|name| names.contains(&name), &mut act);
    }

    fn renaming(&self) -> Option<&dyn Renaming> {
        Some(self)
    }
}

impl Renaming for Adopted<'_> {
    fn record(&self, visit: &mut dyn Visit) {
        (self.record)(visit);
    }

    fn consumes(&self, field: &str) -> bool {
        self.rules().any(|rule| {
            let mut sources = rule.rule.fields.iter().map(|(_, source)| source);
            sources.any(|source| source.consumes() == Some(field))
        })
    }

    fn each_set(&self, act: &mut dyn FnMut(&'static str, FieldValue<'_>)) {
        self.visit_set(&|_| true, act);
    }
}
