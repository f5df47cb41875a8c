//! `rhumb policy`: how a pool is operated, and stopping what health does about it.

use std::path::{Path, PathBuf};

use super::client::{Request, Said, Server};
use super::connect::ServerArgs;
use super::drain::check_duration;
use super::health::{origin, removal};
use super::outcome::{Outcome, ask, tell};
use super::tables;
use super::written::{ChangeArgs, WriteArgs, write_and_tell};
use crate::api::bodies::{NewPolicy, PolicyBody, Suspend};

/// What to do with a pool's policy, and with what health does by it.
#[derive(clap::Subcommand)]
pub enum PolicyCommand {
    /// Show the policy that is in force as it would stand in a file, with every default, and where it is from.
    Show {
        /// The pool.
        pool: String,
        #[command(flatten)]
        to: ServerArgs,
    },
    /// Set the policy: what a file has under [pool.NAME] of capacity, max_drained_capacity, max_down_capacity, return
    /// and failover. It replaces the files' as a whole until `reset`.
    Set {
        /// The pool.
        pool: String,
        /// A file in the syntax of filter-chains/, or - for standard input.
        file: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Operate the pool as its file says again.
    Reset {
        /// The pool.
        pool: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Stop health from draining a pool's sites and from bringing them back; verdicts go on counting.
    Suspend {
        /// The pool.
        pool: String,
        /// Why.
        #[arg(long, short, value_name = "TEXT")]
        reason: String,
        /// Until so much time has gone by, such as 1h; until `resume`, if left out.
        #[arg(long = "for", value_name = "TIME", value_parser = check_duration)]
        span: Option<String>,
        #[command(flatten)]
        write: WriteArgs,
        #[command(flatten)]
        to: ServerArgs,
    },
    /// Let it act again.
    Resume {
        /// The pool.
        pool: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// Does it.
pub fn policy(config: &Path, command: &PolicyCommand) -> anyhow::Result<Outcome> {
    match command {
        PolicyCommand::Show { pool, to } => {
            let request = Request::get(&["pools", pool, "policy"]);
            let answers = ask(&to.servers(config)?, |server| server.call::<PolicyBody>(&request));
            Ok(tell(&answers, to.json, as_written).print())
        }
        PolicyCommand::Set { pool, file, change } => {
            let fields = tables::read(file, "pool", pool)?;
            let request = |_: &Server, dry_run: bool| {
                let (fields, reason) = (fields.clone(), change.reason.clone());
                let body = NewPolicy { fields, reason, dry_run, expected_revision: None };
                Ok(Request::put(&["pools", pool, "policy"], &body))
            };
            change.write_and_tell(config, request)
        }
        PolicyCommand::Reset { pool, change } => {
            let request =
                |_: &Server, dry_run: bool| Ok(removal(&["pools", pool, "policy"], &change.reason, dry_run));
            change.write_and_tell(config, request)
        }
        PolicyCommand::Suspend { pool, reason, span, write, to } => {
            let request = |_: &Server, dry_run: bool| {
                let (reason, expires_in) = (reason.clone(), span.clone());
                let body = Suspend { reason, expires_in, dry_run, expected_revision: None };
                Ok(Request::put(&["pools", pool, "suspension"], &body))
            };
            write_and_tell(&to.servers(config)?, to.json, write, request)
        }
        PolicyCommand::Resume { pool, change } => {
            let request = |_: &Server, dry_run: bool| {
                Ok(removal(&["pools", pool, "suspension"], &change.reason, dry_run))
            };
            change.write_and_tell(config, request)
        }
    }
}

fn as_written(said: &Said<PolicyBody>) -> String {
    let body = &said.body;
    let head = origin(&format!("policy of pool {}", body.pool), &body.from, body.dormant.as_deref(), said.at);
    head + &tables::write("pool", &body.pool, &said.json["fields"])
}
