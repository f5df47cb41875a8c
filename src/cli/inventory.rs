//! `rhumb pops`, `rhumb pools`, `rhumb records` and `rhumb share`: what there is, and what is true of it now.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::client::{Failure, Request, Said, Server};
use super::connect::ServerArgs;
use super::outcome::{Outcome, ask, tell};
use super::show::{Table, Tone, loud, moment, number, percent, plain, show, state};
use crate::api::bodies::{AnswerBody, Origin, PoolBody, PopBody, PopPool, RecordBody, ShareBody, ValueBody};
use crate::api::take::PAGE_ITEMS_MAX;
use crate::state::model::Time;

/// Rows that are shown one by one. With more, pools that stand alike are one, so that what differs is seen.
const ROWS_WHOLE: usize = 60;

/// Names of pools that are told of those that stand alike.
const POOLS_NAMED: usize = 3;

/// Which records.
#[derive(clap::Args)]
pub struct RecordsArgs {
    /// One record, whole: its chain, its answers, and where each value comes from. Left out, a line of each.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    to: ServerArgs,
}

/// What was answered lately.
#[derive(clap::Args)]
pub struct ShareArgs {
    /// Only of this pool.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Look again every second.
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    to: ServerArgs,
}

/// Shows the sites.
pub fn pops(config: &Path, to: &ServerArgs) -> anyhow::Result<Outcome> {
    let servers = to.servers(config)?;
    let answers = ask(&servers, |server| server.list::<PopBody>(&Request::get(&["pops"]), usize::MAX));
    Ok(tell(&answers, to.json, |said| pops_words(&said.body)).print())
}

fn pops_words(pops: &[PopBody]) -> String {
    if pops.is_empty() {
        return "There are no PoPs: no file in filter-chains/ has a [pop.NAME].\n".into();
    }
    let mut table = Table::new(&[
        "PoP",
        "?~city",
        "pool",
        "state",
        ">drained",
        "~weights",
        "?>capacity",
        ">1 min",
        ">10 min",
    ]);
    let is_whole = pops.iter().map(|pop| pop.pools.len()).sum::<usize>() <= ROWS_WHOLE;
    for pop in pops {
        let city = pop.city.as_deref().unwrap_or("-");
        if pop.pools.is_empty() {
            let none = || plain("-");
            table.row([
                plain(&pop.pop),
                plain(city),
                plain("in no pool"),
                none(),
                none(),
                none(),
                none(),
                none(),
                none(),
            ]);
        }
        for pools in alike(&pop.pools, is_whole, stands) {
            let pool = pools[0];
            let names: Vec<&str> = pools.iter().map(|pool| pool.pool.as_str()).collect();
            // Each pool's answers are shared out by themselves.
            let share = |share| plain(percent(if names.len() == 1 { share } else { None }));
            let drained = if pool.drained_percent > 0.0 { percent(pool.drained_percent) } else { "-".into() };
            table.row([
                plain(&pop.pop),
                plain(city),
                plain(called(&names)),
                state(&pool.state),
                plain(drained),
                plain(weights(&pool.weights, false)),
                plain(percent(pool.capacity_percent)),
                share(pool.share_1m),
                share(pool.share_10m),
            ]);
        }
    }
    let mut text = format!(
        "{table}Capacity is the part of the pool's; 1 min and 10 min are the parts of its answers.\n"
    );
    if !is_whole {
        text += "Pools that stand alike at a PoP are one row; --json has each.\n";
    }
    text
}

/// What a row says of a pool at a PoP, beside its shares.
fn stands(pool: &PopPool) -> String {
    let PopPool { state, drained_percent, weights, capacity_percent, .. } = pool;
    format!("{state} {drained_percent} {weights:?} {capacity_percent:.1}")
}

/// Those of which the same is to be said, in the order of the first of each; each by itself where all are shown.
fn alike<T>(items: &[T], is_whole: bool, said: impl Fn(&T) -> String) -> Vec<Vec<&T>> {
    if is_whole {
        return items.iter().map(|item| vec![item]).collect();
    }
    let mut groups: Vec<Vec<&T>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for item in items {
        let at = *known.entry(said(item)).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }
    groups
}

