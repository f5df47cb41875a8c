//! `rhumb migrate`: a pool's clients from one stack to another, PoP by PoP, in steps, and back in one call.

use std::path::{Path, PathBuf};

use super::client::{Failure, Request, Said, Server};
use super::connect::ServerArgs;
use super::outcome::{Outcome, Wrong, ask, tell};
use super::plan::read_plan;
use super::print_problems;
use super::show::{Table, Tone, clock, loud, moment, percent, plain, show, state};
use super::written::{WriteArgs, write_and_tell};
use crate::api::bodies::{AdvanceBody, GuardBody, MigrationBody, NewMigration, StepBody};
use crate::state::model::Time;

/// Steps of the history that are shown.
const HISTORY_SHOWN: usize = 10;

/// What to do with migrations, and where.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    to: ServerArgs,
}

/// Which migration, and how to move it.
#[derive(clap::Args)]
struct StepArgs {
    /// Which, as `rhumb migrate list` shows it; may be left out when exactly one is open.
    id: Option<String>,
    /// Why; may be left out, except with --force.
    #[arg(long, short, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    write: WriteArgs,
}

/// What to do with migrations.
#[derive(clap::Subcommand)]
enum Command {
    /// Begin a migration: its first step is done at once.
    ///
    /// The plan is TOML: `pool`, `from`, `to`, `pops` (in order; "*" is all) or `waves` (lists of PoPs that go
    /// together), `steps` in percent, `soak` (how long a step lasts before the next follows by itself; left
    /// out, each step waits for `advance`), `guard` (hold, roll_back or ignore, when the new stack is down or
    /// overloaded), `reason`.
    ///
    /// A plan of one's own that runs or is held already is not begun again, so repeating is safe.
    Start {
        /// The plan.
        plan: PathBuf,
        /// Makes a second start with the same key a repetition of the first, also when that has ended; for
        /// automation that retries.
        #[arg(long, value_name = "TEXT")]
        key: Option<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// List the migrations, those that have ended too.
    List,
    /// Show how far one is: per PoP, the share that should be on the new stack and the share that is.
    Status {
        /// Which; may be left out when exactly one is open.
        id: Option<String>,
        /// Look again every second.
        #[arg(long, short)]
        watch: bool,
    },
    /// Take the next step now.
    Advance {
        /// Only if this is the next step, by its number as `rhumb migrate status` shows it: a retry makes no second
        /// step.
        #[arg(long, value_name = "NUMBER")]
        step: Option<usize>,
        #[command(flatten)]
        args: StepArgs,
    },
    /// Take no further step until `resume`; what is moved stays moved.
    Hold(StepArgs),
    /// Go on after `hold`, or after a guard has held it.
    Resume(StepArgs),
    /// Put every PoP of the plan back to where it was before the plan began.
    Rollback(StepArgs),
}

/// Does it.
pub fn run(config: &Path, args: &Args) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let json = args.to.json;
    let step = |step: &StepArgs, what: &str| {
        let request = |server: &Server, dry_run| {
            let id = find(server, step.id.as_deref())?;
            let body = StepBody {
                reason: step.reason.clone(),
                dry_run,
                force: step.write.force,
                expected_revision: None,
            };
            Ok(Request::post(&["migrations", &id, what], &body))
        };
        write_and_tell(&servers, json, &step.write, request)
    };
    match &args.command {
        Command::Start { plan, key, write } => {
            let plan = read_plan(plan).map_err(|problems| {
                print_problems(&problems);
                Wrong(format!("{} cannot be used", plan.display()))
            })?;
            let request = |_: &Server, dry_run| {
                let body = NewMigration { dry_run, force: write.force, ..plan.clone() };
                Ok(Request::post(&["migrations"], &body).with_header("Idempotency-Key", key.as_ref()))
            };
            write_and_tell(&servers, json, write, request)
        }
        Command::List => {
            let answers = ask(&servers, all);
            Ok(tell(&answers, json, |said| list_words(&said.body, said.at)).print())
        }
        Command::Status { id, watch } => show(*watch, || {
            let answers = ask(&servers, |server| {
                let id = find(server, id.as_deref())?;
                server.call::<MigrationBody>(&Request::get(&["migrations", &id]))
            });
            Ok(tell(&answers, json, |said| words(&said.body, said.at)))
        }),
        Command::Advance { step, args } => {
            let request = |server: &Server, dry_run| {
                let body = AdvanceBody {
                    step: *step,
                    reason: args.reason.clone(),
                    dry_run,
                    force: args.write.force,
                    expected_revision: None,
                };
                Ok(Request::post(&["migrations", &find(server, args.id.as_deref())?, "advance"], &body))
            };
            write_and_tell(&servers, json, &args.write, request)
        }
        Command::Hold(args) => step(args, "hold"),
        Command::Resume(args) => step(args, "resume"),
        Command::Rollback(args) => step(args, "rollback"),
    }
}

