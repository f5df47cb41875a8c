//! Writes: what would happen, a yes, and what has happened.
//!
//! ```text
//! on a terminal   dry run on every server -> guards, impact in words -> yes? -> write -> result
//! elsewhere, or with --yes                                                      write -> result
//! on a terminal, where the store cannot be written   from memory? -> yes? -> write -> result
//! ```

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use jiff::SignedDuration;
use serde::Deserialize;

use super::client::{Failure, Request, Said, Server};
use super::connect::ServerArgs;
use super::outcome::{Answer, Outcome, ask, tell};
use super::show::{Table, Tone, bullets, loud, percent, plain, print_err, span};
use crate::api::bodies::Changed;

/// A PoP's change of its share of clients, in percent, from which on it is shown.
const CHANGE_SHOWN: f64 = 0.5;

/// How to go about a write.
#[derive(clap::Args)]
pub struct WriteArgs {
    /// Say what would happen, and do nothing. Exit status 1 if a guard would refuse it.
    #[arg(long)]
    pub dry_run: bool,
    /// Pass the guards. It is marked in the audit log, and the reason with it.
    #[arg(long)]
    pub force: bool,
    /// Do not ask. Nothing is asked either where standard input is no terminal: it is done at once.
    #[arg(long, short)]
    pub yes: bool,
}

/// A change that may say why, and whom it is for.
#[derive(clap::Args)]
pub struct ChangeArgs {
    /// Why.
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    to: ServerArgs,
}

impl ChangeArgs {
    /// Makes the change on every server it is for, as [`write_and_tell`] does.
    pub fn write_and_tell(
        &self,
        config: &Path,
        request: impl Fn(&Server, bool) -> Result<Request, Failure> + Sync,
    ) -> anyhow::Result<Outcome> {
        write_and_tell(&self.to.servers(config)?, self.to.json, &self.write, request)
    }
}

/// What became of a write.
pub enum Written {
    /// Nothing was written: it was a dry run, or it was refused, or somebody said no.
    Nothing(Outcome),
    /// It was sent, and every server has said what it did.
    Sent(Vec<Answer<Said<Changed>>>),
}

/// Writes to every server, after a look at what would happen where somebody is there to look.
pub fn write(
    servers: &[Server],
    json: bool,
    args: &WriteArgs,
    request: impl Fn(&Server, bool) -> Result<Request, Failure> + Sync,
) -> anyhow::Result<Written> {
    let send =
        |dry_run: bool| ask(servers, |server: &Server| server.call::<Changed>(&request(server, dry_run)?));
    let is_asked = !args.yes && !json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if args.dry_run || is_asked {
        let answers = send(true);
        let told = tell(&answers, json, words);
        let is_guarded = |answer: &Answer<Said<Changed>>| {
            answer.said.as_ref().is_ok_and(|said| !said.body.guards.is_empty())
        };
        let mut outcome = told.print();
        if outcome == Outcome::Done && answers.iter().any(is_guarded) && !args.force {
            if !json {
                errln!("rhumb: a guard refuses this; add --force, and a --reason that says why");
            }
            outcome = Outcome::Failed;
        }
        if args.dry_run {
            return Ok(Written::Nothing(outcome));
        }
        if matches!(outcome, Outcome::Failed | Outcome::Unreachable) {
            return Ok(Written::Nothing(outcome));
        }
        if !is_confirmed("Do it?")? {
            errln!("rhumb: nothing was changed");
            return Ok(Written::Nothing(Outcome::Failed));
        }
    }
    let answers = send(false);
    if is_asked && answers.iter().any(is_unwritable) {
        let volatile = |server: &Server| Ok(request(server, false)?.volatile());
        if let Some(answers) = ask_volatile(servers, answers.as_slice(), volatile)? {
            return Ok(Written::Sent(answers));
        }
    }
    Ok(Written::Sent(answers))
}

/// Whether a server's store cannot be written now.
fn is_unwritable(answer: &Answer<Said<Changed>>) -> bool {
    matches!(&answer.said, Err(Failure::Refused(refused)) if refused.problem.status == 503)
}

/// Asks whether to serve a change from memory, and does. None where it cannot be, or somebody says no. Servers that
/// have done it do it once more, which changes nothing.
fn ask_volatile(
    servers: &[Server],
    answers: &[Answer<Said<Changed>>],
    request: impl Fn(&Server) -> Result<Option<Request>, Failure> + Sync,
) -> anyhow::Result<Option<Vec<Answer<Said<Changed>>>>> {
    if !matches!(request(&servers[0]), Ok(Some(_))) {
        return Ok(None);
    }
    print_err(&tell(answers, false, words).err);
    if !is_confirmed("Serve it from memory until the store can be written? A restart before forgets it.")? {
        return Ok(None);
    }
    Ok(Some(ask(servers, |server: &Server| match request(server)? {
        Some(request) => server.call::<Changed>(&request),
        None => Err(Failure::Unclear(format!("{}: it cannot be served from memory", server.name))),
    })))
}

