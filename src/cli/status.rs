//! `rhumb status`.

use std::collections::BTreeSet;
use std::path::Path;

use super::client::{Request, Said, Server};
use super::connect::ServerArgs;
use super::outcome::{Answer, Outcome, Told, ask, tell, tell_json};
use super::show::{Table, Tone, bullets, count, loud, moment, plain, show, span, state, tone};
use crate::api::bodies::{DrainBody, ReceiverBody, Status};

/// Drains that are shown one by one.
const DRAINS_SHOWN: usize = 8;

/// What to show, and where from.
#[derive(clap::Args)]
pub struct Args {
    /// Look again every second.
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    to: ServerArgs,
}

/// Shows how every server is; what differs between several stands first.
pub fn run(config: &Path, args: &Args) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let request = Request::get(&["status"]);
    show(args.watch, || {
        let answers = ask(&servers, |server| server.call::<Status>(&request));
        Ok(match answers.len() {
            _ if args.to.json => tell_json(&answers),
            1 => tell(&answers, false, |said| words(said) + &drained(&servers[0], said)),
            _ => tell_several(&answers),
        })
    })
}

/// One server, whole.
fn words(said: &Said<Status>) -> String {
    let Said { body: status, at: now, .. } = said;
    let ready = readiness(status);
    let mut text = format!(
        "{} is {}, at revision {}, up for {} (rhumb {})\n",
        loud(&status.node, Tone::Plain),
        loud(&ready, tone(if status.ready { "ready" } else { "not ready" })),
        status.revision,
        span(status.uptime_s),
        status.version
    );
    for alarm in &status.alarms {
        text += &format!("  {} {alarm}\n", loud("!", Tone::Bad));
    }
    if !status.not_durable.is_empty() {
        let warning = "NOT DURABLE, a restart before the store is back forgets these:";
        text += &format!("{}\n{}", loud(warning, Tone::Bad), bullets(&status.not_durable));
    }
    text += "\n";
    let mut line = |head: &str, said: String| text += &format!("{head:<9} {said}\n");
    let store = &status.store;
    let mut kept = loud(&store.state, tone(&store.state));
    if !store.why.is_empty() {
        kept += &format!(": {}", store.why);
    }
    if let Some(since) = store.since {
        kept += &format!(" (since {})", moment(since, *now));
    }
    if let Some(made) = store.copy_made_at {
        kept += &format!("; a copy is served, made {}", moment(made, *now));
    }
    line("store", kept);
    let files = &status.files;
    let warnings = count(files.warnings.len(), "warning");
    line("files", format!("loaded {} (load {}), {warnings}", moment(files.loaded_at, *now), files.load));
    for source in &status.geo {
        line("geo", format!("{}: {}", source.file, source.about));
    }
    let counts = &status.counts;
    line(
        "serving",
        format!(
            "{}, {}, {}, {}, {}",
            count(counts.zones, "zone"),
            count(counts.static_records, "static record"),
            count(counts.steered_records, "steered record"),
            count(counts.pools, "pool"),
            count(counts.pops, "PoP")
        ),
    );
    line(
        "in force",
        format!(
            "{}, {}, {}, {}",
            count(counts.drains, "drain"),
            count(counts.splits, "split"),
            count(counts.migrations, "open migration"),
            count(counts.stale_values, "stale value")
        ),
    );
    for receiver in &status.notices {
        let ReceiverBody { to, delivered, failed, dropped, waiting, error } = receiver;
        let wrong = if error.is_empty() { String::new() } else { format!(": {}", loud(error, Tone::Bad)) };
        let counts = format!("{delivered} sent, {failed} given up, {dropped} dropped, {waiting} waiting");
        line("notices", format!("{to}: {counts}{wrong}"));
    }
    if let Some(at) = files.rejected_at {
        let head =
            format!("A change of the files was refused {}; the state before it is served:", moment(at, *now));
        text += &format!("\n{}\n{}", loud(&head, Tone::Bad), bullets(&files.errors));
    }
    if !files.warnings.is_empty() {
        text += &format!("\nWarnings about the files:\n{}", bullets(&files.warnings));
    }
    text
}

