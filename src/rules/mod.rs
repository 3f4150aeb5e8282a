//! Rules: adopt the names that a program has for its own spans and events.
//!
//! A program that cannot or will not emit `conversation.event` says by rules what its spans and events mean, in a TOML file
//! that `CONVERSATION_RULES` names or in code:
//!
//! ```
//! use tracing_conversation::names::event;
//! use tracing_conversation::rules::{Match, Operation, Rules, Source};
//!
//! let rules = Rules::new()
//!     .event(Match::target("vad").message("speech_stop"), event::VAD_USER_STOPPED_SPEAKING)
//!     .field("stop_secs", Source::millis("silence_ms"))
//!     .conversation(Match::span("call"), "call_sid")
//!     .service(Match::span("listen").target("deepgram*"), Operation::Stt)
//!     .field("transcript", "text");
//! assert_eq!(rules.check(), Ok(()));
//! ```
//!
#![cfg_attr(
    feature = "rules",
    doc = "The same in a file, which needs the feature `rules`:

```
use tracing_conversation::rules::Rules;

let rules = Rules::from_toml(r#\"
    [[rule]]
    match = { target = \"vad\", message = \"speech_stop\" }
    event = \"vad_user_stopped_speaking\"
    fields = { stop_secs = { from = \"silence_ms\", scale = 0.001 } }

    [[rule]]
    match = { span = \"call\" }
    conversation = \"call_sid\"

    [[rule]]
    match = { span = \"listen\", target = \"deepgram*\" }
    service = \"stt\"
    fields = { transcript = \"text\" }
\"#)?;
# Ok::<(), tracing_conversation::rules::RulesError>(())
```
"
)]
//!
//! They go to [`LayerBuilder::rules`](crate::LayerBuilder::rules), or to `Builder::rules` of the set-up.
//! `docs/rules.md` is the reference: every key, what it means, and in which order rules apply.
//!
//! The metadata of a callsite decides once which rules may match there. A callsite that none may match costs what it costs
//! without rules.

mod condition;
#[cfg(feature = "rules")]
mod file;
mod kept_name;
mod matching;
mod nearest;
mod operation;
mod pattern;
pub mod presets;
mod reported;
mod rule;
mod setting;
mod source;

pub use condition::{Condition, Match};
#[cfg(feature = "rules")]
pub use file::RulesError;
pub use operation::Operation;
pub use reported::Reported;
pub use source::Source;

pub(crate) use kept_name::kept_name;
pub(crate) use matching::{Checks, PlainValues};
pub(crate) use nearest::distance;
pub(crate) use pattern::Pattern;
pub(crate) use rule::{Meaning, Rule};
pub(crate) use setting::Setting;
pub(crate) use source::KeptValue;

use std::fmt;
#[cfg(any(feature = "setup", feature = "testing"))]
use tracing_core::Metadata;

/// What the spans and events of a program mean. Rules apply in their order.
///
/// All rules that match an event apply, so that one event may mean several. Of the rules that make a span a conversation or
/// a service, the first that matches does. What is emitted in the crate's own names counts as it is, with rules or without.
///
/// Methods that set something of a rule set it of the last one added.
#[derive(Clone, Default)]
#[must_use = "rules do nothing until a layer has them"]
pub struct Rules {
    rules: Vec<Rule>,
    is_dry_run: bool,
    is_reported: bool,
}

impl Rules {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// An event that `condition` matches is the boundary event `event`, one of [`names::event`](crate::names::event).
    pub fn event(self, condition: Condition, event: &str) -> Self {
        self.add(condition, Meaning::Event(event.to_owned()))
    }

    /// A span that `condition` matches is a conversation; `id` is where it has its id from.
    pub fn conversation(self, condition: Condition, id: impl Into<Source>) -> Self {
        self.add(condition, Meaning::Conversation(id.into()))
    }

    /// A span that `condition` matches is a service's work. With [`until`](Self::until), an event that it matches begins
    /// such work.
    pub fn service(self, condition: Condition, operation: impl Into<Operation>) -> Self {
        self.add(condition, Meaning::Service(operation.into()))
    }

    /// A span that `condition` matches gets fields, or its start and end are boundary events.
    pub fn span(self, condition: Condition) -> Self {
        self.add(condition, Meaning::Span)
    }

