//! Blocks for a pull request or a page.

use super::{Block, Table};

pub(crate) fn markdown(blocks: &[Block]) -> String {
    let mut out = String::new();
    for block in blocks {
        if !out.is_empty() {
            out.push('\n');
        }
        match block {
            Block::Facts(facts) => {
                out.push_str("| | | |\n|---|---|---|\n");
                for fact in facts {
                    put_row(fact.iter(), &mut out);
                }
            }
            Block::Table(table) => put_table(table, &mut out),
            Block::Note(note) => {
                out.push_str(&escaped(note));
                out.push('\n');
            }
        }
    }
    out
}

fn put_table(table: &Table, out: &mut String) {
    out.push_str(&format!("### {}\n\n", escaped(&table.title)));
    put_row(table.columns.iter().map(|column| column.title), out);
    out.push('|');
    for column in &table.columns {
        out.push_str(if column.right { "---:|" } else { "---|" });
    }
    out.push('\n');
    for row in &table.rows {
        put_row(row.iter(), out);
    }
}

fn put_row(cells: impl Iterator<Item = impl AsRef<str>>, out: &mut String) {
    out.push('|');
    for cell in cells {
        match escaped(cell.as_ref()) {
            cell if cell.is_empty() => out.push_str(" |"),
            cell => out.push_str(&format!(" {cell} |")),
        }
    }
    out.push('\n');
}

/// Text that is nothing but text in markdown: no cell's end, no markup, no HTML, no mention, no link.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '@' => escaped.push_str("&#64;"),
            ':' => escaped.push_str("&#58;"),
            '|' | '\\' | '`' | '*' | '[' | ']' | '#' | '~' | '$' | '!' => {
                escaped.push('\\');
                escaped.push(char);
            }
            // Inside a word it is no markup, and names have many.
            '_' if escaped.ends_with(char::is_alphanumeric) => escaped.push('_'),
            '_' => escaped.push_str("\\_"),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escaped("a|b <img> `x` [y](z) @team *b* _c_ llm_inference"),
            "a\\|b &lt;img&gt; \\`x\\` \\[y\\](z) &#64;team \\*b\\* \\_c_ llm_inference"
        );
    }
}