/// The same for writes with nothing more to show than their result.
pub fn write_and_tell(
    servers: &[Server],
    json: bool,
    args: &WriteArgs,
    request: impl Fn(&Server, bool) -> Result<Request, Failure> + Sync,
) -> anyhow::Result<Outcome> {
    Ok(match write(servers, json, args, request)? {
        Written::Nothing(outcome) => outcome,
        Written::Sent(answers) => tell(&answers, json, words).print(),
    })
}

/// Asks a person. Only `y` and `yes` are a yes.
pub fn is_confirmed(question: &str) -> std::io::Result<bool> {
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// What became of a write, or would, in words.
pub fn words(said: &Said<Changed>) -> String {
    let done = &said.body;
    let what = format!("{} {}", done.action, done.object);
    let what = what.trim_end();
    let mut text = match (done.dry_run, done.changed) {
        (true, true) => format!("This would happen: {}\n", loud(what, Tone::Plain)),
        (true, false) => format!("Nothing would change: {what}\n"),
        (false, true) => format!("Done: {}\n", loud(what, Tone::Plain)),
        (false, false) => format!("Nothing changed, it is so already: {what}\n"),
    };
    if !done.dry_run && done.changed {
        text += &format!("Revision {}, served from the next packet on.\n", done.revision);
        if !done.durable {
            let warning =
                "NOT DURABLE: it is served from memory, and a restart before the store is back forgets it.";
            text += &format!("{}\n", loud(warning, Tone::Bad));
        }
    }
    if done.changed && done.ttl_s > 0 {
        text += &caches(said);
    }
    text += &bullets(&done.notes);
    for guard in &done.guards {
        text += &format!("  - {} {guard}\n", loud("guard:", Tone::Bad));
    }
    if let Some(impact) = &done.impact {
        text += &impact_words(impact, done.dry_run);
    }
    text
}

/// The same of what is no change of what is wanted, and so has no revision.
pub fn done(said: &Said<Changed>) -> String {
    format!("Done: {} {}\n", said.body.action, said.body.object)
}

/// Until when resolvers may give the answers before.
fn caches(said: &Said<Changed>) -> String {
    let ttl = said.body.ttl_s;
    let forgotten = match said.body.dry_run {
        true => None,
        false => said.at.checked_add(SignedDuration::from_secs(ttl.into())).ok(),
    };
    let by = forgotten.map_or(String::new(), |by| by.strftime(", until %H:%M:%SZ").to_string());
    format!("Resolvers may give the old answers for {} more{by}.\n", span(ttl.into()))
}

/// Whom a change moves, as far as this program knows the words of it.
#[derive(Deserialize)]
struct Impact {
    /// Which clients it is told by.
    #[serde(default)]
    by: String,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    records: Vec<RecordImpact>,
}

#[derive(Deserialize)]
struct RecordImpact {
    records: Vec<String>,
    #[serde(default)]
    count: usize,
    #[serde(default)]
    pops: Vec<PopImpact>,
}

#[derive(Deserialize)]
struct PopImpact {
    pop: String,
    before: f64,
    after: f64,
    capacity: f64,
}

/// In words, and before it is done with the numbers too.
fn impact_words(impact: &serde_json::Value, with_numbers: bool) -> String {
    let Ok(Impact { by, words, records }) = Impact::deserialize(impact) else { return String::new() };
    let mut text = bullets(&words);
    for record in records.iter().filter(|_| with_numbers) {
        let is_shown = |pop: &&PopImpact| (pop.after - pop.before).abs() * 100.0 >= CHANGE_SHOWN;
        let shown: Vec<&PopImpact> = record.pops.iter().filter(is_shown).collect();
        if shown.is_empty() {
            continue;
        }
        let name = record.records.first().map_or("", String::as_str);
        text += &match record.count.max(record.records.len()) {
            0 | 1 => format!("Clients of {name}"),
            all => format!("Clients of {name} and {} more", all - 1),
        };
        text += &if by.is_empty() { ":\n".into() } else { format!(", by {by}:\n") };
        let mut table = Table::new(&["PoP", ">before", ">after", ">capacity"]);
        for pop in shown {
            let is_over = pop.after > pop.capacity && pop.after > pop.before;
            let after = (percent(pop.after * 100.0), if is_over { Tone::Warn } else { Tone::Plain });
            table.row([
                plain(&pop.pop),
                plain(percent(pop.before * 100.0)),
                after,
                plain(percent(pop.capacity * 100.0)),
            ]);
        }
        text += &table.to_string();
    }
    text
}
