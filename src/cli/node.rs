//! `rhumb reload`, `rhumb log-level` and `rhumb clock accept`: what is about the process, not about clients.

use std::path::Path;

use serde_json::json;

use super::client::{Request, Said};
use super::connect::ServerArgs;
use super::outcome::{Outcome, ask, tell};
use super::show::{bullets, count};
use super::written::done;
use crate::api::bodies::{Changed, LogLevel, Reloaded};

/// Whose files, and why.
#[derive(clap::Args)]
pub struct ReloadArgs {
    /// Why, for the audit log.
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
    /// Say what is wrong or suspicious about the files, and serve nothing of them.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    to: ServerArgs,
}

/// The level of the log.
#[derive(clap::Args)]
pub struct LogLevelArgs {
    /// error, warn, info, debug, trace, or a filter such as info,rhumb::listeners=debug.
    level: String,
    /// Why, for the audit log.
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    to: ServerArgs,
}

/// What to do about the clock.
#[derive(clap::Subcommand)]
pub enum ClockCommand {
    /// Take the clock for right, after it jumped or stood behind what the store has seen.
    ///
    /// Until then nothing expires and no migration takes a step by itself. Look at the machine's clock first.
    Accept {
        /// Why, for the audit log.
        #[arg(long, short, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        to: ServerArgs,
    },
}

/// Reads every file anew.
pub fn reload(config: &Path, args: &ReloadArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let request = Request::post(&["reload"], &json!({})).with("reason", args.reason.as_ref());
    let request = request.with("dry_run", args.dry_run.then_some(true));
    let answers = ask(&servers, |server| server.call::<Reloaded>(&request));
    let words = |said: &Said<Reloaded>| {
        let Reloaded { load, warnings, dry_run } = &said.body;
        let with = count(warnings.len(), "warning");
        let became = match dry_run {
            true => format!("The files can be served, with {with}; served is load {load} as before."),
            false => format!("The files were read, and are served: load {load}, with {with}."),
        };
        format!("{became}\n{}", bullets(warnings))
    };
    Ok(tell(&answers, args.to.json, words).print())
}

/// Sets the level of the log.
pub fn log_level(config: &Path, args: &LogLevelArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let level = LogLevel { level: args.level.clone() };
    let request = Request::put(&["log-level"], &level).with("reason", args.reason.as_ref());
    let answers = ask(&servers, |server| server.call::<LogLevel>(&request));
    let words =
        |said: &Said<LogLevel>| format!("The log's level is {} until the next start.\n", said.body.level);
    Ok(tell(&answers, args.to.json, words).print())
}

/// Accepts the clock.
pub fn clock(config: &Path, command: &ClockCommand) -> anyhow::Result<Outcome> {
    let ClockCommand::Accept { reason, to } = command;
    let servers = to.servers(config)?;
    let request = Request::post(&["clock", "accept"], &json!({})).with("reason", reason.as_ref());
    let answers = ask(&servers, |server| server.call::<Changed>(&request));
    Ok(tell(&answers, to.json, done).print())
}
