//! The listeners over real sockets on loopback, with a toy instead of the engine.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use rhumb::engine::{Peer, Reply, Transport};
use rhumb::listeners::{self, Answer, Bound, Listen, ListenerConfig, Running};
use socket2::{Domain, Socket, Type};

/// Longer than any machine is busy: reached only when the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a query back with QR set and its thread's number in the flags' second byte; the text after the
/// header may ask for something else.
#[derive(Clone)]
struct Toy {
    thread: u8,
    answered: Option<mpsc::Sender<()>>,
}

impl Answer for Toy {
    fn answer(&mut self, message: &mut [u8], query: usize, peer: Peer) -> Reply {
        assert!(peer.address.ip().is_loopback() && peer.address.port() != 0);
        assert!(message.len() >= if peer.transport == Transport::Udp { 4096 } else { 65_535 });
        let length = match message[..query].get(12..) {
            None | Some(b"drop") => return Reply::Drop,
            Some(b"panic") => panic!("the toy was asked to"),
            Some(b"big") => 60_000,
            Some(_) => query,
        };
        message[2] |= 0x80;
        message[3] = self.thread;
        self.answered.iter().for_each(|answered| answered.send(()).unwrap());
        Reply::Send(length)
    }
}

/// A query with this number and text.
fn query(id: u16, text: &str) -> Vec<u8> {
    let mut query = vec![0; 12];
    query[..2].copy_from_slice(&id.to_be_bytes());
    query.extend_from_slice(text.as_bytes());
    query
}

/// The answer's number and text.
fn read(answer: &[u8]) -> (u16, String) {
    assert_eq!(answer[2], 0x80, "QR is set");
    (u16::from_be_bytes([answer[0], answer[1]]), String::from_utf8_lossy(&answer[12..]).into_owned())
}

fn config(addresses: &[&str]) -> ListenerConfig {
    let listen = |address: &&str| Listen { address: address.parse().unwrap(), written: true };
    let mut config =
        ListenerConfig { listen: addresses.iter().map(listen).collect(), ..ListenerConfig::default() };
    config.udp.threads = 2;
    config.tcp.idle_timeout = PATIENCE;
    config.tcp.write_timeout = PATIENCE;
    config
}

fn start(bound: Bound) -> Running {
    bound.start(|thread, _| Toy { thread: thread as u8, answered: None }).unwrap()
}

/// Serves on a port of 127.0.0.1.
fn serve(change: impl FnOnce(&mut ListenerConfig)) -> (Running, SocketAddr) {
    let mut config = config(&["127.0.0.1:0"]);
    change(&mut config);
    let bound = listeners::bind(&config).unwrap();
    let address = bound.local_addresses().next().unwrap();
    (start(bound), address)
}