/// Pools that stand alike.
fn called(names: &[&str]) -> String {
    match names.len() {
        0..=POOLS_NAMED => names.join(", "),
        count => format!("{} and {} more pools", names[0], count - 1),
    }
}

/// `haproxy 75, envoy 25`, the heaviest first; those that get nobody are left out where they say nothing.
pub fn weights(weights: &BTreeMap<String, f64>, whole: bool) -> String {
    let mut weights: Vec<_> = weights.iter().filter(|(_, weight)| whole || **weight > 0.0).collect();
    weights.sort_by(|a, b| b.1.total_cmp(a.1));
    let each: Vec<String> =
        weights.iter().map(|(stack, weight)| format!("{stack} {}", number(**weight))).collect();
    if each.is_empty() { "none".into() } else { each.join(", ") }
}

/// Shows the pools.
pub fn pools(config: &Path, to: &ServerArgs) -> anyhow::Result<Outcome> {
    let servers = to.servers(config)?;
    let answers = ask(&servers, |server| server.list::<PoolBody>(&Request::get(&["pools"]), usize::MAX));
    Ok(tell(&answers, to.json, |said| pools_words(&said.body)).print())
}

fn pools_words(pools: &[PoolBody]) -> String {
    if pools.is_empty() {
        return "There are no pools: no file in filter-chains/ has a [pool.NAME].\n".into();
    }
    let mut text = String::new();
    let is_whole = pools.iter().map(|pool| pool.answers.len()).sum::<usize>() <= ROWS_WHOLE;
    for alike in alike(pools, is_whole, pool_stands) {
        let pool = alike[0];
        let names: Vec<&str> = alike.iter().map(|pool| pool.pool.as_str()).collect();
        let gap = if text.is_empty() { "" } else { "\n" };
        let drained = match pool.drained_percent {
            0.0 => "nothing is drained".into(),
            drained => format!("{} of the capacity is drained", percent(drained)),
        };
        let head = loud(&called(&names), Tone::Plain);
        let most = percent(pool.max_drained_percent);
        text += &format!("{gap}{head} ({}): {drained}, {most} may be\n", pool.file);
        if let Some(why) = &pool.suspended {
            text += &format!("  {} {why}\n", loud("its automation is suspended:", Tone::Warn));
        }
        if let Origin::Api { by, reason, .. } = &pool.policy_from {
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            text += &format!("  {} {by}{reason}\n", loud("its policy is set by", Tone::Warn));
        }
        text += &match is_whole {
            true => answers_table(&pool.answers),
            false => troubled(pool, names.len()),
        };
    }
    if !is_whole {
        text += "\nPools that stand alike are told together, without what is answered to everybody; --json has each.\n";
    }
    text
}

/// What is said of a pool, beside its name and its file.
fn pool_stands(pool: &PoolBody) -> String {
    let PoolBody { drained_percent, max_drained_percent, suspended, answers, .. } = pool;
    let set_by = match &pool.policy_from {
        Origin::File { .. } => None,
        Origin::Api { by, reason, .. } => Some((by, reason)),
    };
    let mut said = format!("{drained_percent:.1} {max_drained_percent:.1} {suspended:?} {set_by:?}");
    said += &format!(" {}", answers.len());
    for answer in answers.iter().filter(|answer| is_troubled(answer)) {
        let AnswerBody { pop, stack, answering, up, weight, drained_percent, why, .. } = answer;
        said += &format!("\n{pop:?} {stack:?} {answering} {up} {weight} {drained_percent} {why}");
    }
    said
}

/// Whether not everybody may get it, though the split would have it.
fn is_troubled(answer: &AnswerBody) -> bool {
    answer.weight > 0.0 && !answer.why.is_empty()
}

