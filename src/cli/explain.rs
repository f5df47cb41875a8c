//! `rhumb explain`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, bail};
use hickory_proto::rr::RecordType;

use super::{print_problems, read_config};
use crate::engine::explain::{Question, explain, parse_subnet, parse_type};
use crate::state::{Publisher, load};
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
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Explains one query from the files as they stand.
pub fn run(config: &Path, args: &Args) -> anyhow::Result<()> {
    let config = read_config(config)?;
    let loaded = match load(&config, 0, &|_, _| {}) {
        Ok(loaded) => loaded,
        Err(problems) => {
            print_problems(&problems);
            bail!("the files above do not compile, so nothing can be explained");
        }
    };
    let question = Question {
        name: args.name.clone(),
        qtype: args.qtype,
        client: args.client,
        resolver: args.resolver,
        seed: args.seed,
    };
    let publisher = Publisher::new(loaded.snapshot);
    let explanation = explain(&publisher.current(), &loaded.world, &question);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&explanation).context("cannot write JSON")?);
    } else {
        print!("{explanation}");
    }
    Ok(())
}
