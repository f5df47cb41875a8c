//! The rules of the wire, by packets of every kind: what is answered, with what, and what is not.
//!
//! Packets are written as [`assemble`] reads them; [`verdict`] says what became of one. `oracle` holds what
//! we read and write against hickory-proto.

mod oracle;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use rhumb::engine::{Peer, Reply, Snapshot, Stats, Transport, Worker};
use rhumb::wire::{Name, Qname, Query};
use support::{Folder, response};

const ZONE: &str = r#"$TTL 1h
@       SOA     ns1 hostmaster 7 2h 15m 14d 5m
        NS      ns1
ns1     A       192.0.2.53
www     A       192.0.2.1
cut     NS      ns.example.net.
"#;

const CHAINS: &str = r#"
[[record]]
name = "app.example.com"
filters = ["geotarget_country", "select_first_n"]
[[record.answer]]
a = "192.0.2.10"
meta = { country = "IE" }
[[record.answer]]
a = "192.0.2.20"
meta = { country = "JP" }
"#;

const NETWORKS: &str = r#"
[[network]]
prefixes = ["10.1.0.0/16", "2001:db8:1::/48"]
country = "IE"
[[network]]
prefixes = ["10.3.0.0/16", "2001:db8:3::/48"]
country = "JP"
"#;

type Served = Arc<ArcSwap<Snapshot>>;

/// A server that says nothing of itself.
static HIDDEN: LazyLock<Served> = LazyLock::new(|| serve(""));
/// One that says what it is called and what it runs.
static SHOWN: LazyLock<Served> = LazyLock::new(|| serve("id = \"ns1\"\nversion = \"rhumb test\"\n"));

fn serve(identity: &str) -> Served {
    let folder = Folder::new();
    let config = format!("[geo]\nnetworks = \"networks.toml\"\n[identity]\n{identity}");
    folder.write("rhumb.toml", config);
    folder.write("zones/example.com.zone", ZONE);
    folder.write("filter-chains/chains.toml", CHAINS);
    folder.write("networks.toml", NETWORKS);
    let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems:#?}"));
    Arc::new(ArcSwap::from_pointee(loaded.snapshot))
}

fn ask(served: &Served, packet: &[u8], from: &str, transport: Transport) -> Option<Vec<u8>> {
    let mut worker = Worker::new(served.clone(), Arc::new(Stats::default()), 0);
    let address: SocketAddr = from.parse().unwrap();
    let mut out = vec![0; usize::from(u16::MAX)];
    match worker.answer(packet, Peer { address, transport }, &mut out) {
        Reply::Send(len) => Some(out[..len].to_vec()),
        Reply::Drop => None,
    }
}

/// A packet from text: names (which have a dot) become their wire form, `len(...)` the octets inside with
/// their count in two octets in front, everything else is hexadecimal. `|` only guides the eye.
fn assemble(text: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut open = Vec::new();
    for word in text.split_whitespace() {
        match word {
            "|" => {}
            "len(" => {
                open.push(packet.len());
                packet.extend([0, 0]);
            }
            ")" => {
                let at = open.pop().expect("a bracket was opened");
                let octets = (packet.len() - at - 2) as u16;
                packet[at..at + 2].copy_from_slice(&octets.to_be_bytes());
            }
            name if name.contains('.') => packet.extend(name.parse::<Name>().unwrap().as_wire()),
            hex => {
                let nibbles = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
                packet.extend(nibbles.map(|pair| {
                    assert_eq!(pair.len(), 2, "half an octet in {hex}");
                    u8::from_str_radix(pair, 16).unwrap_or_else(|e| panic!("{hex}: {e}"))
                }));
            }
        }
    }
    packet
}