/// The answers that not everybody may get; of pools that stand alike, by their place in each.
fn troubled(pool: &PoolBody, alike: usize) -> String {
    let troubled = pool.answers.iter().filter(|answer| is_troubled(answer)).cloned().map(|mut answer| {
        if let Some(rest) = answer.answer.strip_prefix(&pool.pool).filter(|_| alike > 1) {
            answer.answer = format!("*{rest}");
        }
        answer
    });
    let troubled: Vec<AnswerBody> = troubled.collect();
    let all = pool.answers.len();
    match troubled.len() {
        0 => format!("  {all} answers, nothing against any of them\n"),
        some => format!("  {all} answers, something against {some}\n{}", answers_table(&troubled)),
    }
}

fn answers_table(answers: &[AnswerBody]) -> String {
    let mut table = Table::new(&["answer", "answering", "up", ">weight", ">drained", "~why"]);
    for answer in answers {
        let drained = match answer.drained_percent {
            0 => plain("-"),
            100 => ("100 %".into(), Tone::Bad),
            part => (format!("{part} %"), Tone::Warn),
        };
        table.row([
            plain(&answer.answer),
            state(if answer.answering { "yes" } else { "no" }),
            state(if answer.up { "up" } else { "down" }),
            plain(number(answer.weight)),
            drained,
            plain(&answer.why),
        ]);
    }
    table.to_string()
}

/// Shows the steered records, or one of them.
pub fn records(config: &Path, args: &RecordsArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    Ok(match &args.name {
        None => {
            let request = Request::get(&["records"]);
            let answers = ask(&servers, |server| server.list::<RecordBody>(&request, usize::MAX));
            tell(&answers, args.to.json, |said| records_words(&said.body)).print()
        }
        Some(name) => {
            let request = Request::get(&["records", name.trim_end_matches('.')]);
            let answers = ask(&servers, |server| server.call::<RecordBody>(&request));
            tell(&answers, args.to.json, record_words).print()
        }
    })
}

fn records_words(records: &[RecordBody]) -> String {
    if records.is_empty() {
        return "No record is steered: no file in filter-chains/ has a [[record]].\n".into();
    }
    let mut table = Table::new(&["record", "pool", ">TTL", "answered from", "~chain"]);
    for record in records {
        let pool = record.pool.as_deref().unwrap_or("-");
        let ttl = format!("{} s", record.ttl);
        table.row([
            plain(&record.record),
            plain(pool),
            plain(ttl),
            state(&record.rung),
            plain(chain(record)),
        ]);
    }
    table.to_string()
}

/// The names of a record's filters, in order.
fn chain(record: &RecordBody) -> String {
    let name = |filter: &serde_json::Value| match filter {
        serde_json::Value::String(name) => name.clone(),
        other => other["filter"].as_str().unwrap_or("?").into(),
    };
    record.filters.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn record_words(said: &Said<RecordBody>) -> String {
    let record = &said.body;
    let pool = record.pool.as_ref().map_or(String::new(), |pool| format!(", pool {pool}"));
    let mut text =
        format!("{}{pool}, TTL {} s ({})\n", loud(&record.record, Tone::Plain), record.ttl, record.file);
    text += &format!("chain     {}\n", chain(record));
    text += &format!("answered from answers that are: {}\n\n", record.rung.replace('_', " "));
    if record.answers.is_empty() {
        return text + "It has no answers.\n";
    }
    text += &answers_table(&record.answers);
    // What the files say is in the files; what came from elsewhere is what one looks for.
    let mut table = Table::new(&["answer", "value", "is", "says", "since"]);
    let mut any = false;
    for answer in &record.answers {
        for value in answer.values.iter().filter(|value| value.source != "file") {
            any = true;
            table.row([
                plain(&answer.answer),
                plain(&value.key),
                value_cell(value),
                plain(&value.source),
                plain(since(value, said.at)),
            ]);
        }
    }
    text + &if any { format!("\n{table}") } else { "\nEvery value is the files'.\n".into() }
}

fn value_cell(value: &ValueBody) -> (String, Tone) {
    let text = match &value.value {
        serde_json::Value::Null => "nothing yet".into(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), number),
        other => other.to_string(),
    };
    if value.stale { (format!("{text} (stale)"), Tone::Bad) } else { plain(text) }
}

