//! What is served: zones, records, pools, in files; and how it is asked for.

use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use rhumb::config::Config;
use rhumb::engine::{Peer, Reply, Transport, Worker};

/// PoPs of the pools that are drained.
pub const POPS: usize = 16;

/// Who asks.
pub const PEER: Peer = Peer {
    address: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 53),
    transport: Transport::Udp,
};

/// The address that a name is answered with.
pub fn address(worker: &mut Worker, name: &str) -> Ipv4Addr {
    let mut out = [0; 1232];
    let Reply::Send(len) = worker.answer(&query(name), PEER, &mut out) else { panic!("it is answered") };
    let last: [u8; 4] = out[len - 4..len].try_into().expect("four octets");
    last.into()
}

/// A query for the A records of a name.
pub fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [name, "bench", "test"] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}

/// A zone with this many hosts.
pub fn zone(records: usize) -> String {
    let mut text = "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\n".to_string();
    for host in 0..records {
        let [_, a, b, c] = (host as u32).to_be_bytes();
        let _ = writeln!(text, "host-{host} A 10.{a}.{b}.{c}");
    }
    text
}

/// Records whose first answer stands at a PoP, and whose second does not.
pub fn chains(records: usize) -> String {
    let mut text = "[feed.balancers]\n".to_string();
    for pop in 0..POPS {
        let _ = writeln!(text, "[pop.pop{pop}]\ncountry = \"IE\"");
    }
    for record in 0..records {
        let [_, _, high, low] = (record as u32).to_be_bytes();
        let _ = writeln!(
            text,
            "[[record]]\nname = \"r{record}.bench.test\"\nfilters = [\"up\", \"select_first_n\"]\n\
             meta = {{ up = {{ feed = \"balancers\" }} }}\n\
             [[record.answer]]\nname = \"first\"\npop = \"pop{}\"\na = \"10.{high}.0.{low}\"\n\
             [[record.answer]]\nname = \"spare\"\na = \"10.{high}.1.{low}\"",
            record % POPS
        );
    }
    text
}

/// Records of pools that have an answer at each PoP: draining one touches every pool, and no record apart.
pub fn pooled(records: usize, pools: usize) -> String {
    let mut text = String::new();
    for pop in 0..POPS {
        let _ = writeln!(text, "[pop.pop{pop}]\ncountry = \"IE\"");
    }
    for pool in 0..pools {
        let _ = writeln!(text, "[pool.p{pool}]");
        for pop in 0..POPS {
            let _ = writeln!(
                text,
                "[[pool.p{pool}.answer]]\npop = \"pop{pop}\"\na = \"10.{pool}.{}.{pop}\"",
                pop.min(1)
            );
        }
    }
    for record in 0..records {
        let _ = writeln!(
            text,
            "[[record]]\nname = \"r{record}.bench.test\"\npool = \"p{}\"\nfilters = [\"up\", \"select_first_n\"]",
            record % pools
        );
    }
    text
}

/// Writes it all into a folder, and nothing else is in there.
pub fn prepare(folder: &Path, zone: &str, chains: &str) -> Config {
    // What an earlier run left would be drained already.
    let _ = fs::remove_dir_all(folder);
    for name in ["zones", "filter-chains"] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    fs::write(folder.join("zones/bench.test.zone"), zone).expect("a zone");
    fs::write(folder.join("filter-chains/bench.toml"), chains).expect("chains");
    Config::parse(&folder.join("rhumb.toml"), "").expect("a configuration")
}
