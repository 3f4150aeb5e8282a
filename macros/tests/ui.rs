//! Errors point at the user's token and say what to write.
//!
//! Each `ui/NAME.rs` is compiled by `rustc` against the library that cargo has built for this test; `NAME.stderr` is what
//! it has to print. `UPDATE_GOLDEN=1` writes those files, for a reviewer to read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `program` against `library`; returns what the compiler prints if it refuses the program.
fn compile(program: &Path, library: &Path) -> Result<(), String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let mut library_by_name = OsString::from("tracing_conversation=");
    library_by_name.push(library);
    let mut dependencies = OsString::from("dependency=");
    dependencies.push(library.parent().unwrap());
    let output = Command::new(compiler)
        .args(["--edition", "2024", "--crate-type", "bin"])
        .args([
            "--emit",
            "metadata",
            "--out-dir",
            env!("CARGO_TARGET_TMPDIR"),
        ])
        .args(["--allow", "unused", "--color", "never"])
        .arg("--extern")
        .arg(library_by_name)
        .arg("-L")
        .arg(dependencies)
        .arg(program)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// The library with the attributes that cargo has built last: the one that this test depends on.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let files = std::fs::read_dir(test.parent().unwrap()).unwrap();
    let mut libraries: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("libtracing_conversation-") && name.ends_with(".rlib")
        })
        .collect();
    libraries.sort_by_key(|path| path.metadata().unwrap().modified().unwrap());
    let valid = Path::new("tests/ui/valid/attributes.rs");
    let mut refused = String::new();
    for library in libraries.into_iter().rev() {
        match compile(valid, &library) {
            Ok(()) => return library,
            Err(error) => refused += &error,
        }
    }
    panic!(
        "no library of this build compiles {}:\n{refused}",
        valid.display()
    );
}

/// Leaves out the number of errors and where in the library's files a line is.
fn normalized(printed: &str) -> String {
    let errors = printed.split("\nerror: aborting due to").next().unwrap();
    let mut text = String::new();
    for line in errors.trim_end().lines() {
        let in_library = line.trim_start().starts_with("--> src/");
        let kept = if in_library {
            line.split(':').next().unwrap()
        } else {
            line
        };
        text.push_str(kept);
        text.push('\n');
    }
    text
}

#[test]
fn invalid_use_reports_error_at_its_token() {
    let library = library();
    let mut wrong = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.extension() != Some("rs".as_ref()) {
            continue;
        }
        let name = Path::new("tests/ui").join(file.file_name().unwrap());
        let printed = match compile(&name, &library) {
            Ok(()) => "it compiles\n".to_owned(),
            Err(printed) => normalized(&printed),
        };
        let expected = file.with_extension("stderr");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, &printed).unwrap();
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != printed {
            wrong.push(format!("{}:\n{printed}", name.display()));
        }
    }
    assert!(wrong.is_empty(), "not as in .stderr:\n{}", wrong.join("\n"));
}
