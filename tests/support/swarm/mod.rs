//! A small world to fail in, for `tests/flailover.rs` and `examples/demo.rs`.
//!
//! ```text
//! clients -> resolver -> rhumb, the real binary -> monitors -+
//!    |                     ^- load of the PoPs               v
//!    +-------- websocket ------------------------------> PoPs
//! ```
//!
//! A dozen PoPs of two stacks with two addresses each, all on loopback; as many clients of each as you like,
//! behind one caching resolver; and the files that tell rhumb of them. Everything is quick here, seconds where
//! the world has minutes. Nothing leaves the machine, and dropping it ends it.

#![allow(dead_code, reason = "the test and the demo each take what they need")]

pub mod clients;
pub mod node;
pub mod pops;
pub mod resolver;

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use clients::Swarm;
use node::Node;
use pops::Pop;
use resolver::{Network, Resolver};
use serde_json::json;

/// A site.
pub struct Place {
    pub name: &'static str,
    pub country: &'static str,
    pub at: (f64, f64),
}

const fn place(name: &'static str, country: &'static str, latitude: f64, longitude: f64) -> Place {
    Place { name, country, at: (latitude, longitude) }
}

/// The PoPs, and where their clients are.
pub const PLACES: [Place; 12] = [
    place("dublin", "IE", 53.35, -6.26),
    place("london", "GB", 51.51, -0.13),
    place("frankfurt", "DE", 50.11, 8.68),
    place("ashburn", "US", 39.04, -77.49),
    place("boardman", "US", 45.84, -119.7),
    place("montreal", "CA", 45.5, -73.57),
    place("sao-paulo", "BR", -23.55, -46.63),
    place("dubai", "AE", 25.2, 55.27),
    place("mumbai", "IN", 19.08, 72.88),
    place("singapore", "SG", 1.35, 103.82),
    place("tokyo", "JP", 35.68, 139.69),
    place("sydney", "AU", -33.87, 151.21),
];

pub const PRIMARY: &str = "wss-primary.example.com.";
pub const BACKUP: &str = "wss-backup.example.com.";

/// How quick everything is. The files below say the same.
pub const INTERVAL: Duration = Duration::from_secs(1);
pub const TIMEOUT: Duration = Duration::from_millis(300);
pub const FALL: u32 = 2;
/// How long a PoP must be down to be drained.
pub const DETECT_FOR: Duration = Duration::from_secs(1);
/// How long answers may be kept.
pub const TTL: Duration = Duration::from_secs(1);
/// From a PoP's recovery until its clients begin to come back, and until all are back.
pub const RETURN_AFTER: Duration = Duration::from_secs(3);
pub const RETURN: Duration = Duration::from_secs(3 + 2 * 3);

/// Up to one and a half times its own clients, a PoP sheds nothing; from two and a half times it takes nobody more.
pub fn watermarks(clients_of_each: usize) -> (usize, usize) {
    (clients_of_each * 3 / 2, clients_of_each * 5 / 2)
}

/// Where a stack of a PoP has its two addresses.
fn addresses(pop: usize, stack: usize) -> [Ipv4Addr; 2] {
    [1, 2].map(|number| Ipv4Addr::new(127, 10, pop as u8 + 1, stack as u8 * 10 + number))
}

/// The PoP of an address.
pub fn pop_of(address: Ipv4Addr) -> &'static str {
    PLACES[usize::from(address.octets()[2]) - 1].name
}

/// A client's network near a PoP; there are 256.
pub fn network(pop: usize, number: usize) -> Network {
    (Ipv4Addr::new(100, 64 + pop as u8, number as u8, 0), 24)
}

/// Where a PoP stands in the list.
pub fn number_of(pop: &str) -> usize {
    PLACES.iter().position(|place| place.name == pop).expect("a PoP of the list")
}

/// Everything, running.
pub struct World {
    pub pops: Vec<Pop>,
    pub node: Node,
    pub resolver: Resolver,
    pub swarm: Swarm,
}

