//! A rule, and what is wrong with one.

use super::condition::{Condition, FieldTest};
use super::operation::Operation;
use super::setting::Setting;
use super::source::Source;
use tracing_core::Metadata;

/// As many fields may one rule set.
pub(crate) const MAX_FIELDS: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Where it stands, for reports.
    pub(crate) origin: String,
    pub(crate) condition: Condition,
    pub(crate) meaning: Meaning,
    /// What it sets: names of the contract with their sources.
    pub(crate) fields: Vec<Setting>,
    /// The boundary events that the start and the end of a span are.
    pub(crate) open: Option<String>,
    pub(crate) close: Option<String>,
    /// What ends the work that an event begins, how it is named, and the field that pairs what runs at once.
    pub(crate) until: Vec<Condition>,
    pub(crate) name: Option<String>,
    pub(crate) key: Option<String>,
    /// Whether it stands in a preset: few programs need every rule of one, and what a library's span is to have it has itself.
    pub(crate) is_of_preset: bool,
}

/// What a rule makes of what it matches.
#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    /// An event is this boundary event.
    Event(String),
    /// A span is a conversation, of this id.
    Conversation(Source),
    /// A span, or what an event begins, is a service's work.
    Service(Operation),
    /// A span is what it is, with fields, or with boundary events at its start and end.
    Span,
}

/// The part of a rule that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Rule,
    Match,
    Event,
    Conversation,
    Service,
    Fields,
    Open,
    Close,
    Until(usize),
    Name,
    Key,
}

/// What is wrong with a part of a rule, what is allowed there, and what was probably meant.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "rules"),
    allow(dead_code, reason = "only a file has a place for each part")
)]
pub(crate) struct Fault {
    pub(crate) part: Part,
    pub(crate) problem: String,
    pub(crate) allowed: String,
    pub(crate) nearest: Option<String>,
}

impl Fault {
    pub(crate) fn new(part: Part, problem: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            part,
            problem: problem.into(),
            allowed: allowed.into(),
            nearest: None,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; allowed is {}", self.problem, self.allowed)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl Rule {
    pub(crate) fn new(origin: String, condition: Condition, meaning: Meaning) -> Self {
        Self {
            origin,
            condition,
            meaning,
            fields: Vec::new(),
            open: None,
            close: None,
            until: Vec::new(),
            name: None,
            key: None,
            is_of_preset: false,
        }
    }

    /// Whether it matches events; otherwise spans.
    pub(crate) fn is_of_events(&self) -> bool {
        match self.meaning {
            Meaning::Event(_) => true,
            Meaning::Service(_) => self.begins_work(),
            Meaning::Conversation(_) | Meaning::Span => false,
        }
    }

    /// Whether an event begins the work of a service by it.
    pub(crate) fn begins_work(&self) -> bool {
        let is_of_event = self.condition.span.is_none()
            && (self.condition.message.is_some()
                || !self.until.is_empty()
                || self.name.is_some()
                || self.key.is_some());
        matches!(self.meaning, Meaning::Service(_)) && is_of_event
    }

    /// Whether it may match something of a callsite.
    pub(crate) fn may_match(&self, callsite: &Metadata<'_>) -> bool {
        let mut conditions = self.until.iter().chain([&self.condition]);
        self.is_of_events() == callsite.is_event()
            && conditions.any(|condition| condition.may_match(callsite))
    }

    /// The fields that it looks up on the spans above what it matches. What a library's span is to have it has itself, so that a
    /// preset looks up none: an agent's totals are not those of the requests below it.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &str> {
        let settings = self.fields.iter().filter(|_| !self.is_of_preset);
        let id = match &self.meaning {
            Meaning::Conversation(id) => Some(id),
            _ => None,
        };
        let sources = settings.map(|setting| &setting.source).chain(id);
        let needed = sources.filter_map(Source::needs);
        needed
            .chain(self.key.as_deref())
            .filter(|name| *name != "message")
    }

    /// Whether the value of a field leaves under another name. A preset says all that the word says which it matches by.
    pub(crate) fn consumes(&self, field: &str) -> bool {
        let is_word = |(name, test): &(Box<str>, FieldTest)| {
            **name == *field && matches!(test, FieldTest::OneOf(_))
        };
        let mut settings = self.fields.iter();
        settings.any(|setting| setting.source.consumes() == Some(field))
            || (self.is_of_preset && self.condition.fields.iter().any(is_word))
    }

    /// Whether spans of a callsite may be what it looks for above what it matches, by their name or for a field.
    pub(crate) fn looks_at(&self, callsite: &Metadata<'_>) -> bool {
        let declares = |name: &str| callsite.fields().field(name).is_some();
        let mut conditions = self.until.iter().chain([&self.condition]);
        callsite.is_span()
            && (conditions.any(|condition| {
                let within = condition.within.as_ref();
                within.is_some_and(|name| name.matches(callsite.name()))
            }) || self.sources().any(declares))
    }

