//! What is counted while queries are answered, and what Prometheus is told of it.
//!
//! `UPDATE=1 cargo test --test metrics` writes the snapshot anew.

mod served;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rhumb::api::metrics::{Gauges, Kind, Monitoring, Requests, Sources, TABLE, render};
use rhumb::config::Config;
use rhumb::engine::sample::{ONE_IN, Samples};
use rhumb::engine::shares::{Counted, Slots};
use rhumb::engine::{AllStats, Peer, Reply, Transport, Worker};
use rhumb::health::notify::HookStatus;
use rhumb::health::{AddressStatus, Memory, MonitorStatus, Verdict};
use rhumb::listeners::{Counters, TcpCounters, UdpCounters};
use rhumb::state::model::Scope;
use rhumb::state::traffic::{Traffic, Window};
use rhumb::state::view::Timings;
use rhumb::state::whatif::{WhatIf, suppose};
use rhumb::state::{Publisher, load_counted};
use served::{A, AAAA, CNAME, Client, packet};
use support::{Folder, project};

const ZONE: &str = "
@    3600 SOA ns.example.com. hostmaster.example.com. 1 3600 600 604800 60
     3600 NS  ns
ns   3600 A   192.0.2.53
";

/// A pool under two names, and a record of its own answers, one of which has a name that must be escaped.
const CHAINS: &str = r#"
[pop.dublin]
country = "IE"
[pop.tokyo]
country = "JP"

[[pool.wss.answer]]
pop = "dublin"
stack = "haproxy"
weight = 1
a = ["192.0.2.1"]
[[pool.wss.answer]]
pop = "dublin"
stack = "envoy"
weight = 0
a = ["192.0.2.2"]
[[pool.wss.answer]]
pop = "tokyo"
a = ["192.0.2.3"]
meta = { loadavg = 9, low_watermark = 1, high_watermark = 2 }

[[record]]
name = "all.example.com"
pool = "wss"
filters = []

[[record]]
name = "one.example.com"
pool = "wss"
filters = ["up", "shed_load", { filter = "select_first_n", config = { N = 1 } }]

[[record]]
name = "own.example.com"
filters = ["up", { filter = "geofence_country", config = { remove_no_location = true } }]
[[record.answer]]
name = 'a\b "c"'
a = ["192.0.2.9"]
[[record.answer]]
aaaa = ["2001:db8::9"]
meta = { up = false }
"#;

/// A server in one thread, as `serve` puts it together.
struct Server {
    folder: Folder,
    slots: Arc<Slots>,
    stats: AllStats,
    publisher: Publisher,
    worker: Worker,
}

impl Server {
    fn new(by_record: bool) -> Server {
        let folder = Folder::new();
        folder.write("zones/example.com.zone", ZONE);
        folder.write("filter-chains/chains.toml", CHAINS);
        folder.write("rhumb.toml", format!("[metrics]\nby_record = {by_record}\n"));
        let (slots, stats) = (Arc::new(Slots::default()), AllStats::default());
        let publisher = Publisher::new(load(&folder, &slots));
        let worker = Worker::new(publisher.current(), stats.new_worker(), 7);
        Server { folder, slots, stats, publisher, worker }
    }

    fn ask(&mut self, name: &str, qtype: u16, client: Option<&str>, transport: Transport) {
        let client: Option<Client> = client.map(|client| {
            let network: ipnet::IpNet = client.parse().unwrap();
            (network.addr(), network.prefix_len())
        });
        self.send(&packet(name, qtype, client), transport);
    }

    fn send(&mut self, packet: &[u8], transport: Transport) {
        let address: SocketAddr = "192.0.2.53:4053".parse().unwrap();
        let mut out = [0; 65_535];
        let reply = self.worker.answer(packet, Peer { address, transport }, &mut out);
        assert!(matches!(reply, Reply::Send(_)));
    }

    /// Each answer, and how often it was given with a client subnet and without.
    fn given(&self) -> Vec<String> {
        let counted = self.slots.counted();
        let given = self.stats.given(counted.len());
        let name = |counted: &Counted| match counted {
            Counted::Answer { id, .. } => id.clone(),
            Counted::Record(name) => name.clone(),
            Counted::Rest => "rest".into(),
        };
        let line = |(counted, given): (_, &rhumb::engine::shares::Given)| {
            format!("{} {}+{}", name(counted), given.with_ecs, given.without_ecs)
        };
        counted.iter().map(|counted| &**counted).zip(&given).map(line).collect()
    }

