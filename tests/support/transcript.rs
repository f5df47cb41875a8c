//! Transcripts: what is done, and what came of it.
//!
//! A case begins with `== ` and may have fields, each behind `-- `. A line that begins with `> ` is done, and the
//! lines behind it are what came back; `UPDATE=1` writes what comes back into the files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::project;

/// Runs every case of the `.txt` files in a folder of the project, at least so many files. `start` makes what a
/// case is about, of its file and its fields; `perform` does a line.
pub fn run<N>(
    folder: &str,
    least: usize,
    start: impl Fn(&Path, &str) -> N + Sync,
    perform: impl Fn(&mut N, &str) -> String + Sync,
) {
    let entries = fs::read_dir(project().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let files: Vec<PathBuf> = files.collect();
    assert!(files.len() >= least, "the transcripts are found");
    let (start, perform) = (&start, &perform);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> =
            files.iter().map(|file| scope.spawn(move || run_file(file, start, perform))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Runs every case of a file; what differs, in words.
fn run_file<N>(
    file: &Path,
    start: impl Fn(&Path, &str) -> N,
    perform: impl Fn(&mut N, &str) -> String,
) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let (mut wrong, mut written) = (Vec::new(), String::new());
    let (mut title, mut fields, mut node) = (None, String::new(), None);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(written, "{line}").unwrap();
        if let Some(new) = line.strip_prefix("== ") {
            (title, fields, node) = (Some(new), String::new(), None);
        } else if let Some(field) = line.strip_prefix("-- ") {
            writeln!(fields, "{field}").unwrap();
        }
        let Some(command) = line.strip_prefix("> ") else { continue };
        let title = title.expect("a case begins with `== `");
        let got = perform(node.get_or_insert_with(|| start(file, &fields)), command);
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
