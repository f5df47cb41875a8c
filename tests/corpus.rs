//! One corpus through every listener: the queries of every scenario, and packets that are no queries, over
//! UDP and TCP, IPv4 and IPv6, against [`Worker::answer`] called by itself. What comes back over a socket is
//! the same, octet by octet.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rhumb::engine::{Peer, Reply, Snapshot, Stats, Transport, Worker};
use rhumb::listeners::{self, Answer, Listen, ListenerConfig, UdpConfig};
use support::query::Query;
use support::scenario::{self, Scenario};

/// Longer than any machine is busy: reached only when the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same random numbers for every query, on whatever thread it is answered.
struct Fixed(Arc<ArcSwap<Snapshot>>);

impl Fixed {
    fn worker(&self) -> Worker {
        Worker::new(self.0.clone(), Arc::new(Stats::default()), 7)
    }
}

impl Answer for Fixed {
    fn answer(&mut self, message: &mut [u8], query: usize, peer: Peer) -> Reply {
        self.worker().answer_in_place(message, query, peer)
    }
}

#[test]
fn every_listener_answers_as_the_worker_does() {
    let files = scenario::files();
    let queries: usize = std::thread::scope(|scope| {
        let runs: Vec<_> = files.iter().map(|file| scope.spawn(move || run_file(file))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    assert!(queries > 400, "only {queries} queries");
}

fn run_file(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    scenario::read(&lines).iter().map(|scenario| run(scenario, &lines)).sum()
}

/// Serves a scenario's files and asks its queries, live state aside, over every listener.
fn run(scenario: &Scenario, lines: &[&str]) -> usize {
    let loaded = scenario.folder().load().unwrap_or_else(|problems| panic!("{problems:#?}"));
    let snapshot = Arc::new(ArcSwap::from_pointee(loaded.snapshot));
    let asked = lines[scenario.steps.clone()].iter().filter_map(|line| line.strip_prefix("? "));
    let mut packets: Vec<Vec<u8>> = asked.map(|line| Query::parse(line).packet(0)).collect();
    packets.extend(no_queries());
    for (at, packet) in packets.iter_mut().enumerate() {
        packet[..2].copy_from_slice(&(at as u16).to_be_bytes());
    }
    let any_port = |ip| Listen { address: SocketAddr::new(ip, 0), written: true };
    let config = ListenerConfig {
        listen: vec![any_port(Ipv4Addr::LOCALHOST.into()), any_port(Ipv6Addr::LOCALHOST.into())],
        udp: UdpConfig { threads: 1, ..UdpConfig::default() },
        ..ListenerConfig::default()
    };
    let bound = listeners::bind(&config).unwrap_or_else(|errors| panic!("{errors:?}"));
    let addresses: Vec<SocketAddr> = bound.local_addresses().collect();
    let served = snapshot.clone();
    let running = bound.start(move |_, _| Fixed(served.clone())).unwrap();
    for server in addresses {
        over_udp(server, &snapshot, &packets);
        over_tcp(server, &snapshot, &packets);
    }
    running.stop();
    packets.len()
}

/// Packets that are answered with an error or not at all.
fn no_queries() -> Vec<Vec<u8>> {
    let header = |flags: u8, counts: [u8; 4]| {
        let [questions, answers, authorities, additionals] = counts;
        vec![0, 0, flags, 0, 0, questions, 0, answers, 0, authorities, 0, additionals]
    };
    let www = b"\x03www\x07example\x03com\0\0\x01\0\x01";
    let with = |mut packet: Vec<u8>, rest: &[u8]| {
        packet.extend_from_slice(rest);
        packet
    };
    vec![
        header(0, [1, 0, 0, 0]),                                   // The header alone.
        with(header(0x80, [1, 0, 0, 0]), www),                     // A response.
        with(header(0, [1, 0, 0, 0]), &[&www[..], b"?"].concat()), // Something behind the end.
        with(header(0x20, [1, 0, 0, 0]), www),                     // NOTIFY.
        with(header(0x10, [1, 0, 0, 0]), www),                     // STATUS.
        with(header(0, [2, 0, 0, 0]), www),                        // Two questions announced.
        with(header(0, [1, 0, 0, 1]), www),                        // A record announced.
        with(header(0, [1, 0, 0, 0]), b"\xc0\x0c\0\x01\0\x01"),    // A pointer to itself.
    ]
}

/// What the worker says by itself.
fn expected(
    snapshot: &Arc<ArcSwap<Snapshot>>,
    packet: &[u8],
    address: SocketAddr,
    transport: Transport,
) -> Option<Vec<u8>> {
    let mut out = vec![0; usize::from(u16::MAX)];
    match Fixed(snapshot.clone()).worker().answer(packet, Peer { address, transport }, &mut out) {
        Reply::Send(len) => Some(out[..len].to_vec()),
        Reply::Drop => None,
    }
}

/// One by one: an answer to a packet that should have none would be taken for the next one's.
fn over_udp(server: SocketAddr, snapshot: &Arc<ArcSwap<Snapshot>>, packets: &[Vec<u8>]) {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    let mut reply = [0; 65_535];
    // The first packet once more at the end: nothing but its answer is left.
    for packet in packets.iter().chain(&packets[..1]) {
        socket.send(packet).unwrap();
        if let Some(expected) = expected(snapshot, packet, address, Transport::Udp) {
            let len = socket.recv(&mut reply).unwrap();
            assert_eq!(reply[..len], expected, "over UDP {server}");
        }
    }
}

/// All queries behind each other on one connection, their answers in the same order.
fn over_tcp(server: SocketAddr, snapshot: &Arc<ArcSwap<Snapshot>>, packets: &[Vec<u8>]) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let address = stream.local_addr().unwrap();
    // As many as the buffers of the connection hold, however large the answers.
    for some in packets.chunks(16) {
        let frames: Vec<u8> = some
            .iter()
            .flat_map(|packet| [&(packet.len() as u16).to_be_bytes()[..], packet].concat())
            .collect();
        stream.write_all(&frames).unwrap();
        for expected in some.iter().filter_map(|p| expected(snapshot, p, address, Transport::Tcp)) {
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply, expected, "over TCP {server}");
        }
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0, "nothing but the answers");
}
