//! `rhumb check`.

use std::path::Path;
use std::process::ExitCode;

use super::progress::Progress;
use super::{places, print_problems};
use crate::config::Config;
use crate::files::{Problem, Severity};
use crate::state::compile::{Progress as LoadProgress, Report};
use crate::state::{load, load_as_read};

/// What there is, and its warnings; or everything that is wrong with it, and its warnings.
pub type Checked = Result<(Report, Vec<Problem>), Vec<Problem>>;

/// Reads everything as a start would, and begins nothing.
pub fn check(config: &Path, progress: LoadProgress) -> Checked {
    let (config, mut problems) = Config::read_partly(config);
    problems.extend(config.iter().flat_map(places::refused));
    let doubts: Vec<Problem> = config.iter().flat_map(places::doubtful).collect();
    match load_as_read(config.as_ref(), problems, |config| load(config, 0, progress)) {
        Ok(loaded) => Ok((loaded.report, [doubts, loaded.warnings].concat())),
        Err(problems) => Err([problems, doubts].concat()),
    }
}

/// Reads everything, prints the errors and warnings, and a summary when there is no error.
pub fn run(config: &Path) -> ExitCode {
    let progress = Progress::new();
    let checked = check(config, &|step, share| progress.report(step, share));
    drop(progress);
    match checked {
        Ok((report, warnings)) => {
            print_problems(&warnings);
            print_summary(&report, warnings.len());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            print_problems(&problems);
            let errors = problems.iter().filter(|p: &&Problem| p.severity == Severity::Error).count();
            let warnings = problems.len() - errors;
            errln!("rhumb: {} and {}", plural(errors, "error"), plural(warnings, "warning"));
            ExitCode::FAILURE
        }
    }
}

fn print_summary(report: &Report, warnings: usize) {
    outln!(
        "{} with {} ({})",
        plural(report.zones, "zone"),
        plural(report.static_records, "static record"),
        octets(report.static_octets)
    );
    outln!(
        "{} sharing {}",
        plural(report.steered_records, "steered record"),
        plural(report.steerings, "compiled chain")
    );
    outln!("{} about places:", plural(report.questions.len(), "question"));
    for question in &report.questions {
        outln!(
            "  {}: {}, {}, {} ms",
            question.kind(),
            plural(question.outcomes as usize, "outcome"),
            octets(question.octets),
            question.time.as_millis()
        );
    }
    outln!(
        "ready in {} ms, {} ms of it for geo data; {}",
        report.total_time.as_millis(),
        report.geo_time.as_millis(),
        plural(warnings, "warning")
    );
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn octets(count: usize) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{} kB", count / 1000),
        _ => format!("{} MB", count / 1_000_000),
    }
}
