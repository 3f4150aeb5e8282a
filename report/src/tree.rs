//! `--tree`: one call as a tree of turns and services.

mod bar;
mod node;

use std::collections::HashMap;

use self::bar::{Axis, COLUMNS};
use self::node::Node;
use crate::clean::{clean, cut, width, wrap};
use crate::failure::Failure;
use crate::figures::{count, seconds};
use crate::input::Reader;
use crate::otlp::Span;
use crate::vocabulary::Kind;

/// How many spans of the call are shown; the others are only counted.
const KEPT: usize = 20_000;

/// How many other ids an error names.
const NAMED: usize = 5;

/// Columns of what stands before the bar.
const LABEL: usize = 44;

/// Columns of what is said, and lines of one text.
const SPEECH: usize = 110;
const TEXT_LINES: usize = 3;

/// Spans below that level are drawn at it: there is no room for more.
const DEEPEST: usize = 10;

#[derive(Debug)]
pub(crate) struct Tree {
    id: String,
    nodes: Vec<Node>,
    left_out: u64,
    /// Other conversations, the first ones.
    others: Vec<String>,
}

impl Tree {
    /// Of the conversation of this id, or of the trace of this id in hexadecimal.
    pub(crate) fn of(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            nodes: Vec::new(),
            left_out: 0,
            others: Vec::new(),
        }
    }

    fn add(&mut self, span: &Span<'_>) {
        let conversation = span.conversation_id();
        let is_trace = || {
            let trace = span.trace_id.map(|id| format!("{id:032x}"));
            trace.is_some_and(|trace| trace.eq_ignore_ascii_case(&self.id))
        };
        if conversation.as_deref() == Some(&self.id) || is_trace() {
            if self.nodes.len() < KEPT {
                self.nodes.push(Node::from(span));
            } else {
                self.left_out += 1;
            }
        } else if let Some(other) = conversation.filter(|_| self.others.len() < NAMED) {
            let other = clean(&other, 100);
            if !self.others.contains(&other) {
                self.others.push(other);
            }
        }
    }

    /// # Errors
    ///
    /// No span belongs to the call.
    pub(crate) fn print(mut self) -> Result<String, Failure> {
        if self.nodes.is_empty() {
            let others = match self.others.as_slice() {
                [] => "there is none at all".to_owned(),
                others => format!("there are {}", others.join(", ")),
            };
            return Err(Failure(format!(
                "--tree {:?}: no conversation and no trace has this id; {others}",
                clean(&self.id, 1_024)
            )));
        }
        self.nodes.sort_by_key(|node| (node.start, node.end));
        let mut out = Vec::new();
        let has_conversation = self.nodes.iter().any(|it| it.kind == Kind::Conversation);
        let root_prefix = if has_conversation {
            None
        } else {
            out.push(format!("{} (no conversation span)", clean(&self.id, 100)));
            Some(String::new())
        };
        Drawing::new(&self.nodes).draw(root_prefix, &mut out);
        if self.left_out > 0 {
            out.push(format!("… and {} spans more", count(self.left_out)));
        }
        Ok(out
            .iter()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect())
    }
}

impl Reader for Tree {
    fn span(&mut self, span: &Span<'_>) {
        self.add(span);
    }
}

struct Drawing<'a> {
    nodes: &'a [Node],
    roots: Vec<usize>,
    children: Vec<Vec<usize>>,
}

/// A span that is still to be drawn.
struct Pending<'a> {
    node: usize,
    level: usize,
    /// What stands on its line before it; none for a root.
    prefix: Option<String>,
    last: bool,
    axis: &'a Node,
}

impl<'a> Drawing<'a> {
    fn new(nodes: &'a [Node]) -> Self {
        let by_id: HashMap<u64, usize> = nodes
            .iter()
            .enumerate()
            .filter_map(|(at, node)| Some((node.id?, at)))
            .collect();
        let conversation = nodes
            .iter()
            .position(|node| node.kind == Kind::Conversation);
        let mut drawing = Self {
            nodes,
            roots: Vec::new(),
            children: vec![Vec::new(); nodes.len()],
        };
        for (at, node) in nodes.iter().enumerate() {
            let parent = node.parent.and_then(|parent| by_id.get(&parent).copied());
            // With a trace per turn, a turn has no parent; what was exported without its parent is below the call too.
            match parent.or(conversation).filter(|parent| *parent != at) {
                Some(parent) => drawing.children[parent].push(at),
                None => drawing.roots.push(at),
            }
        }
        drawing
    }