fn all(server: &Server) -> Result<Said<Vec<MigrationBody>>, Failure> {
    server.list(&Request::get(&["migrations"]), usize::MAX)
}

/// The migration that is meant: the one that is named, or the only one that is open.
fn find(server: &Server, id: Option<&str>) -> Result<String, Failure> {
    if let Some(id) = id {
        return Ok(id.into());
    }
    let known = all(server)?.body;
    let ids = |of: &[&MigrationBody]| of.iter().map(|m| m.id.as_str()).collect::<Vec<_>>().join(", ");
    let open: Vec<&MigrationBody> = known.iter().filter(|migration| is_open(migration)).collect();
    let why = match (&open[..], &known[..]) {
        ([one], _) => return Ok(one.id.clone()),
        ([], []) => "there is no migration; begin one with `rhumb migrate start PLAN`".into(),
        ([], _) => {
            let ended: Vec<&MigrationBody> = known.iter().collect();
            format!("no migration is open; name one of those that have ended: {}", ids(&ended))
        }
        (several, _) => format!("several migrations are open; name one: {}", ids(several)),
    };
    Err(Failure::Unclear(format!("{}: {why}", server.name)))
}

fn is_open(migration: &MigrationBody) -> bool {
    ["running", "held"].contains(&migration.state.as_str())
}

fn list_words(migrations: &[MigrationBody], now: Time) -> String {
    if migrations.is_empty() {
        return "There is no migration; `rhumb migrate start PLAN` begins one.\n".into();
    }
    let mut table = Table::new(&["migration", "pool", "from", "to", "state", "PoPs moved", "~started", "by"]);
    for migration in migrations {
        let moved = migration.pops.iter().filter(|pop| pop.state == "moved").count();
        table.row([
            plain(&migration.id),
            plain(&migration.pool),
            plain(&migration.from),
            plain(&migration.to),
            state(&migration.state),
            plain(format!("{moved} of {}", migration.pops.len())),
            plain(moment(migration.started_at, now)),
            plain(&migration.owner),
        ]);
    }
    table.to_string()
}

fn words(migration: &MigrationBody, now: Time) -> String {
    let MigrationBody { id, pool, from, to, state: is, .. } = migration;
    let mut text = format!(
        "{} is {}: pool {pool}, from {from} to {to}\n",
        loud(id, Tone::Plain),
        loud(&is.replace('_', " "), super::show::tone(is))
    );
    if !migration.why.is_empty() {
        text += &format!("  {}\n", loud(&migration.why, Tone::Warn));
    }
    let steps: Vec<String> = migration.steps.iter().map(u8::to_string).collect();
    text += &format!("started  {} by {}\n", moment(migration.started_at, now), migration.owner);
    text += &format!("at step  {} of {}\n", migration.step, migration.steps_in_all);
    text += &format!("steps    {} %, ", steps.join(", "));
    text += &match (&migration.soak, migration.next_at) {
        (None, _) => "each by `rhumb migrate advance`\n".into(),
        (Some(soak), Some(next)) => format!("each for {soak}; the next {}\n", moment(next, now)),
        (Some(soak), None) => format!("each for {soak}\n"),
    };
    text += match migration.guard {
        GuardBody::Hold => "guard    it holds when the new stack is down or overloaded\n\n",
        GuardBody::RollBack => "guard    it rolls back when the new stack is down or overloaded\n\n",
        GuardBody::Ignore => "guard    none: what monitors and feeds say does not stop it\n\n",
    };
    // Wanted and observed are of clients, weights are not: prefixes weigh unequally.
    let mut table = Table::new(&["PoP", "state", ">weight", ">clients wanted", ">observed"]);
    for pop in &migration.pops {
        table.row([
            plain(&pop.pop),
            state(&pop.state),
            plain(percent(pop.percent)),
            plain(percent(pop.wanted)),
            plain(percent(pop.observed)),
        ]);
    }
    text += &table.to_string();
    if !migration.history.is_empty() {
        text += "\n";
        let skipped = migration.history.len().saturating_sub(HISTORY_SHOWN);
        let shown = &migration.history[skipped..];
        let times: Vec<String> = shown.iter().map(|line| clock(line.time, now)).collect();
        let width = times.iter().map(String::len).max().unwrap_or(0);
        if skipped > 0 {
            text += &format!("{:<width$}  {skipped} earlier steps\n", "...");
        }
        for (time, line) in times.iter().zip(shown) {
            text += &format!("{time:<width$}  {}\n", line.what);
        }
    }
    if is_open(migration) {
        text += &format!("\nTo undo it: rhumb migrate rollback {id}\n");
    }
    text
}
