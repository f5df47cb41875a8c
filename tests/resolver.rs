//! A real resolver that caches by Client Subnet, unbound, in front of the real server: what it kept for one
//! client never gives another one addresses that are not its own.
//!
//! `cargo test --test resolver -- --ignored`, or `.ci/run resolver`, needs `unbound` with its subnetcache
//! module (`unbound -V` says whether it is there), as Debian's has it.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fastrand::Rng;
use hickory_proto::op::{Message, ResponseCode};
use ipnet::IpNet;
use serde_json::json;
use support::http::Api;
use support::process::{PATIENCE, Server};
use support::query::Query;
use support::{Folder, response};

/// What is asked, and how often it is drawn anew, to see that a client may get what it got.
const QUESTIONS: [(&str, usize); 6] = [
    ("wss-primary.example.com A", 1),
    ("wss-primary.example.com AAAA", 1),
    ("wss.example.net A", 1),
    ("wss-backup.example.com A", 200),
    ("wss-backup.example.com AAAA", 200),
    ("www.example.com A", 1),
];
/// Of the networks of the sample database, one in so many, and of each so many clients.
const ONE_IN: usize = 8;
const OF_EACH: usize = 4;
const ANYWHERE: usize = 100;
/// Each question, by each client.
const TIMES: usize = 3;
/// The example's.
const TTL: Duration = Duration::from_secs(10);
/// What a cache that counts in whole seconds keeps it longer.
const ROUNDED: Duration = Duration::from_secs(2);

/// A question and the client it is asked for.
type Ask = (usize, IpNet);

/// What is answered: the data of all records, and the lowest TTL.
#[derive(Debug)]
struct Said {
    data: BTreeSet<String>,
    ttl: u32,
}

#[test]
#[ignore = "needs unbound"]
fn nobody_gets_what_was_kept_for_another() {
    let mut rng = Rng::with_seed(1);
    let folder = Folder::example();
    let server = Server::start(&folder);
    let api = Api::local(&folder);
    let direct = Way::to(server.addresses[0]);
    let unbound = Unbound::start(&folder, server.addresses[0]);

    let clients = clients(&folder.read("geoip/sample.txt"), &mut rng);
    let mut of_primary = Vec::new();
    for (question, (words, _)) in QUESTIONS.iter().enumerate() {
        let asks: Vec<Ask> = clients.iter().map(|client| (question, *client)).collect();
        let mut shuffled = asks.repeat(TIMES);
        rng.shuffle(&mut shuffled);
        let before = queries(&api);
        let got: Vec<(Ask, Said)> = shuffled.into_iter().map(|ask| (ask, unbound.way.ask(ask))).collect();
        let reached = queries(&api) - before;
        eprintln!("{words}: {} clients, {} queries, {reached} of them reach rhumb", asks.len(), got.len());
        // Fewer than one for each client: what was kept for one was given to others.
        assert!(reached < asks.len(), "{words}: nobody is given what was kept for another");
        got.iter().for_each(|(ask, said)| direct.may_say(*ask, said));
        if words.starts_with("wss-primary") {
            of_primary.extend(asks);
        }
    }

    let old: BTreeMap<Ask, Said> = of_primary.into_iter().map(|ask| (ask, direct.ask(ask))).collect();
    api.ok(
        "POST",
        "/api/v1/drains",
        json!({ "scope": { "pop": "eu-central-1" }, "reason": "the test of resolvers" }),
    );
    let drained = Instant::now();
    let new: BTreeMap<Ask, Said> = old.keys().map(|ask| (*ask, direct.ask(*ask))).collect();
    let moved = old.keys().filter(|ask| old[ask].data != new[ask].data).count();
    assert!(moved > 10 && moved < old.len() / 2, "{moved} of {} are moved", old.len());
    while drained.elapsed() < TTL + ROUNDED {
        for (ask, old) in &old {
            let said = unbound.way.ask(*ask).data;
            assert!(said == old.data || said == new[ask].data, "{ask:?}: {said:?}");
        }
    }
    for question in 0..QUESTIONS.len() {
        for client in &clients {
            direct.may_say((question, *client), &unbound.way.ask((question, *client)));
        }
    }
}

/// Networks as resolvers send them: several inside each of some networks of the database, and some anywhere.
fn clients(sample: &str, rng: &mut Rng) -> Vec<IpNet> {
    let prefixes = sample.lines().filter_map(|line| line.split_whitespace().next()?.parse::<IpNet>().ok());
    let mut clients: Vec<IpNet> = Vec::new();
    for network in prefixes.step_by(ONE_IN) {
        clients.extend((0..OF_EACH).map(|_| inside(network, rng)));
    }
    for anywhere in ["0.0.0.0/0", "2000::/3"] {
        clients.extend((0..ANYWHERE).map(|_| inside(anywhere.parse().unwrap(), rng)));
    }
    assert!(clients.len() > 400 && clients.iter().any(|client| client.addr().is_ipv6()));
    clients
}

