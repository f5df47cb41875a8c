//! Answering allocates nothing: an allocator that counts, and every kind of query there is.

mod served;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use rhumb::chain::filters::KINDS;
use rhumb::engine::query_log::Sampler;
use rhumb::engine::{Peer, Reply, Totals, Transport, Worker};
use served::{A, AAAA, Client, Served, State, packet};
use support::project;

/// Counts what the calling thread asks of it: other tests' threads are none of our business.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it came; counting touches a thread-local
// without a destructor, which does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // Giving back is work too, and shows what was taken elsewhere.
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A small world with everything in it; what is missing there is not shown here.
fn serve() -> Served {
    let served = Served::load(&project().join("tests/data/world"));
    let snapshot = served.snapshot.load();
    for kind in KINDS {
        let name = format!("{}.example.com.", kind.name.replace('_', "-"));
        assert!(snapshot.records.iter().any(|record| record.name.to_string() == name), "no record {name}");
    }
    drop(snapshot);
    served
}

/// Every question worth asking: well-formed, malformed, and everything between.
fn packets(served: &Served) -> Vec<Vec<u8>> {
    let client = |text: &str| -> Client {
        let net: ipnet::IpNet = text.parse().unwrap();
        (net.addr(), net.prefix_len())
    };
    let mut clients: Vec<Option<Client>> = vec![None];
    for text in [
        "81.2.69.0/24",
        "126.1.0.0/16",
        "12.1.2.3/32",
        "9.0.0.0/8",
        "0.0.0.0/0",
        "2a00::/32",
        "2600:1::/56",
        "2002:5101::/32",
    ] {
        clients.push(Some(client(text)));
    }
    let snapshot = served.snapshot.load();
    let mut names: Vec<String> =
        snapshot.records.iter().map(|record| record.name.to_string().replace('*', "star")).collect();
    for label in [
        "",
        "www.",
        "nothing.",
        "x.wild.",
        "wild.",
        "deep.",
        "x.deep.",
        "long.",
        "one.",
        "away.",
        "loop.",
        "steered.",
        "below.",
        "x.y.below.",
        "svc.",
        "WwW.",
    ] {
        names.push(format!("{label}example.com"));
    }
    names.extend([
        "example.org".into(),
        ".".into(),
        "version.bind".into(),
        "id.server".into(),
        format!("{}example.com", "x.".repeat(120)),
    ]);
    let (soa, txt, ds, axfr, any) = (6, 16, 43, 252, 255);
    let mut packets = Vec::new();
    for name in &names {
        for qtype in [A, AAAA, 5, soa, txt, 2, 15, 65, ds, axfr, any, 65_280] {
            packets.extend(clients.iter().map(|client| packet(name, qtype, *client)));
        }
    }
    let good = packet("primary.example.com", A, Some(client("81.2.69.0/24")));
    // Every octet of a query wrong in turn, and every query cut short: FORMERR, BADVERS, NOTIMP, drops.
    for at in 0..good.len() {
        packets.push(good[..at].to_vec());
        for wrong in [0, 1, 0x80, 0xC0, 0xFF] {
            let mut bad = good.clone();
            bad[at] ^= wrong;
            packets.push(bad);
        }
    }
    // Class CH, NSID, and a buffer of 512 octets for what is long.
    for name in ["version.bind", "id.server"] {
        let mut chaos = packet(name, txt, None);
        *chaos.last_mut().unwrap() = 3;
        packets.push(chaos);
    }
    let mut nsid = packet("www.example.com", A, None);
    nsid[11] = 1;
    nsid.extend_from_slice(&[0, 0, 41, 4, 0xD0, 0, 0, 0x80, 0, 0, 4, 0, 3, 0, 0]);
    packets.push(nsid);
    packets
}

type Change = fn(&str, &str, &mut State);

#[test]
fn answering_allocates_nothing() {
    let mut served = serve();
    // Every second query is for the log, whose ring is soon full; some is taken on the way.
    let (sampler, mut entries) = Sampler::new(2, 4096, 7);
    served.worker = Worker::new(served.snapshot.clone(), served.stats.clone(), 7).with_log(sampler);
    let packets = packets(&served);
    assert!(packets.len() > 3000);
    let states: [(&str, Change); 6] = [
        ("as it is", |_, _, _| {}),
        ("Dublin drained by 30 %", |pop, _, state| state.drained = if pop == "dublin" { 30 } else { 0 }),
        ("splits", |_, stack, state| state.split = if stack == "envoy" { 10.0 } else { 90.0 }),
        ("everything drained by half, with splits", |_, _, state| {
            state.drained = 50;
            state.split = 1.0;
        }),
        ("everything drained", |_, _, state| state.drained = 100),
        ("everything down", |_, _, state| state.meta.up.verdict = Some(false)),
    ];
    let peers = ["192.0.2.1:53", "[2001:db8::1]:4053", "81.2.69.1:1", "192.0.2.1:0", "224.0.0.1:53"];
    let peers = peers.map(|peer| peer.parse::<SocketAddr>().unwrap());
    let mut out = vec![0; 65_535];
    // A thread's first look at the snapshot makes its place in arc-swap's list, once.
    let peer = Peer { address: peers[0], transport: Transport::Udp };
    served.worker.answer(&packets[0], peer, &mut out);
    let mut sent = 0;
    for (label, change) in states {
        std::iter::from_fn(|| entries.pop().ok()).for_each(drop);
        served.change(|answer, state| {
            change(answer.pop.as_deref().unwrap_or(""), answer.stack.as_deref().unwrap_or(""), state);
        });
        for packet in &packets {
            for (transport, peer) in
                [Transport::Udp, Transport::Tcp].into_iter().flat_map(|t| peers.map(|p| (t, p)))
            {
                let peer = Peer { address: peer, transport };
                let before = ALLOCATIONS.get();
                served.worker.look_ahead(std::iter::once(&packet[..]));
                let reply = served.worker.answer(packet, peer, &mut out);
                let allocations = ALLOCATIONS.get() - before;
                assert_eq!(allocations, 0, "{label}: {packet:02x?} over {transport:?}");
                sent += u64::from(matches!(reply, Reply::Send(_)));
            }
        }
    }
    let mut totals = Totals::default();
    totals.add(&served.stats.tally);
    assert_eq!(totals.udp + totals.tcp, sent + 1 + totals.dropped);
    // Every road was taken, but the one by a default place: there is none here.
    let roads = serde_json::to_value(totals).unwrap();
    for (road, count) in roads.as_object().unwrap() {
        assert!(count.as_u64() > Some(0) || road == "placed_by_default", "{road}");
    }
}

/// The counter counts: a test that cannot fail is worse than none.
#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    let address: Box<IpAddr> = Box::new("192.0.2.1".parse().unwrap());
    assert_eq!(ALLOCATIONS.get() - before, 1);
    drop(std::hint::black_box(address));
    assert_eq!(ALLOCATIONS.get() - before, 2);
}