/// What became of a packet: `dropped`, or the response code, the flags, and what the message has of
/// `question`, `opt` (`do`, `nsid`), `ecs=source/scope`, and records by section. What every reply keeps to
/// is held against it.
fn verdict(packet: &[u8], reply: Option<&[u8]>) -> String {
    let Some(reply) = reply else { return "dropped".into() };
    let message = check_reply(packet, reply);
    let header = &message.metadata;
    let mut words = vec![
        match header.response_code {
            ResponseCode::NoError => "NOERROR",
            ResponseCode::FormErr => "FORMERR",
            ResponseCode::NXDomain => "NXDOMAIN",
            ResponseCode::NotImp => "NOTIMP",
            ResponseCode::Refused => "REFUSED",
            ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS",
            other => panic!("{other:?}"),
        }
        .to_string(),
    ];
    let mut have = |has: bool, word: &str| words.extend(has.then(|| word.to_string()));
    have(header.authoritative, "aa");
    have(header.truncation, "tc");
    have(header.recursion_desired, "rd");
    have(header.checking_disabled, "cd");
    have(!message.queries.is_empty(), "question");
    if let Some(edns) = &message.edns {
        assert_eq!((edns.version(), edns.flags().z), (0, 0));
        assert_eq!(edns.max_payload(), 1232);
        have(true, "opt");
        have(edns.flags().dnssec_ok, "do");
        for (code, option) in edns.options().as_ref() {
            match (code, option) {
                (EdnsCode::NSID, EdnsOption::NSID(id)) => {
                    have(true, &format!("nsid={}", id.as_ref().escape_ascii()));
                }
                (EdnsCode::Subnet, _) => {}
                other => panic!("{other:?} was not asked for"),
            }
        }
    }
    if let Some(subnet) = response::subnet(&message) {
        have(true, &format!("ecs={}/{}", subnet.source_prefix(), subnet.scope_prefix()));
    }
    for (records, section) in [
        (&message.answers, "answer"),
        (&message.authorities, "authority"),
        (&message.additionals, "additional"),
    ] {
        have(!records.is_empty(), &format!("{section}={}", records.len()));
    }
    words.join(" ")
}

/// What every reply to any packet keeps to.
fn check_reply(packet: &[u8], reply: &[u8]) -> Message {
    assert!(packet.len() > 12 && packet[2] & 0x80 == 0, "a reply to what is no query");
    let message = Message::from_vec(reply).unwrap_or_else(|e| panic!("{e}: {reply:02x?}"));
    assert_eq!(message.metadata.message_type, MessageType::Response);
    assert_eq!(reply[..2], packet[..2], "the ID");
    assert_eq!(reply[2] >> 3 & 0xF, packet[2] >> 3 & 0xF, "the opcode");
    assert_eq!(reply[2] & 1, packet[2] & 1, "RD");
    assert_eq!(reply[3] & 0xE0, 0, "RA, Z and AD are 0");
    let mut qname = Qname::default();
    let parsed = Query::parse(packet, &mut qname);
    if !message.queries.is_empty() {
        assert_eq!(message.queries.len(), 1);
        let end = 12 + qname.wire_len() + 4;
        assert_eq!(reply[12..end], packet[12..end], "the question, case and all");
    }
    // Nothing malformed is amplified.
    if !matches!(&parsed, Ok(Query { edns: Ok(_), .. })) {
        assert!(reply.len() <= packet.len(), "{} octets for {}", reply.len(), packet.len());
        assert!(message.answers.is_empty() && message.authorities.is_empty());
    }
    message
}

/// A query of class IN by the shown server over UDP, from its parts.
fn check(packet: &str, expect: &str) {
    check_with(&SHOWN, packet, "198.51.100.53:53000", Transport::Udp, expect);
}

fn check_with(served: &Served, text: &str, from: &str, transport: Transport, expect: &str) {
    let packet = assemble(text);
    let reply = ask(served, &packet, from, transport);
    assert_eq!(verdict(&packet, reply.as_deref()), expect, "{text}");
}

/// Header of a query for one name, without and with one additional record.
const QUERY: &str = "1234 0000 0001 0000 0000 0000 |";
const EDNS: &str = "1234 0000 0001 0000 0000 0001 |";
/// The question, and an OPT record up to its data.
const WWW: &str = "www.example.com. 0001 0001 |";
const OPT: &str = "00 0029 04d0 00 00 0000";

