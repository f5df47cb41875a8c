//! What health does about what the monitors say, as transcripts: `tests/failover/*.txt`.
//!
//! A case begins with `== ` and the fields of its pool `wss`, each behind `-- `; a line that begins with `> `
//! is done, and the lines behind it are what came of it, with the second in which it did. Everything is looked
//! at once a second, and time is what the transcript says: nothing waits. `UPDATE=1` writes what comes of it
//! into the files.
//!
//! Monitors are what the transcript says of them (`down`, `up`), or, in a case with `-- probed`, those of the
//! server, whose probes take no time; then what a client in Ireland is answered is told as well.

mod node;
mod probed;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use node::Node;
use support::project;

#[test]
fn transcripts() {
    let entries = fs::read_dir(project().join("tests/failover")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "txt")).collect();
    files.sort();
    assert!(files.len() >= 4, "the transcripts are found");
    let wrong: Vec<String> = files.iter().flat_map(|file| run_file(file)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Runs every case of a file; what differs, in words.
fn run_file(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let (mut wrong, mut written) = (Vec::new(), String::new());
    let (mut title, mut fields, mut node) = (String::new(), String::new(), None);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(written, "{line}").unwrap();
        if let Some(new) = line.strip_prefix("== ") {
            (title, fields, node) = (new.into(), String::new(), None);
        } else if let Some(field) = line.strip_prefix("-- ") {
            writeln!(fields, "{field}").unwrap();
        }
        let Some(command) = line.strip_prefix("> ") else { continue };
        let got = node.get_or_insert_with(|| Node::new(&fields)).perform(command);
        let mut expected = String::new();
        while let Some(next) = lines.next_if(|next| !next.is_empty() && !next.starts_with(['>', '=', '#'])) {
            writeln!(expected, "{next}").unwrap();
        }
        written += &got;
        if got != expected {
            let name = file.file_name().unwrap().display();
            wrong.push(format!("{name}: {title}\n> {command}\n--- expected\n{expected}--- got\n{got}"));
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, written).unwrap();
        return Vec::new();
    }
    wrong
}