    fn sources(&self) -> Sources {
        Sources {
            stats: self.stats.clone(),
            slots: self.slots.clone(),
            listeners: Counters::default(),
            written: Arc::default(),
            gauges: Gauges::default(),
            monitoring: Monitoring::default(),
            timings: Timings::default(),
            requests: Requests::default(),
        }
    }
}

fn load(folder: &Folder, slots: &Slots) -> rhumb::engine::Snapshot {
    let config = Config::read(&folder.path().join("rhumb.toml")).unwrap();
    let loaded = load_counted(&config, 1, slots, &|_, _| {});
    loaded.unwrap_or_else(|problems| panic!("{problems:?}")).snapshot
}

/// A query by each road.
fn ask_everything(server: &mut Server) {
    let (udp, tcp) = (Transport::Udp, Transport::Tcp);
    server.ask("all.example.com", A, Some("81.2.69.0/24"), udp);
    server.ask("all.example.com", A, None, tcp);
    server.ask("one.example.com", A, Some("2a00:1::/48"), udp);
    server.ask("own.example.com", A, Some("81.2.69.0/24"), udp);
    server.ask("own.example.com", AAAA, Some("81.2.69.0/24"), udp);
    server.ask("own.example.com", CNAME, None, udp);
    server.ask("ns.example.com", A, Some("0.0.0.0/0"), udp);
    server.ask("nothing.example.com", 65_280, None, udp);
    server.ask("example.org", 65, None, tcp);
    // An opcode nobody knows.
    let mut unknown = packet("example.com", A, None);
    unknown[2] = 0x38;
    server.send(&unknown, udp);
}

#[test]
fn answers_given_are_counted_by_identity() {
    let mut server = Server::new(true);
    ask_everything(&mut server);
    let records = ["all.example.com 1+1", "one.example.com 1+0", "own.example.com 2+0"];
    let mut expected = vec![
        "wss/dublin/haproxy 2+1",
        "wss/dublin/envoy 0+0",
        "wss/tokyo 1+1",
        r#"own.example.com/a\b "c" 1+0"#,
        "own.example.com/answer 2 1+0",
    ];
    expected.extend(records);
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert_eq!(sorted(server.given()), sorted(expected.iter().map(|line| line.to_string()).collect()));

    // What stays keeps its slot, what is new gets one that nobody had, and nothing is counted anew.
    let before = server.slots.counted();
    let chains =
        CHAINS.replace("stack = \"envoy\"", "stack = \"nginx\"").replace("own.example", "new.example");
    server.folder.write("filter-chains/chains.toml", chains);
    server.publisher.publish(load(&server.folder, &server.slots));
    let after = server.slots.counted();
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 4, "a stack, a record and its two answers");
    server.ask("all.example.com", A, None, Transport::Udp);
    assert!(server.given().contains(&"wss/dublin/haproxy 2+2".into()));
}

#[test]
fn records_are_counted_on_request_only() {
    let mut server = Server::new(false);
    ask_everything(&mut server);
    assert!(!server.slots.counted().iter().any(|counted| matches!(**counted, Counted::Record(_))));
}

#[test]
fn queries_are_counted_by_listener_type_and_rcode() {
    let mut server = Server::new(false);
    ask_everything(&mut server);
    let text = render(&server.sources());
    let counted: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("rhumb_queries_total")).collect();
    let expected = [
        r#"{listener="udp",type="A",rcode="NOERROR"} 4"#,
        r#"{listener="udp",type="CNAME",rcode="NOERROR"} 1"#,
        r#"{listener="udp",type="AAAA",rcode="NOERROR"} 1"#,
        r#"{listener="udp",type="other",rcode="NXDOMAIN"} 1"#,
        r#"{listener="udp",type="none",rcode="NOTIMP"} 1"#,
        r#"{listener="tcp",type="A",rcode="NOERROR"} 1"#,
        r#"{listener="tcp",type="HTTPS",rcode="REFUSED"} 1"#,
    ];
    assert_eq!(counted, expected);
    let totals = server.stats.totals();
    assert_eq!((totals.shed, totals.bypassed_health, totals.bypassed_fence), (1, 1, 0));
}

