//! `rhumb health` and `rhumb policy`: what the monitors say, and stopping what health does about it.

use std::path::Path;

use super::client::{Request, Server};
use super::connect::ServerArgs;
use super::drain::check_duration;
use super::outcome::{Outcome, ask, tell};
use super::show::{Table, Tone, moment, plain, show, tone};
use super::written::{WriteArgs, write_and_tell};
use crate::api::bodies::{AddressBody, MonitorBody, Suspend};
use crate::state::model::Time;

/// Whose health to show.
#[derive(clap::Args)]
pub struct HealthArgs {
    /// Only of this pool.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Only what is down.
    #[arg(long)]
    down: bool,
    /// Look again every second.
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    to: ServerArgs,
}

/// What health may do.
#[derive(clap::Subcommand)]
pub enum PolicyCommand {
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
        write: WriteArgs,
        #[command(flatten)]
        to: ServerArgs,
    },
}

/// Shows what each monitor says of each answer.
pub fn health(config: &Path, args: &HealthArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let request =
        Request::get(&["monitors"]).with("pool", args.pool.as_ref()).with("up", args.down.then_some(false));
    show(args.watch, || {
        let answers = ask(&servers, |server| server.list::<MonitorBody>(&request, usize::MAX));
        Ok(tell(&answers, args.to.json, |said| words(&said.body, said.at, args.down)))
    })
}

fn words(monitors: &[MonitorBody], now: Time, down: bool) -> String {
    if monitors.is_empty() {
        return match down {
            true => "Nothing is down.\n".into(),
            false => "There are no monitors: no file in filter-chains/ has a [monitor.NAME].\n".into(),
        };
    }
    let mut table =
        Table::new(&["answer", "monitor", "says", "since", ">addresses", ">latency", "~last error"]);
    for monitor in monitors {
        let (says, colour) = match monitor.up {
            None => ("not yet", Tone::Plain),
            Some(true) => ("up", tone("serving")),
            Some(false) => ("down", tone("down")),
        };
        let marks = [(monitor.flapping, ", flapping"), (monitor.frozen, ", frozen")];
        let marks: String = marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| *mark).collect();
        let addresses: Vec<&AddressBody> =
            monitor.addresses.iter().filter(|address| address.address.is_some()).collect();
        let well = addresses.iter().filter(|address| address.up != Some(false)).count();
        let slowest = monitor.addresses.iter().filter_map(|address| address.latency_ms).reduce(f64::max);
        let said = [&monitor.error].into_iter().chain(addresses.iter().map(|address| &address.warning));
        let said = said.into_iter().find(|text| !text.is_empty());
        table.row([
            plain(&monitor.answer),
            plain(&monitor.monitor),
            (format!("{says}{marks}"), colour),
            plain(monitor.since.map_or("-".into(), |since| moment(since, now))),
            plain(match addresses.len() {
                0 => "-".into(),
                all => format!("{well} of {all}"),
            }),
            plain(slowest.map_or("-".into(), |ms| format!("{ms:.1} ms"))),
            plain(said.map_or("", String::as_str)),
        ]);
    }
    table.to_string()
}

/// Stops and starts what health does to a pool.
pub fn policy(config: &Path, command: &PolicyCommand) -> anyhow::Result<Outcome> {
    let (pool, write, to) = match command {
        PolicyCommand::Suspend { pool, write, to, .. } | PolicyCommand::Resume { pool, write, to } => {
            (pool, write, to)
        }
    };
    let path = ["pools", pool, "suspension"];
    let request = |_: &Server, dry_run: bool| {
        Ok(match command {
            PolicyCommand::Suspend { reason, span, .. } => {
                let (reason, expires_in) = (reason.clone(), span.clone());
                Request::put(&path, &Suspend { reason, expires_in, dry_run, expected_revision: None })
            }
            PolicyCommand::Resume { .. } => Request::delete(&path).with("dry_run", dry_run.then_some(true)),
        })
    };
    write_and_tell(&to.servers(config)?, to.json, write, request)
}