impl World {
    /// Starts the PoPs, then rhumb with a folder of its own, then the clients.
    pub async fn start(binary: &Path, folder: &Path, clients_of_each: usize) -> World {
        let pops = pops::start_all().await;
        write_files(folder, pops[0].port, clients_of_each);
        let node = Node::start(binary, folder);
        let resolver = Resolver::start(node.dns).await;
        let swarm = Swarm::start(resolver.address, pops[0].port, clients_of_each);
        World { pops, node, resolver, swarm }
    }

    pub fn pop(&self, name: &str) -> &Pop {
        &self.pops[number_of(name)]
    }

    /// Connections that clients have open, by PoP.
    pub fn open(&self) -> Vec<usize> {
        self.pops.iter().map(Pop::open).collect()
    }

    /// Tells rhumb what each PoP has to do, as load balancers would.
    pub fn report_load(&self) {
        let value = |(pop, place): (&Pop, &Place)| json!({ "scope": { "pop": place.name }, "meta": { "connections": pop.open() } });
        let values: Vec<_> = self.pops.iter().zip(&PLACES).map(value).collect();
        self.node.call("POST", "/api/v1/feeds/balancers", Some(json!({ "values": values })));
    }
}

/// The files that rhumb serves.
pub fn write_files(folder: &Path, port: u16, clients_of_each: usize) {
    let write = |file: &str, text: String| {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "rhumb.toml",
        "[listen]\naddresses = [\"127.0.0.1:0\"]\nudp_threads = 1\n[geo]\nnetworks = \"networks.toml\"\n\
         [api]\nlisten = []\nsocket = \"rhumb.sock\"\n"
            .into(),
    );
    write(
        "zones/example.com.zone",
        "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 14d 5m\n@ NS ns1\nns1 A 127.0.0.1\n".into(),
    );
    let mut networks = String::new();
    let (low, high) = watermarks(clients_of_each);
    let mut chains = format!(
        r#"[feed.balancers]
max_age = "10s"
stale = "neutral"

[monitor.wss]
kind = "websocket"
target = {{ pool = "wss" }}
port = {port}
path = "/probe"
interval = "1s"
timeout = "300ms"
rise = 2
fall = 2

[pool.wss]
meta = {{ connections = {{ feed = "balancers" }}, low_watermark = {low}, high_watermark = {high} }}

[pool.wss.failover]
for = "1s"
return_after = "3s"
return = {{ steps = [25, 50, 100], pause = "3s" }}
"#
    );
    for (number, Place { name, country, at: (latitude, longitude) }) in PLACES.iter().enumerate() {
        let place = format!("country = \"{country}\"\nlatitude = {latitude:?}\nlongitude = {longitude:?}\n");
        write!(networks, "[[network]]\nprefixes = [\"100.{}.0.0/16\"]\n{place}\n", 64 + number).unwrap();
        write!(chains, "\n[pop.{name}]\n{place}").unwrap();
        for (stack, (generation, weight)) in [("haproxy", 75), ("envoy", 25)].into_iter().enumerate() {
            let addresses = addresses(number, stack).map(|address| address.to_string());
            write!(
                chains,
                "\n[[pool.wss.answer]]\npop = \"{name}\"\nstack = \"{generation}\"\nweight = {weight}\na = {addresses:?}\n"
            )
            .unwrap();
        }
    }
    let shed = "{ filter = \"shed_load\", config = { metric = \"connections\" } }";
    let first = |n| format!("{{ filter = \"select_first_n\", config = {{ N = {n} }} }}");
    for (name, rest) in [(PRIMARY, first(1)), (BACKUP, format!("{}, \"shuffle\", {}", first(3), first(1)))] {
        write!(
            chains,
            "\n[[record]]\nname = \"{name}\"\npool = \"wss\"\nttl = 1\nfilters = [\"up\", {shed}, \"geotarget_country\", {rest}]\n"
        )
        .unwrap();
    }
    write("networks.toml", networks);
    write("filter-chains/wss.toml", chains);
}
