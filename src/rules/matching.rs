//! Compares what a span or event records with the conditions of the rules that its callsite leaves.
//!
//! One pass over the fields compares all conditions at once. A value is formatted into a comparer that stops as soon as no
//! condition can match any more.

use super::condition::{Condition, FieldTest, LOG_TARGET, When};
use super::pattern::Pattern;
use super::reported::Reported;
use crate::content::floor_char_boundary;
use crate::field::{FieldValue, integer};
use std::fmt::{self, Debug, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use tracing_core::Metadata;
use tracing_core::field::{Field, Visit};

/// What is left to compare at a callsite: conditions, each with what it is for.
#[derive(Debug)]
pub(crate) struct Checks<T> {
    groups: Vec<Group<T>>,
}

/// Conditions that are compared in one pass.
#[derive(Debug)]
struct Group<T> {
    /// By the index of the field.
    fields: Vec<FieldChecks>,
    /// How many forms there are in all; a test for any value counts as one.
    forms: usize,
    candidates: Vec<Candidate<T>>,
}

/// What is compared of a field.
#[derive(Debug, Default)]
struct FieldChecks {
    /// The bits of the tests that any value passes.
    present: u64,
    /// The forms that its text may have.
    forms: Vec<Form>,
}

/// A text that a field may have.
#[derive(Debug)]
struct Form {
    /// The bit that says that the field is as it is to be.
    bit: u64,
    pattern: Pattern,
}

struct Candidate<T> {
    of: T,
    /// The bits of its tests.
    required: u64,
    within: Option<Pattern>,
    when: Option<When>,
}

impl<T: Debug> Debug for Candidate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt(f)
    }
}

/// So much is kept of a message, for reports.
const MAX_SEEN_BYTES: usize = 80;

/// As many forms are compared in one pass.
const MAX_FORMS: usize = 64;

impl<T> Default for Checks<T> {
    fn default() -> Self {
        Self { groups: Vec::new() }
    }
}

impl<T> Checks<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// What the conditions are for.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        let candidates = self.groups.iter().flat_map(|group| &group.candidates);
        candidates.map(|candidate| &candidate.of)
    }

    /// Adds a condition that may match at this callsite.
    pub(crate) fn add(&mut self, callsite: &Metadata<'_>, condition: &Condition, of: T) {
        let tests = tests(callsite, condition);
        let count: usize = tests
            .iter()
            .map(|(_, patterns)| patterns.len().max(1))
            .sum();
        let has_room = |group: &Group<T>| group.forms + count <= MAX_FORMS;
        if !self.groups.last().is_some_and(has_room) {
            self.groups.push(Group {
                fields: Vec::new(),
                forms: 0,
                candidates: Vec::new(),
            });
        }
        let Some(group) = self.groups.last_mut() else {
            return;
        };
        let mut required = 0;
        for (field, patterns) in tests {
            let Some(bit) = 1_u64.checked_shl(group.forms as u32) else {
                // More forms in one condition than a pass compares: it cannot be met.
                return;
            };
            required |= bit;
            if group.fields.len() <= field {
                group.fields.resize_with(field + 1, FieldChecks::default);
            }
            let checks = &mut group.fields[field];
            group.forms += patterns.len().max(1);
            if patterns.is_empty() {
                checks.present |= bit;
            }
            let forms = patterns.into_iter().map(|pattern| Form { bit, pattern });
            checks.forms.extend(forms);
            checks.forms.truncate(MAX_FORMS);
        }
        group.candidates.push(Candidate {
            of,
            required,
            within: condition.within.clone(),
            when: condition.when.clone(),
        });
    }

    /// Calls `act` with what each condition that holds is for, in their order. `record` records the fields, and `is_within`
    /// says whether a span of such a name is above. Of the first message, `seen` keeps as much as was compared, and `act` is
    /// given the plain values that the pass went over.
    pub(crate) fn matching(
        &self,
        metadata: &Metadata<'static>,
        record: &dyn Fn(&mut dyn Visit),
        seen: &OnceLock<String>,
        is_within: &dyn Fn(&Pattern) -> bool,
        mut act: impl FnMut(&T, &PlainValues),
    ) {
        let mut plain = PlainValues::default();
        for group in &self.groups {
            let passed = group.passed(record, seen, &mut plain);
            for candidate in &group.candidates {
                if passed & candidate.required == candidate.required
                    && candidate.within.as_ref().is_none_or(is_within)
                    && candidate
                        .when
                        .as_ref()
                        .is_none_or(|when| is_so(when, metadata, record))
                {
                    act(&candidate.of, &plain);
                }
            }
        }
    }
}

