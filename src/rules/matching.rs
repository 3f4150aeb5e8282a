//! Compares what a span or event records with the conditions of the rules that its callsite leaves.
//!
//! One pass over the fields compares all conditions at once. A value is formatted into a comparer that stops as soon as no
//! condition can match any more.

use super::condition::{Condition, FieldTest, LOG_TARGET, When};
use super::pattern::Pattern;
use super::reported::Reported;
use crate::content::floor_char_boundary;
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
    forms: Vec<Form>,
    candidates: Vec<Candidate<T>>,
}

/// A text that a field may have.
#[derive(Debug)]
struct Form {
    /// The index of the field.
    field: usize,
    /// The bit that says that the field is as it is to be.
    bit: u64,
    /// `None`: any value.
    pattern: Option<Pattern>,
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

    /// Adds a condition that may match at this callsite.
    pub(crate) fn add(&mut self, callsite: &Metadata<'_>, condition: &Condition, of: T) {
        let tests = tests(callsite, condition);
        let count: usize = tests
            .iter()
            .map(|(_, patterns)| patterns.len().max(1))
            .sum();
        let has_room = |group: &Group<T>| group.forms.len() + count <= MAX_FORMS;
        if !self.groups.last().is_some_and(has_room) {
            self.groups.push(Group {
                forms: Vec::new(),
                candidates: Vec::new(),
            });
        }
        let Some(group) = self.groups.last_mut() else {
            return;
        };
        let mut required = 0;
        for (field, patterns) in tests {
            let Some(bit) = 1_u64.checked_shl(group.forms.len() as u32) else {
                // More forms in one condition than a pass compares: it cannot be met.
                return;
            };
            required |= bit;
            if patterns.is_empty() {
                group.forms.push(Form {
                    field,
                    bit,
                    pattern: None,
                });
            }
            for pattern in patterns {
                group.forms.push(Form {
                    field,
                    bit,
                    pattern: Some(pattern),
                });
            }
        }
        group.candidates.push(Candidate {
            of,
            required,
            within: condition.within.clone(),
            when: condition.when.clone(),
        });
    }

    /// Calls `act` with what each condition that holds is for, in their order. `record` records the fields, and `is_within`
    /// says whether a span of such a name is above. Of the first message, `seen` keeps as much as was compared.
    pub(crate) fn matching(
        &self,
        metadata: &Metadata<'static>,
        record: &dyn Fn(&mut dyn Visit),
        seen: &OnceLock<String>,
        is_within: &dyn Fn(&Pattern) -> bool,
        mut act: impl FnMut(&T),
    ) {
        for group in &self.groups {
            let passed = group.passed(record, seen);
            for candidate in &group.candidates {
                if passed & candidate.required == candidate.required
                    && candidate.within.as_ref().is_none_or(is_within)
                    && candidate.when.as_ref().is_none_or(|when| {
                        let reported = Reported::new(metadata, record);
                        catch_unwind(AssertUnwindSafe(|| when(&reported))).unwrap_or(false)
                    })
                {
                    act(&candidate.of);
                }
            }
        }
    }
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
    fn passed(&self, record: &dyn Fn(&mut dyn Visit), seen: &OnceLock<String>) -> u64 {
        if self.forms.is_empty() {
            return 0;
        }
        let mut pass = Pass {
            forms: &self.forms,
            passed: 0,
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

/// One pass over the fields of a span or event.
struct Pass<'a> {
    forms: &'a [Form],
    passed: u64,
    /// Where the message is kept, unless one is.
    seen: Option<&'a OnceLock<String>>,
}

impl Pass<'_> {
    /// Compares the value of `field`, which `write` writes.
    #[inline]
    fn compare(&mut self, field: &Field, write: impl FnOnce(&mut Comparer<'_>) -> fmt::Result) {
        let index = field.index();
        let mut possible = 0_u64;
        for (at, form) in self.forms.iter().enumerate() {
            if form.field == index {
                match form.pattern {
                    None => self.passed |= form.bit,
                    Some(_) => possible |= 1 << at,
                }
            }
        }
        if possible == 0 {
            return;
        }
        let mut comparer = Comparer {
            forms: self.forms,
            possible,
            length: 0,
            seen: self
                .seen
                .filter(|_| field.name() == "message")
                .map(|_| String::new()),
        };
        // An error is either the comparer's, which had enough, or the value's own: what came before it counts.
        let _ = write(&mut comparer);
        self.passed |= comparer.passed();
        if let (Some(seen), Some(text)) = (self.seen, comparer.seen) {
            let _ = seen.set(text);
        }
    }

    fn compare_formatted(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.compare(field, |comparer| {
            match catch_unwind(AssertUnwindSafe(|| comparer.write_fmt(value))) {
                Ok(outcome) => outcome,
                Err(_) => {
                    comparer.possible = 0;
                    Err(fmt::Error)
                }
            }
        });
    }
}

impl Visit for Pass<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.compare(field, |comparer| comparer.write_str(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.compare(field, |comparer| {
            comparer.write_str(if value { "true" } else { "false" })
        });
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.compare(field, |comparer| write!(comparer, "{value}"));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.compare(field, |comparer| write!(comparer, "{value}"));
    }
    fn record_i128(&mut self, field: &Field, value: i128) {
        self.compare(field, |comparer| write!(comparer, "{value}"));
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        self.compare(field, |comparer| write!(comparer, "{value}"));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.compare(field, |comparer| write!(comparer, "{value}"));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.compare_formatted(field, format_args!("{value}"));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.compare_formatted(field, format_args!("{value:?}"));
    }
}

/// Compares a text with several forms while it is written, and stops when none of them can be met any more.
struct Comparer<'a> {
    forms: &'a [Form],
    /// A bit for each form that the text so far goes on like.
    possible: u64,
    length: usize,
    /// What was written so far, where that is kept.
    seen: Option<String>,
}

impl Comparer<'_> {
    /// The bits of the forms that the whole text is.
    fn passed(&self) -> u64 {
        let mut passed = 0;
        for form in self.possible() {
            if let Some(pattern) = &form.1.pattern
                && pattern.ends_at(self.length)
            {
                passed |= form.1.bit;
            }
        }
        passed
    }

    fn possible(&self) -> impl Iterator<Item = (u32, &Form)> {
        let mut left = self.possible;
        std::iter::from_fn(move || {
            let at = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some((at, self.forms.get(at as usize)?))
        })
    }
}

impl Write for Comparer<'_> {
    #[inline]
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if let Some(seen) = &mut self.seen {
            let room = MAX_SEEN_BYTES.saturating_sub(seen.len());
            seen.push_str(&piece[..floor_char_boundary(piece, room)]);
        }
        let mut possible = self.possible;
        for (at, form) in self.possible() {
            let goes_on = form
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.goes_on(self.length, piece.as_bytes()));
            if !goes_on {
                possible &= !(1 << at);
            }
        }
        self.possible = possible;
        self.length += piece.len();
        if possible == 0 {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}