    fn draw(&self, root_prefix: Option<String>, out: &mut Vec<String>) {
        let mut drawn = vec![false; self.nodes.len()];
        let mut stack = Vec::new();
        let roots = self.roots.len();
        for (at, root) in self.roots.iter().enumerate().rev() {
            stack.push(Pending {
                node: *root,
                level: usize::from(root_prefix.is_some()),
                prefix: root_prefix.clone(),
                last: at + 1 == roots,
                axis: &self.nodes[*root],
            });
        }
        let mut unreached = 0..self.nodes.len();
        loop {
            let Some(next) = stack.pop() else {
                // Spans whose parents go round in a circle hang below no root.
                match unreached.find(|at| !drawn[*at]) {
                    None => return,
                    Some(node) => stack.push(Pending {
                        node,
                        level: 0,
                        prefix: None,
                        last: true,
                        axis: &self.nodes[node],
                    }),
                }
                continue;
            };
            if std::mem::replace(&mut drawn[next.node], true) {
                continue;
            }
            self.line(&next, out, &mut stack);
        }
    }

    /// Draws a span, and puts those below it on the stack.
    fn line(&self, next: &Pending<'a>, out: &mut Vec<String>, stack: &mut Vec<Pending<'a>>) {
        let node = &self.nodes[next.node];
        let children = &self.children[next.node];
        let deep = next.level >= DEEPEST;
        let (first, below) = match &next.prefix {
            None => (String::new(), String::new()),
            Some(prefix) => (
                format!(
                    "{prefix}{}",
                    if next.last && !deep {
                        "└─ "
                    } else {
                        "├─ "
                    }
                ),
                format!("{prefix}{}", if next.last && !deep { "   " } else { "│  " }),
            ),
        };
        let axis = if matches!(node.kind, Kind::Turn | Kind::Conversation) {
            node
        } else {
            next.axis
        };
        out.push(match node.kind {
            Kind::Conversation => self.conversation(node, &first),
            Kind::Turn => first + &node.heading(),
            Kind::Service | Kind::Ordinary => row(node, &first, axis),
        });
        let more = if children.is_empty() { "   " } else { "│  " };
        for (who, text) in &node.texts {
            let room = SPEECH.saturating_sub(width(&below) + 12).max(20);
            for (at, line) in wrap(text, room, TEXT_LINES).iter().enumerate() {
                let who = if at == 0 { who } else { "" };
                out.push(format!("{below}{more}{who:<8} {line}"));
            }
        }
        let child_prefix = if deep {
            next.prefix.clone().unwrap_or_default()
        } else {
            below
        };
        for (at, child) in children.iter().enumerate().rev() {
            stack.push(Pending {
                node: *child,
                level: next.level + 1,
                prefix: Some(child_prefix.clone()),
                last: at + 1 == children.len(),
                axis,
            });
        }
    }

    fn conversation(&self, node: &Node, first: &str) -> String {
        let of =
            |kind: fn(&Node) -> bool| self.nodes.iter().filter(|node| kind(node)).count() as u64;
        let several = |number: u64, what: &str| match number {
            0 => None,
            1 => Some(format!("1 {what}")),
            more => Some(format!("{} {what}s", count(more))),
        };
        let facts = [
            several(of(|node| node.kind == Kind::Turn), "turn"),
            several(of(|node| node.interrupted), "interruption"),
            several(
                of(|node| node.kind == Kind::Service && node.failed),
                "error",
            ),
            node.seconds().map(seconds),
        ];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        format!("{first}{} · {}", node.label, facts.join(" · "))
    }
}

fn row(node: &Node, first: &str, axis: &Node) -> String {
    let label = format!(
        "{first}{}{}",
        if node.failed { "✗ " } else { "" },
        node.label
    );
    let label = cut(&label, LABEL);
    let gap = " ".repeat((LABEL + 1).saturating_sub(width(&label)));
    let bar = Axis::of(axis).bar(node);
    let shown = |value: Option<f64>| value.map_or_else(String::new, seconds);
    format!(
        "{label}{gap}{bar:COLUMNS$} {:>8} {:>8}  {}",
        shown(node.first_byte),
        shown(node.seconds()),
        node.facts
    )
}

#[cfg(test)]
mod tests;