/// Asks a closure of the program's.
#[inline(never)]
fn is_so(when: &When, metadata: &Metadata<'static>, record: &dyn Fn(&mut dyn Visit)) -> bool {
    let reported = Reported::new(metadata, record);
    catch_unwind(AssertUnwindSafe(|| when(&reported))).unwrap_or(false)
}

/// What the fields of a callsite are to be: the index of each with its texts, none for any value.
fn tests(callsite: &Metadata<'_>, condition: &Condition) -> Vec<(usize, Vec<Pattern>)> {
    let index = |name: &str| Some(callsite.fields().field(name)?.index());
    let mut tests = Vec::new();
    if let Some(target) = &condition.target
        && let Some(field) = index(LOG_TARGET)
        && !target.matches(callsite.target())
    {
        tests.push((field, vec![target.clone()]));
    }
    if let Some(message) = &condition.message
        && let Some(field) = index("message")
    {
        tests.push((field, vec![message.clone()]));
    }
    for (name, test) in &condition.fields {
        if let Some(field) = index(name) {
            let forms = match test {
                FieldTest::Present => Vec::new(),
                FieldTest::OneOf(forms) => forms.clone(),
            };
            tests.push((field, forms));
        }
    }
    tests
}

impl<T> Group<T> {
    /// The bits of the tests that hold.
    #[inline]
    fn passed(
        &self,
        record: &dyn Fn(&mut dyn Visit),
        seen: &OnceLock<String>,
        plain: &mut PlainValues,
    ) -> u64 {
        if self.forms == 0 {
            return 0;
        }
        let mut pass = Pass {
            fields: &self.fields,
            passed: 0,
            plain,
            seen: if seen.get().is_none() {
                Some(seen)
            } else {
                None
            },
        };
        record(&mut pass);
        pass.passed
    }
}

/// Values that need no formatting, of the first fields of a callsite.
#[derive(Default)]
pub(crate) struct PlainValues([Option<FieldValue<'static>>; 4]);

impl PlainValues {
    #[inline]
    fn keep(&mut self, field: &Field, value: FieldValue<'static>) {
        if let Some(kept) = self.0.get_mut(field.index()) {
            *kept = Some(value);
        }
    }

    /// The value of the field of this index, if it is among them.
    #[inline]
    pub(crate) fn get(&self, field: usize) -> Option<FieldValue<'static>> {
        *self.0.get(field)?
    }
}

/// One pass over the fields of a span or event.
struct Pass<'a> {
    fields: &'a [FieldChecks],
    passed: u64,
    plain: &'a mut PlainValues,
    /// Where the message is kept, unless one is.
    seen: Option<&'a OnceLock<String>>,
}