/// Which drains there are, after their count.
fn drained(server: &Server, said: &Said<Status>) -> String {
    if said.body.counts.drains == 0 {
        return String::new();
    }
    // That they cannot be shown takes nothing from the status.
    let drains = server.list::<DrainBody>(&Request::get(&["drains"]), DRAINS_SHOWN);
    let drains = drains.map_or(Vec::new(), |said| said.body);
    let line = |drain: &DrainBody| {
        let DrainBody { scope_words, owner, percent_now, state, reason, .. } = drain;
        format!("{scope_words}: {percent_now} % now, {state}, by {owner} ({reason})")
    };
    let mut lines: Vec<String> = drains.iter().map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    match said.body.counts.drains.saturating_sub(lines.len()) {
        0 => {}
        more => lines.push(format!("and {more} more; `rhumb drains` shows them")),
    }
    format!("\nDrains:\n{}", bullets(&lines))
}

fn readiness(status: &Status) -> String {
    match (status.ready, status.not_ready.as_str()) {
        (true, _) => "ready".into(),
        (false, "") => "not ready".into(),
        (false, why) => format!("not ready ({why})"),
    }
}

/// Several servers: how they differ, then a line of each, then what is wrong with each.
fn tell_several(answers: &[Answer<Said<Status>>]) -> Told {
    let told = tell(answers, false, |_| String::new());
    let statuses = || answers.iter().filter_map(|a| Some((&a.server, &a.said.as_ref().ok()?.body)));
    let mut out = String::new();
    let mut differ = Vec::new();
    for (what, of) in COMPARED {
        let values: Vec<(&String, String)> = statuses().map(|(name, status)| (name, of(status))).collect();
        let distinct: BTreeSet<&String> = values.iter().map(|(_, value)| value).collect();
        if distinct.len() > 1 {
            let each: Vec<String> = values.iter().map(|(name, value)| format!("{value} at {name}")).collect();
            differ.push(format!("{what}: {}", each.join(", ")));
        }
    }
    let answered = statuses().count();
    if answered < answers.len() {
        let silent: Vec<_> = answers.iter().filter(|a| a.said.is_err()).map(|a| a.server.as_str()).collect();
        differ.insert(0, format!("no status from {}", silent.join(", ")));
    }
    if differ.is_empty() {
        out += &format!("All {answered} servers agree.\n\n");
    } else {
        out += &format!("{}\n{}\n", loud("The servers differ:", Tone::Warn), bullets(&differ));
    }
    let mut table = Table::new(&[
        "server",
        "node",
        "ready",
        ">revision",
        "store",
        ">drains",
        ">splits",
        ">alarms",
        ">up for",
    ]);
    for (name, status) in statuses() {
        let ready = if status.ready { "yes" } else { "no" };
        let alarms = status.alarms.len() + status.not_durable.len();
        table.row([
            plain(name),
            plain(&status.node),
            state(ready),
            plain(status.revision),
            state(&status.store.state),
            plain(status.counts.drains),
            plain(status.counts.splits),
            (alarms.to_string(), if alarms > 0 { Tone::Bad } else { Tone::Plain }),
            plain(span(status.uptime_s)),
        ]);
    }
    out += &table.to_string();
    for (name, status) in statuses() {
        let not_ready = (!status.ready).then(|| readiness(status));
        let wrong: Vec<String> =
            not_ready.into_iter().chain(status.alarms.iter().chain(&status.not_durable).cloned()).collect();
        if !wrong.is_empty() {
            out += &format!("\n{}\n{}", loud(name, Tone::Bad), bullets(&wrong));
        }
    }
    Told { out, ..told }
}

/// Something that should be the same everywhere: what it is called, and what it is.
type Compared = (&'static str, fn(&Status) -> String);

const COMPARED: [Compared; 8] = [
    ("ready", |status| if status.ready { "yes".into() } else { "no".into() }),
    ("revision", |status| status.revision.to_string()),
    ("version", |status| status.version.clone()),
    ("store", |status| status.store.state.clone()),
    ("drains", |status| status.counts.drains.to_string()),
    ("splits", |status| status.counts.splits.to_string()),
    ("migrations", |status| status.counts.migrations.to_string()),
    ("what is served", |status| {
        let counts = &status.counts;
        let records = counts.static_records + counts.steered_records;
        format!(
            "{}, {}, {}",
            count(counts.zones, "zone"),
            count(records, "record"),
            count(counts.pops, "PoP")
        )
    }),
];