/// Clients that no source knows are counted by what placed them instead, each by itself.
#[test]
fn misses_are_counted_by_what_placed_the_client() {
    let check = |resolver: &str, default_place: &str, expect: [u64; 3]| {
        let mut server = Server::new(false);
        let folder = &server.folder;
        folder.write("rhumb.toml", format!("[geo]\nnetworks = \"networks.toml\"\n{default_place}\n"));
        let prefixes = format!("prefixes = [\"10.0.0.0/8\"{resolver}]");
        folder.write("networks.toml", format!("[[network]]\n{prefixes}\ncountry = \"JP\"\n"));
        let near =
            "[[record]]\nname = \"near.example.com\"\npool = \"wss\"\nfilters = [\"geotarget_country\"]\n";
        folder.write("filter-chains/near.toml", near);
        server.publisher.publish(load(&server.folder, &server.slots));
        server.ask("near.example.com", A, Some("198.51.100.0/24"), Transport::Udp);
        // A client that is known, and a record that does not ask where clients are.
        server.ask("near.example.com", A, Some("10.1.2.0/24"), Transport::Udp);
        server.ask("all.example.com", A, Some("198.51.100.0/24"), Transport::Udp);
        let totals = server.stats.totals();
        let got = [totals.placed_by_resolver, totals.placed_by_default, totals.placed_by_nothing];
        assert_eq!(got, expect, "{resolver} {default_place}");
        let text = render(&server.sources());
        for (what, count) in ["resolver", "default", "nothing"].iter().zip(expect) {
            let line = format!("rhumb_geo_misses_total{{placed_by=\"{what}\"}} {count}\n");
            assert!(text.contains(&line), "{line}");
        }
    };
    let (resolver, place) = (", \"192.0.2.53/32\"", "default_place = { country = \"IE\" }");
    check("", "", [0, 0, 1]);
    check("", place, [0, 1, 0]);
    check(resolver, "", [1, 0, 0]);
    check(resolver, place, [1, 0, 0]);
}

/// The sample is what was asked: of so many queries about as many are kept as should be.
#[test]
fn clients_are_sampled() {
    let mut server = Server::new(false);
    let mut samples = Samples::new(1);
    let start = Instant::now();
    let asked = 60_000;
    for second in 0..10 {
        for query in 0..asked / 10 {
            let client = if query % 4 == 0 { "2a00:1:2:3400::/56" } else { "81.2.69.7/32" };
            server.ask("one.example.com", A, Some(client), Transport::Udp);
            server.ask("ns.example.com", A, Some("10.0.0.0/24"), Transport::Udp);
        }
        samples.collect(start + Duration::from_secs(second), &server.stats.workers());
    }
    let hour = samples.hour(&server.slots);
    let networks: Vec<_> = hour.iter().map(|sampled| sampled.network.to_string()).collect();
    assert_eq!(networks, ["81.2.69.0", "2a00:1:2:3400::"]);
    assert!(hour.iter().all(|sampled| sampled.record.to_string() == "one.example.com."));
    let weights: Vec<_> = hour.iter().map(|sampled| sampled.weight / f64::from(asked)).collect();
    assert!(
        (0.6..0.9).contains(&weights[0]) && (0.15..0.35).contains(&weights[1]),
        "{weights:?} of {ONE_IN}"
    );
}

#[test]
fn shares_of_a_window_come_from_the_workers() {
    let mut server = Server::new(true);
    let (start, mut traffic) = (Instant::now(), Traffic::new(server.slots.clone()));
    traffic.tick(start, &server.stats);
    ask_everything(&mut server);
    traffic.tick(start + Duration::from_secs(10), &server.stats);
    let of_pool = traffic.share(Window::Minute).into_iter().filter(|share| share.pool.is_some());
    let lines = of_pool.map(|s| {
        let [pool, pop, stack] = [s.pool, s.pop, s.stack].map(Option::unwrap_or_default);
        format!("{pool} {pop} {stack} {} {}+{} {:.1}", s.answer, s.with_ecs, s.without_ecs, s.share)
    });
    assert_eq!(
        lines.collect::<Vec<_>>(),
        ["wss dublin haproxy wss/dublin/haproxy 2+1 0.6", "wss tokyo  wss/tokyo 1+1 0.4"]
    );
}

/// A worker that comes after one that panicked goes on with its counters.
#[test]
fn counters_outlive_their_worker() {
    let stats = AllStats::default();
    let (first, second) = (stats.new_worker(), stats.new_worker());
    first.tally.udp.add();
    second.tally.udp.add();
    drop(first);
    let third = stats.new_worker();
    third.tally.udp.add();
    assert_eq!((stats.workers().len(), stats.totals().udp), (2, 3));
}

