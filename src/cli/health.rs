//! `rhumb health`: what the monitors say, and monitors that are set beside the files'.

use std::path::{Path, PathBuf};

use super::client::{Request, Said, Server};
use super::connect::ServerArgs;
use super::outcome::{Outcome, ask, tell};
use super::show::{Table, Tone, moment, plain, show, tone};
use super::tables;
use super::verdict::details;
use super::written::ChangeArgs;
use crate::api::bodies::{AddressBody, MonitorBody, MonitorShown, NewMonitor, Origin};
use crate::state::model::Time;

/// Whose health to show, or which monitor.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HealthArgs {
    #[command(subcommand)]
    command: Option<MonitorCommand>,
    /// Only of this pool.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Only of this answer: everything there is to say of it, with its addresses and its last changes.
    #[arg(long, value_name = "ANSWER")]
    answer: Option<String>,
    /// Only what is down.
    #[arg(long)]
    down: bool,
    /// Look again every second.
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    to: ServerArgs,
}

/// What to do with a monitor.
#[derive(clap::Subcommand)]
enum MonitorCommand {
    /// Show a monitor as it would stand in a file, and where it is from.
    Show {
        /// Its name.
        monitor: String,
        #[command(flatten)]
        to: ServerArgs,
    },
    /// Set a monitor: what a file has under [monitor.NAME]. It replaces the files' of its name until `reset`.
    Set {
        /// Its name.
        monitor: String,
        /// A file in the syntax of filter-chains/, or - for standard input.
        file: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a monitor away that was set; the files' of its name, if there is one, is in force again.
    Reset {
        /// Its name.
        monitor: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// Shows what each monitor says of each answer.
pub fn health(config: &Path, args: &HealthArgs) -> anyhow::Result<Outcome> {
    if let Some(command) = &args.command {
        return one(config, command);
    }
    let servers = args.to.servers(config)?;
    let request = Request::get(&["monitors"])
        .with("pool", args.pool.as_ref())
        .with("answer", args.answer.as_ref())
        .with("up", args.down.then_some(false));
    show(args.watch, || {
        let answers = ask(&servers, |server| server.list::<MonitorBody>(&request, usize::MAX));
        Ok(tell(&answers, args.to.json, |said| match &args.answer {
            Some(answer) => details(answer, &said.body, said.at),
            None => words(&said.body, said.at, args.down),
        }))
    })
}

/// Shows, sets or resets a monitor.
fn one(config: &Path, command: &MonitorCommand) -> anyhow::Result<Outcome> {
    match command {
        MonitorCommand::Show { monitor, to } => {
            let request = Request::get(&["monitors", monitor]);
            let answers = ask(&to.servers(config)?, |server| server.call::<MonitorShown>(&request));
            Ok(tell(&answers, to.json, as_written).print())
        }
        MonitorCommand::Set { monitor, file, change } => {
            let mut fields = tables::read(file, "monitor", monitor)?;
            tables::take_authorities(file, &mut fields)?;
            let request = |_: &Server, dry_run: bool| {
                let (fields, reason) = (fields.clone(), change.reason.clone());
                let body = NewMonitor { fields, reason, dry_run, expected_revision: None };
                Ok(Request::put(&["monitors", monitor], &body))
            };
            change.write_and_tell(config, request)
        }
        MonitorCommand::Reset { monitor, change } => {
            let request =
                |_: &Server, dry_run: bool| Ok(removal(&["monitors", monitor], &change.reason, dry_run));
            change.write_and_tell(config, request)
        }
    }
}

/// To take something back.
pub fn removal(path: &[&str], reason: &str, dry_run: bool) -> Request {
    Request::delete(path)
        .with("reason", Some(reason).filter(|reason| !reason.is_empty()))
        .with("dry_run", dry_run.then_some(true))
}

fn as_written(said: &Said<MonitorShown>) -> String {
    let shown = &said.body;
    let head = origin(&format!("monitor {}", shown.monitor), &shown.from, shown.dormant.as_deref(), said.at);
    head + &tables::write("monitor", &shown.monitor, &said.json["fields"])
}

/// Where something is from, as comments of a file.
pub fn origin(what: &str, from: &Origin, dormant: Option<&str>, now: Time) -> String {
    let from = match from {
        Origin::File { file } => format!("# {what} of {file}\n"),
        Origin::Api { by, since, reason, instead_of, .. } => {
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            let instead = instead_of.as_ref().map(|place| format!("# instead of {place}\n"));
            let since = moment(*since, now);
            format!("# {what} as {by} set it at {since}{reason}\n{}", instead.unwrap_or_default())
        }
    };
    from + &dormant.map_or(String::new(), |why| format!("# not in force: {why}\n"))
}

fn words(monitors: &[MonitorBody], now: Time, down: bool) -> String {
    if monitors.is_empty() {
        return match down {
            true => "Nothing is down.\n".into(),
            false => {
                "There are no monitors: no file in filter-chains/ has a [monitor.NAME], and none was set.\n"
                    .into()
            }
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
        let mut said: Vec<&String> = addresses.iter().map(|address| &address.warning).collect();
        // Of what is up, an error is long ago.
        said.insert(if monitor.up == Some(true) { said.len() } else { 0 }, &monitor.error);
        let said = said.into_iter().find(|text| !text.is_empty());
        table.row([
            plain(&monitor.answer),
            plain(match &monitor.from {
                Some(Origin::Api { by, .. }) => format!("{} (by {by})", monitor.monitor),
                Some(Origin::File { .. }) | None => monitor.monitor.clone(),
            }),
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
