//! What a rule matches.

use super::pattern::Pattern;
use super::reported::Reported;
use std::fmt;
use std::sync::Arc;
use tracing_core::{Level, Metadata};

/// The field by which the `log` crate's records carry their target under `tracing-log`.
pub(crate) const LOG_TARGET: &str = "log.target";

/// Begins what a rule matches: `Match::target("my_bot::vad*").message("speech*")`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Match;

impl Match {
    /// Spans and events of this target. A `*` at the end stands for anything.
    pub fn target(target: &str) -> Condition {
        Condition::default().target(target)
    }

    /// Spans of this name. A `*` at the end stands for anything.
    pub fn span(name: &str) -> Condition {
        Condition::default().span(name)
    }

    /// Events with this message, of a target or level that has to be given as well. A `*` at the end stands for anything.
    pub fn message(message: &str) -> Condition {
        Condition::default().message(message)
    }

    /// Spans and events of exactly this level.
    pub fn level(level: Level) -> Condition {
        Condition::default().level(level)
    }

    /// Spans and events that record this field.
    pub fn field(field: &str) -> Condition {
        Condition::default().field(field)
    }

    /// Spans and events that `is_match` returns true for.
    ///
    /// It is called in each span and event that the rest of the match leaves, so it should be quick. If it panics, they do
    /// not match.
    pub fn when(is_match: impl Fn(&Reported<'_>) -> bool + Send + Sync + 'static) -> Condition {
        Condition::default().when(is_match)
    }
}

/// What a rule matches; all of it must hold. Begun by [`Match`].
#[derive(Clone, Default)]
#[must_use = "a condition does nothing until it is part of a rule"]
pub struct Condition {
    pub(crate) target: Option<Pattern>,
    pub(crate) span: Option<Pattern>,
    pub(crate) message: Option<Pattern>,
    pub(crate) level: Option<Level>,
    pub(crate) fields: Vec<(Box<str>, FieldTest)>,
    pub(crate) within: Option<Pattern>,
    pub(crate) when: Option<When>,
}

pub(crate) type When = Arc<dyn Fn(&Reported<'_>) -> bool + Send + Sync>;

/// What a field of a match is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FieldTest {
    Present,
    /// Of a value: any of these texts.
    OneOf(Vec<Pattern>),
}

impl FieldTest {
    /// Compares with `text`, also as `Debug` shows it.
    pub(crate) fn text(text: &str) -> Self {
        Self::OneOf(Self::forms(text).into())
    }

    fn forms(text: &str) -> [Pattern; 2] {
        [Pattern::exact(text), Pattern::exact(&format!("{text:?}"))]
    }

    /// Compares with a number, in the forms of `Display` and `Debug`.
    #[cfg(feature = "rules")]
    pub(crate) fn float(value: f64) -> Self {
        Self::OneOf(vec![
            Pattern::exact(&value.to_string()),
            Pattern::exact(&format!("{value:?}")),
        ])
    }

    /// Compares with something that has one form.
    #[cfg(feature = "rules")]
    pub(crate) fn plain(value: &dyn fmt::Display) -> Self {
        Self::OneOf(vec![Pattern::exact(&value.to_string())])
    }
}

impl Condition {
    /// Of this target. A `*` at the end stands for anything. Records of the `log` crate have theirs.
    pub fn target(mut self, target: &str) -> Self {
        self.target = Some(Pattern::new(target));
        self
    }

    /// A span of this name. A `*` at the end stands for anything.
    pub fn span(mut self, name: &str) -> Self {
        self.span = Some(Pattern::new(name));
        self
    }

    /// An event with this message. A `*` at the end stands for anything.
    pub fn message(mut self, message: &str) -> Self {
        self.message = Some(Pattern::new(message));
        self
    }

    /// Of exactly this level.
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Records this field. Of a span, what is recorded at its creation.
    pub fn field(mut self, field: &str) -> Self {
        self.fields.push((field.into(), FieldTest::Present));
        self
    }

    /// Records this field with this value, compared as text, also where it is recorded by `%` or `?`.
    pub fn field_is(mut self, field: &str, value: impl fmt::Display) -> Self {
        let test = FieldTest::text(&value.to_string());
        self.fields.push((field.into(), test));
        self
    }

    /// Records this field with one of these values.
    pub(super) fn field_is_one_of(mut self, field: &str, values: &[&str]) -> Self {
        let forms = values.iter().flat_map(|value| FieldTest::forms(value));
        let test = FieldTest::OneOf(forms.collect());
        self.fields.push((field.into(), test));
        self
    }

    /// An event whose nearest span, or one above it, has this name.
    pub fn within(mut self, span: &str) -> Self {
        self.within = Some(Pattern::new(span));
        self
    }

    /// What `is_match` returns true for; see [`Match::when`].
    pub fn when(
        mut self,
        is_match: impl Fn(&Reported<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.when = Some(Arc::new(is_match));
        self
    }

    /// Whether it may match something of this callsite.
    pub(crate) fn may_match(&self, callsite: &Metadata<'_>) -> bool {
        let declares = |name: &str| callsite.fields().field(name).is_some();
        let target_is = |target: &Pattern| {
            target.matches(callsite.target()) || (callsite.is_event() && declares(LOG_TARGET))
        };
        self.target.as_ref().is_none_or(target_is)
            && self
                .span
                .as_ref()
                .is_none_or(|name| callsite.is_span() && name.matches(callsite.name()))
            && (self.message.is_none() || (callsite.is_event() && declares("message")))
            && self.level.is_none_or(|level| *callsite.level() == level)
            && self.fields.iter().all(|(name, _)| declares(name))
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.target.is_none()
            && self.span.is_none()
            && self.message.is_none()
            && self.level.is_none()
            && self.fields.is_empty()
            && self.within.is_none()
            && self.when.is_none()
    }
}

/// As in a file.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let texts = [
            ("target", &self.target),
            ("span", &self.span),
            ("message", &self.message),
        ];
        for (key, pattern) in texts {
            if let Some(pattern) = pattern {
                parts.push(format!("{key} = {:?}", pattern.to_string()));
            }
        }
        if let Some(level) = self.level {
            parts.push(format!("level = \"{}\"", level.as_str().to_lowercase()));
        }
        if !self.fields.is_empty() {
            let fields = self.fields.iter().map(|(name, test)| match test {
                FieldTest::OneOf(forms) if !forms.is_empty() => {
                    format!("{name} = {:?}", forms[0].text())
                }
                _ => format!("{name} = {{ present = true }}"),
            });
            let fields: Vec<_> = fields.collect();
            parts.push(format!("fields = {{ {} }}", fields.join(", ")));
        }
        if let Some(within) = &self.within {
            parts.push(format!("in = {:?}", within.to_string()));
        }
        if self.when.is_some() {
            parts.push("when = …".to_owned());
        }
        write!(f, "{{ {} }}", parts.join(", "))
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition {self}")
    }
}
