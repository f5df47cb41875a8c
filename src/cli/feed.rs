//! `rhumb feed push` and `rhumb feeds`: values from outside, such as load and whether something is up.

use std::path::Path;

use serde_json::{Map, Value};

use super::client::{Request, Said};
use super::connect::ServerArgs;
use super::drain::check_duration;
use super::outcome::{Outcome, Wrong, ask, tell};
use super::show::{Table, Tone, bullets, count, loud, moment, number, plain};
use crate::api::bodies::{FedBody, FeedBody, MetaBody, NewValue, NewValues, ScopeBody};
use crate::state::model::Time;

/// What to do with a feed.
#[derive(clap::Subcommand)]
pub enum FeedCommand {
    /// Give values: load, connections, up or down.
    ///
    /// Example: rhumb feed push lb-stats --answer wss/eu-west-1/envoy connections=8123 up=true
    Push(PushArgs),
}

/// What a feed says.
#[derive(clap::Args)]
pub struct PushArgs {
    /// The feed, as the files name it.
    feed: String,
    /// The site.
    #[arg(long, value_name = "POP")]
    pop: Option<String>,
    /// The pool.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// The load balancer generation.
    #[arg(long, value_name = "STACK")]
    stack: Option<String>,
    /// One answer: POOL/POP/STACK, or RECORD/ANSWER.
    #[arg(long, value_name = "ANSWER", conflicts_with_all = ["pop", "pool", "stack"])]
    answer: Option<String>,
    /// What it says: up=true, loadavg=2.5, connections=8000, requests=900, low_watermark=8000,
    /// high_watermark=10000, weight=3, priority=1, cost=0.2.
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = read_value)]
    values: Vec<(String, Value)>,
    /// When that was measured; now, if left out. Older than what is held is refused.
    #[arg(long, value_name = "TIME")]
    made_at: Option<Time>,
    /// How old it may get; the feed's, if left out.
    #[arg(long, value_name = "TIME", value_parser = check_duration)]
    max_age: Option<String>,
    /// What becomes of it then; the feed's, if left out.
    #[arg(long, value_name = "POLICY", value_parser = ["hold", "neutral", "down"])]
    stale: Option<String>,
    /// Say what would become of them, and give nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    to: ServerArgs,
}

/// Gives values.
pub fn feed(config: &Path, command: &FeedCommand) -> anyhow::Result<Outcome> {
    let FeedCommand::Push(args) = command;
    let servers = args.to.servers(config)?;
    let PushArgs { pop, pool, stack, answer, .. } = args;
    let scope =
        ScopeBody { pop: pop.clone(), pool: pool.clone(), stack: stack.clone(), answer: answer.clone() };
    if scope == ScopeBody::default() {
        return Err(Wrong("say of which answers: --pop, --pool, --stack or --answer".into()).into());
    }
    let value = NewValue {
        scope,
        meta: meta(&args.values)?,
        made_at: args.made_at,
        max_age: args.max_age.clone(),
        stale: args.stale.clone(),
    };
    let values = NewValues { values: vec![value], dry_run: args.dry_run, expected_revision: None };
    let request = Request::post(&["feeds", &args.feed], &values);
    let answers = ask(&servers, |server| server.call::<FedBody>(&request));
    let mut outcome = tell(&answers, args.to.json, fed_words).print();
    let is_refused = |said: &Said<FedBody>| !said.body.refused.is_empty();
    if outcome == Outcome::Done && answers.iter().any(|a| a.said.as_ref().is_ok_and(is_refused)) {
        outcome = Outcome::Failed;
    }
    Ok(outcome)
}

fn fed_words(said: &Said<FedBody>) -> String {
    let FedBody { taken, refused, dry_run } = &said.body;
    let values = count(*taken, "value");
    let mut text = match dry_run {
        true => format!("{values} would be served.\n"),
        false => format!("{values} served from the next packet on.\n"),
    };
    if !refused.is_empty() {
        text += &format!("{}\n{}", loud("Refused:", Tone::Bad), bullets(refused));
    }
    text
}

/// `loadavg=2.5`: the value as JSON.
fn read_value(text: &str) -> Result<(String, Value), String> {
    let wrong = || format!("`{text}` is no value; write one such as loadavg=2.5 or up=false");
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    let value: Value = serde_json::from_str(value).map_err(|_| wrong())?;
    if value.is_boolean() || value.is_number() { Ok((key.into(), value)) } else { Err(wrong()) }
}

/// The keys that there are, with values of their types.
fn meta(values: &[(String, Value)]) -> anyhow::Result<MetaBody> {
    let mut object = Map::new();
    for (key, value) in values {
        if object.insert(key.clone(), value.clone()).is_some() {
            return Err(Wrong(format!("{key} has two values; write one")).into());
        }
    }
    serde_json::from_value(Value::Object(object)).map_err(|error| Wrong(error.to_string()).into())
}

/// Shows the feeds.
pub fn feeds(config: &Path, to: &ServerArgs) -> anyhow::Result<Outcome> {
    let servers = to.servers(config)?;
    let answers = ask(&servers, |server| server.list::<FeedBody>(&Request::get(&["feeds"]), usize::MAX));
    Ok(tell(&answers, to.json, |said| feeds_words(&said.body, said.at)).print())
}

fn feeds_words(feeds: &[FeedBody], now: Time) -> String {
    if feeds.is_empty() {
        return "There are no feeds: no file names one, and nobody has sent a value.\n".into();
    }
    let mut text = String::new();
    for feed in feeds {
        let gap = if text.is_empty() { "" } else { "\n" };
        let age = feed.max_age.as_ref().map_or("at any age".into(), |age| format!("up to {age} old"));
        let name = loud(&feed.feed, Tone::Plain);
        text += &format!("{gap}{name}: values count {age}, then: {}\n", feed.stale);
        if feed.values.is_empty() {
            text += "  It has said nothing yet.\n";
            continue;
        }
        let mut table = Table::new(&["answer", "~values", "made", "state"]);
        for value in &feed.values {
            table.row([
                plain(&value.answer),
                plain(meta_words(&value.meta)),
                plain(moment(value.made_at, now)),
                if value.stale { ("stale".into(), Tone::Bad) } else { ("fresh".into(), Tone::Good) },
            ]);
        }
        text += &table.to_string();
    }
    text
}

/// `up true, connections 8,123`.
fn meta_words(meta: &MetaBody) -> String {
    let Ok(Value::Object(values)) = serde_json::to_value(meta) else { return String::new() };
    let word = |value: &Value| value.as_f64().map_or_else(|| value.to_string(), number);
    let each: Vec<String> = values.iter().map(|(key, value)| format!("{key} {}", word(value))).collect();
    each.join(", ")
}