    /// What is wrong with it, if anything.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        use crate::names::event::ALL;
        let condition = &self.condition;
        check_condition(condition, Part::Match)?;
        let named = |part, name: &str| {
            if ALL.contains(&name) {
                return Ok(());
            }
            let mut fault = Fault::new(
                part,
                format!("`{name}` is no boundary event"),
                list(ALL.iter().copied()),
            );
            let nearest = super::nearest::nearest(name, ALL.iter().copied());
            fault.nearest = nearest.map(str::to_owned);
            Err(fault)
        };
        if let Meaning::Event(event) = &self.meaning {
            named(Part::Event, event)?;
            if condition.span.is_some() {
                return Err(Fault::new(
                    Part::Match,
                    "`span` matches spans, and this rule is about events",
                    "`in` for an event in a span, or `open` and `close` for what a span's start and end are",
                ));
            }
        }
        self.check_names()?;
        if let Some(event) = &self.open {
            named(Part::Open, event)?;
        }
        if let Some(event) = &self.close {
            named(Part::Close, event)?;
        }
        // The id of a conversation is one of them.
        let count =
            self.fields.len() + usize::from(matches!(self.meaning, Meaning::Conversation(_)));
        if count > MAX_FIELDS {
            return Err(Fault::new(
                Part::Fields,
                format!("{count} fields in one rule"),
                format!("{MAX_FIELDS} at most"),
            ));
        }
        self.check_kind()
    }

    /// Names that are empty are none.
    fn check_names(&self) -> Result<(), Fault> {
        let is_empty = |name: Option<&str>| name == Some("");
        let of_field = |part| Err(Fault::new(part, "the name of a field is empty", "a name"));
        if let Meaning::Service(operation) = &self.meaning
            && operation.as_str().is_empty()
        {
            let examples = list(["chat", "stt", "tts", "execute_tool", "invoke_agent"]);
            let allowed = format!("a value of `gen_ai.operation.name` such as {examples}");
            return Err(Fault::new(Part::Service, "the operation is empty", allowed));
        }
        if let Meaning::Conversation(id) = &self.meaning
            && is_empty(id.needs())
        {
            return of_field(Part::Conversation);
        }
        let mut settings = self.fields.iter();
        if settings.any(|setting| setting.to.is_empty() || is_empty(setting.source.needs())) {
            return of_field(Part::Fields);
        }
        if is_empty(self.key.as_deref()) {
            return of_field(Part::Key);
        }
        if is_empty(self.name.as_deref()) {
            return Err(Fault::new(
                Part::Name,
                "the name of the span is empty",
                "a name",
            ));
        }
        Ok(())
    }

    fn check_kind(&self) -> Result<(), Fault> {
        let begins_work = self.begins_work();
        let work_only = [
            (Part::Until(0), "until", !self.until.is_empty()),
            (Part::Name, "name", self.name.is_some()),
            (Part::Key, "key", self.key.is_some()),
        ];
        if let Some((part, key, _)) = work_only.into_iter().find(|(_, _, is_set)| *is_set)
            && !begins_work
        {
            return Err(Fault::new(
                part,
                format!("`{key}` does not go with this rule"),
                "it with `service` on an event, that is without `span` in the match",
            ));
        }
        if begins_work && self.until.is_empty() {
            return Err(Fault::new(
                Part::Service,
                "a service that an event begins never ends",
                "`until = [match, …]` beside it, or `span` in the match if a span is the service's work",
            ));
        }
        for (at, until) in self.until.iter().enumerate() {
            check_condition(until, Part::Until(at))?;
            if until.span.is_some() {
                return Err(Fault::new(
                    Part::Until(at),
                    "`span` matches spans, and `until` is about events",
                    "`target`, `message`, `level`, `fields`, `in`",
                ));
            }
        }
        let span_only = [
            (Part::Open, "open", self.open.is_some()),
            (Part::Close, "close", self.close.is_some()),
        ];
        if let Some((part, key, _)) = span_only.into_iter().find(|(_, _, is_set)| *is_set)
            && self.is_of_events()
        {
            return Err(Fault::new(
                part,
                format!("`{key}` belongs to a rule about spans, and this one is about events"),
                "`event`",
            ));
        }
        if self.condition.message.is_some() && !self.is_of_events() {
            return Err(Fault::new(
                Part::Match,
                "`message` matches events, and this rule is about spans",
                "`span`, `target`, `level`, `fields`",
            ));
        }
        if matches!(self.meaning, Meaning::Span)
            && self.fields.is_empty()
            && self.open.is_none()
            && self.close.is_none()
        {
            return Err(Fault::new(
                Part::Rule,
                "the rule says nothing of what it matches",
                "`event`, `conversation`, `service`, `fields`, `open`, `close`",
            ));
        }
        Ok(())
    }
}

fn check_condition(condition: &Condition, part: Part) -> Result<(), Fault> {
    if condition.is_empty() {
        return Err(Fault::new(
            part,
            "the match is empty",
            "`target`, `span`, `message`, `level`, `fields`, `in`",
        ));
    }
    let patterns = [
        ("target", &condition.target),
        ("span", &condition.span),
        ("in", &condition.within),
    ];
    for (key, pattern) in patterns {
        let Some(pattern) = pattern else {
            continue;
        };
        if pattern.text().contains('*') {
            return Err(Fault::new(
                part,
                format!("`{key}` has a `*` that is not at its end"),
                "one `*` at the end, for anything",
            ));
        }
        if pattern.to_string().is_empty() {
            return Err(Fault::new(
                part,
                format!("`{key}` is empty, which nothing is"),
                "a name, or `*` for any",
            ));
        }
    }
    if condition.message.is_some() && condition.target.is_none() && condition.level.is_none() {
        return Err(Fault::new(
            part,
            "`message` alone would be compared with every event of the program",
            "`message` with a `target` or a `level` beside it",
        ));
    }
    Ok(())
}

/// Words with commas between.
pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}