impl Pass<'_> {
    /// Compares the value of `field`, which `write` writes.
    #[inline]
    fn compare(&mut self, field: &Field, write: impl FnOnce(&mut dyn Write) -> fmt::Result) {
        let Some(checks) = self.fields.get(field.index()) else {
            return;
        };
        self.passed |= checks.present;
        match &checks.forms[..] {
            [] => {}
            // As most messages.
            [form] => {
                let mut comparer = OneForm {
                    pattern: &form.pattern,
                    is_possible: true,
                    length: 0,
                };
                if self.written(field, &mut comparer, write) && comparer.is_met() {
                    self.passed |= form.bit;
                }
            }
            forms => {
                let mut comparer = Forms {
                    forms,
                    possible: u64::MAX >> (MAX_FORMS - forms.len()),
                    length: 0,
                };
                if self.written(field, &mut comparer, write) {
                    self.passed |= comparer.passed();
                }
            }
        }
    }

    /// Writes the value of `field`. Returns whether what was written counts.
    #[inline]
    fn written(
        &self,
        field: &Field,
        to: &mut dyn Write,
        write: impl FnOnce(&mut dyn Write) -> fmt::Result,
    ) -> bool {
        // `Debug` and `Display` are the program's code.
        let written = catch_unwind(AssertUnwindSafe(|| match self.seen {
            Some(seen) if field.name() == "message" => see(seen, to, write),
            _ => write(to),
        }));
        // An error is either the comparer's, which had enough, or the value's own: what came before it counts.
        written.is_ok()
    }
}

impl Visit for Pass<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.compare(field, |comparer| comparer.write_str(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain.keep(field, FieldValue::Bool(value));
        let text = if value { "true" } else { "false" };
        self.record_str(field, text);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain.keep(field, FieldValue::Int(value));
        self.compare(field, |comparer| {
            fmt::write(comparer, format_args!("{value}"))
        });
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain.keep(field, integer(value.into()));
        self.compare(field, |comparer| {
            fmt::write(comparer, format_args!("{value}"))
        });
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain.keep(field, FieldValue::Float(value));
        self.compare(field, |comparer| {
            fmt::write(comparer, format_args!("{value}"))
        });
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.compare(field, |comparer| {
            fmt::write(comparer, format_args!("{value:?}"))
        });
    }
}

/// Compares a text with a form while it is written, and stops at the first difference.
struct OneForm<'a> {
    pattern: &'a Pattern,
    is_possible: bool,
    length: usize,
}

impl OneForm<'_> {
    /// Whether the whole text is of the form.
    #[inline]
    fn is_met(&self) -> bool {
        self.is_possible && self.pattern.ends_at(self.length)
    }
}

impl Write for OneForm<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.is_possible &= self.pattern.goes_on(self.length, piece.as_bytes());
        self.length += piece.len();
        if self.is_possible {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// The same with several forms, until none of them can be met any more.
struct Forms<'a> {
    forms: &'a [Form],
    /// A bit for each form that the text so far goes on like.
    possible: u64,
    length: usize,
}

impl Forms<'_> {
    /// The bits of the forms that the whole text is.
    #[inline]
    fn passed(&self) -> u64 {
        let mut passed = 0;
        let mut bit = 1;
        for form in self.forms {
            if self.possible & bit != 0 && form.pattern.ends_at(self.length) {
                passed |= form.bit;
            }
            bit <<= 1;
        }
        passed
    }
}

impl Write for Forms<'_> {
    #[inline]
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let mut bit = 1;
        for form in self.forms {
            if self.possible & bit != 0 && !form.pattern.goes_on(self.length, piece.as_bytes()) {
                self.possible &= !bit;
            }
            bit <<= 1;
        }
        self.length += piece.len();
        if self.possible == 0 {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

/// Keeps in `seen` what is written to `to`.
#[cold]
fn see(
    seen: &OnceLock<String>,
    to: &mut dyn Write,
    write: impl FnOnce(&mut dyn Write) -> fmt::Result,
) -> fmt::Result {
    struct Seeing<'a>(&'a mut dyn Write, String);
    impl Write for Seeing<'_> {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            let room = MAX_SEEN_BYTES.saturating_sub(self.1.len());
            self.1.push_str(&piece[..floor_char_boundary(piece, room)]);
            self.0.write_str(piece)
        }
    }
    let mut seeing = Seeing(to, String::new());
    let outcome = write(&mut seeing);
    let _ = seen.set(seeing.1);
    outcome
}