/// A query for www with an OPT record of these options.
fn with_options(options: &str) -> String {
    format!("{EDNS} {WWW} {OPT} len( {options} )")
}

/// A query for the steered name with a Client Subnet option of this data.
fn with_subnet(data: &str) -> String {
    format!("{EDNS} app.example.com. 0001 0001 | {OPT} len( 0008 len( {data} ) )")
}

#[test]
fn plain_queries() {
    check(&format!("{QUERY} {WWW}"), "NOERROR aa question answer=1");
    check(&format!("{QUERY} WwW.ExAmPlE.cOm. 0001 0001"), "NOERROR aa question answer=1");
    check(&format!("{QUERY} nothing.example.com. 0001 0001"), "NXDOMAIN aa question authority=1");
    check(&format!("{QUERY} www.example.org. 0001 0001"), "REFUSED question");
    check(&format!("{QUERY} . 0002 0001"), "REFUSED question");
    check(&format!("{QUERY} x.cut.example.com. 0001 0001"), "NOERROR question authority=1");
    // RD and CD are copied, AD, RA and Z are not (RFC 1035 section 4.1.1, RFC 4035 section 3.1.6).
    check(&format!("1234 0130 0001 0000 0000 0000 | {WWW}"), "NOERROR aa rd cd question answer=1");
    check(&format!("1234 06ef 0001 0000 0000 0000 | {WWW}"), "NOERROR aa question answer=1");
    check(&format!("ffff 0000 0001 0000 0000 0000 | {WWW}"), "NOERROR aa question answer=1");
}

#[test]
fn edns() {
    check(&with_options(""), "NOERROR aa question opt answer=1");
    // DO is copied (RFC 3225 section 3), other flags are not (RFC 6891 section 6.1.4).
    check(&format!("{EDNS} {WWW} 00 0029 04d0 00 00 8000 0000"), "NOERROR aa question opt do answer=1");
    check(&format!("{EDNS} {WWW} 00 0029 04d0 00 00 7fff 0000"), "NOERROR aa question opt answer=1");
    // An extended RCODE means nothing in a query.
    check(&format!("{EDNS} {WWW} 00 0029 04d0 ff 00 0000 0000"), "NOERROR aa question opt answer=1");
    // Sizes below 512 mean 512 (RFC 6891 section 6.2.3).
    check(&format!("{EDNS} {WWW} 00 0029 0000 00 00 0000 0000"), "NOERROR aa question opt answer=1");
    // Unknown options are ignored and not echoed: a cookie, padding, one for experiments.
    check(
        &with_options("000a len( 0011223344556677 ) 000c len( 000000 ) fffe len( )"),
        "NOERROR aa question opt answer=1",
    );
    // The OPT record may stand anywhere in the additional section.
    let other = "www.example.com. 0001 0001 00000000 len( c0000201 )";
    let two = "1234 0000 0001 0000 0000 0002 |";
    check(&format!("{two} {WWW} {other} {OPT} 0000"), "NOERROR aa question opt answer=1");
    check(&format!("{two} {WWW} {OPT} 0000 {other}"), "NOERROR aa question opt answer=1");
    check(
        &format!("1234 0000 0001 0001 0001 0001 | {WWW} {other} {other} {OPT} 0000"),
        "NOERROR aa question opt answer=1",
    );
}

