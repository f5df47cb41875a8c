//! Answering allocates nothing: an allocator that counts, and every kind of query there is.

mod served;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use rhumb::chain::filters::KINDS;
use rhumb::engine::{Peer, Reply, Totals, Transport};
use served::{A, AAAA, Client, Served, State, packet};

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

const ZONE: &str = "\
$TTL 300
@ SOA ns1 admin 1 7200 900 1209600 60
@ NS ns1
@ NS ns2
@ MX 10 mail
ns1 A 192.0.2.1
ns1 AAAA 2001:db8::1
ns2 A 192.0.2.2
mail A 192.0.2.3
www A 192.0.2.4
long TXT \"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
long TXT \"1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
long TXT \"2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
long TXT \"3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
*.wild A 192.0.2.5
a.b.c.deep A 192.0.2.6
one CNAME two
two CNAME three
three CNAME www
away CNAME www.example.org.
steered CNAME geotarget-country
below NS ns.below
below NS ns.example.org.
ns.below A 192.0.2.7
below DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000
svc HTTPS 1 . alpn=h2
";

const NETWORKS: &str = "\
[[network]]
prefixes = ['81.0.0.0/8', '2a00::/16']
country = 'IE'
asn = 64500
[[network]]
prefixes = ['126.0.0.0/8', '2400::/16']
country = 'JP'
latitude = 35.6
longitude = 139.7
[[network]]
prefixes = ['12.0.0.0/9', '2600::/16']
country = 'US'
subdivision = 'CA'
";

/// One record for each filter, named after it, over PoPs that have every meta; and the two that must work.
fn chains() -> String {
    let mut text = String::new();
    for (number, (pop, country, region)) in [
        ("dublin", "IE", "EUROPE"),
        ("tokyo", "JP", "ASIAPAC"),
        ("oregon", "US", "US-WEST"),
        ("ohio", "US", "US-EAST"),
    ]
    .into_iter()
    .enumerate()
    {
        text += &format!("[pop.{pop}]\ncountry = '{country}'\nlatitude = 40.0\nlongitude = 1{number}.0\n");
        for (stack, weight) in [("haproxy", 100), ("envoy", 0)] {
            text += &format!(
                "[[pool.wss.answer]]\npop = '{pop}'\nstack = '{stack}'\nweight = {weight}\ngroup = '{region}'\n\
                 a = ['10.0.{number}.1', '10.0.{number}.2', '10.0.{number}.3']\n\
                 aaaa = ['fd00:{number}::1', 'fd00:{number}::2']\n\
                 meta = {{ georegion = '{region}', asn = 6450{number}, ip_prefixes = ['8{number}.0.0.0/8'], weight = {number}, \
                 priority = {number}, cost = 1.5, connections = 5{number}, low_watermark = 50, high_watermark = 53 }}\n"
            );
        }
    }
    let mut record = |name: &str, filters: &str| {
        text += &format!("[[record]]\nname = '{name}.example.com'\npool = 'wss'\nfilters = [{filters}]\n");
    };
    for kind in KINDS {
        let config = if kind.name == "shed_load" { "metric = 'connections'" } else { "" };
        let filter = format!("{{ filter = '{}', config = {{ {config} }} }}", kind.name);
        record(&kind.name.replace('_', "-"), &filter);
    }
    let shed = "{ filter = 'shed_load', config = { metric = 'connections' } }";
    let head = format!("'up', {shed}, 'geotarget_country'");
    record("primary", &format!("{head}, 'select_first_n'"));
    record(
        "backup",
        &format!(
            "{head}, {{ filter = 'select_first_n', config = {{ N = 3 }} }}, 'shuffle', 'select_first_n'"
        ),
    );
    record("*.any", "'geotarget_country'");
    text += "[[record]]\nname = 'alias.example.com'\nfilters = ['geotarget_country', 'select_first_n']\n";
    for (pop, target) in
        [("dublin", "www.example.com"), ("tokyo", "primary.example.com"), ("ohio", "x.example.org")]
    {
        text += &format!("[[record.answer]]\npop = '{pop}'\ncname = '{target}'\n");
    }
    text += "[[record]]\nname = 'everybody.example.com'\nfilters = ['shuffle']\n";
    text +=
        "[[record.answer]]\ncname = 'www.example.com'\n[[record.answer]]\ncname = 'primary.example.com'\n";
    text += "[[record]]\nname = 'round.example.com'\nfilters = []\n";
    text += "[[record.answer]]\ncname = 'round.example.com'\n";
    text
}

fn serve() -> Served {
    let config = "[geo]\nnetworks = 'networks.toml'\n[identity]\nid = 'n1'\nversion = 'v1'\n";
    Served::new(&[
        ("rhumb.toml", config.as_bytes()),
        ("networks.toml", NETWORKS.as_bytes()),
        ("zones/example.com.zone", ZONE.as_bytes()),
        ("filter-chains/all.toml", chains().as_bytes()),
    ])
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
        served.change(|answer, state| {
            change(answer.pop.as_deref().unwrap_or(""), answer.stack.as_deref().unwrap_or(""), state);
        });
        for packet in &packets {
            for (transport, peer) in
                [Transport::Udp, Transport::Tcp].into_iter().flat_map(|t| peers.map(|p| (t, p)))
            {
                let peer = Peer { address: peer, transport };
                let before = ALLOCATIONS.get();
                let reply = served.worker.answer(packet, peer, &mut out);
                let allocations = ALLOCATIONS.get() - before;
                assert_eq!(allocations, 0, "{label}: {packet:02x?} over {transport:?}");
                sent += u64::from(matches!(reply, Reply::Send(_)));
            }
        }
    }
    let mut totals = Totals::default();
    totals.add(&served.stats);
    let Totals {
        udp,
        tcp,
        dropped,
        noerror,
        nxdomain,
        refused,
        rejected,
        truncated,
        edns,
        ecs,
        scoped,
        steered,
        placed_by_resolver,
        placed_by_default: _,
        placed_by_nothing,
        bypassed,
        coins,
        spread,
        rung_down,
        rung_partly_drained,
        rung_drained,
    } = totals;
    // Every road was taken. There is no default place here.
    assert_eq!(udp + tcp, sent + 1 + dropped);
    for (number, count) in [
        udp,
        tcp,
        dropped,
        noerror,
        nxdomain,
        refused,
        rejected,
        truncated,
        edns,
        ecs,
        scoped,
        steered,
        placed_by_resolver,
        placed_by_nothing,
        bypassed,
        coins,
        spread,
        rung_down,
        rung_partly_drained,
        rung_drained,
    ]
    .into_iter()
    .enumerate()
    {
        assert!(count > 0, "counter {number}");
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
