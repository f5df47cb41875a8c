//! `rhumb drain` and `rhumb undrain`.

use std::path::Path;
use std::str::FromStr;

use jiff::{ToSpan, civil, tz::TimeZone};

use super::client::{Request, Said, Server};
use super::connect::ServerArgs;
use super::inventory::shares;
use super::outcome::{Outcome, ask, tell};
use super::show::{Tone, bullets, loud, moment, number, percent};
use super::written::{WriteArgs, Written, words, write, write_and_tell};
use crate::api::bodies::{AnswerBody, Changed, Lift, NewDrain, PoolBody, ReturnBody, ScopeBody, ShareBody};
use crate::files::parse_duration;
use crate::state::model::Time;

/// Sites that open connections are shown for one by one.
const CONNECTIONS_SHOWN: usize = 12;

/// What to do where the store cannot be written.
const UNWRITABLE: &str = "a full disk has to be freed, and what is served instead of a damaged store accepted (`rhumb \
                          state accept`); or --volatile serves it from memory meanwhile, and a restart before the \
                          store is back forgets it";

/// Which answers: at least one of these, and all that are there must match.
#[derive(clap::Args, Clone)]
#[group(required = true, multiple = true)]
pub struct ScopeArgs {
    /// The site, as `rhumb pops` lists it.
    #[arg(value_name = "POP")]
    pub pop: Option<String>,
    /// The pool; together with a site, the site in this pool alone.
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
    /// The load balancer generation, such as haproxy or envoy.
    #[arg(long, value_name = "STACK")]
    pub stack: Option<String>,
    /// One answer, as `rhumb pools` lists it: POOL/POP/STACK, or RECORD/ANSWER.
    #[arg(long, value_name = "ANSWER", conflicts_with_all = ["pop", "pool", "stack"])]
    pub answer: Option<String>,
}

impl ScopeArgs {
    /// As it goes over the API.
    pub fn body(&self) -> ScopeBody {
        let ScopeArgs { pop, pool, stack, answer } = self.clone();
        ScopeBody { pop, pool, stack, answer }
    }
}

/// Takes answers out.
#[derive(clap::Args)]
pub struct DrainArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Why, for whoever reads it at night.
    #[arg(long, short, value_name = "TEXT")]
    reason: String,
    /// For how many of a hundred clients. Raising it later adds clients, and brings none back.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100), value_name = "1-100")]
    percent: u8,
    /// End it by itself after this time, counted from its start: 2h, 90m.
    #[arg(long = "for", value_name = "TIME", value_parser = check_duration)]
    expires_in: Option<String>,
    /// Begin at this time: 02:00Z (the next time it is two o'clock UTC), or 2026-03-01T02:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = read_time)]
    at: Option<Time>,
    /// How its clients come back when it ends: percentages and the pause between them. Left out, it is the
    /// pool's way.
    #[arg(long = "return", value_name = "10,25,50,100/2m", value_parser = read_return)]
    return_steps: Option<ReturnBody>,
    /// While the store cannot be written, serve it from memory; a restart may forget it.
    #[arg(long)]
    volatile: bool,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    to: ServerArgs,
}

/// Brings answers back.
#[derive(clap::Args)]
pub struct UndrainArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Why; may be left out.
    #[arg(long, short, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// All clients at once, without the steps of the return.
    #[arg(long)]
    now: bool,
    /// Lift everybody's drains of this scope, not only one's own; needs the role operate.
    #[arg(long)]
    all_owners: bool,
    /// While the store cannot be written, serve it from memory.
    #[arg(long)]
    volatile: bool,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    to: ServerArgs,
}