#[test]
fn edns_that_is_wrong() {
    // Versions above 0 (RFC 6891 section 6.1.3), whatever their options are.
    check(&format!("{EDNS} {WWW} 00 0029 04d0 00 01 0000 0000"), "BADVERS question opt");
    check(&format!("{EDNS} {WWW} 00 0029 04d0 00 ff 8000 0000"), "BADVERS question opt");
    check(
        &format!("{EDNS} {WWW} 00 0029 04d0 00 01 0000 len( 0008 len( 0001 18 00 0a0102 ) )"),
        "BADVERS question opt",
    );
    check(&format!("{EDNS} www.example.org. 0001 0001 00 0029 04d0 00 01 0000 0000"), "BADVERS question opt");
    // More than one (RFC 6891 section 6.1.1), one with a name, one in another section.
    let two = "1234 0000 0001 0000 0000 0002 |";
    check(&format!("{two} {WWW} {OPT} 0000 {OPT} 0000"), "FORMERR question");
    check(&format!("{two} {WWW} 00 0029 04d0 00 01 0000 0000 {OPT} 0000"), "FORMERR question");
    check(&format!("{EDNS} {WWW} x.example. 0029 04d0 00 00 0000 0000"), "FORMERR question");
    check(&format!("{EDNS} {WWW} c00c 0029 04d0 00 00 0000 0000"), "FORMERR question");
    check(&format!("1234 0000 0001 0001 0000 0000 | {WWW} {OPT} 0000"), "FORMERR question");
    check(&format!("1234 0000 0001 0000 0001 0000 | {WWW} {OPT} 0000"), "FORMERR question");
    // Options that go over the end of the record.
    check(&with_options("00"), "FORMERR question opt");
    check(&with_options("fffe00"), "FORMERR question opt");
    check(&with_options("fffe 0001"), "FORMERR question opt");
    check(&with_options("0003 0000 fffe 0005 00000000"), "FORMERR question opt");
}

#[test]
fn client_subnets() {
    check(&with_subnet("0001 18 00 0a0102"), "NOERROR aa question opt ecs=24/16 answer=1");
    check(&with_subnet("0001 20 00 0a010203"), "NOERROR aa question opt ecs=32/16 answer=1");
    check(&with_subnet("0001 00 00"), "NOERROR aa question opt ecs=0/0 answer=1");
    check(&with_subnet("0001 08 00 0a"), "NOERROR aa question opt ecs=8/16 answer=1");
    check(&with_subnet("0001 14 00 0a0110"), "NOERROR aa question opt ecs=20/16 answer=1");
    check(&with_subnet("0001 01 00 80"), "NOERROR aa question opt ecs=1/1 answer=1");
    check(&with_subnet("0002 38 00 20010db8000300"), "NOERROR aa question opt ecs=56/48 answer=1");
    check(&with_subnet("0002 00 00"), "NOERROR aa question opt ecs=0/0 answer=1");
    check(
        &with_subnet("0002 80 00 20010db8000100000000000000000001"),
        "NOERROR aa question opt ecs=128/48 answer=1",
    );
    // An IPv4-mapped address is where the IPv4 address is, 96 bits further down.
    let mapped = "0002 80 00 00000000000000000000ffff0a010203";
    check(&with_subnet(mapped), "NOERROR aa question opt ecs=128/112 answer=1");
    // Echoed with every response code it may stand beside, static data and referrals too, over TCP too.
    let asked = |question: &str| format!("{EDNS} {question} {OPT} len( 0008 len( 0001 18 00 0a0102 ) )");
    check(&asked("nothing.example.com. 0001 0001"), "NXDOMAIN aa question opt ecs=24/0 authority=1");
    check(&asked("www.example.org. 0001 0001"), "REFUSED question opt ecs=24/0");
    check(&asked(WWW), "NOERROR aa question opt ecs=24/0 answer=1");
    check(&asked("www.example.com. 000f 0001"), "NOERROR aa question opt ecs=24/0 authority=1");
    check(&asked("x.cut.example.com. 0001 0001"), "NOERROR question opt ecs=24/0 authority=1");
    check(&asked("example.com. 00fc 0001"), "REFUSED question opt ecs=24/0");
    check(&asked("www.example.com. 0001 0004"), "REFUSED question opt ecs=24/0");
    let steered = with_subnet("0001 18 00 0a0302");
    let tcp = "NOERROR aa question opt ecs=24/16 answer=1";
    check_with(&SHOWN, &steered, "198.51.100.53:53000", Transport::Tcp, tcp);
    // None without one in the query.
    check(&format!("{EDNS} app.example.com. 0001 0001 {OPT} 0000"), "NOERROR aa question opt answer=1");
    check(&format!("{QUERY} app.example.com. 0001 0001"), "NOERROR aa question answer=1");
}

