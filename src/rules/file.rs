//! Rules in TOML. What is wrong is said with line and column.

use super::Rules;
use super::condition::{Condition, FieldTest};
use super::kept_name::kept_name;
use super::nearest::nearest;
use super::operation::Operation;
use super::pattern::Pattern;
use super::presets::PRESETS;
use super::rule::{Fault, Meaning, Part, Rule, list};
use super::setting::Setting;
use super::source::{Constant, Origin, Scale, Source};
use std::fmt;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use tracing_core::Level;

/// Why a file of rules cannot be used: where, what is wrong, and what is allowed there.
#[derive(Clone, PartialEq, Eq)]
pub struct RulesError {
    path: Option<PathBuf>,
    line: usize,
    column: usize,
    problem: String,
}

impl RulesError {
    /// The file; `None` for rules that were given as text.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The line of the mistake, counted from 1; 0 if the file could not be read at all.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column of the mistake in characters, counted from 1; 0 if the file could not be read at all.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}", path.display())?,
            None => f.write_str("rules")?,
        }
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl fmt::Debug for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for RulesError {}

impl Rules {
    /// Rules as they stand in a file.
    ///
    /// # Errors
    ///
    /// The first mistake: line, column, what is wrong and what is allowed.
    pub fn from_toml(text: &str) -> Result<Self, RulesError> {
        read(text, None)
    }

    /// Rules from a TOML file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has a mistake: path, line, column, what is wrong and what is allowed.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, RulesError> {
        let path = path.as_ref();
        let unreadable = |problem: String| RulesError {
            path: Some(path.to_owned()),
            line: 0,
            column: 0,
            problem,
        };
        let all = || {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path)?;
            file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = all().map_err(|error: std::io::Error| {
            unreadable(format!("the file cannot be read: {error}"))
        })?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(unreadable(format!(
                "the file has more than {MAX_FILE_BYTES} bytes; allowed is up to that"
            )));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| unreadable("the file is not text in UTF-8".to_owned()))?;
        read(&text, Some(path))
    }
}

/// The longest file.
const MAX_FILE_BYTES: u64 = 1 << 20;

type Spanned<T> = toml::Spanned<T>;
type Table<'i> = DeTable<'i>;

/// A mistake, at a range of the text.
struct Mistake {
    at: Range<usize>,
    problem: String,
}

type Reading<T> = Result<T, Mistake>;

fn mistake<T>(at: &Range<usize>, problem: impl Into<String>) -> Reading<T> {
    Err(Mistake {
        at: at.clone(),
        problem: problem.into(),
    })
}

fn read(text: &str, path: Option<&Path>) -> Result<Rules, RulesError> {
    let reader = Reader {
        text,
        file: path.map_or_else(|| "rules".to_owned(), |path| path.display().to_string()),
    };
    reader.rules().map_err(|mistake| {
        let (line, column) = position(text, mistake.at.start);
        RulesError {
            path: path.map(Path::to_owned),
            line,
            column,
            problem: mistake.problem,
        }
    })
}

/// Line and column of a byte, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..crate::content::floor_char_boundary(text, at)];
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[line_start..].chars().count() + 1)
}

const FILE_KEYS: &[&str] = &["presets", "rule"];
const RULE_KEYS: &[&str] = &[
    "match",
    "event",
    "conversation",
    "service",
    "fields",
    "open",
    "close",
    "until",
    "name",
    "key",
];
const MATCH_KEYS: &[&str] = &["target", "span", "message", "level", "fields", "in"];
const SOURCE_KEYS: &[&str] = &["from", "scale", "after", "value", "when"];
const PRESENT: &[&str] = &["present"];
const LEVELS: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

struct Reader<'i> {
    text: &'i str,
    file: String,
}