fn since(value: &ValueBody, now: Time) -> String {
    value.since.map_or("-".into(), |since| moment(since, now))
}

/// Shows what was answered lately.
pub fn share(config: &Path, args: &ShareArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    show(args.watch, || {
        let answers = ask(&servers, shares);
        Ok(tell(&answers, args.to.json, |said| share_words(&said.body, args.pool.as_deref())))
    })
}

/// How often each answer was given lately. There may be thousands, so that the parts are long.
pub fn shares(server: &Server) -> Result<Said<Vec<ShareBody>>, Failure> {
    server.list(&Request::get(&["share"]).with("limit", Some(PAGE_ITEMS_MAX)), usize::MAX)
}

fn share_words(shares: &[ShareBody], pool: Option<&str>) -> String {
    let is_shown = |share: &&ShareBody| pool.is_none() || share.pool.as_deref() == pool;
    let shown: Vec<&ShareBody> = shares.iter().filter(is_shown).collect();
    if shown.iter().all(|share| share.with_ecs_10m + share.without_ecs_10m == 0) {
        return "Nothing steered was answered in the last 10 minutes.\n".into();
    }
    let mut table = Table::new(&["answer", ">1 min", ">no ECS", ">10 min", ">no ECS", ">share"]);
    let count = |count: u64| plain(number(count as f64));
    for share in shown {
        table.row([
            plain(&share.answer),
            count(share.with_ecs_1m + share.without_ecs_1m),
            count(share.without_ecs_1m),
            count(share.with_ecs_10m + share.without_ecs_10m),
            count(share.without_ecs_10m),
            plain(percent(share.percent_10m)),
        ]);
    }
    format!(
        "{table}Answers of the last 1 and 10 minutes; no ECS is the part that was asked for without a subnet.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands of rows are a few where thousands of pools stand alike, and what differs is there.
    #[test]
    fn many_pools_are_few_rows() {
        let at = |pool: usize| PopPool {
            pool: format!("app-{pool}"),
            state: if pool == 7 { "down".into() } else { "serving".into() },
            drained_percent: 0.0,
            weights: BTreeMap::from([("envoy".into(), 100.0)]),
            capacity: 1.0,
            capacity_percent: 50.0,
            share_1m: Some(pool as f64),
            share_10m: None,
        };
        let pop = |name: &str| PopBody {
            pop: name.into(),
            city: None,
            file: "a.toml:1".into(),
            pools: (1..=450).map(at).collect(),
        };
        let said = pops_words(&[pop("dublin"), pop("london")]);
        assert_eq!(said.lines().count(), 1 + 4 + 2, "{said}");
        assert!(said.contains("app-1 and 448 more pools") && said.contains("app-7"), "{said}");
        let answer = |pool: usize, pop: &str| AnswerBody {
            answer: format!("app-{pool}/{pop}"),
            pool: Some(format!("app-{pool}")),
            pop: Some(pop.into()),
            stack: None,
            rdata: Vec::new(),
            answering: true,
            why: if pop == "dublin" { "drained by anna, 30 % (rack)".into() } else { String::new() },
            up: pool != 7,
            drained_percent: if pop == "dublin" { 30 } else { 0 },
            weight: 100.0,
            values: Vec::new(),
        };
        let pool = |pool: usize| PoolBody {
            pool: format!("app-{pool}"),
            file: "a.toml:1".into(),
            drained_percent: 15.0,
            max_drained_percent: 50.0,
            suspended: None,
            policy_from: Origin::File { file: format!("a.toml:{pool}") },
            answers: vec![answer(pool, "dublin"), answer(pool, "london")],
        };
        let said = pools_words(&(1..=450).map(pool).collect::<Vec<_>>());
        assert!(said.lines().count() < 15, "{said}");
        assert!(said.contains("*/dublin") && said.contains("something against 1"), "{said}");
        assert_eq!(pools_words(&[pool(1)]).matches("app-1/").count(), 2, "a few are shown whole");
    }
}