/// Drains, and shows what has become of the clients.
pub fn drain(config: &Path, args: &DrainArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let scope = args.scope.body();
    let body = |dry_run| NewDrain {
        scope: scope.clone(),
        percent: args.percent,
        reason: args.reason.clone(),
        starts_at: args.at,
        expires_in: args.expires_in.clone(),
        return_steps: args.return_steps.clone(),
        volatile: args.volatile,
        dry_run,
        force: args.write.force,
        expected_revision: None,
    };
    let request =
        |_: &Server, dry_run| Ok(Request::post(&["drains"], &body(dry_run)).with_advice(503, UNWRITABLE));
    let answers = match write(&servers, args.to.json, &args.write, request)? {
        Written::Nothing(outcome) => return Ok(outcome),
        Written::Sent(answers) => answers,
    };
    if args.to.json {
        return Ok(tell(&answers, true, words).print());
    }
    let looks = ask(&servers, |server| Ok(Look::at(server)));
    let look = |said: &Said<Changed>| {
        // The same server, by its place: both lists are in the order of the servers.
        let at = answers.iter().position(|a| a.said.as_ref().is_ok_and(|other| std::ptr::eq(other, said)));
        at.and_then(|at| looks[at].said.as_ref().ok())
    };
    Ok(tell(&answers, false, |said| {
        let mut text = words(said);
        match (args.at.filter(|at| *at > said.at), look(said)) {
            (Some(begins), _) => text += &format!("It begins at {}.\n", moment(begins, said.at)),
            (None, Some(look)) => text += &look.words(&scope, said.at),
            (None, None) => {}
        }
        text + &format!("To undo it: rhumb undrain {}\n", arguments(&args.scope))
    })
    .print())
}

/// Brings back.
pub fn undrain(config: &Path, args: &UndrainArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let body = |dry_run| Lift {
        scope: args.scope.body(),
        reason: args.reason.clone(),
        now: args.now,
        all_owners: args.all_owners,
        volatile: args.volatile,
        dry_run,
        force: args.write.force,
        expected_revision: None,
    };
    let request = |_: &Server, dry_run| {
        Ok(Request::post(&["drains", "lift"], &body(dry_run)).with_advice(503, UNWRITABLE))
    };
    write_and_tell(&servers, args.to.json, &args.write, request)
}

/// What is seen of a drain beside the drain itself.
struct Look {
    shares: Result<Vec<ShareBody>, String>,
    answers: Vec<AnswerBody>,
}

impl Look {
    /// Looks at a server. That it cannot be looked at takes nothing from the drain.
    fn at(server: &Server) -> Look {
        let shares = shares(server);
        let pools = server.list::<PoolBody>(&Request::get(&["pools"]), usize::MAX);
        let answers =
            pools.map_or(Vec::new(), |pools| pools.body.into_iter().flat_map(|p| p.answers).collect());
        Look { shares: shares.map(|said| said.body).map_err(|failure| failure.to_string()), answers }
    }

    fn words(&self, scope: &ScopeBody, now: Time) -> String {
        let mut text = match &self.shares {
            Ok(shares) => share_words(shares, scope),
            Err(why) => format!("Its share of the answers cannot be shown: {why}\n"),
        };
        let is_in = |a: &&AnswerBody| covers(scope, &a.answer, &a.pop, &a.pool, &a.stack);
        let mut lines = Vec::new();
        for answer in self.answers.iter().filter(is_in) {
            let Some(value) = answer.values.iter().find(|value| value.key == "connections") else { continue };
            let Some(open) = value.value.as_f64() else { continue };
            let since = value.since.map_or(String::new(), |since| format!(", {}", moment(since, now)));
            let stale = if value.stale { ", STALE" } else { "" };
            lines.push(format!("{}: {} open ({}{since}{stale})", answer.answer, number(open), value.source));
        }
        let more = lines.len().saturating_sub(CONNECTIONS_SHOWN);
        lines.truncate(CONNECTIONS_SHOWN);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        text += "Open connections stay where they are; only new lookups go elsewhere.";
        text += if lines.is_empty() { " No feed says how many there are.\n" } else { "\n" };
        text + &bullets(&lines)
    }
}