fn udp(local: &str) -> UdpSocket {
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn ask_udp(server: SocketAddr, text: &str) -> (u16, String) {
    let socket = udp(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
    socket.connect(server).unwrap();
    socket.send(&query(9, text)).unwrap();
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).unwrap();
    read(&answer[..length])
}

fn tcp(server: SocketAddr) -> TcpStream {
    tcp_from(Ipv4Addr::LOCALHOST, server)
}

fn tcp_from(local: Ipv4Addr, server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((local, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn read_frame(stream: &mut TcpStream) -> (u16, String) {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer).unwrap();
    read(&answer)
}

fn ask_tcp(stream: &mut TcpStream, text: &str) -> (u16, String) {
    stream.write_all(&frame(&query(9, text))).unwrap();
    read_frame(stream)
}

/// The server has closed, by an end of stream or by a reset.
fn assert_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("still open: {other:?}"),
    }
}

#[test]
fn every_address_serves_both_transports() {
    let mut config = config(&["127.0.0.1:0", "127.0.0.3:0"]);
    // A machine without IPv6 tests IPv4.
    config.listen.push(Listen { address: "[::1]:0".parse().unwrap(), written: false });
    let bound = listeners::bind(&config).unwrap();
    let addresses: Vec<_> = bound.local_addresses().collect();
    assert_eq!(addresses.len() + bound.warnings().len(), 3);
    let running = start(bound);
    for &address in &addresses {
        assert_eq!(ask_udp(address, "hello"), (9, "hello".into()), "{address}");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(ask_tcp(&mut stream, "hello"), (9, "hello".into()), "{address}");
    }
    let counters = running.counters().clone();
    running.stop();
    assert_eq!(counters.udp.len(), 2 * addresses.len());
    assert_eq!(counters.udp_totals().sent, addresses.len() as u64);
    assert_eq!(counters.tcp.accepted.get(), addresses.len() as u64);
    assert_eq!(counters.tcp.answered.get(), addresses.len() as u64);
}

/// On a wildcard socket, whole batches of queries to many of our addresses: each answer comes from the
/// address its query was sent to.
#[test]
fn answers_leave_from_the_address_that_was_asked() {
    for (wildcard, ours) in [("0.0.0.0:0", Some(2..10u8)), ("[::]:0", None)] {
        let mut config = config(&[]);
        config.listen = vec![Listen { address: wildcard.parse().unwrap(), written: false }];
        config.udp.threads = 1;
        let bound = listeners::bind(&config).unwrap();
        let Some(port) = bound.local_addresses().next().map(|address| address.port()) else { continue };
        let running = start(bound);
        // Left to itself, the kernel would answer a client here from the client's own address.
        let client = udp(if ours.is_some() { wildcard } else { "[::1]:0" });
        let addresses: Vec<IpAddr> = match ours {
            Some(last) => last.map(|last| Ipv4Addr::new(127, 0, 0, last).into()).collect(),
            None => addresses_of_ipv6(),
        };
        let mut asked = BTreeSet::new();
        for id in 0..64 {
            let to = SocketAddr::new(addresses[usize::from(id) % addresses.len()], port);
            client.send_to(&query(id, "from"), to).unwrap();
            asked.insert((id, to));
        }
        while !asked.is_empty() {
            let mut answer = [0; 4096];
            let (length, from) = client.recv_from(&mut answer).unwrap();
            let (id, _) = read(&answer[..length]);
            assert!(asked.remove(&(id, from)), "{id} was answered from {from}");
        }
        running.stop();
    }
}

/// The IPv6 addresses of this machine that are the same on every link: `::1`, and what else it has been given.
fn addresses_of_ipv6() -> Vec<IpAddr> {
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap();
    let address = |line: &str| Ipv6Addr::from(u128::from_str_radix(&line[..32], 16).unwrap());
    let addresses = table.lines().map(address).filter(|address| !address.is_unicast_link_local());
    addresses.map(IpAddr::from).collect()
}

#[test]
fn udp_drops_what_it_is_told_to() {
    let (running, server) = serve(|config| config.udp.threads = 1);
    let client = udp("127.0.0.1:0");
    client.connect(server).unwrap();
    for (id, text) in [(1, "drop"), (2, &*"long".repeat(2_000)), (3, "answer")] {
        client.send(&query(id, text)).unwrap();
    }
    client.send(&[]).unwrap();
    client.send(&query(4, "answer")).unwrap();
    let mut answer = [0; 4096];
    for id in [3, 4] {
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(read(&answer[..length]), (id, "answer".into()));
    }
    let counters = running.counters().clone();
    running.stop();
    let udp = &counters.udp[0];
    assert_eq!((udp.received.get(), udp.sent.get(), udp.too_long.get()), (5, 2, 1));
    assert_eq!((udp.send_errors.get(), udp.receive_errors.get()), (0, 0));
}

#[test]
fn many_threads_share_a_port() {
    let (running, server) = serve(|config| (config.udp.threads, config.udp.pin) = (4, true));
    let clients: Vec<_> = (0..64).map(|_| udp("127.0.0.1:0")).collect();
    for client in &clients {
        client.send_to(&query(1, "who"), server).unwrap();
    }
    let mut threads = BTreeSet::new();
    for client in &clients {
        let mut answer = [0; 64];
        client.recv(&mut answer).unwrap();
        threads.insert(answer[3]);
    }
    // All 64 on the same of 4 threads: once in 4^63 runs.
    assert!(threads.len() > 1 && threads.iter().all(|&thread| thread < 4), "{threads:?}");
    running.stop();
}

/// Thread n of each address is on the n-th core of those the process may run on, counted round; without
/// `pin_threads` on any of them.
#[test]
fn threads_are_pinned_where_that_is_asked() {
    let cores = cores();
    for pin in [true, false] {
        let mut config = config(&["127.0.0.1:0", "127.0.0.3:0"]);
        (config.udp.threads, config.udp.pin) = (3, pin);
        let (told, tell) = mpsc::channel();
        let make = move |thread, transport| {
            told.send((transport, thread, self::cores())).unwrap();
            Toy { thread: thread as u8, answered: None }
        };
        let running = listeners::bind(&config).unwrap().start(make).unwrap();
        for _ in 0..7 {
            let (transport, thread, its) = tell.recv_timeout(PATIENCE).unwrap();
            let is_pinned = pin && transport == Transport::Udp;
            let expect = if is_pinned { vec![cores[thread % 3 % cores.len()]] } else { cores.clone() };
            assert_eq!(its, expect, "{transport:?} {thread}");
        }
        running.stop();
    }
}

/// The cores this thread may run on.
fn cores() -> Vec<usize> {
    // SAFETY: a cpu_set_t is a bit field, whose zero is the empty set; the kernel writes at most its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set), 0);
        (0..libc::CPU_SETSIZE as usize).filter(|&core| libc::CPU_ISSET(core, &set)).collect()
    }
}