impl Reader<'_> {
    fn rules(&self) -> Reading<Rules> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        let place = |error: &toml::de::Error| error.span().unwrap_or(0..0);
        // What begins first has caused the others.
        if let Some(error) = errors.iter().min_by_key(|error| place(error).start) {
            let problem = format!("this is not TOML: {}", error.message());
            return mistake(&place(error), problem);
        }
        let document = document.into_inner();
        self.check_keys(&document, FILE_KEYS, "a file of rules")?;
        let presets = self.presets(&document)?;
        let mut rules = Rules::new();
        let Some(all) = document.get("rule") else {
            return Ok(presets);
        };
        let DeValue::Array(all) = all.get_ref() else {
            return mistake(
                &all.span(),
                "`rule` is one table; allowed is a list of them, each begun by `[[rule]]`",
            );
        };
        let mut read = Vec::new();
        for rule in all.iter() {
            let span = rule.span();
            let table = self.table(rule, "a rule")?;
            read.push(self.rule(table, &span)?);
        }
        rules.rules = read;
        Ok(rules.and(presets))
    }

    /// The rules of the presets that a file names.
    fn presets(&self, document: &Table<'_>) -> Reading<Rules> {
        let mut rules = Rules::new();
        let Some(value) = document.get("presets") else {
            return Ok(rules);
        };
        let DeValue::Array(names) = value.get_ref() else {
            let problem = format!(
                "`presets` is {}; allowed is a list such as `[\"rig\"]`",
                kind(value.get_ref())
            );
            return mistake(&value.span(), problem);
        };
        let known = PRESETS.iter().map(|(preset, _)| *preset);
        for value in names.iter() {
            let DeValue::String(name) = value.get_ref() else {
                let (found, known) = (kind(value.get_ref()), list(known));
                return mistake(
                    &value.span(),
                    format!("a preset is {found}; allowed is {known}"),
                );
            };
            match PRESETS.iter().find(|(preset, _)| *preset == &**name) {
                Some((_, preset)) => rules = rules.and(preset()),
                None => return mistake(&value.span(), unknown("preset", name, "", known)),
            }
        }
        Ok(rules)
    }

    fn rule(&self, table: &Table<'_>, span: &Range<usize>) -> Reading<Rule> {
        self.check_keys(table, RULE_KEYS, "a rule")?;
        let Some(matched) = table.get("match") else {
            return mistake(
                span,
                "the rule has no `match`; allowed is `match = { target = …, message = … }` and the like",
            );
        };
        let condition = self.condition(matched)?;
        let meanings: Vec<_> = ["event", "conversation", "service"]
            .into_iter()
            .filter_map(|key| Some((key, table.get(key)?)))
            .collect();
        if let [_, (second, value), ..] = &meanings[..] {
            return mistake(
                &value.span(),
                format!(
                    "`{second}` is one too many; allowed is one of `event`, `conversation`, `service` in a rule"
                ),
            );
        }
        let meaning = match meanings.first() {
            Some(("event", value)) => Meaning::Event(self.string(value, "event")?.to_owned()),
            Some(("conversation", value)) => {
                Meaning::Conversation(self.source(value, "conversation")?)
            }
            Some((_, value)) => Meaning::Service(Operation::from(self.string(value, "service")?)),
            None => Meaning::Span,
        };
        let (line, _) = position(self.text, span.start);
        let mut rule = Rule::new(format!("{}:{line}", self.file), condition, meaning);
        if let Some(fields) = table.get("fields") {
            self.fields("", self.table(fields, "`fields`")?, &mut rule.fields)?;
        }
        let text = |key: &str| {
            let value = table.get(key);
            value
                .map(|value| self.string(value, key).map(str::to_owned))
                .transpose()
        };
        rule.open = text("open")?;
        rule.close = text("close")?;
        rule.name = text("name")?;
        rule.key = text("key")?;
        if let Some(until) = table.get("until") {
            rule.until = match until.get_ref() {
                DeValue::Array(all) => all
                    .iter()
                    .map(|one| self.condition(one))
                    .collect::<Reading<Vec<_>>>()?,
                _ => vec![self.condition(until)?],
            };
        }
        rule.check().map_err(|fault| Mistake {
            at: self.part(table, span, &fault),
            problem: fault.to_string(),
        })?;
        Ok(rule)
    }

    /// Where the part of a rule is that is wrong.
    fn part(&self, table: &Table<'_>, span: &Range<usize>, fault: &Fault) -> Range<usize> {
        let of = |key: &str| table.get(key).map_or_else(|| span.clone(), Spanned::span);
        match fault.part {
            Part::Rule => span.clone(),
            Part::Match => of("match"),
            Part::Event => of("event"),
            Part::Conversation => of("conversation"),
            Part::Service => of("service"),
            Part::Fields => of("fields"),
            Part::Open => of("open"),
            Part::Close => of("close"),
            Part::Name => of("name"),
            Part::Key => of("key"),
            Part::Until(at) => {
                let one = table.get("until").and_then(|until| match until.get_ref() {
                    DeValue::Array(all) => all.get(at).map(Spanned::span),
                    _ => None,
                });
                one.unwrap_or_else(|| of("until"))
            }
        }
    }

    fn condition(&self, value: &Spanned<DeValue<'_>>) -> Reading<Condition> {
        let table = self.table(value, "a match")?;
        self.check_keys(table, MATCH_KEYS, "a match")?;
        let text = |key: &str| {
            let value = table.get(key);
            value.map(|value| self.string(value, key)).transpose()
        };
        let mut condition = Condition {
            target: text("target")?.map(Pattern::new),
            span: text("span")?.map(Pattern::new),
            message: text("message")?.map(Pattern::new),
            within: text("in")?.map(Pattern::new),
            ..Condition::default()
        };
        if let Some(value) = table.get("level") {
            let name = self.string(value, "level")?;
            let level = LEVELS
                .iter()
                .find(|(level, _)| level.eq_ignore_ascii_case(name));
            match level {
                Some((_, level)) => condition.level = Some(*level),
                None => {
                    let words = LEVELS.iter().map(|(word, _)| *word);
                    return mistake(&value.span(), unknown("level", name, "", words));
                }
            }
        }
        if let Some(fields) = table.get("fields") {
            self.tests("", self.table(fields, "`fields`")?, &mut condition.fields)?;
        }
        Ok(condition)
    }

    /// The fields of a match. A dotted name without quotes is a table in a table.
    fn tests(
        &self,
        prefix: &str,
        table: &Table<'_>,
        tests: &mut Vec<(Box<str>, FieldTest)>,
    ) -> Reading<()> {
        for (key, value) in table.iter() {
            let name = format!("{prefix}{}", key.get_ref());
            let test = match value.get_ref() {
                DeValue::String(text) => FieldTest::text(text),
                DeValue::Integer(_) => FieldTest::plain(&self.integer(value)?),
                DeValue::Float(_) => FieldTest::float(self.float(value)?),
                DeValue::Boolean(truth) => FieldTest::plain(truth),
                DeValue::Table(inner) if !self.is_written_as_table(value) => {
                    self.tests(&format!("{name}."), inner, tests)?;
                    continue;
                }
                DeValue::Table(inner) => {
                    self.check_keys(inner, PRESENT, "a field of a match")?;
                    match inner.get("present").map(|value| (value.get_ref(), value)) {
                        Some((DeValue::Boolean(true), _)) => FieldTest::Present,
                        Some((_, value)) => {
                            return mistake(&value.span(), "allowed is `present = true`");
                        }
                        None => return mistake(&value.span(), "allowed is `{ present = true }`"),
                    }
                }
                other => {
                    return mistake(
                        &value.span(),
                        format!(
                            "`{name}` is {}; allowed is a string, a number, true, false, or `{{ present = true }}`",
                            kind(other)
                        ),
                    );
                }
            };
            tests.push((name.into(), test));
        }
        Ok(())
    }

    /// The fields that a rule sets. A dotted name without quotes is a table in a table.
    fn fields(&self, prefix: &str, table: &Table<'_>, fields: &mut Vec<Setting>) -> Reading<()> {
        for (key, value) in table.iter() {
            let name = format!("{prefix}{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if !self.is_written_as_table(value) => {
                    self.fields(&format!("{name}."), inner, fields)?;
                }
                _ => {
                    let source = self.source(value, &name)?;
                    fields.push(Setting::new(kept_name(&name).as_str(), source));
                }
            }
        }
        Ok(())
    }

    /// Whether a table was written as one, not as the dots of a key.
    fn is_written_as_table(&self, value: &Spanned<DeValue<'_>>) -> bool {
        let start = self.text.as_bytes().get(value.span().start);
        matches!(start, Some(b'{' | b'['))
    }

    fn source(&self, value: &Spanned<DeValue<'_>>, of: &str) -> Reading<Source> {
        let table = match value.get_ref() {
            DeValue::String(field) => return Ok(Source::field(field)),
            DeValue::Table(table) => table,
            other => {
                return mistake(
                    &value.span(),
                    format!(
                        "`{of}` is {}; allowed is the name of a field, `{{ from = … }}` or `{{ value = … }}`",
                        kind(other)
                    ),
                );
            }
        };
        self.check_keys(table, SOURCE_KEYS, "the source of a field")?;
        let text = |key: &str| {
            let value = table.get(key);
            value
                .map(|value| self.string(value, key).map(Box::from))
                .transpose()
        };
        let (from, constant) = (text("from")?, table.get("value"));
        let stray = |keys: &[&str], needed: &str| {
            let stray = keys.iter().find_map(|key| table.get_key_value(*key));
            stray.map_or(Ok(()), |(key, _)| {
                mistake(
                    &key.span(),
                    format!("`{}` goes with `{needed}`", key.get_ref()),
                )
            })
        };
        match (from, constant) {
            (Some(from), None) => {
                stray(&["when"], "value")?;
                let scale = table
                    .get("scale")
                    .map(|scale| self.factor(scale))
                    .transpose()?;
                Ok(Source(Origin::Field {
                    from,
                    after: text("after")?,
                    scale: scale.map(Scale::new),
                }))
            }
            (None, Some(value)) => {
                stray(&["scale", "after"], "from")?;
                Ok(Source(Origin::Constant {
                    value: self.constant(value)?,
                    when: text("when")?,
                }))
            }
            (Some(_), Some(value)) => mistake(
                &value.span(),
                "a field has its value from one of `from` and `value`",
            ),
            (None, None) => mistake(
                &value.span(),
                "the source of a field is missing; allowed is `from = \"field\"` or `value = …`",
            ),
        }
    }

    fn constant(&self, value: &Spanned<DeValue<'_>>) -> Reading<Constant> {
        Ok(match value.get_ref() {
            DeValue::String(text) => Constant::Text((&**text).into()),
            DeValue::Integer(_) => Constant::Int(self.integer(value)?),
            DeValue::Float(_) => Constant::Float(self.float(value)?),
            DeValue::Boolean(truth) => Constant::Bool(*truth),
            other => {
                return mistake(
                    &value.span(),
                    format!(
                        "`value` is {}; allowed is a string, a number, true or false",
                        kind(other)
                    ),
                );
            }
        })
    }

    fn factor(&self, value: &Spanned<DeValue<'_>>) -> Reading<f64> {
        let factor = match value.get_ref() {
            DeValue::Integer(_) => self.integer(value)? as f64,
            DeValue::Float(_) => self.float(value)?,
            other => {
                let problem = format!("`scale` is {}; allowed is a number", kind(other));
                return mistake(&value.span(), problem);
            }
        };
        if factor.is_finite() && factor != 0.0 {
            Ok(factor)
        } else {
            mistake(
                &value.span(),
                "`scale` is no factor; allowed is a number other than 0",
            )
        }
    }

    fn integer(&self, value: &Spanned<DeValue<'_>>) -> Reading<i64> {
        let number = value.get_ref().as_integer();
        let number =
            number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        match number {
            Some(number) => Ok(number),
            None => mistake(&value.span(), "the number has more than 64 bits"),
        }
    }

    fn float(&self, value: &Spanned<DeValue<'_>>) -> Reading<f64> {
        let number = value.get_ref().as_float();
        match number.and_then(|number| number.as_str().parse::<f64>().ok()) {
            Some(number) if number.is_finite() => Ok(number),
            _ => mistake(&value.span(), "the number is none; allowed is a finite one"),
        }
    }

    fn string<'t>(&self, value: &'t Spanned<DeValue<'_>>, key: &str) -> Reading<&'t str> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text),
            other => mistake(
                &value.span(),
                format!("`{key}` is {}; allowed is a string", kind(other)),
            ),
        }
    }

    fn table<'t, 'i>(&self, value: &'t Spanned<DeValue<'i>>, what: &str) -> Reading<&'t Table<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            other => mistake(
                &value.span(),
                format!("{what} is {}; allowed is a table, `{{ … }}`", kind(other)),
            ),
        }
    }

    fn check_keys(&self, table: &Table<'_>, allowed: &[&str], what: &str) -> Reading<()> {
        let unknown_key = table
            .keys()
            .filter(|key| !allowed.contains(&&**key.get_ref()))
            .min_by_key(|key| key.span().start);
        match unknown_key {
            None => Ok(()),
            Some(key) => {
                let words = allowed.iter().copied();
                let place = format!(" in {what}");
                mistake(&key.span(), unknown("key", key.get_ref(), &place, words))
            }
        }
    }
}

fn unknown<'a>(
    what: &str,
    word: &str,
    place: &str,
    allowed: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let meant = nearest(word, allowed.clone())
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!(
        "unknown {what} `{word}`{place}; allowed is {}{meant}",
        list(allowed)
    )
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