/// A monitor over TLS with a half of its addresses down, one that flaps, and one that has not reported.
fn monitoring() -> Monitoring {
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let address = |address: &str, up, ends: Option<i64>| AddressStatus {
        address: Some(address.parse().unwrap()),
        up,
        ok: up,
        checked_at: None,
        error: String::new(),
        error_at: None,
        warning: String::new(),
        certificate_ends: ends.map(at),
        latency_ms: None,
    };
    let verdict = |up, latency_ms, flapping| Verdict {
        monitor: String::new(),
        answer: String::new(),
        up,
        failing: Vec::new(),
        since: at(1_500),
        checked_at: at(1_501),
        error: String::new(),
        latency_ms,
        flapping,
        held_until: None,
        why: String::new(),
        frozen: false,
        hidden: None,
        may_change_at: None,
        memory: Memory::default(),
    };
    let status = |monitor: &str, answer: &str, verdict, addresses| MonitorStatus {
        monitor: monitor.into(),
        answer: answer.into(),
        pool: "wss".into(),
        kind: "https",
        verdict,
        addresses,
        history: Vec::new(),
    };
    let half =
        vec![address("192.0.2.1", Some(true), Some(9_000)), address("192.0.2.2", Some(false), Some(8_000))];
    Monitoring {
        status: vec![
            status("chat", "wss/dublin/haproxy", Some(verdict(true, Some(12.5), false)), half),
            status("chat", "wss/tokyo", None, vec![address("192.0.2.3", None, None)]),
            status(
                "web",
                "wss/tokyo",
                Some(verdict(false, None, true)),
                vec![address("192.0.2.3", Some(false), None)],
            ),
        ],
        totals: rhumb::health::Totals { probes: 40, failures: 11, late: 2 },
        frozen: [false, true],
    }
}

/// Those of records of which somebody is taken out, but not of one that answers with what is drained, for want of
/// anything else.
#[test]
fn answers_that_drains_applied_to() {
    let mut server = Server::new(false);
    let mut drained = |pops: &[&str]| {
        let at = |pop: &&str| (Scope { pop: Some(pop.to_string()), ..Scope::default() }, 100);
        let what_if = WhatIf { drains: pops.iter().map(at).collect(), ..WhatIf::default() };
        let snapshot = suppose(&server.publisher.current().load(), &what_if);
        server.publisher.publish(snapshot);
        for name in ["all.example.com", "own.example.com"] {
            server.ask(name, A, None, Transport::Udp);
        }
        server.stats.totals().drained
    };
    assert_eq!([drained(&[]), drained(&["dublin"]), drained(&["dublin", "tokyo"])], [0, 1, 1]);
}

#[test]
fn what_prometheus_is_told() {
    let mut server = Server::new(true);
    ask_everything(&mut server);
    let mut sources = server.sources();
    let (udp, tcp) = (UdpCounters::default(), TcpCounters::default());
    udp.received.add_many(12);
    tcp.accepted.add();
    sources.listeners = Counters { udp: vec![Arc::new(udp)], tcp: Arc::new(tcp) };
    sources.gauges = Gauges {
        revision: 7,
        published: Some(UNIX_EPOCH + Duration::from_millis(1_500)),
        drains: 2,
        splits: 1,
        migrations: [2, 1],
        feeds: 9,
        stale_feeds: 3,
        not_durable: 4,
        // Two receivers at one place are one series.
        notices: vec![receiver("hooks.example.com", 5), receiver("hooks.example.com", 1), receiver("::1", 0)],
        alarms: vec![("clock", 1), ("store", 0), ("health", 2)],
    };
    sources.monitoring = monitoring();
    sources.timings.commit.histogram.observe(0.004);
    sources.timings.publish.histogram.observe(0.0002);
    sources.requests.count("GET", Some("/v1/drains"), 200);
    sources.requests.count("BREW", None, 405);
    let text = render(&sources);
    check(&text);
    // What the machine says is another each time, and so is the version once in a while.
    let changes = |line: &&str| !line.starts_with("process_") && !line.starts_with("rhumb_build_info");
    let steady: String = text.lines().filter(changes).flat_map(|line| [line, "\n"]).collect();
    let file = project().join("tests/data/metrics.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &steady).unwrap();
    }
    let shown = fs::read_to_string(file).unwrap();
    for (now, then) in steady.lines().zip(shown.lines()) {
        assert_eq!(now, then, "run UPDATE=1 cargo test --test metrics");
    }
    assert_eq!(steady.lines().count(), shown.lines().count());
}

