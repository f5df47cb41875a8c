//! What one answer costs, without sockets: packets in, packets out, on one thread; and what counting costs of it.
//!
//! The records are those of `benches/lab`: wss-primary with its four filters over eight PoPs of two stacks,
//! 16 answers, three addresses out; wss-backup beside it. Every query asks for another network, so that
//! the tables are met cold as well as warm. With `RHUMB_TEST_MMDB=FILE` that file places the clients
//! instead of the sample.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use rhumb::chain::{Ask, Picks, PlacedBy};
use rhumb::config::Config;
use rhumb::engine::query_log::{RING_ENTRIES, Sampler};
use rhumb::engine::steering::{Record, Rung, Steered};
use rhumb::engine::{Peer, Reply, Stats, Transport, Worker};
use rhumb::state::{Publisher, load};
use rhumb::wire::{Name, Rcode, Subnet, record_type};

/// Different packets asked in turn.
const PACKETS: usize = 1 << 16;

const BACKUP: &str = r#"
[[record]]
name = "wss-backup.bench.test"
pool = "wss"
ttl = 60
filters = [
    "up",
    { filter = "shed_load", config = { metric = "connections" } },
    "geotarget_country",
    { filter = "select_first_n", config = { N = 3 } },
    "shuffle",
    { filter = "select_first_n", config = { N = 1 } },
]
"#;

/// The lab's folder with a second record, in the build's own temporary folder.
fn prepare() -> Config {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-answer");
    let chains = folder.join("filter-chains");
    std::fs::create_dir_all(&chains).expect("a folder");
    let lab = project.join("benches/lab/filter-chains/bench.toml");
    std::fs::copy(lab, chains.join("bench.toml")).expect("the lab's chains");
    std::fs::write(chains.join("backup.toml"), BACKUP).expect("a file");
    let database =
        std::env::var_os("RHUMB_TEST_MMDB").map_or_else(|| project.join("geoip/sample.mmdb"), PathBuf::from);
    let text = format!(
        "zones = {:?}\n[geo]\ndatabases = [{:?}]\n",
        project.join("benches/lab/zones").display().to_string(),
        database.display().to_string()
    );
    Config::parse(&folder.join("rhumb.toml"), &text).expect("a configuration")
}

/// A query, with the client's /24 where one is given.
fn packet(name: &str, client: Option<Ipv4Addr>) -> Vec<u8> {
    let name: Name = name.parse().expect("a name");
    let mut packet = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(client.is_some())];
    packet.extend_from_slice(name.as_wire());
    packet.extend_from_slice(&[0, record_type::A as u8, 0, 1]);
    if let Some(client) = client {
        let [a, b, c, _] = client.octets();
        packet.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, a, b, c]);
    }
    packet
}

fn answer(criterion: &mut Criterion) {
    let loaded = load(&prepare(), 1, &|_, _| {}).expect("the lab's files compile");
    let publisher = Publisher::new(loaded.snapshot);
    let mut plain = Worker::new(publisher.current(), Arc::new(Stats::default()), 1);
    // With a query log, as many queries sampled as by default; nobody takes them, so the ring is full.
    let (sampler, _entries) = Sampler::new(1000, RING_ENTRIES, 1);
    let mut logged = Worker::new(publisher.current(), Arc::new(Stats::default()), 1).with_log(sampler);
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5300);
    let peer = Peer { address, transport: Transport::Udp };
    let mut out = [0; 4096];
    let mut random = fastrand::Rng::with_seed(7);
    let mut clients = || Ipv4Addr::from(random.u32(0x0100_0000..0xE000_0000) & 0xFFFF_FF00);
    let workloads = [
        ("static", "static.bench.test", false, 1),
        ("wss-primary, ECS", "wss-primary.bench.test", true, 3),
        ("wss-backup, ECS", "wss-backup.bench.test", true, 3),
    ];
    for (label, name, ecs, answers) in workloads {
        let packets: Vec<Vec<u8>> = (0..PACKETS).map(|_| packet(name, ecs.then(&mut clients))).collect();
        for (log, worker) in [("", &mut plain), (", query log", &mut logged)] {
            let mut next = 0;
            criterion.bench_function(&format!("{label}{log}"), |bencher| {
                bencher.iter(|| {
                    next = (next + 1) % PACKETS;
                    let reply = worker.answer(black_box(&packets[next]), peer, &mut out);
                    assert!(matches!(reply, Reply::Send(_)) && out[7] == answers, "{label}");
                });
            });
        }
    }
}

/// What counting alone costs: every answer's totals, and what a steered one to a client subnet adds, which are its
/// scope, its place and the shares of its three addresses.
fn counters(criterion: &mut Criterion) {
    let stats = Stats::default();
    let address = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 0));
    let subnet = Subnet { address, source: 24 };
    let record = Record {
        name: "wss-primary.bench.test".parse().expect("a name"),
        ttl: 60,
        ttl_min: 60,
        salt: 0,
        spread: (16, 40),
        rotate: false,
        use_client_subnet: true,
        steering: 0,
        number: 0,
        slot: None,
    };
    let slots: Vec<u32> = (0..16).collect();
    let given: Vec<[u8; 3]> = (0..14).map(|first| [first, first + 1, first + 2]).collect();
    let mut picks = Picks::default();
    picks.note_placed(PlacedBy::Client);
    let steered = Steered { rung: Rung::Up, coin_mattered: false, spread: false, drained: false };
    let mut ask = Ask {
        client: address,
        source: 24,
        resolver: address,
        place: None,
        random: 0,
        record_salt: 0,
        ignore_health: false,
    };
    let totals = || {
        stats.received(black_box(Transport::Udp));
        stats.answered(black_box(Transport::Udp), black_box(record_type::A), black_box(Rcode::NoError));
    };
    criterion.bench_function("counters, totals", |bencher| bencher.iter(totals));
    let mut next = 0;
    criterion.bench_function("counters, with scope, place and shares", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % given.len();
            // One client in 64 is sampled, as on a real query.
            ask.random = ask.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
            totals();
            stats.steered(black_box(&picks), black_box(&steered));
            stats.given(black_box(&record), black_box(&slots), black_box(&given[next]), &ask, true);
            stats.extended(black_box(Some(&subnet)), black_box(15), black_box(15));
        });
    });
}

criterion_group!(benches, answer, counters);
criterion_main!(benches);
