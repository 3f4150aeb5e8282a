//! Prints made-up calls as OTLP/JSON lines, for trying the report out and for measuring it.
//!
//!     cargo run --release -p conversation-report --example make_calls -- MIB [SEED [SECONDS THE MODEL IS SLOWER BY]]

#![allow(clippy::print_stderr)]

#[path = "../tests/made/mod.rs"]
mod made;

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<f64> = std::env::args()
        .skip(1)
        .map_while(|it| it.parse().ok())
        .collect();
    let Some(mib) = arguments.first() else {
        eprintln!("usage: make_calls MIB [SEED [SECONDS]]");
        return ExitCode::from(2);
    };
    let seed = arguments.get(1).copied().unwrap_or(1.0);
    let slower = arguments.get(2).copied().unwrap_or(0.0);
    let mut calls = made::Calls::new(seed as u64, slower);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = (mib * 1024.0 * 1024.0) as u64;
    while left > 0 {
        let line = made::line(&calls.next());
        if out.write_all(line.as_bytes()).is_err() {
            return ExitCode::FAILURE;
        }
        left = left.saturating_sub(line.len() as u64);
    }
    ExitCode::SUCCESS
}