fn receiver(host: &str, delivered: u64) -> HookStatus {
    HookStatus {
        to: format!("https://{host}"),
        delivered,
        failed: 1,
        dropped: 2,
        waiting: 3,
        error: String::new(),
    }
}

/// OpenMetrics as strict readers take it: every family announced once, its samples right below and named by
/// its type, no sample twice, labels escaped, numbers that are numbers, and an end.
fn check(text: &str) {
    let mut lines = text.lines();
    assert_eq!(lines.next_back(), Some("# EOF"));
    assert!(text.ends_with('\n'));
    let (mut family, mut endings) = (String::new(), &[""][..]);
    let (mut seen, mut families) = (BTreeSet::new(), Vec::new());
    let mut bucket = (String::new(), 0.0);
    for line in lines {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(words.ends_with('.') && !words.ends_with("..") && !words.contains('\\'), "{line}");
            family = name.into();
            continue;
        }
        if let Some(of_type) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of_type.split_once(' ').unwrap();
            assert_eq!(name, family);
            endings = match kind {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_sum", "_count", "_bucket"],
                "info" => &["_info"],
                other => panic!("{other}"),
            };
            families.push(name);
            continue;
        }
        let end = line.rfind(' ').unwrap();
        let (series, number) = (&line[..end], &line[end + 1..]);
        let number: f64 = number.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(number >= 0.0 && number.is_finite(), "{line}");
        assert!(seen.insert(series), "twice: {line}");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let ending = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} under {family}"));
        assert!(endings.contains(&ending), "{line}");
        assert!(ending == "_bucket" || bucket.0.is_empty(), "the last bucket is +Inf: {line}");
        let labels = read_labels(labels).unwrap_or_else(|| panic!("{line}"));
        if ending == "_bucket" {
            let (bounds, rest): (Vec<_>, Vec<_>) = labels.into_iter().partition(|(key, _)| key == "le");
            assert_eq!(bounds.len(), 1, "{line}");
            let of = format!("{name}{rest:?}");
            assert!(bucket.0 != of || bucket.1 <= number, "buckets add up: {line}");
            bucket = (if bounds[0].1 == "+Inf" { String::new() } else { of }, number);
            continue;
        }
    }
    let table: Vec<_> = TABLE.iter().map(|metric| metric.name).collect();
    assert_eq!(families, table);
}

/// Labels behind their opening brace; nothing where they are not well-formed.
fn read_labels(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    if text == "}" {
        return Some(labels);
    }
    loop {
        let (key, rest) = text.split_once("=\"")?;
        let mut letters = key.chars();
        let is_key = letters.all(|letter| letter.is_ascii_lowercase() || letter == '_');
        if !is_key || key.is_empty() || labels.iter().any(|(known, _)| known == key) {
            return None;
        }
        let (mut value, mut chars) = (String::new(), rest.char_indices());
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return None,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((key.into(), value));
        match rest[end + 1..].strip_prefix(',') {
            Some(more) => text = more,
            None => return (&rest[end + 1..] == "}").then_some(labels),
        }
    }
}

#[test]
fn labels_are_read() {
    let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
    let read = |text| read_labels(text).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(read("}"), []);
    assert_eq!(read(r#"a="b",c="d\\\"\n"}"#), [pair("a", "b"), pair("c", "d\\\"\n")]);
    for wrong in ["", r#"a="b""#, r#"a="b",}"#, r#"a="\x"}"#, r#"a="b",a="c"}"#, r#"a="b"c"}"#, r#"="b"}"#] {
        assert_eq!(read_labels(wrong), None, "{wrong}");
    }
}

/// Names follow the conventions of Prometheus: a unit or a plural of what is counted, and whose it is.
#[test]
fn names() {
    for metric in TABLE {
        let ours = metric.name.starts_with("rhumb_") || metric.name.starts_with("process_");
        let letters = metric.name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        assert!(ours && letters && !metric.name.ends_with("_total"), "{}", metric.name);
        assert_eq!(metric.full_name().ends_with("_total"), metric.kind == Kind::Counter);
    }
}