/// A /24 or /56 inside a network, or the one that has the network, where that is smaller.
fn inside(network: IpNet, rng: &mut Rng) -> IpNet {
    let (address, bits) = match network {
        IpNet::V4(v4) => {
            let address = u32::from(v4.network()) | rng.u32(..) & u32::from(v4.hostmask());
            (Ipv4Addr::from(address).into(), 24)
        }
        IpNet::V6(v6) => {
            let address = u128::from(v6.network()) | rng.u128(..) & u128::from(v6.hostmask());
            (IpAddr::from(Ipv6Addr::from(address)), 56)
        }
    };
    IpNet::new(address, bits).unwrap().trunc()
}

/// How many queries the server has answered.
fn queries(api: &Api) -> usize {
    let metrics = api.text("/metrics");
    let counts =
        metrics.lines().filter_map(|line| line.strip_prefix("rhumb_queries_total{")?.split_once("} "));
    counts.map(|(_, count)| count.parse::<usize>().unwrap()).sum()
}

/// A way to a server over UDP.
struct Way(UdpSocket);

impl Way {
    fn to(server: SocketAddr) -> Way {
        let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Way(socket)
    }

    fn ask(&self, (question, client): Ask) -> Said {
        let query = Query::parse(&format!("{} rd subnet={client}", QUESTIONS[question].0));
        self.0.send(&query.packet(7)).unwrap();
        let mut reply = [0; 4096];
        let len = self.0.recv(&mut reply).unwrap();
        let message = Message::from_vec(&reply[..len]).unwrap();
        assert_eq!(message.metadata.response_code, ResponseCode::NoError, "{query:?}: {message}");
        assert!(response::subnet(&message).is_some(), "ECS answers ECS: {query:?}: {message}");
        Said {
            data: message.answers.iter().map(|record| record.data.to_string()).collect(),
            ttl: message.answers.iter().map(|record| record.ttl).min().expect("none of them is empty"),
        }
    }

    /// Whether a client may be told this: whether it is what it gets here.
    fn may_say(&self, ask: Ask, said: &Said) {
        let mut others = BTreeSet::new();
        for _ in 0..QUESTIONS[ask.0].1 {
            let own = self.ask(ask);
            if own.data == said.data && said.ttl <= own.ttl {
                return;
            }
            others.insert(own.data);
        }
        panic!("{} for {}: the resolver says {said:?}, rhumb {others:?}", QUESTIONS[ask.0].0, ask.1);
    }
}

/// The resolver, killed when dropped.
struct Unbound {
    child: Child,
    way: Way,
}

impl Unbound {
    fn start(folder: &Folder, upstream: SocketAddr) -> Unbound {
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (ip, port, upstream) =
            (address.ip(), address.port(), format!("{}@{}", upstream.ip(), upstream.port()));
        // Of each name and type it keeps the answers for 100 networks, unless it is told to keep more.
        let config = format!(
            "server:
  module-config: \"subnetcache iterator\"
  interface: {ip}@{port}
  send-client-subnet: {ip}
  client-subnet-always-forward: yes
  max-client-subnet-ipv4: 24
  max-client-subnet-ipv6: 56
  max-ecs-tree-size-ipv4: 100000
  max-ecs-tree-size-ipv6: 100000
  qname-minimisation: no
  do-not-query-localhost: no
  do-daemonize: no
  so-reuseport: no
  use-syslog: no
  chroot: \"\"
  directory: \"\"
  username: \"\"
  pidfile: \"\"
stub-zone:
  name: example.com
  stub-addr: {upstream}
stub-zone:
  name: wss.example.net
  stub-addr: {upstream}
"
        );
        folder.write("unbound.conf", config);
        let child = Command::new("unbound").arg("-c").arg(folder.path().join("unbound.conf")).spawn();
        let mut child = child.expect("unbound is installed");
        let way = Way::to(address);
        let deadline = Instant::now() + PATIENCE;
        // Until it has its socket, the kernel says that nobody is there.
        while way.0.send(&Query::parse("www.example.com A rd").packet(1)).is_err()
            || way.0.recv(&mut [0; 4096]).is_err()
        {
            assert!(
                child.try_wait().unwrap().is_none() && Instant::now() < deadline,
                "unbound does not serve"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Unbound { child, way }
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
