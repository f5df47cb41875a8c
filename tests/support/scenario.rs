//! Scenario files: `tests/scenarios/*.txt`. What they are made of stands at the head of `tests/scenarios.rs`.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use super::{Folder, project};

/// A file's path and text.
pub type File = (String, String);

/// What a scenario gets that writes none of its own.
const CONFIG: &str = "[geo]\nnetworks = \"geoip/networks.toml\"\n";

/// One scenario of a file.
pub struct Scenario {
    /// The files it is served from, the shared ones first.
    pub files: Vec<File>,
    /// Its steps, as lines of the file counted from 0.
    pub steps: Range<usize>,
}

/// Every scenario file.
pub fn files() -> Vec<PathBuf> {
    let folder = project().join("tests/scenarios");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 17, "the scenarios are found");
    files
}

/// Reads a file's lines.
pub fn read(lines: &[&str]) -> Vec<Scenario> {
    let is_head = |line: &str| line.starts_with("-- ") || line.starts_with("== ");
    let end_of = |at: usize, ends: &dyn Fn(&str) -> bool| {
        lines[at..].iter().position(|line| ends(line)).map_or(lines.len(), |len| at + len)
    };
    let (mut shared, mut own, mut in_scenario) = (Vec::new(), Vec::new(), false);
    let mut scenarios = Vec::new();
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        at += 1;
        if line.starts_with("== ") {
            (in_scenario, own) = (true, Vec::new());
        } else if line == "-- steps" {
            assert!(in_scenario, "line {at}: steps outside of a scenario");
            let steps = at..end_of(at, &|line| line.starts_with("== "));
            at = steps.end;
            scenarios.push(Scenario { files: [&shared[..], &own].concat(), steps });
        } else if let Some(path) = line.strip_prefix("-- ") {
            let end = end_of(at, &is_head);
            let text: String = lines[at..end].iter().map(|line| format!("{line}\n")).collect();
            if in_scenario { &mut own } else { &mut shared }.push((path.into(), text));
            at = end;
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "line {at}: what is this? {line}");
        }
    }
    scenarios
}

impl Scenario {
    /// Writes its files into a folder of their own. `(the example's)` behind a path takes the project's.
    pub fn folder(&self) -> Folder {
        let folder = Folder::new();
        folder.write("rhumb.toml", CONFIG);
        folder.write("geoip/networks.toml", "");
        for needed in ["filter-chains", "zones"] {
            fs::create_dir_all(folder.path().join(needed)).unwrap();
        }
        for (path, text) in &self.files {
            match path.strip_suffix(" (the example's)") {
                Some(path) => folder.write(path, fs::read(project().join(path)).unwrap()),
                None => folder.write(path, text),
            }
        }
        folder
    }
}