/// FORMERR, with OPT and without the option, since what it says is not understood.
#[test]
fn client_subnets_that_are_wrong() {
    let wrong = |data: &str| check(&with_subnet(data), "FORMERR question opt");
    wrong("0000 00 00"); // Family 0.
    wrong("0000 18 00 0a0102");
    wrong("0003 18 00 0a0102"); // Unknown families.
    wrong("0100 18 00 0a0102");
    wrong("ffff 00 00");
    wrong("0001 18 00 0a01"); // Too short.
    wrong("0001 18 00");
    wrong("0001 20 00 0a0102");
    wrong("0001 18 00 0a010200"); // Too long.
    wrong("0001 00 00 00");
    wrong("0002 38 00 20010db800030000");
    wrong("0001 17 00 0a0101"); // Bits behind the prefix.
    wrong("0001 01 00 c0");
    wrong("0002 39 00 20010db80003000040");
    wrong("0001 18 01 0a0102"); // A scope in a query.
    wrong("0001 18 18 0a0102");
    wrong("0001 00 20");
    wrong("0001 21 00 0a01020300"); // Longer than addresses are.
    wrong("0001 ff 00 0a010203");
    wrong("0002 81 00 20010db800010000000000000000000100");
    wrong(""); // Cut off.
    wrong("00");
    wrong("0001");
    wrong("0001 18");
    // More than one, equal or not, and a good one beside a bad one.
    let two = |first: &str, second: &str| {
        let options = format!("0008 len( {first} ) 0008 len( {second} )");
        check(&with_options(&options), "FORMERR question opt");
    };
    two("0001 18 00 0a0102", "0001 18 00 0a0102");
    two("0001 18 00 0a0102", "0002 38 00 20010db8000300");
    two("0001 18 00 0a0102", "0001 18 00 0a01");
    // Outside of our zones, too.
    check(
        &format!("{EDNS} www.example.org. 0001 0001 | {OPT} len( 0008 len( 0001 18 00 0a01 ) )"),
        "FORMERR question opt",
    );
}

#[test]
fn identity() {
    let nsid = with_options("0003 0000");
    check(&nsid, "NOERROR aa question opt nsid=ns1 answer=1");
    // Content in a query's NSID is ignored (RFC 5001 section 2.1).
    check(&with_options("0003 len( 616263 )"), "NOERROR aa question opt nsid=ns1 answer=1");
    check(
        &with_options("0003 0000 0008 len( 0001 18 00 0a0102 )"),
        "NOERROR aa question opt nsid=ns1 ecs=24/0 answer=1",
    );
    check(
        &format!("{EDNS} www.example.org. 0001 0001 {OPT} len( 0003 0000 )"),
        "REFUSED question opt nsid=ns1",
    );
    let hidden = |packet: &str, expect: &str| {
        check_with(&HIDDEN, packet, "198.51.100.53:53000", Transport::Udp, expect);
    };
    hidden(&nsid, "NOERROR aa question opt answer=1");
    for (name, qtype) in [
        ("version.bind.", "0010"),
        ("version.server.", "0010"),
        ("id.server.", "0010"),
        ("hostname.bind.", "0010"),
        ("VERSION.Bind.", "0010"),
        ("id.server.", "00ff"),
    ] {
        let packet = format!("{QUERY} {name} {qtype} 0003");
        check(&packet, "NOERROR aa question answer=1");
        hidden(&packet, "REFUSED question");
    }
    check(&format!("{QUERY} version.bind. 0001 0003"), "NOERROR aa question");
    check(&format!("{QUERY} authors.bind. 0010 0003"), "REFUSED question");
    check(&format!("{QUERY} www.example.com. 0001 0003"), "REFUSED question");
    check(&format!("{QUERY} version.bind. 0010 0001"), "REFUSED question");
    let packet = assemble(&format!("{QUERY} version.bind. 0010 0003"));
    let reply = ask(&SHOWN, &packet, "198.51.100.53:53000", Transport::Udp).unwrap();
    let answer = Message::from_vec(&reply).unwrap().answers.remove(0);
    assert_eq!((answer.data.to_string(), answer.ttl), ("rhumb test".into(), 0));
    assert_eq!(answer.dns_class, hickory_proto::rr::DNSClass::CH);
}

