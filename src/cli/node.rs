//! `rhumb reload`, `rhumb log-level` and `rhumb clock accept`: what is about the process, not about clients.

use std::path::Path;

use serde_json::{Value, json};

use super::client::Request;
use super::connect::ServerArgs;
use super::outcome::{Outcome, ask, tell};
use crate::api::bodies::LogLevel;

/// The level of the log.
#[derive(clap::Args)]
pub struct LogLevelArgs {
    /// error, warn, info, debug, trace, or a filter such as info,rhumb::listeners=debug.
    level: String,
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
        #[command(flatten)]
        to: ServerArgs,
    },
}

/// Reads every file anew.
pub fn reload(config: &Path, to: &ServerArgs) -> anyhow::Result<Outcome> {
    do_it(config, to, &Request::post(&["reload"], &json!({})), "The files were read, and are served.")
}

/// Sets the level of the log.
pub fn log_level(config: &Path, args: &LogLevelArgs) -> anyhow::Result<Outcome> {
    let request = Request::put(&["log-level"], &LogLevel { level: args.level.clone() });
    do_it(config, &args.to, &request, &format!("The log's level is {} until the next start.", args.level))
}

/// Accepts the clock.
pub fn clock(config: &Path, command: &ClockCommand) -> anyhow::Result<Outcome> {
    let ClockCommand::Accept { to } = command;
    let request = Request::post(&["clock", "accept"], &json!({}));
    do_it(config, to, &request, "The clock is taken for right; what was due happens now.")
}

/// Asks for something whose answer is that it was done.
fn do_it(config: &Path, to: &ServerArgs, request: &Request, done: &str) -> anyhow::Result<Outcome> {
    let servers = to.servers(config)?;
    let answers = ask(&servers, |server| server.call::<Value>(request));
    Ok(tell(&answers, to.json, |_| format!("{done}\n")).print())
}
