//! Places that a start needs beside the files it reads: seen without touching them, so that `rhumb check` says
//! what `rhumb serve` would. What may be made between the two, such as folders by a service manager, is a doubt.

use std::fs;
use std::path::Path;

use crate::api;
use crate::config::{Config, LogTo, Socket};
use crate::files::{Problem, Severity};
use crate::state::store::backup::folder;

/// What a start is refused for.
pub fn refused(config: &Config) -> Vec<Problem> {
    let unusable = api::unusable(&config.api);
    unusable.iter().map(|unusable| config.problem_of(&unusable.file, &unusable.why)).collect()
}

/// What a start goes on without, or may find otherwise.
pub fn doubtful(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut doubt = |path: &Path, what: &str, then: &str| {
        let problem = config.problem_of(path, &format!("{what}: {then}"));
        problems.push(Problem { severity: Severity::Warning, ..problem });
    };
    let state = &config.state.file;
    // The folders above the store are made where there are none.
    let above = state.ancestors().skip(1).find(|above| fs::symlink_metadata(above).is_ok());
    let then = "the server would start without its store, and not be ready; name a file under a folder";
    if state.is_dir() {
        doubt(state, "is a folder", then);
    } else if let Some(above) = above.filter(|above| !above.is_dir()) {
        doubt(state, &format!("{} is no folder", above.display()), then);
    }
    if let Some(Socket { path, .. }) = config.api.socket.as_ref().filter(|socket| socket.written)
        && !folder(path).is_dir()
    {
        let then = "the server starts when it is there; make it, or name another";
        doubt(path, &format!("{} is no folder", folder(path).display()), then);
    }
    if let Some(LogTo::File(path)) = &config.query_log.to {
        let then = "the lines would be lost; make the folder, or name another file";
        if path.is_dir() {
            doubt(path, "is a folder", then);
        } else if !folder(path).is_dir() {
            doubt(path, &format!("{} is no folder", folder(path).display()), then);
        }
    }
    problems
}
