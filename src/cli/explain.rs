//! `rhumb explain`: from the files as they stand, or, with `--live`, by a server with all it knows.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::Context;
use hickory_proto::rr::RecordType;

use super::client::Request;
use super::connect::ServerArgs;
use super::load_files;
use super::outcome::{Outcome, ask, tell};
use super::split::read_weight;
use crate::api::bodies::{ExplainBody, ScopeBody, WhatIfDrain, WhatIfSplit};
use crate::engine::explain::{Explanation, Question, explain, parse_subnet, parse_type};
use crate::state::Publisher;
use crate::wire::Name;

/// What to explain.
#[derive(clap::Args)]
pub struct Args {
    /// The name asked for.
    name: Name,
    /// The type asked for: A, AAAA, CNAME, MX, TYPE65, ...
    #[arg(value_name = "TYPE", value_parser = parse_type)]
    qtype: RecordType,
    /// The client's network, as EDNS Client Subnet would give it. An address alone is cut to /24 or /56,
    /// as resolvers do.
    #[arg(long, value_name = "ADDR[/LEN]", value_parser = parse_subnet)]
    client: Option<(IpAddr, u8)>,
    /// The resolver's address, where the packet comes from.
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    resolver: IpAddr,
    /// Start the random numbers here, to see the same draws again.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Ask the server: with the drains, splits, feeds and verdicts that are in force there.
    #[arg(long)]
    live: bool,
    /// What if this were drained too: a PoP, and how many of a hundred clients. With --live; may be repeated.
    #[arg(long = "drain", value_name = "POP[:PERCENT]", value_parser = read_drain, requires = "live")]
    drains: Vec<WhatIfDrain>,
    /// What if these weights were in force. With --live; may be repeated.
    #[arg(long = "split", value_name = "POOL/POP:STACK=WEIGHT,...", value_parser = read_split, requires = "live")]
    splits: Vec<WhatIfSplit>,
    #[command(flatten)]
    to: ServerArgs,
}

/// Explains one query.
pub fn run(config: &Path, args: &Args) -> anyhow::Result<Outcome> {
    if args.live {
        return ask_server(config, args);
    }
    let (_, loaded) = load_files(config, "explained")?;
    let question = Question {
        name: args.name.clone(),
        qtype: args.qtype,
        client: args.client,
        resolver: args.resolver,
        seed: args.seed,
    };
    let publisher = Publisher::new(loaded.snapshot);
    let explanation = explain(&publisher.current(), &loaded.world, &question);
    if args.to.json {
        outln!("{}", serde_json::to_string_pretty(&explanation).context("cannot write JSON")?);
    } else {
        super::show::print_out(&explanation.to_string());
    }
    Ok(Outcome::Done)
}

/// Has a server explain it.
fn ask_server(config: &Path, args: &Args) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let body = ExplainBody {
        name: args.name.to_string(),
        qtype: args.qtype.to_string(),
        client: args.client.map(|(address, len)| format!("{address}/{len}")),
        resolver: Some(args.resolver.to_string()),
        seed: args.seed,
        drains: args.drains.clone(),
        splits: args.splits.clone(),
    };
    let request = Request::post(&["explain"], &body);
    let answers = ask(&servers, |server| server.call::<Explanation>(&request));
    Ok(tell(&answers, args.to.json, |said| said.body.to_string()).print())
}

/// `eu-west-1`, `eu-west-1:30`.
fn read_drain(text: &str) -> Result<WhatIfDrain, String> {
    let (pop, percent) = text.split_once(':').unwrap_or((text, "100"));
    let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
    let percent =
        percent.ok_or_else(|| format!("`{text}`: write a percentage from 1 to 100 after the colon"))?;
    Ok(WhatIfDrain { scope: ScopeBody { pop: Some(pop.into()), ..ScopeBody::default() }, percent })
}

/// `wss/eu-west-1:haproxy=50,envoy=50`.
fn read_split(text: &str) -> Result<WhatIfSplit, String> {
    let wrong = || format!("`{text}` is no split; write one such as wss/eu-west-1:haproxy=50,envoy=50");
    let (site, weights) = text.split_once(':').ok_or_else(wrong)?;
    let (pool, pop) = site.split_once('/').ok_or_else(wrong)?;
    let weights = weights.split(',').map(read_weight).collect::<Result<_, _>>()?;
    Ok(WhatIfSplit { pool: pool.into(), pop: pop.into(), weights })
}
