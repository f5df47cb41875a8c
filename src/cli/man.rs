//! `rhumb man`: the manual pages.

use std::path::PathBuf;

use anyhow::Context;

use super::command;
use super::outcome::Outcome;
use super::show::print_out;

/// Where the pages go.
#[derive(clap::Args)]
pub struct Args {
    /// Write a page for every command into this folder, rhumb.1, rhumb-drain.1 and so on.
    ///
    /// Left out, rhumb.1 goes to standard output.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Writes them.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Some(folder) = &args.dir else {
        let mut text = Vec::new();
        clap_mangen::Man::new(command()).render(&mut text)?;
        print_out(&String::from_utf8_lossy(&text));
        return Ok(Outcome::Done);
    };
    let made = std::fs::create_dir_all(folder);
    let written = made.and_then(|()| clap_mangen::generate_to(command(), folder));
    written.with_context(|| format!("{}: the pages cannot be written", folder.display()))?;
    Ok(Outcome::Done)
}