/// The part of a pool's answers that a scope has had lately.
fn share_words(shares: &[ShareBody], scope: &ScopeBody) -> String {
    let is_in = |share: &&ShareBody| covers(scope, &share.answer, &share.pop, &share.pool, &share.stack);
    let pools: std::collections::BTreeSet<&str> =
        shares.iter().filter(is_in).filter_map(|share| share.pool.as_deref()).collect();
    let mut text = String::new();
    for pool in pools {
        let of_pool = || shares.iter().filter(|share| share.pool.as_deref() == Some(pool));
        let part = |count: fn(&ShareBody) -> u64| {
            let all: u64 = of_pool().map(count).sum();
            let own: u64 = of_pool().filter(is_in).map(count).sum();
            (all > 0).then(|| own as f64 * 100.0 / all as f64)
        };
        let minute = part(|share| share.with_ecs_1m + share.without_ecs_1m);
        let ten = part(|share| share.with_ecs_10m + share.without_ecs_10m);
        text += &match (minute, ten) {
            (None, None) => format!("No answers of pool {pool} were given in the last 10 minutes.\n"),
            (minute, ten) => format!(
                "Its share of the answers of pool {pool}: {} of the last minute, {} of the last 10 minutes \
                 (`rhumb share --watch` follows it).\n",
                loud(&percent(minute), Tone::Plain),
                percent(ten)
            ),
        };
    }
    text
}

/// Whether a scope has an answer in it.
fn covers(
    scope: &ScopeBody,
    answer: &str,
    pop: &Option<String>,
    pool: &Option<String>,
    stack: &Option<String>,
) -> bool {
    let fits = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
    match &scope.answer {
        Some(wanted) => wanted == answer,
        None => fits(&scope.pop, pop) && fits(&scope.pool, pool) && fits(&scope.stack, stack),
    }
}

/// The scope as it is typed.
fn arguments(scope: &ScopeArgs) -> String {
    let named = [("--pool ", &scope.pool), ("--stack ", &scope.stack), ("--answer ", &scope.answer)];
    let mut words: Vec<String> = scope.pop.iter().cloned().collect();
    words.extend(named.iter().filter_map(|(flag, value)| Some(format!("{flag}{}", value.as_ref()?))));
    words.join(" ")
}

/// A span of time, as it was written.
pub fn check_duration(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.into())
}

/// A time of day in UTC, the next that comes, or a whole moment.
fn read_time(text: &str) -> Result<Time, String> {
    if let Ok(time) = Time::from_str(text) {
        return Ok(time);
    }
    let wrong = || format!("`{text}` is no time; write one such as 02:00Z or 2026-03-01T02:00:00Z (UTC)");
    let of_day = text.strip_suffix(['Z', 'z']).ok_or_else(wrong)?;
    let of_day = civil::Time::from_str(of_day).map_err(|_| wrong())?;
    next(of_day, Time::now()).ok_or_else(wrong)
}

/// The next moment after now at which it is so late in UTC.
fn next(of_day: civil::Time, now: Time) -> Option<Time> {
    let today = TimeZone::UTC.to_datetime(now).date();
    let days = [Some(today), today.checked_add(1.day()).ok()].into_iter().flatten();
    let mut moments = days.filter_map(|day| TimeZone::UTC.to_timestamp(day.to_datetime(of_day)).ok());
    moments.find(|moment| *moment > now)
}

fn read_return(text: &str) -> Result<ReturnBody, String> {
    let wrong = || format!("`{text}` are no steps; write percentages and a pause, such as 10,25,50,100/2m");
    let (steps, pause) = text.split_once('/').ok_or_else(wrong)?;
    let steps: Vec<u8> =
        steps.split(',').map(|step| step.trim().parse()).collect::<Result<_, _>>().map_err(|_| wrong())?;
    Ok(ReturnBody { steps, pause: check_duration(pause)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_the_next_one() {
        let check = |of_day: &str, now: &str, expect: &str| {
            let next = next(of_day.parse().unwrap(), now.parse().unwrap()).unwrap();
            assert_eq!(next.to_string(), expect, "{of_day} at {now}");
        };
        check("02:00", "2026-11-24T01:59:59Z", "2026-11-24T02:00:00Z");
        check("02:00", "2026-11-24T02:00:00Z", "2026-11-25T02:00:00Z");
        check("02:00", "2026-12-31T23:00:00Z", "2027-01-01T02:00:00Z");
    }

    #[test]
    fn steps_of_a_return() {
        let read = read_return("10, 25,100/2m").unwrap();
        assert_eq!((read.steps, read.pause.as_str()), (vec![10, 25, 100], "2m"));
        for wrong in ["", "10", "10,/2m", "10/", "300/2m"] {
            assert!(read_return(wrong).is_err(), "{wrong}");
        }
    }
}
