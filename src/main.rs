//! argv to [`rhumb::cli::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    rhumb::cli::run()
}
