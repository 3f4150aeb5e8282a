//! Files, folders and standard input, read line by line.

mod lines;
mod progress;

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::lines::{Line, Lines};
use self::progress::Progress;
use crate::clean::clean;
use crate::failure::Failure;
use crate::otlp::{self, Span};

/// What a file in a folder is called if it is read.
const ENDINGS: [&str; 3] = ["jsonl", "json", "ndjson"];

/// How many unreadable lines are described; the others are only counted.
const DESCRIBED: usize = 5;

/// What a source of lines is called in messages: a path at its full length.
const NAME_CHARS: usize = 4_096;

#[derive(Debug)]
enum Source {
    StandardInput,
    File(PathBuf),
}

/// How reading went.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Input {
    /// Files, standard input among them.
    pub(crate) files: u64,
    /// Lines that are not empty.
    pub(crate) lines: u64,
    pub(crate) bad_lines: u64,
    /// The first ones.
    pub(crate) bad: Vec<BadLine>,
}

#[derive(Debug, Serialize)]
pub(crate) struct BadLine {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// What reads the input.
pub(crate) trait Reader {
    /// The spans that follow are from the next file.
    fn start_file(&mut self) {}

    fn span(&mut self, span: &Span<'_>);
}

/// Hands every span in `paths` to `reader`: files, all files of folders that end in `.jsonl`, `.json` or `.ndjson`, and
/// standard input for `-` or for no path at all.
///
/// # Errors
///
/// A path cannot be read, or a folder has nothing to read in it.
pub(crate) fn read(paths: &[PathBuf], reader: &mut impl Reader) -> Result<Input, Failure> {
    let sources = sources(paths)?;
    let progress = Progress::over(sources.iter().map(size));
    let mut input = Input::default();
    for source in &sources {
        input.files += 1;
        reader.start_file();
        match source {
            Source::StandardInput => {
                let lines = Lines::new(BufReader::new(progress.watch(io::stdin().lock())));
                input.take("standard input", lines, reader)?;
            }
            Source::File(path) => {
                let name = name(path);
                let file = File::open(path)
                    .map_err(|error| Failure(format!("{name}: cannot be opened: {error}")))?;
                let lines = BufReader::with_capacity(1 << 17, progress.watch(file));
                input.take(&name, Lines::new(lines), reader)?;
            }
        }
    }
    progress.end();
    Ok(input)
}

impl Input {
    fn take<R: Read>(
        &mut self,
        name: &str,
        mut lines: Lines<BufReader<R>>,
        reader: &mut impl Reader,
    ) -> Result<(), Failure> {
        loop {
            let number = lines.number() + 1;
            let line = lines.next().map_err(|error| {
                Failure(format!("{name}: line {number}: cannot be read: {error}"))
            })?;
            let read = match line {
                Line::End => return Ok(()),
                Line::Whole([]) => continue,
                Line::Whole(line) if number == 1 && compression(line).is_some() => {
                    let with = compression(line).unwrap_or_default();
                    return Err(Failure(format!(
                        "{name}: is compressed; decompress it first: {with} {name} | conversation-report -"
                    )));
                }
                Line::Whole(line) => otlp::read(line, |span| reader.span(span)),
                Line::TooLong => Err(format!("is longer than {} MiB", lines::MOST >> 20)),
            };
            self.lines += 1;
            if let Err(reason) = read {
                self.bad_lines += 1;
                if self.bad.len() < DESCRIBED {
                    self.bad.push(BadLine {
                        file: name.to_owned(),
                        line: number,
                        reason: clean(&reason, 300),
                    });
                }
            }
        }
    }
}

/// What decompresses a file that begins so.
fn compression(start: &[u8]) -> Option<&'static str> {
    [
        (b"\x1f\x8b".as_slice(), "gzip -dc"),
        (b"\x28\xb5\x2f\xfd", "zstd -dc"),
    ]
    .into_iter()
    .find_map(|(magic, with)| start.starts_with(magic).then_some(with))
}

fn sources(paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    if paths.is_empty() {
        if io::stdin().is_terminal() {
            return Err(Failure(
                "nothing to read: name files or folders of OTLP/JSON lines, or pipe them in; --help says more".to_owned(),
            ));
        }
        return Ok(vec![Source::StandardInput]);
    }
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(Source::StandardInput);
        } else if path.is_dir() {
            let before = sources.len();
            folder(path, &mut sources)?;
            if sources.len() == before {
                return Err(Failure(format!(
                    "{}: no file in this folder ends in .{}",
                    name(path),
                    ENDINGS.join(" or .")
                )));
            }
        } else {
            sources.push(Source::File(path.clone()));
        }
    }
    Ok(sources)
}

/// The files of a folder and of those below it in the order of their names. Links to folders are not followed, so there
/// is an end to it.
fn folder(path: &Path, sources: &mut Vec<Source>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure(format!("{}: cannot be read: {error}", name(path)));
    let mut entries: Vec<_> = std::fs::read_dir(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let ends_so = path
            .extension()
            .and_then(|it| it.to_str())
            .is_some_and(|it| ENDINGS.contains(&it));
        if entry.file_type().map_err(failed)?.is_dir() {
            folder(&path, sources)?;
        } else if ends_so && path.is_file() {
            sources.push(Source::File(path));
        }
    }
    Ok(())
}

/// A source's bytes where they are known before it is read.
fn size(source: &Source) -> Option<u64> {
    match source {
        Source::StandardInput => None,
        Source::File(path) => {
            let metadata = std::fs::metadata(path).ok()?;
            metadata.is_file().then_some(metadata.len())
        }
    }
}

fn name(path: &Path) -> String {
    clean(&path.to_string_lossy(), NAME_CHARS)
}
