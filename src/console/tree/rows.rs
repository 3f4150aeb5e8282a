//! Spans as rows: who worked, a bar on the time axis, how long, how much; and what is nested in them.

use std::collections::{HashMap, HashSet};

use opentelemetry::SpanId;

use super::bars::Axis;
use super::collect::Frame;
use super::figures::{seconds, short};
use super::record::{Record, ServiceFacts, role, seconds_between};
use super::style::{Line, Role};
use super::text::{cut, width, wrap};
use crate::service_kind::ServiceKind;

/// Ordinary spans that are shown of those nested in one span; the others are counted.
const ORDINARY_SHOWN: usize = 2;
/// Levels that are drawn: names keep room, and no chain of parents is too long to follow. What is deeper shares the last.
const DEEPEST: usize = 4;

/// Where things stand on a line. The same for all turns, so that the eye finds them.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) colour: bool,
    pub(super) width: usize,
    /// Where names start; the gutter before it is for marks.
    pub(super) left: usize,
    bar: usize,
    bar_columns: usize,
    /// Where the time to the first byte, and the whole time, end.
    first: usize,
    total: usize,
    used: usize,
}

impl View {
    pub(super) fn new(width: usize, colour: bool) -> Self {
        let left = 2;
        let used = width - if width < 100 { 16 } else { 21 };
        let total = used - 2;
        let first = total - 7;
        let bar_end = first - 7;
        let bar = left + ((bar_end - left) / 2).min(36) + 1;
        Self {
            colour,
            width,
            left,
            bar,
            bar_columns: bar_end - bar,
            first,
            total,
            used,
        }
    }

    fn axis(&self, frame: Frame) -> Axis {
        Axis {
            from: 0.0,
            to: seconds_between(frame.start, frame.end),
            columns: self.bar_columns,
        }
    }
}

/// `spans` below a time axis that stands for `frame`.
pub(super) fn rows(spans: &[Record], frame: Frame, view: View) -> Vec<Line> {
    let mut table = Table {
        children: HashMap::new(),
        leading: HashSet::new(),
        frame,
        axis: view.axis(frame),
        view,
        lines: Vec::new(),
    };
    let known: HashMap<SpanId, &Record> = spans.iter().map(|span| (span.id, span)).collect();
    let mut roots = Vec::new();
    for span in spans {
        // A span that is its own parent is nobody's child.
        if span.parent != span.id && known.contains_key(&span.parent) {
            table.children.entry(span.parent).or_default().push(span);
        } else {
            roots.push(span);
        }
        if span.matters() {
            let mut parent = known.get(&span.parent);
            while let Some(above) = parent.filter(|above| table.leading.insert(above.id)) {
                parent = known.get(&above.parent);
            }
        }
    }
    let mut services = spans.iter().filter_map(Record::service);
    table.heading(services.any(|service| service.ttfb.is_some()));
    table.nested(roots, 0);
    // Parents in a ring are below no root.
    let lost = table.children.drain().flat_map(|(_, lost)| lost).collect();
    table.nested(lost, 0);
    table.lines
}

struct Table<'a> {
    children: HashMap<SpanId, Vec<&'a Record>>,
    /// Spans with something that matters somewhere below them.
    leading: HashSet<SpanId>,
    frame: Frame,
    axis: Axis,
    view: View,
    lines: Vec<Line>,
}

impl<'a> Table<'a> {
    fn heading(&mut self, timed: bool) {
        let mut line = Line::default();
        line.pad(self.view.bar).put(Role::Quiet, self.axis.scale());
        if timed {
            line.put_right(Role::Quiet, "ttfb", self.view.first);
        }
        line.put_right(Role::Quiet, "total", self.view.total);
        self.lines.push(line);
    }

    fn nested(&mut self, mut spans: Vec<&'a Record>, depth: usize) {
        let counts =
            |table: &Self, span: &Record| span.matters() || table.leading.contains(&span.id);
        spans.sort_by_key(|span| (!counts(self, span), span.start));
        let mut ordinary = 0;
        let mut hidden = 0;
        for span in spans {
            match span.service() {
                Some(service) => self.service(span, service, depth),
                None if ordinary < ORDINARY_SHOWN || counts(self, span) => {
                    ordinary += 1;
                    self.ordinary(span, depth);
                }
                None => hidden += 1 + self.take_descendants(span.id).len(),
            }
        }
        if hidden > 0 {
            let mut line = self.name(depth, Role::Quiet, "");
            line.put(Role::Quiet, format!("… {hidden} more"));
            self.lines.push(line);
        }
    }

    fn service(&mut self, span: &'a Record, service: &ServiceFacts, depth: usize) {
        let role = role(service.service);
        let (mark, mark_role) = match (&span.failure, service.interrupted) {
            (Some(_), _) => ("✗", Role::Failure),
            (None, true) => ("~", Role::Interruption),
            (None, false) => ("", role),
        };
        let mut line = self.name(depth, mark_role, mark);
        line.put(role, format!("{:<4}", cut(&service.label, 12)))
            .put(Role::Plain, " ");
        let room = self.view.bar.saturating_sub(line.width() + 1);
        line.put(Role::Plain, described(service, room));
        self.figures(
            &mut line,
            span,
            service.ttfb,
            if mark.is_empty() { role } else { mark_role },
        );
        line.pad(self.view.used);
        let room = self.view.width - self.view.used;
        for (role, piece) in used(span, service, room) {
            line.put(role, piece);
        }
        self.lines.push(line);
        self.details(span, service, depth);
        self.children_of(span, depth);
    }

