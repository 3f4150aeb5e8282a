//! Spans as rows: service, a bar on the time axis, times, usage; and nested spans.

use std::collections::{HashMap, HashSet};

use opentelemetry::SpanId;

use super::bars::Axis;
use super::collect::Frame;
use super::figures::{seconds, short};
use super::record::{Record, ServiceFacts, role, seconds_between};
use super::style::{Line, Role};
use super::text::{cut, width, wrap};
use crate::service_kind::ServiceKind;

/// Number of ordinary spans shown below one span; the others are counted.
const ORDINARY_SHOWN: usize = 2;
/// Number of levels that are indented, so that names have room and recursion is bounded. Deeper spans share the last.
const MAX_DEPTH: usize = 4;

/// The column layout, which is the same for all turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) colour: bool,
    pub(super) width: usize,
    /// Where names start; marks go before it.
    pub(super) left: usize,
    bar: usize,
    bar_columns: usize,
    /// Where the columns of the time to the first byte and of the total time end.
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

/// Lays out `spans` below a time axis that covers `frame`.
pub(super) fn rows(spans: &[Record], frame: Frame, view: View) -> Vec<Line> {
    let mut table = Table {
        children: HashMap::new(),
        shown_ancestors: HashSet::new(),
        frame,
        axis: view.axis(frame),
        view,
        lines: Vec::new(),
    };
    let known: HashMap<SpanId, &Record> = spans.iter().map(|span| (span.id, span)).collect();
    let mut roots = Vec::new();
    for span in spans {
        // A span that is its own parent counts as a root.
        if span.parent != span.id && known.contains_key(&span.parent) {
            table.children.entry(span.parent).or_default().push(span);
        } else {
            roots.push(span);
        }
        if span.is_always_shown() {
            let mut parent = known.get(&span.parent);
            while let Some(above) = parent.filter(|above| table.shown_ancestors.insert(above.id)) {
                parent = known.get(&above.parent);
            }
        }
    }
    let mut services = spans.iter().filter_map(Record::service);
    table.heading(services.any(|service| service.ttfb.is_some()));
    table.nested(roots, 0);
    // Spans whose parents form a cycle are below no root.
    let unreachable = table
        .children
        .drain()
        .flat_map(|(_, children)| children)
        .collect();
    table.nested(unreachable, 0);
    table.lines
}

struct Table<'a> {
    children: HashMap<SpanId, Vec<&'a Record>>,
    /// Ancestors of spans that are always shown.
    shown_ancestors: HashSet<SpanId>,
    frame: Frame,
    axis: Axis,
    view: View,
    lines: Vec<Line>,
}

impl<'a> Table<'a> {
    fn heading(&mut self, timed: bool) {
        let mut line = Line::default();
        line.pad(self.view.bar).put(Role::Dimmed, self.axis.scale());
        if timed {
            line.put_right(Role::Dimmed, "ttfb", self.view.first);
        }
        line.put_right(Role::Dimmed, "total", self.view.total);
        self.lines.push(line);
    }

    fn nested(&mut self, mut spans: Vec<&'a Record>, depth: usize) {
        let counts = |table: &Self, span: &Record| {
            span.is_always_shown() || table.shown_ancestors.contains(&span.id)
        };
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
            let mut line = self.name(depth, Role::Dimmed, "");
            line.put(Role::Dimmed, format!("… {hidden} more"));
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

    /// Adds the details that do not fit into the row below it.
    fn details(&mut self, span: &Record, service: &ServiceFacts, depth: usize) {
        let mut details = Vec::new();
        if let Some(failure) = &span.failure {
            details.push((Role::Failure, failure.clone()));
        }
        if service.service == ServiceKind::Tool {
            match (&service.input, &service.output) {
                (Some(input), Some(output)) => {
                    details.push((Role::Dimmed, format!("{input} → {output}")))
                }
                (Some(input), None) => details.push((Role::Dimmed, input.clone())),
                (None, Some(output)) => details.push((Role::Dimmed, format!("→ {output}"))),
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
            Role::Dimmed
        };
        let mut line = self.name(depth, role, if span.failure.is_some() { "✗" } else { "" });
        let room = self.view.bar.saturating_sub(line.width() + 1);
        line.put(role, cut(&span.name, room));
        // The bar is light throughout.
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
        if depth < MAX_DEPTH {
            let children = self.children.remove(&span.id).unwrap_or_default();
            self.nested(children, depth + 1);
        } else {
            let below = self.take_descendants(span.id);
            self.nested(below, MAX_DEPTH);
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

    /// Starts a row: a mark, then a branch if the span is nested.
    fn name(&self, depth: usize, role: Role, mark: &str) -> Line {
        let mut line = Line::default();
        line.put(role, mark).pad(self.view.left);
        if depth > 0 {
            line.pad(self.view.left + (depth - 1) * 2)
                .put(Role::Dimmed, "└ ");
        }
        line
    }

    fn figures(&self, line: &mut Line, span: &Record, ttfb: Option<f64>, role: Role) {
        let start = seconds_between(self.frame.start, span.start);
        let end = seconds_between(self.frame.start, span.end);
        let first = match span.service() {
            None => f64::INFINITY,
            // An stt span's TTFB is measured from the end of the speech, not from the start of the span.
            Some(service) if service.service == ServiceKind::Stt => start,
            Some(_) => start + ttfb.unwrap_or(0.0),
        };
        let bar = self.axis.bar(start, first, end);
        line.pad(self.view.bar + bar.before).put(role, bar.drawn);
        if let Some(ttfb) = ttfb {
            line.put_right(Role::Plain, seconds(ttfb), self.view.first);
        }
        line.put_right(Role::Dimmed, seconds(span.seconds()), self.view.total);
    }
}

/// Returns as much of provider, model, voice and tool as fits; the model has priority.
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
    // A cut voice name is useful only if more than a few letters fit.
    if width(&essential) + 6 <= room || width(&essential) == 0 {
        return cut(&all, room);
    }
    if width(&essential) <= room {
        return essential;
    }
    cut(&join(&[tool, model]), room)
}

/// Returns the usage of the service, and whether it failed or was interrupted.
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
            let tokens = |tokens: Option<u64>| tokens.map(short).unwrap_or_default();
            let unit = if end.is_none() { " tok" } else { "" };
            amounts.push(format!("{}→{}{unit}", tokens(input), tokens(output)));
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
