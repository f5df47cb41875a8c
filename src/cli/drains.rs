//! `rhumb drains`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::audit::lines_table;
use super::client::{Failure, Request, Said, Server};
use super::connect::ServerArgs;
use super::outcome::{Answer, Outcome, Told, ask, tell, tell_json};
use super::show::{Table, Tone, bullets, distance, loud, plain, show, state};
use crate::api::bodies::{AuditLine, DrainBody, Status};
use crate::state::model::{Time, UNDRAIN};

/// Lines of the history that are shown.
const HISTORY_SHOWN: usize = 100;

/// What to show, and where from.
#[derive(clap::Args)]
pub struct Args {
    /// What was drained and lifted before, by whom and why: the newest first.
    #[arg(long)]
    history: bool,
    /// Look again every second.
    #[arg(long, short, conflicts_with = "history")]
    watch: bool,
    #[command(flatten)]
    to: ServerArgs,
}

/// Shows the drains; what differs between several servers stands first.
pub fn run(config: &Path, args: &Args) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    if args.history {
        let request = Request::get(&["drains", "history"]).with("limit", Some(HISTORY_SHOWN));
        let answers = ask(&servers, |server| server.list::<AuditLine>(&request, HISTORY_SHOWN));
        let words = |said: &Said<Vec<AuditLine>>| match said.body.is_empty() {
            true => "Nothing was drained, as far as the log goes back.\n".into(),
            false => lines_table(&said.body, said.at),
        };
        return Ok(tell(&answers, args.to.json, words).print());
    }
    let request = Request::get(&["drains"]);
    show(args.watch, || {
        if args.to.json {
            return Ok(tell_json(&ask(&servers, |server| server.list::<DrainBody>(&request, usize::MAX))));
        }
        let answers = ask(&servers, |server| Drains::of(server, &request));
        Ok(match answers.len() {
            1 => tell(&answers, false, |said| table(&said.body.held, said.at) + &said.body.not_durable("")),
            _ => tell_several(&answers),
        })
    })
}

/// What a server has of drains.
struct Drains {
    held: Vec<DrainBody>,
    /// Those that are lifted in memory alone: they are in no list, and a restart would bring them back.
    lifted: Vec<String>,
}

impl Drains {
    fn of(server: &Server, request: &Request) -> Result<Said<Drains>, Failure> {
        let Said { body: held, json, at } = server.list::<DrainBody>(request, usize::MAX)?;
        // That its status cannot be had takes nothing from the list.
        let status = server.call::<Status>(&Request::get(&["status"]));
        let not_durable = status.map_or(Vec::new(), |said| said.body.not_durable);
        let lifted = not_durable.iter().filter_map(|what| Some(what.strip_prefix(UNDRAIN)?.to_string()));
        Ok(Said { body: Drains { lifted: lifted.collect(), held }, json, at })
    }

    /// What a restart would forget, of drains and of their ends.
    fn not_durable(&self, at: &str) -> String {
        let drained = self.held.iter().filter(|drain| !drain.durable);
        let drained =
            drained.map(|drain| ("forgets it", format!("{} by {}", drain.scope_words, drain.owner)));
        let lifted = self.lifted.iter().map(|what| ("drains it again", what.clone()));
        let line = |(does, what): (&str, String)| {
            let warning = format!("NOT DURABLE, a restart before the store is back {does}:");
            format!("{} {what}{at}\n", loud(&warning, Tone::Bad))
        };
        drained.chain(lifted).map(line).collect()
    }
}

fn table(drains: &[DrainBody], now: Time) -> String {
    if drains.is_empty() {
        return "Nothing is drained.\n".into();
    }
    let mut table = Table::new(&["~drained", ">percent", "state", "owner", "?since", "until", "~reason"]);
    for drain in drains {
        let asked = format!("{} %", drain.percent);
        table.row([
            plain(&drain.scope_words),
            plain(if drain.percent_now == drain.percent {
                asked
            } else {
                format!("{} of {asked}", drain.percent_now)
            }),
            state(&drain.state),
            plain(&drain.owner),
            plain(distance(drain.starts_at, now)),
            plain(until(drain, now)),
            plain(&drain.reason),
        ]);
    }
    table.to_string()
}

fn until(drain: &DrainBody, now: Time) -> String {
    match (&drain.returning_since, drain.expires_at) {
        (Some(_), _) => "all are back".into(),
        (None, Some(until)) => distance(until, now),
        (None, None) => "undrain".into(),
    }
}

/// Several servers: drains that are not the same on all of them, then all of them once, then what is not durable
/// at which.
fn tell_several(answers: &[Answer<Said<Drains>>]) -> Told {
    let told = tell(answers, false, |_| String::new());
    let said: Vec<(&str, &Said<Drains>)> =
        answers.iter().filter_map(|a| Some((a.server.as_str(), a.said.as_ref().ok()?))).collect();
    let Some((_, first)) = said.first() else { return Told { out: String::new(), ..told } };
    // By identity: each server's, in the order of the servers.
    let mut all: BTreeMap<&str, Vec<(&str, &DrainBody)>> = BTreeMap::new();
    for (server, said) in &said {
        for drain in &said.body.held {
            all.entry(&drain.id).or_default().push((server, drain));
        }
    }
    let mut differ = Vec::new();
    for held in all.values() {
        let name = format!("{} by {}", held[0].1.scope_words, held[0].1.owner);
        let kinds: BTreeSet<String> = held.iter().map(|(_, drain)| how(drain)).collect();
        let missing: Vec<&str> = said
            .iter()
            .map(|(server, _)| *server)
            .filter(|server| held.iter().all(|(holder, _)| holder != server))
            .collect();
        if !missing.is_empty() {
            let holders: Vec<&str> = held.iter().map(|(server, _)| *server).collect();
            differ.push(format!("{name}: at {}, and not at {}", holders.join(", "), missing.join(", ")));
        }
        if kinds.len() > 1 {
            let each: Vec<String> =
                held.iter().map(|(server, drain)| format!("{} at {server}", how(drain))).collect();
            differ.push(format!("{name}: {}", each.join("; ")));
        }
    }
    let silent: Vec<&str> = answers.iter().filter(|a| a.said.is_err()).map(|a| a.server.as_str()).collect();
    if !silent.is_empty() {
        differ.insert(0, format!("no drains from {}", silent.join(", ")));
    }
    let mut out = if differ.is_empty() {
        format!("All {} servers agree.\n\n", said.len())
    } else {
        format!("{}\n{}\n", loud("The servers differ:", Tone::Warn), bullets(&differ))
    };
    let once: Vec<DrainBody> = all.values().map(|held| held[0].1.clone()).collect();
    out += &table(&once, first.at);
    out.extend(said.iter().map(|(server, said)| said.body.not_durable(&format!(" (at {server})"))));
    Told { out, ..told }
}

/// What should be the same everywhere. Times are not in it: each server starts and ends by its own clock.
fn how(drain: &DrainBody) -> String {
    format!("{} %, now {} %, {}", drain.percent, drain.percent_now, drain.state)
}