    /// What does not fit into the row, below it.
    fn details(&mut self, span: &Record, service: &ServiceFacts, depth: usize) {
        let mut details = Vec::new();
        if let Some(failure) = &span.failure {
            details.push((Role::Failure, failure.clone()));
        }
        if service.service == ServiceKind::Tool {
            match (&service.input, &service.output) {
                (Some(input), Some(output)) => {
                    details.push((Role::Quiet, format!("{input} → {output}")))
                }
                (Some(input), None) => details.push((Role::Quiet, input.clone())),
                (None, Some(output)) => details.push((Role::Quiet, format!("→ {output}"))),
                (None, None) => {}
            }
        }
        for (role, detail) in details {
            let left = self.view.left + depth * 2 + 5;
            for piece in wrap(&detail, self.view.width - left, 2) {
                let mut line = Line::default();
                line.pad(left).put(role, piece);
                self.lines.push(line);
            }
        }
    }

    fn ordinary(&mut self, span: &'a Record, depth: usize) {
        let role = if span.failure.is_some() {
            Role::Failure
        } else {
            Role::Quiet
        };
        let mut line = self.name(depth, role, if span.failure.is_some() { "✗" } else { "" });
        let room = self.view.bar.saturating_sub(line.width() + 1);
        line.put(role, cut(&span.name, room));
        // Drawn light throughout: it stays in the background.
        self.figures(&mut line, span, None, role);
        self.lines.push(line);
        if let Some(failure) = &span.failure {
            let left = self.view.left + depth * 2 + 2;
            let mut line = Line::default();
            line.pad(left)
                .put(Role::Failure, cut(failure, self.view.width - left));
            self.lines.push(line);
        }
        self.children_of(span, depth);
    }

    fn children_of(&mut self, span: &Record, depth: usize) {
        if depth < DEEPEST {
            let children = self.children.remove(&span.id).unwrap_or_default();
            self.nested(children, depth + 1);
        } else {
            let below = self.take_descendants(span.id);
            self.nested(below, DEEPEST);
        }
    }

    fn take_descendants(&mut self, id: SpanId) -> Vec<&'a Record> {
        let mut taken = self.children.remove(&id).unwrap_or_default();
        let mut at = 0;
        while let Some(span) = taken.get(at) {
            taken.extend(self.children.remove(&span.id).unwrap_or_default());
            at += 1;
        }
        taken
    }

    /// The beginning of a row: a mark in the gutter, then a branch for what is nested.
    fn name(&self, depth: usize, role: Role, mark: &str) -> Line {
        let mut line = Line::default();
        line.put(role, mark).pad(self.view.left);
        if depth > 0 {
            line.pad(self.view.left + (depth - 1) * 2)
                .put(Role::Quiet, "└ ");
        }
        line
    }

    fn figures(&self, line: &mut Line, span: &Record, ttfb: Option<f64>, role: Role) {
        let start = seconds_between(self.frame.start, span.start);
        let end = seconds_between(self.frame.start, span.end);
        let first = match span.service() {
            None => f64::INFINITY,
            // The figure of a transcription counts from the end of the speech, not from the start of the span.
            Some(service) if service.service == ServiceKind::Stt => start,
            Some(_) => start + ttfb.unwrap_or(0.0),
        };
        let bar = self.axis.bar(start, first, end);
        line.pad(self.view.bar + bar.before).put(role, bar.drawn);
        if let Some(ttfb) = ttfb {
            line.put_right(Role::Plain, seconds(ttfb), self.view.first);
        }
        line.put_right(Role::Quiet, seconds(span.seconds()), self.view.total);
    }
}

/// As much of provider, model, voice and tool as there is room for; the model matters most.
fn described(service: &ServiceFacts, room: usize) -> String {
    let join = |parts: &[&Option<String>]| {
        parts
            .iter()
            .filter_map(|part| part.as_deref())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let ServiceFacts {
        provider,
        model,
        voice,
        tool,
        ..
    } = service;
    let all = join(&[tool, provider, model, voice]);
    if width(&all) <= room {
        return all;
    }
    let essential = join(&[tool, provider, model]);
    // Some of the voice is better than none, but a letter or two tells nothing.
    if width(&essential) + 6 <= room || width(&essential) == 0 {
        return cut(&all, room);
    }
    if width(&essential) <= room {
        return essential;
    }
    cut(&join(&[tool, model]), room)
}

/// What the service used, and whether it was finished.
fn used(span: &Record, service: &ServiceFacts, room: usize) -> Vec<(Role, String)> {
    let end = match (&span.failure, service.interrupted) {
        (Some(_), _) => Some((Role::Failure, "failed")),
        (None, true) => Some((Role::Interruption, "cut off")),
        (None, false) => None,
    };
    let mut amounts = Vec::new();
    match (service.input_tokens, service.output_tokens) {
        (None, None) => {}
        (input, output) => {
            let side = |tokens: Option<u64>| tokens.map(short).unwrap_or_default();
            let unit = if end.is_none() { " tok" } else { "" };
            amounts.push(format!("{}→{}{unit}", side(input), side(output)));
        }
    }
    if let Some(characters) = service.characters {
        amounts.push(format!("{} chars", short(characters)));
    }
    if let Some(audio) = service.audio_seconds {
        amounts.push(format!("{} audio", seconds(audio)));
    }
    let mut pieces = Vec::new();
    let mut left = room;
    if let Some((role, word)) = end {
        pieces.push((role, word.to_owned()));
        left = left.saturating_sub(width(word));
    }
    for amount in amounts {
        let taken = width(&amount) + usize::from(!pieces.is_empty());
        if taken <= left {
            if !pieces.is_empty() {
                pieces.push((Role::Plain, " ".to_owned()));
            }
            left -= taken;
            pieces.push((Role::Plain, amount));
        }
    }
    pieces
}