#[test]
fn classes_and_types_that_are_refused() {
    check(&format!("{QUERY} www.example.com. 0001 0004"), "REFUSED question"); // HS.
    check(&format!("{QUERY} www.example.com. 0001 00ff"), "REFUSED question"); // ANY.
    check(&format!("{QUERY} www.example.com. 0001 00fe"), "REFUSED question"); // NONE.
    check(&format!("{QUERY} www.example.com. 0001 0000"), "REFUSED question");
    check(&format!("{QUERY} example.com. 00fc 0001"), "REFUSED question"); // AXFR.
    // IXFR, with the SOA it has.
    let soa = "example.com. 0006 0001 00000000 len( a. b. 00000001 00000002 00000003 00000004 00000005 )";
    check(&format!("1234 0000 0001 0000 0001 0000 | example.com. 00fb 0001 {soa}"), "REFUSED question");
    // Types that are no data of a zone.
    for meta in ["0029", "00f9", "00fa", "00fd", "00fe", "0000", "ffff"] {
        check(&format!("{QUERY} www.example.com. {meta} 0001"), "NOERROR aa question authority=1");
    }
}

#[test]
fn opcodes() {
    let header = |flags: &str| format!("1234 {flags} 0001 0000 0000 0000 | {WWW}");
    check(&header("2000"), "REFUSED"); // NOTIFY (RFC 1996).
    check(&header("2400"), "REFUSED");
    check(&header("2800"), "REFUSED"); // UPDATE (RFC 2136).
    check(&header("0800"), "NOTIMP"); // IQUERY (RFC 3425).
    check(&header("1000"), "NOTIMP"); // STATUS.
    check(&header("1800"), "NOTIMP");
    check(&header("3000"), "NOTIMP"); // DSO (RFC 8490).
    check(&header("7900"), "NOTIMP rd");
    // An UPDATE has other sections; what cannot be read behind the header does not matter.
    check("1234 2800 0001 0002 0001 0000 | example.com. 0006 0001 | ff", "REFUSED");
    check("1234 0800 0000 0001 0000 0000 | 00 0001 0001 00000000 0004 c0000201", "NOTIMP");
    check(&format!("1234 7800 ffff ffff ffff ffff | {WWW}"), "NOTIMP");
    check(&format!("1234 2000 0001 0000 0000 0000 | {WWW} ff"), "REFUSED");
    check("1234 2000 0001 0000 0000 0001 | c0", "REFUSED");
    check("1234 2000 0001 0000 0000 0001 | 00 0001", "REFUSED");
    // Only a bare header with one is dropped, as with any opcode.
    check("1234 7800 0000 0000 0000 0000", "dropped");
}

