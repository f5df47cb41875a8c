//! `rhumb check`.

use std::path::Path;
use std::process::ExitCode;

use super::progress::Progress;
use super::{print_problems, read_files};
use crate::files::{Problem, Severity};
use crate::state::compile::Report;

/// Reads everything, prints the errors and warnings, and a summary when there is no error.
pub fn run(config: &Path) -> ExitCode {
    let progress = Progress::new();
    let (_, loaded) = read_files(config, &|step, share| progress.report(step, share));
    drop(progress);
    match loaded {
        Ok(loaded) => {
            print_problems(&loaded.warnings);
            print_summary(&loaded.report, loaded.warnings.len());
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
