//! `rhumb split` and `rhumb splits`: which share of a site's clients each of its stacks gets.

use std::path::Path;

use super::client::{Request, Server};
use super::connect::ServerArgs;
use super::inventory::weights;
use super::outcome::{Outcome, Wrong, ask, tell};
use super::show::{Table, moment, plain};
use super::written::{WriteArgs, write_and_tell};
use crate::api::bodies::{NewSplit, SplitBody};
use crate::state::model::Time;

/// Weights to set.
#[derive(clap::Args)]
pub struct SplitArgs {
    /// The pool.
    pool: String,
    /// The site; `all` (or `*`) is every site of the pool.
    pop: String,
    /// The weights in force from now on; a stack that is not named keeps its weight. Only their ratio counts.
    #[arg(value_name = "STACK=WEIGHT", value_parser = read_weight, required_unless_present = "files")]
    weights: Vec<(String, f64)>,
    /// Go back to the weights of the files.
    #[arg(long, conflicts_with = "weights")]
    files: bool,
    /// Why; may be left out, except with --force.
    #[arg(long, short, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    to: ServerArgs,
}

/// Whose weights to show.
#[derive(clap::Args)]
pub struct SplitsArgs {
    /// The pool.
    pool: String,
    #[command(flatten)]
    to: ServerArgs,
}

/// Sets weights, or forgets those that were set.
pub fn split(config: &Path, args: &SplitArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let pop = if args.pop == "all" { "*" } else { &args.pop };
    let path = ["pools", &args.pool, "splits", pop];
    let mut weights = std::collections::BTreeMap::new();
    for (stack, weight) in &args.weights {
        if weights.insert(stack.clone(), *weight).is_some() {
            return Err(Wrong(format!("{stack} has two weights; write one")).into());
        }
    }
    let request = |_: &Server, dry_run: bool| {
        Ok(match args.files {
            true => Request::delete(&path)
                .with("reason", Some(&args.reason).filter(|reason| !reason.is_empty()))
                .with("dry_run", dry_run.then_some(true))
                .with("force", args.write.force.then_some(true)),
            false => Request::put(
                &path,
                &NewSplit {
                    weights: weights.clone(),
                    reason: args.reason.clone(),
                    dry_run,
                    force: args.write.force,
                    expected_revision: None,
                },
            ),
        })
    };
    write_and_tell(&servers, args.to.json, &args.write, request)
}

/// Shows a pool's weights.
pub fn splits(config: &Path, args: &SplitsArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let request = Request::get(&["pools", &args.pool, "splits"]);
    let answers = ask(&servers, |server| server.list::<SplitBody>(&request, usize::MAX));
    Ok(tell(&answers, args.to.json, |said| words(&said.body, said.at)).print())
}

fn words(splits: &[SplitBody], now: Time) -> String {
    if splits.is_empty() {
        return "The pool has no PoPs.\n".into();
    }
    let mut table = Table::new(&["PoP", "in force", "in the files", "set by", "since"]);
    for split in splits {
        table.row([
            plain(&split.pop),
            plain(weights(&split.weights, true)),
            plain(weights(&split.file_weights, true)),
            plain(split.owner.as_deref().unwrap_or("the files")),
            plain(split.since.map_or("-".into(), |since| moment(since, now))),
        ]);
    }
    table.to_string()
}

/// `haproxy=75`.
pub fn read_weight(text: &str) -> Result<(String, f64), String> {
    let wrong = || format!("`{text}` is no weight; write one such as haproxy=75");
    let (stack, weight) = text.split_once('=').ok_or_else(wrong)?;
    let weight: f64 = weight.parse().map_err(|_| wrong())?;
    let is_weight = !stack.is_empty() && weight.is_finite() && weight >= 0.0;
    if is_weight { Ok((stack.into(), weight)) } else { Err(wrong()) }
}