/// What asks with EDNS is answered with EDNS (RFC 6891 section 7), whatever else becomes of it.
#[test]
fn opcodes_with_edns() {
    let ecs = "len( 0008 len( 0001 18 00 0a0102 ) )";
    let with = |flags: &str, opt: &str| format!("1234 {flags} 0001 0000 0000 0001 | {WWW} {opt}");
    for (flags, rcode) in [("2000", "REFUSED"), ("2800", "REFUSED"), ("1000", "NOTIMP"), ("7800", "NOTIMP")] {
        let check = |opt: &str, expect: &str| check(&with(flags, opt), &format!("{rcode}{expect}"));
        check(&format!("{OPT} 0000"), " opt");
        check(&format!("{OPT} {ecs}"), " opt ecs=24/0");
        check("00 0029 04d0 00 00 8000 0000", " opt do");
        // An identity would be longer than what asks for it.
        check(&format!("{OPT} len( 0003 0000 )"), " opt");
        // What is wrong with the OPT record does not change the answer to the opcode.
        check("00 0029 04d0 00 01 0000 0000", " opt");
        check(&format!("{OPT} len( 0008 len( 0001 18 00 0a01 ) )"), " opt");
        check(&format!("{OPT} len( 00 )"), " opt");
        check(&format!("{OPT} 0000 00"), "");
        check(&format!("{OPT} 0001"), "");
    }
    // UPDATE: a zone, a prerequisite without data, something to add, and the OPT record.
    let zone = "example.com. 0006 0001";
    let (exists, add) =
        ("www.example.com. 00ff 00ff 00000000 0000", "c00c 0001 0001 00000e10 len( c0000201 )");
    let update = |opt: &str| format!("1234 2800 0001 0001 0001 0001 | {zone} {exists} {add} {opt}");
    check(&update(&format!("{OPT} 0000")), "REFUSED opt");
    check(&update(&format!("{OPT} {ecs}")), "REFUSED opt ecs=24/0");
    // No question, and several: their layout is the opcode's.
    check(&format!("1234 1000 0000 0000 0000 0001 | {OPT} 0000"), "NOTIMP opt");
    check(&format!("1234 1000 0002 0000 0000 0001 | {WWW} c00c 0001 0001 {OPT} 0000"), "NOTIMP opt");
    // Twice, and elsewhere than in the additional section: not to be read.
    check(&format!("1234 2000 0001 0000 0000 0002 | {WWW} {OPT} 0000 {OPT} 0000"), "REFUSED");
    check(&format!("1234 2000 0001 0001 0000 0000 | {WWW} {OPT} 0000"), "REFUSED");
    let query = with("2000", &format!("{OPT} {ecs}"));
    check_with(&HIDDEN, &query, "198.51.100.53:53000", Transport::Tcp, "REFUSED opt ecs=24/0");
}

#[test]
fn what_is_no_query_is_dropped() {
    check("", "dropped");
    check("00", "dropped");
    check("1234 0000 0001 0000 0000", "dropped");
    check("1234 0000 0001 0000 0000 0000", "dropped"); // The header alone.
    check("1234 0000 0000 0000 0000 0000", "dropped");
    // QR: a response to a response would never end.
    check(&format!("1234 8000 0001 0000 0000 0000 | {WWW}"), "dropped");
    check(&format!("1234 8180 0001 0000 0000 0000 | {WWW}"), "dropped");
    check(&format!("1234 a000 0001 0000 0000 0000 | {WWW}"), "dropped");
    check("1234 8000 0000 0000 0000 0000 | ff", "dropped");
    // Something behind the end.
    check(&format!("{QUERY} {WWW} 00"), "dropped");
    check(&format!("{QUERY} {WWW} {OPT} 0000"), "dropped");
    check(&format!("{} ff", with_options("")), "dropped");
    check(&format!("{QUERY} {WWW} {WWW}"), "dropped");
}

#[test]
fn who_is_no_single_host_is_not_answered() {
    let from = |address: &str, expect: &str| {
        check_with(&SHOWN, &format!("{QUERY} {WWW}"), address, Transport::Udp, expect);
    };
    let answered = "NOERROR aa question answer=1";
    from("192.0.2.1:0", "dropped");
    from("[2001:db8::1]:0", "dropped");
    from("224.0.0.251:5353", "dropped");
    from("239.255.255.255:53", "dropped");
    from("255.255.255.255:53", "dropped");
    from("0.0.0.0:53", "dropped");
    from("[ff02::fb]:5353", "dropped");
    from("[::]:53", "dropped");
    from("192.0.2.1:1", answered);
    from("192.0.2.1:53", answered);
    from("223.255.255.255:65535", answered);
    from("[fe80::1]:53", answered);
}

