//! What a span or event records, under the names that rules give it.

use super::{AdoptedRule, Adoption, Application};
use crate::field::{FieldValue, NamedFields};
use crate::layer::boundary_event::BoundaryFields;
use crate::layer::recorded::{Recorded, Renaming};
use crate::names;
use crate::rules::{KeptValue, PlainValues, Setting};
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

    #[inline(never)]
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

    /// Hands on what `rule` sets, as far as the bits of `wanted` say.
    #[inline(never)]
    pub(super) fn visit_set_by(
        &self,
        rule: &AdoptedRule,
        wanted: u64,
        act: &mut dyn FnMut(&'static str, FieldValue<'_>),
    ) {
        let fields = || rule.rule.fields.iter().enumerate();
        let mut found = 0_u64;
        let needs = |at: usize, setting: &Setting, name: &str| {
            wanted & (1 << at) != 0 && setting.source.needs() == Some(name)
        };
        (self.record)(&mut NamedFields::new(
            |name| fields().any(|(at, setting)| needs(at, setting, name)),
            |name: &'static str, value: FieldValue<'_>| {
                for (at, setting) in fields() {
                    if needs(at, setting, name) {
                        found |= 1 << at;
                        if let Some(value) = setting.convert(value) {
                            act(setting.to, value);
                        }
                    }
                }
            },
        ));
        let Some(above) = self.above else {
            return;
        };
        for (at, setting) in fields() {
            if wanted & !found & (1 << at) == 0 {
                continue;
            }
            let looks_up = !rule.rule.is_of_preset;
            let kept = match setting.source.needs() {
                Some(name) if looks_up => above(name),
                Some(_) => None,
                // It needs nothing to be there.
                None => Some(KeptValue::Bool(true)),
            };
            if let Some(value) = kept.as_ref().and_then(|kept| setting.convert(kept.value())) {
                act(setting.to, value);
            }
        }
    }
}

impl Application {
    /// Sets the fields of a boundary event that the rule sets from `plain`, values that are read already. Returns a bit for each
    /// of the rule's fields that is to be read.
    #[inline]
    pub(super) fn set_plain(
        &self,
        rule: &AdoptedRule,
        plain: &PlainValues,
        fields: &mut BoundaryFields,
    ) -> u64 {
        let mut unread = 0;
        for source in &self.fields {
            let setting = &rule.rule.fields[source.setting];
            match source.from.and_then(|from| plain.get(from)) {
                Some(found) if source.field.is_seconds() => {
                    if let Some(seconds) = setting.seconds(found) {
                        fields.set_seconds(source.field, seconds);
                    }
                }
                Some(found) => {
                    if let Some(value) = setting.convert(found) {
                        fields.set_field(source.field, value);
                    }
                }
                None => unread |= 1 << source.setting,
            }
        }
        unread
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
        self.rules().any(|rule| rule.rule.consumes(field))
    }

    fn each_set(&self, act: &mut dyn FnMut(&'static str, FieldValue<'_>)) {
        self.visit_set(&|_| true, act);
    }
}