    fn add(mut self, condition: Condition, meaning: Meaning) -> Self {
        let origin = format!("rule {}", self.rules.len() + 1);
        self.rules.push(Rule::new(origin, condition, meaning));
        self
    }

    fn set(mut self, set: impl FnOnce(&mut Rule)) -> Self {
        if let Some(last) = self.rules.last_mut() {
            set(last);
        }
        self
    }

    /// Sets the field `name` of what the last rule matches. What is renamed leaves under its new name only.
    pub fn field(self, name: &str, source: impl Into<Source>) -> Self {
        self.set(|rule| {
            let setting = Setting::new(kept_name(name).as_str(), source.into());
            rule.fields.push(setting);
        })
    }

    /// The start of a span that the last rule matches is the boundary event `event`.
    pub fn open(self, event: &str) -> Self {
        self.set(|rule| rule.open = Some(event.to_owned()))
    }

    /// The end of a span that the last rule matches is the boundary event `event`.
    pub fn close(self, event: &str) -> Self {
        self.set(|rule| rule.close = Some(event.to_owned()))
    }

    /// An event that `condition` matches ends the work that the last rule's event begins. Called again, it adds another.
    pub fn until(self, condition: Condition) -> Self {
        self.set(|rule| rule.until.push(condition))
    }

    /// Names the span of the work that the last rule's event begins. Default: its operation.
    pub fn named(self, name: &str) -> Self {
        self.set(|rule| rule.name = Some(name.to_owned()))
    }

    /// The field that tells apart what the last rule's events begin and runs at once.
    pub fn key(self, field: &str) -> Self {
        self.set(|rule| rule.key = Some(field.to_owned()))
    }

    /// Adds rules behind these.
    pub fn and(mut self, others: Self) -> Self {
        self.rules.extend(others.rules);
        self.is_dry_run |= others.is_dry_run;
        self.is_reported |= others.is_reported;
        self
    }

    /// Adopts nothing: what the rules would take is only [reported](Self::reported).
    pub fn dry_run(mut self) -> Self {
        self.is_dry_run = true;
        self.reported()
    }

    /// Prints to standard error, when telemetry is shut down or the layer dropped, every callsite that was seen with the rules
    /// that have taken something there, and the rules that have taken nothing. As with `CONVERSATION_RULES_DEBUG=1`.
    ///
    /// [`Conversations::rules_report`](crate::Conversations::rules_report) has the same at any time.
    pub fn reported(mut self) -> Self {
        self.is_reported = true;
        self
    }

    /// Checks that every rule can be used.
    ///
    /// # Errors
    ///
    /// The first that cannot, and why. A layer leaves such rules out, with a warning.
    pub fn check(&self) -> Result<(), String> {
        let mut faults = self.rules.iter().filter_map(fault);
        faults.next().map_or(Ok(()), Err)
    }

    /// Calls these rules those of a preset.
    fn of_preset(mut self, name: &str) -> Self {
        for (at, rule) in self.rules.iter_mut().enumerate() {
            rule.origin = format!("preset {name}, rule {}", at + 1);
            rule.is_of_preset = true;
        }
        self
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.is_dry_run
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.is_reported
    }

    /// Whether any rule may match something of a callsite, or look for it above what it matches.
    #[cfg(any(feature = "setup", feature = "testing"))]
    pub(crate) fn concern(&self, callsite: &Metadata<'_>) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.may_match(callsite) || rule.looks_at(callsite))
    }

    /// The rules that can be used, and what is wrong with the others.
    pub(crate) fn usable(&self) -> (Vec<Rule>, Vec<String>) {
        let mut usable = Vec::new();
        let mut faults = Vec::new();
        for rule in &self.rules {
            match fault(rule) {
                None => usable.push(rule.clone()),
                Some(fault) => faults.push(fault),
            }
        }
        (usable, faults)
    }
}

fn fault(rule: &Rule) -> Option<String> {
    let fault = rule.check().err()?;
    Some(format!("{}: {fault}", rule.origin))
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("rules", &self.rules)
            .field("is_dry_run", &self.is_dry_run)
            .finish()
    }
}