#[test]
fn a_panic_is_survived() {
    let (running, server) = serve(|config| config.udp.threads = 1);
    udp("127.0.0.1:0").send_to(&query(1, "panic"), server).unwrap();
    let mut stream = tcp(server);
    stream.write_all(&frame(&query(1, "panic"))).unwrap();
    assert_closed(&mut stream);
    assert_eq!(ask_tcp(&mut tcp(server), "still here"), (9, "still here".into()));
    // The panic may take this query with it, when it is in the same batch; not the next.
    let client = udp("127.0.0.1:0");
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = [0; 64];
    let answered = (0..300).any(|id| {
        client.send_to(&query(id, "still here"), server).unwrap();
        client.recv(&mut answer).is_ok()
    });
    assert!(answered);
    let counters = running.counters().clone();
    running.stop();
    assert_eq!((counters.udp[0].panics.get(), counters.tcp.panics.get()), (1, 1));
}

#[test]
fn tcp_answers_in_order_however_the_stream_is_cut() {
    let (running, server) = serve(|_| {});
    let queries: Vec<_> = (0..40u16).map(|id| (id, "x".repeat(usize::from(id) * 7))).collect();
    let stream: Vec<u8> = queries.iter().flat_map(|(id, text)| frame(&query(*id, text))).collect();
    for cut in [1, 2, 3, 13, 100, 1000, stream.len()] {
        let mut client = tcp(server);
        client.set_nodelay(true).unwrap();
        for part in stream.chunks(cut) {
            client.write_all(part).unwrap();
        }
        for expected in &queries {
            assert_eq!(&read_frame(&mut client), expected, "cut to {cut}");
        }
    }
    // The longest there is, several at once, with silence between two answers.
    let mut client = tcp(server);
    let longest = "y".repeat(65_535 - 12);
    for text in ["drop", &longest, "drop", "z"] {
        client.write_all(&frame(&query(5, text))).unwrap();
    }
    assert_eq!(read_frame(&mut client), (5, longest));
    assert_eq!(read_frame(&mut client), (5, "z".into()));
    running.stop();
}

#[test]
fn a_frame_that_cannot_be_a_query_ends_the_connection() {
    let (running, server) = serve(|_| {});
    for length in [0, 1, 11] {
        let mut client = tcp(server);
        client.write_all(&[frame(&query(1, "first")), frame(&vec![0; length])].concat()).unwrap();
        assert_eq!(read_frame(&mut client), (1, "first".into()));
        assert_closed(&mut client);
    }
    let counters = running.counters().clone();
    running.stop();
    assert_eq!((counters.tcp.malformed.get(), counters.tcp.received.get()), (3, 3));
}

#[test]
fn idle_and_half_said_things_end_in_time() {
    let (running, server) = serve(|config| config.tcp.idle_timeout = Duration::from_millis(100));
    for said in [&[][..], &[0], &[0, 12], &frame(&query(1, "not all"))[..10]] {
        let mut client = tcp(server);
        client.write_all(said).unwrap();
        assert_closed(&mut client);
    }
    // A byte now and then does not help: the query as a whole must be there in time.
    let mut client = tcp(server);
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    client.write_all(&60_000u16.to_be_bytes()).unwrap();
    let mut open = 0;
    while client.write_all(&[0]).is_ok() && client.read(&mut [0]).is_err_and(is_timeout) {
        open += 1;
        assert!(open < 30_000);
    }
    let counters = running.counters().clone();
    running.stop();
    assert_eq!(counters.tcp.timed_out.get(), 5);
}

