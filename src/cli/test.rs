//! `rhumb test`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Serialize;

use super::{load_files, print_problems, verdict};
use crate::state::Loaded;
use crate::state::chains::TEST_FILES;
use crate::state::expectations::{Difference, Test, explanation, read, run as run_test};

/// Which tests to run.
#[derive(clap::Args)]
pub struct Args {
    /// Files of tests. Left out: every file `*.test.toml` in the folder of the filter chains.
    files: Vec<PathBuf>,
    /// Explain how the first client of each failed test is answered, with its drains, splits and values.
    #[arg(long)]
    explain: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How a test ended.
#[derive(Serialize)]
struct Outcome {
    file: PathBuf,
    line: usize,
    name: String,
    passed: bool,
    differences: Vec<Difference>,
    /// A command that shows why.
    why: String,
}

/// Runs tests of the routing.
pub fn run(config: &Path, args: &Args) -> ExitCode {
    verdict(run_all(config, args))
}

/// Says whether all have passed.
fn run_all(config_file: &Path, args: &Args) -> anyhow::Result<bool> {
    let (config, Loaded { snapshot, world, .. }) = load_files(config_file, "tested")?;
    let files = if args.files.is_empty() { find(&config.filter_chains)? } else { args.files.clone() };
    let (mut tests, mut problems) = (Vec::new(), Vec::new());
    for file in &files {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        tests.extend(read(file, &text, &snapshot, &mut problems));
    }
    if !problems.is_empty() {
        print_problems(&problems);
        bail!("the tests above cannot be run; mend them first");
    }
    let outcomes: Vec<Outcome> = tests
        .iter()
        .map(|test| {
            let differences = run_test(test, &snapshot, &world);
            Outcome {
                file: test.place.file.clone(),
                line: test.place.line,
                name: test.name.clone(),
                passed: differences.is_empty(),
                differences,
                why: why(config_file, test),
            }
        })
        .collect();
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&outcomes).context("cannot write JSON")?);
        return Ok(failed == 0);
    }
    for (outcome, test) in outcomes.iter().zip(&tests) {
        print_outcome(outcome);
        if args.explain && !outcome.passed {
            let explained = explanation(test, &snapshot, &world).to_string();
            explained.lines().for_each(|line| outln!("{}", format!("        {line}").trim_end()));
        }
    }
    let plural = if outcomes.len() == 1 { "" } else { "s" };
    outln!("{} test{plural}: {} passed, {failed} failed", outcomes.len(), outcomes.len() - failed);
    Ok(failed == 0)
}

/// The test files of a folder, by name.
fn find(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.to_str().is_some_and(|path| path.ends_with(TEST_FILES))).collect();
    if files.is_empty() {
        bail!("{} has no file *{TEST_FILES}; write one, or name files", folder.display());
    }
    files.sort();
    Ok(files)
}

/// What to type to see how the test's first client is answered.
fn why(config: &Path, test: &Test) -> String {
    let config = match config.to_str() {
        Some("rhumb.toml") | None => String::new(),
        Some(other) => format!(" --config {other}"),
    };
    if !test.what_if.is_empty() {
        return format!("rhumb test{config} --explain {}", test.place.file.display());
    }
    let record = test.record.to_string();
    let mut command = format!("rhumb explain{config} {} {}", record.trim_end_matches('.'), test.qtype);
    if let Some((address, len)) = test.clients.first() {
        command += &format!(" --client {address}/{len}");
    }
    if !test.resolver.is_loopback() {
        command += &format!(" --resolver {}", test.resolver);
    }
    command
}

fn print_outcome(outcome: &Outcome) {
    let mark = if outcome.passed { "ok    " } else { "FAILED" };
    outln!("{mark}  {}:{}  {}", outcome.file.display(), outcome.line, outcome.name);
    for Difference { what, expected, got } in &outcome.differences {
        outln!("        {what}: expected {expected}");
        outln!("        {:width$}  got      {got}", "", width = what.len() - 1);
    }
    if !outcome.passed {
        outln!("        why: {}", outcome.why);
    }
}
