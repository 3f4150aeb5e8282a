//! Blocks for a terminal.

use super::{Block, Table};
use crate::clean::width;

pub(crate) fn text(blocks: &[Block]) -> String {
    let mut out = String::new();
    let mut after_note = false;
    for block in blocks {
        let is_note = matches!(block, Block::Note(_));
        let together = is_note && after_note;
        if !out.is_empty() && !together {
            out.push('\n');
        }
        after_note = is_note;
        match block {
            Block::Facts(facts) => put_facts(facts, &mut out),
            Block::Table(table) => put_table(table, &mut out),
            Block::Note(note) => put_line(note, &mut out),
        }
    }
    out
}

fn put_facts(facts: &[[String; 3]], out: &mut String) {
    let widest = |column: usize| facts.iter().map(|fact| width(&fact[column])).max();
    let columns = [0, 1].map(|column| widest(column).unwrap_or(0));
    for [name, value, more] in facts {
        let mut line = padded(name, columns[0], false);
        line.push_str("  ");
        line.push_str(&padded(value, columns[1], false));
        line.push_str("  ");
        line.push_str(more);
        put_line(&line, out);
    }
}

fn put_table(table: &Table, out: &mut String) {
    put_line(&table.title, out);
    let widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = table.rows.iter().filter_map(|row| row.get(at));
            let widest = cells.map(|cell| width(cell)).max().unwrap_or(0);
            widest.max(width(column.title))
        })
        .collect();
    let mut put_row = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for ((cell, column), width) in cells.zip(&table.columns).zip(&widths) {
            line.push_str("  ");
            line.push_str(&padded(cell, *width, column.right));
        }
        put_line(&line, out);
    };
    if table.columns.iter().any(|column| !column.title.is_empty()) {
        put_row(&mut table.columns.iter().map(|column| column.title));
    }
    for row in &table.rows {
        put_row(&mut row.iter().map(String::as_str));
    }
}

fn padded(text: &str, columns: usize, right: bool) -> String {
    let blanks = " ".repeat(columns.saturating_sub(width(text)));
    if right {
        blanks + text
    } else {
        text.to_owned() + &blanks
    }
}

fn put_line(line: &str, out: &mut String) {
    out.push_str(line.trim_end());
    out.push('\n');
}