#[test]
fn questions_that_are_wrong() {
    // Other than one (RFC 9619).
    check(&format!("1234 0000 0000 0000 0000 0000 | {WWW}"), "FORMERR");
    check(&format!("1234 0000 0000 0000 0000 0001 | {OPT} 0000"), "FORMERR");
    check(&format!("1234 0000 0002 0000 0000 0000 | {WWW} {WWW}"), "FORMERR");
    check(&format!("1234 0100 ffff 0000 0000 0000 | {WWW}"), "FORMERR rd");
    // A pointer has nothing to point at in the first name: at itself, forwards, into the header.
    check(&format!("{QUERY} c00c 0001 0001"), "FORMERR");
    check(&format!("{QUERY} c010 0001 0001 00"), "FORMERR");
    check(&format!("{QUERY} c000 0001 0001"), "FORMERR");
    check(&format!("{QUERY} 03 777777 c00c 0001 0001"), "FORMERR");
    // Label types that do not exist (RFC 6891 section 5), and lengths over 63.
    check(&format!("{QUERY} 40 {} 00 0001 0001", "61".repeat(64)), "FORMERR");
    check(&format!("{QUERY} 80 00 0001 0001"), "FORMERR");
    check(&format!("{QUERY} 41 00 0001 0001"), "FORMERR");
    // Names of more than 255 octets; of 255 it is a name.
    let label = format!("3f {}", "61".repeat(63));
    let of_255 = format!("{label} {label} {label} 3d {} 00", "61".repeat(61));
    check(&format!("{QUERY} {of_255} 0001 0001"), "REFUSED question");
    let of_256 = format!("{label} {label} {label} 3e {} 00", "61".repeat(62));
    check(&format!("{QUERY} {of_256} 0001 0001"), "FORMERR");
    check(&format!("{QUERY} {} 00 0001 0001", "01 61 ".repeat(127)), "REFUSED question");
    check(&format!("{QUERY} {} 00 0001 0001", "01 61 ".repeat(128)), "FORMERR");
    check(&format!("{QUERY} {label} {label} {label} {label} {label} 00 0001 0001"), "FORMERR");
    // Cut off, anywhere.
    let whole = assemble(&format!("{QUERY} {WWW}"));
    for end in 13..whole.len() {
        let reply = ask(&SHOWN, &whole[..end], "198.51.100.53:53000", Transport::Udp);
        assert_eq!(verdict(&whole[..end], reply.as_deref()), "FORMERR", "{end}");
    }
}

#[test]
fn records_that_are_wrong() {
    // Cut off behind the question, anywhere: the question can be told back.
    let whole = assemble(&with_options("0003 0000 0008 len( 0001 18 00 0a0102 )"));
    let question_end = assemble(&format!("{EDNS} {WWW}")).len();
    for end in question_end..whole.len() {
        let reply = ask(&SHOWN, &whole[..end], "198.51.100.53:53000", Transport::Udp);
        assert_eq!(verdict(&whole[..end], reply.as_deref()), "FORMERR question", "{end}");
    }
    // Announced and not there.
    check(&format!("{EDNS} {WWW}"), "FORMERR question");
    check(&format!("1234 0000 0001 ffff ffff ffff | {WWW} {OPT} 0000"), "FORMERR question");
    // Owners that are no names.
    check(&format!("{EDNS} {WWW} 40 0001 0001 00000000 0000"), "FORMERR question");
    check(&format!("{EDNS} {WWW} 80 0001 0001 00000000 0000"), "FORMERR question");
    check(&format!("{EDNS} {WWW} 3f 0001 0001 00000000 0000"), "FORMERR question");
    // Data that go over the end.
    check(&format!("{EDNS} {WWW} 00 0029 04d0 00 00 0000 0001"), "FORMERR question");
    check(&format!("{EDNS} {WWW} 00 0029 04d0 00 00 0000 ffff 00"), "FORMERR question");
}