fn is_timeout(error: std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn a_client_displaces_its_own_at_its_limit() {
    let (running, server) = serve(|config| config.tcp.connections_per_client = 2);
    let mut other = tcp_from(Ipv4Addr::new(127, 0, 0, 2), server);
    assert_eq!(ask_tcp(&mut other, "a"), (9, "a".into()));
    let (mut first, mut second) = (tcp(server), tcp(server));
    assert_eq!(ask_tcp(&mut second, "b"), (9, "b".into()));
    assert_eq!(ask_tcp(&mut first, "c"), (9, "c".into()));
    let mut third = tcp(server);
    assert_eq!(ask_tcp(&mut third, "d"), (9, "d".into()));
    assert_closed(&mut second);
    for (stream, text) in [(&mut other, "e"), (&mut first, "f"), (&mut third, "g")] {
        assert_eq!(ask_tcp(stream, text), (9, text.into()));
    }
    let counters = running.counters().clone();
    running.stop();
    assert_eq!(counters.tcp.displaced.get(), 1);
}

#[test]
fn an_idle_flood_locks_nobody_out() {
    let (running, server) = serve(|config| config.tcp.connections = 50);
    let flood: Vec<_> =
        (0..200).map(|n| tcp_from(Ipv4Addr::new(127, 0, 1, (n % 100) as u8 + 1), server)).collect();
    assert_eq!(ask_udp(server, "over UDP"), (9, "over UDP".into()));
    let mut client = tcp(server);
    assert_eq!(ask_tcp(&mut client, "over TCP"), (9, "over TCP".into()));
    for mut idle in flood.into_iter().take(100) {
        assert_closed(&mut idle);
    }
    let counters = running.counters().clone();
    running.stop();
    assert_eq!((counters.tcp.accepted.get(), counters.tcp.displaced.get()), (201, 151));
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let (running, server) = serve(|config| config.tcp.write_timeout = Duration::from_millis(100));
    let mut client = tcp(server);
    // Our writes end when the server's answers have filled every buffer and it resets the connection.
    let queries = frame(&query(1, "big")).repeat(1_000);
    let error = loop {
        if let Err(error) = client.write_all(&queries) {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_eq!(ask_tcp(&mut tcp(server), "next"), (9, "next".into()));
    let counters = running.counters().clone();
    running.stop();
    assert_eq!(counters.tcp.cut_off.get(), 1);
}

#[test]
fn stop_sends_the_answers_on_their_way_and_gives_the_port_back() {
    // An address of its own, so that no other test takes the port before we do again.
    let bound = listeners::bind(&config(&["127.0.0.77:0"])).unwrap();
    let server = bound.local_addresses().next().unwrap();
    let (answered, wait) = mpsc::channel();
    let running = bound.start(move |_, _| Toy { thread: 0, answered: Some(answered.clone()) }).unwrap();
    let (mut busy, mut idle) = (tcp(server), tcp(server));
    busy.write_all(&frame(&query(7, "big"))).unwrap();
    wait.recv_timeout(PATIENCE).unwrap();
    running.stop();
    assert_eq!(read_frame(&mut busy).0, 7);
    assert_closed(&mut busy);
    assert_closed(&mut idle);
    let again = listeners::bind(&config(&[&server.to_string()])).unwrap();
    start(again).stop();
}

#[test]
fn what_cannot_be_bound_is_said_all_at_once() {
    let (running, server) = serve(|_| {});
    let taken = server.to_string();
    let errors = listeners::bind(&config(&[&taken, "127.0.0.1:0", "192.0.2.1:5300"])).err().unwrap();
    let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2);
    assert!(
        said[0].starts_with(&format!("cannot listen on {taken} (TCP): Address already in use")),
        "{said:?}"
    );
    assert!(said[0].contains("`ss -lntup` shows which"), "{said:?}");
    assert!(said[1].contains("192.0.2.1:5300") && said[1].contains("no such address"), "{said:?}");

    // UDP alone is taken, too.
    let held = udp("127.0.0.78:0");
    let errors = listeners::bind(&config(&[&held.local_addr().unwrap().to_string()])).err().unwrap();
    assert_eq!((errors.len(), errors[0].transport), (1, Transport::Udp));

    // An address nobody wrote is only worth a warning.
    let mut default = config(&["127.0.0.1:0"]);
    default.listen.push(Listen { address: "192.0.2.1:5300".parse().unwrap(), written: false });
    let bound = listeners::bind(&default).unwrap();
    assert_eq!((bound.local_addresses().count(), bound.warnings().len()), (1, 1));
    running.stop();
}
