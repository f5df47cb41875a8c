//! hickory-proto as the oracle for bytes: what it writes we read the same way, what we write it reads the
//! same way, and nothing a packet may be makes us say more than we should.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Question};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption, NSIDPayload};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, NULL, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name as HickoryName, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rhumb::engine::Transport;
use rhumb::wire::writer::{Rendered, Section, render};
use rhumb::wire::{Name, Qname, Query, Rcode, Writer};

use super::{SHOWN, ask, check_reply};

/// Labels that make names share suffixes, differ in case alone, or hold what no host name does.
const LABELS: [&[u8]; 9] = [b"www", b"WWW", b"example", b"com", b"a", b"app", b"\0.\\", b"*", &[b'x'; 63]];

fn name() -> impl Strategy<Value = HickoryName> {
    let of_zone = proptest::collection::vec(select(&LABELS[..]), 0..4).prop_map(|labels| {
        let below = labels.into_iter().filter(|label| label.len() < 63);
        labels_to_name(below.chain([&b"example"[..], b"com"]).collect())
    });
    let anywhere = proptest::collection::vec(select(&LABELS[..]), 0..7).prop_map(labels_to_name);
    let long = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..64), 0..4)
        .prop_map(|labels| labels_to_name(labels.iter().map(Vec::as_slice).collect()));
    prop_oneof![4 => of_zone, 2 => anywhere, 1 => long]
}

/// As many of the labels as a name holds.
fn labels_to_name(labels: Vec<&[u8]>) -> HickoryName {
    let mut octets = 1;
    let fits = labels.into_iter().take_while(|label| {
        octets += label.len() + 1;
        octets <= 255
    });
    HickoryName::from_labels(fits).unwrap()
}

/// The name's octets.
fn wire_of(name: &HickoryName) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire
}

fn subnet() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u32>(), 0u8..=32)
            .prop_map(|(bits, len)| IpNet::new(std::net::Ipv4Addr::from(bits).into(), len)),
        (any::<u128>(), 0u8..=128)
            .prop_map(|(bits, len)| IpNet::new(std::net::Ipv6Addr::from(bits).into(), len)),
        (any::<u16>(), 16u8..=32).prop_map(|(bits, len)| IpNet::new(
            std::net::Ipv4Addr::from(0x0A00_0000 | u32::from(bits) << 8).into(),
            len
        )),
    ]
    .prop_map(|net| net.unwrap().trunc())
}

fn edns() -> impl Strategy<Value = Edns> {
    let unknown = (64000u16..65000, proptest::collection::vec(any::<u8>(), 0..20));
    let options =
        (proptest::option::of(subnet()), any::<bool>(), proptest::option::of(unknown), any::<bool>());
    (any::<u16>(), any::<bool>(), any::<u16>(), options).prop_map(
        |(size, dnssec_ok, z, (subnet, nsid, unknown, subnet_last))| {
            let mut edns = Edns::new();
            edns.set_max_payload(size).set_dnssec_ok(dnssec_ok);
            edns.flags_mut().z = z & 0x7FFF;
            let subnet =
                subnet.map(|net| EdnsOption::Subnet(ClientSubnet::new(net.network(), net.prefix_len(), 0)));
            let others = nsid
                .then(|| EdnsOption::NSID(NSIDPayload::new([]).unwrap()))
                .into_iter()
                .chain(unknown.map(|(code, data)| EdnsOption::Unknown(code, data)));
            let mut options: Vec<EdnsOption> = subnet.into_iter().chain(others).collect();
            if subnet_last {
                options.reverse();
            }
            options.into_iter().for_each(|option| edns.options_mut().insert(option));
            edns
        },
    )
}

/// A query as a client may send it.
fn query() -> impl Strategy<Value = Message> {
    let qtype = prop_oneof![
        3 => select(&[1u16, 28, 5, 2, 6, 15, 16, 43, 255, 252][..]),
        1 => any::<u16>(),
    ];
    let class = prop_oneof![6 => Just(1u16), 1 => select(&[3u16, 4, 255][..])];
    (any::<u16>(), name(), qtype, class, proptest::option::of(edns()), any::<bool>()).prop_map(
        |(id, name, qtype, class, edns, recursion_desired)| {
            let mut message = Message::new(id, MessageType::Query, OpCode::Query);
            message.metadata.recursion_desired = recursion_desired;
            let mut question = Question::query(name, RecordType::from(qtype));
            question.set_query_class(DNSClass::from(class));
            message.add_query(question);
            if let Some(edns) = edns {
                message.set_edns(edns);
            }
            message
        },
    )
}

/// What may happen to a packet.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Append(Vec<u8>),
    Count(usize, u16),
}

fn damage() -> impl Strategy<Value = Damage> {
    let some = || proptest::collection::vec(any::<u8>(), 1..12);
    prop_oneof![
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<Index>(), prop_oneof![any::<u8>(), select(&[0u8, 1, 0x3F, 0x40, 0xC0, 0xFF][..])])
            .prop_map(|(at, octet)| Damage::Set(at, octet)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), some()).prop_map(|(at, octets)| Damage::Insert(at, octets)),
        (any::<Index>(), 1usize..8).prop_map(|(at, len)| Damage::Remove(at, len)),
        some().prop_map(Damage::Append),
        (2usize..6, prop_oneof![0u16..3, any::<u16>()])
            .prop_map(|(count, value)| Damage::Count(count, value)),
    ]
}

fn damaged(mut packet: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let len = packet.len();
        if len < 12 {
            break;
        }
        match damage {
            Damage::Flip(at, bit) => packet[at.index(len)] ^= 1 << bit,
            Damage::Set(at, octet) => packet[at.index(len)] = *octet,
            Damage::Cut(at) => packet.truncate(at.index(len)),
            Damage::Insert(at, octets) => {
                let at = at.index(len);
                packet.splice(at..at, octets.iter().copied());
            }
            Damage::Remove(at, octets) => {
                let at = at.index(len);
                packet.drain(at..(at + octets).min(len));
            }
            Damage::Append(octets) => packet.extend(octets),
            Damage::Count(count, value) => {
                packet[2 * count..2 * count + 2].copy_from_slice(&value.to_be_bytes());
            }
        }
    }
    packet
}

fn our_reply(packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
    ask(&SHOWN, packet, "198.51.100.53:53000", transport)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_get_a_proper_reply_or_none(packet in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Some(reply) = our_reply(&packet, Transport::Udp) {
            check_reply(&packet, &reply);
        }
    }

    #[test]
    fn damaged_queries_get_a_proper_reply_or_none(
        message in query(),
        damages in proptest::collection::vec(damage(), 0..5),
    ) {
        let packet = damaged(message.to_vec().unwrap(), &damages);
        if let Some(reply) = our_reply(&packet, Transport::Udp) {
            let answer = check_reply(&packet, &reply);
            let limit = match answer.edns {
                None => 512,
                Some(_) => 1232,
            };
            prop_assert!(reply.len() <= limit);
        }
        if let Some(reply) = our_reply(&packet, Transport::Tcp) {
            let answer = check_reply(&packet, &reply);
            prop_assert!(!answer.metadata.truncation);
        }
    }

    /// What hickory-proto writes.
    #[test]
    fn queries_are_read_as_they_were_written(message in query()) {
        let packet = message.to_vec().unwrap();
        let mut qname = Qname::default();
        let parsed = Query::parse(&packet, &mut qname);
        let parsed = parsed.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        same_reading(&message, &packet, &parsed, &qname)?;
        let edns = parsed.edns.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        prop_assert_eq!(edns.is_some(), message.edns.is_some());
        let reply = our_reply(&packet, Transport::Udp).expect("it is answered");
        let reply = check_reply(&packet, &reply);
        prop_assert_eq!(reply.edns.is_some(), message.edns.is_some());
    }

    /// What we can read at all, hickory-proto reads the same way, where it can.
    #[test]
    fn what_both_can_read_is_read_alike(
        message in query(),
        damages in proptest::collection::vec(damage(), 0..4),
    ) {
        let packet = damaged(message.to_vec().unwrap(), &damages);
        let mut qname = Qname::default();
        if let (Ok(parsed), Ok(theirs)) = (Query::parse(&packet, &mut qname), Message::from_vec(&packet)) {
            same_reading(&theirs, &packet, &parsed, &qname)?;
        }
    }
}

fn same_reading(theirs: &Message, packet: &[u8], ours: &Query, qname: &Qname) -> Result<(), TestCaseError> {
    let question = &theirs.queries[0];
    let wire = wire_of(question.name());
    prop_assert_eq!(qname.lower(), wire.to_ascii_lowercase());
    prop_assert_eq!(&packet[12..12 + wire.len()], &wire[..]);
    prop_assert_eq!(RecordType::from(ours.qtype), question.query_type());
    prop_assert_eq!(ours.qclass, u16::from(question.query_class()));
    prop_assert_eq!(ours.question_end, 12 + wire.len() + 4);
    let (Ok(Some(ours)), Some(theirs)) = (&ours.edns, &theirs.edns) else { return Ok(()) };
    prop_assert_eq!(ours.udp_octets_max, theirs.max_payload().max(512));
    prop_assert_eq!(ours.dnssec_ok, theirs.flags().dnssec_ok);
    prop_assert_eq!(ours.nsid, theirs.option(EdnsCode::NSID).is_some());
    match (ours.subnet, theirs.option(EdnsCode::Subnet)) {
        (Some(ours), Some(EdnsOption::Subnet(theirs))) => {
            prop_assert_eq!((ours.address, ours.source), (theirs.addr(), theirs.source_prefix()));
        }
        (ours, theirs) => prop_assert!(ours.is_none() && theirs.is_none(), "{ours:?} {theirs:?}"),
    }
    Ok(())
}

/// An RRset of a section: its owner (none is the question's name), its TTL, its records' data.
#[derive(Clone, Debug)]
struct RrSet {
    section: usize,
    owner: Option<HickoryName>,
    ttl: u32,
    data: Vec<RData>,
}

fn rrset() -> impl Strategy<Value = RrSet> {
    let text = || proptest::collection::vec(any::<u8>(), 0..200);
    let data = prop_oneof![
        2 => one_to_many(any::<u32>().prop_map(|bits| RData::A(A(bits.into())))),
        1 => one_to_many(any::<u128>().prop_map(|bits| RData::AAAA(AAAA(bits.into())))),
        2 => one_to_many(name().prop_map(|name| RData::NS(NS(name)))),
        1 => one_to_many(name().prop_map(|name| RData::PTR(PTR(name)))),
        1 => name().prop_map(|name| vec![RData::CNAME(CNAME(name))]),
        2 => one_to_many((any::<u16>(), name()).prop_map(|(at, name)| RData::MX(MX::new(at, name)))),
        1 => one_to_many((any::<[u16; 3]>(), name())
            .prop_map(|([a, b, c], name)| RData::SRV(SRV::new(a, b, c, name)))),
        1 => (name(), name(), any::<[u32; 5]>()).prop_map(|(mname, rname, [a, b, c, d, e])| {
            vec![RData::SOA(SOA::new(mname, rname, a, b as i32, c as i32, d as i32, e))]
        }),
        1 => one_to_many(proptest::collection::vec(text(), 1..4).prop_map(|texts| {
            RData::TXT(TXT::from_bytes(texts.iter().map(Vec::as_slice).collect()))
        })),
        1 => one_to_many(proptest::collection::vec(any::<u8>(), 1..300).prop_map(|octets| {
            RData::Unknown { code: RecordType::Unknown(65_280), rdata: NULL::with(octets) }
        })),
    ];
    (0usize..3, proptest::option::of(name()), 0u32..=i32::MAX as u32, data)
        .prop_map(|(section, owner, ttl, data)| RrSet { section, owner, ttl, data })
}

fn one_to_many(data: impl Strategy<Value = RData>) -> impl Strategy<Value = Vec<RData>> {
    proptest::collection::vec(data, 1..6)
}

/// The data with whole names, as zones hold them.
fn plain(data: &RData) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).unwrap();
    octets
}

const SECTIONS: [Section; 3] = [Section::Answer, Section::Authority, Section::Additional];

/// Writes the RRsets as far as they fit, reads the message back, and holds both against each other.
/// Gives the message and how many RRsets were left out.
fn write_and_read(question: &HickoryName, rrsets: &[RrSet], limit: usize) -> (Vec<u8>, usize) {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Question::query(question.clone(), RecordType::A));
    let packet = message.to_vec().unwrap();
    let mut qname = Qname::default();
    qname.set(&wire_of(question));
    let rendered: Vec<_> = rrsets
        .iter()
        .map(|rrset| {
            let (owner, record_type) = (rrset.owner.as_ref().map(wire_of), rrset.data[0].record_type());
            let mut bytes = Vec::new();
            for data in &rrset.data {
                render(record_type.into(), rrset.ttl, &plain(data), &mut bytes);
            }
            (owner, u16::from(record_type), bytes)
        })
        .collect();
    let mut out = packet.clone();
    out.resize(usize::from(u16::MAX), 0);
    let mut writer = Writer::new(&mut out, packet.len(), limit, 0, &qname);
    let mut written: [Vec<Record>; 3] = Default::default();
    let mut left_out = 0;
    let mut order: Vec<usize> = (0..rrsets.len()).collect();
    order.sort_by_key(|&at| rrsets[at].section);
    for at in order {
        let (rrset, (owner, record_type, bytes)) = (&rrsets[at], &rendered[at]);
        let rendered = Rendered { record_type: *record_type, count: rrset.data.len() as u16, bytes };
        match writer.rrset(SECTIONS[rrset.section], owner.as_deref(), rendered) {
            Ok(()) => {
                let owner = rrset.owner.as_ref().unwrap_or(question);
                let records =
                    rrset.data.iter().map(|data| Record::from_rdata(owner.clone(), rrset.ttl, data.clone()));
                written[rrset.section].extend(records);
            }
            Err(_) => left_out += 1,
        }
    }
    let len = writer.finish(Rcode::NoError, None, 0, &[], 0);
    assert!(len <= limit.max(packet.len()), "{len} octets, {limit} allowed");
    out.truncate(len);
    let read = Message::from_vec(&out).unwrap();
    assert_eq!([&read.answers, &read.authorities, &read.additionals], written.each_ref());
    (out, left_out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_we_write_is_read_as_it_was_meant(
        question in name(),
        rrsets in proptest::collection::vec(rrset(), 0..12),
        limit in prop_oneof![Just(512usize), 12usize..2000, Just(65_535)],
    ) {
        let (_, left_out) = write_and_read(&question, &rrsets, limit);
        if limit == 65_535 {
            prop_assert_eq!(left_out, 0);
        }
    }

    /// Behind 16 KiB nothing can be pointed at (RFC 1035 section 4.1.4): names are whole there, or point at
    /// what stands before.
    #[test]
    fn long_messages_are_read_as_they_were_meant(
        question in name(),
        before in proptest::collection::vec(rrset(), 0..3),
        filler in 15_900usize..16_500,
        behind in proptest::collection::vec(rrset(), 1..12),
    ) {
        let texts: Vec<Vec<u8>> = vec![vec![b'x'; 255]; filler / 256];
        let texts = TXT::from_bytes(texts.iter().map(Vec::as_slice).collect());
        let rest = TXT::from_bytes(vec![&[b'y'; 255][..filler % 256 - usize::from(!filler.is_multiple_of(256))]]);
        let filler = |txt| RrSet { section: 1, owner: None, ttl: 0, data: vec![RData::TXT(txt)] };
        let at = |section| move |rrset: RrSet| RrSet { section, ..rrset };
        let rrsets: Vec<RrSet> = before
            .into_iter()
            .map(at(0))
            .chain([filler(texts), filler(rest)])
            .chain(behind.into_iter().map(at(2)))
            .collect();
        let (message, left_out) = write_and_read(&question, &rrsets, 65_535);
        prop_assert!(message.len() > 15_900);
        prop_assert_eq!(left_out, 0);
    }
}

/// Owner names, and names in data of the types of RFC 1035, point at what stands before.
#[test]
fn names_are_compressed() {
    let name = |text: &str| HickoryName::from_ascii(text).unwrap();
    let rrset = |section, owner: &str, data| RrSet { section, owner: Some(name(owner)), ttl: 0, data };
    let ns = |text: &str| RData::NS(NS(name(text)));
    let rrsets = [
        rrset(1, "Example.com.", vec![ns("ns1.example.com."), ns("ns2.example.com.")]),
        rrset(2, "ns1.example.com.", vec![RData::A(A::new(192, 0, 2, 1))]),
        rrset(2, "ns2.example.com.", vec![RData::A(A::new(192, 0, 2, 2))]),
    ];
    let (message, _) = write_and_read(&name("www.example.com."), &rrsets, 512);
    let question = 12 + 17 + 4;
    // Owner by pointer, ten octets, label and pointer; the addresses with an owner by pointer.
    assert_eq!(message.len(), question + 2 * (2 + 10 + 4 + 2) + 2 * (2 + 10 + 4));
    // The same inside of the other types of RFC 1035, with what stands before a name and behind.
    let ns1 = || name("ns1.example.com.");
    let soa = SOA::new(ns1(), name("host.example.com."), 1, 2, 3, 4, 5);
    for (data, octets) in [
        (RData::CNAME(CNAME(ns1())), 4 + 2),
        (RData::PTR(PTR(ns1())), 4 + 2),
        (RData::MX(MX::new(10, ns1())), 2 + 4 + 2),
        (RData::SOA(soa), (4 + 2) + (5 + 2) + 5 * 4),
    ] {
        let expect = question + 2 + 10 + octets;
        let told = format!("{data}");
        let (message, _) =
            write_and_read(&name("www.example.com."), &[rrset(0, "www.example.com.", vec![data])], 512);
        assert_eq!(message.len(), expect, "{told}");
    }
    // RFC 3597 section 4: not in types that came later.
    let srv = rrset(0, "www.example.com.", vec![RData::SRV(SRV::new(0, 0, 1, name("www.example.com.")))]);
    let (message, _) = write_and_read(&name("www.example.com."), &[srv], 512);
    assert_eq!(message.len(), question + 2 + 10 + 6 + 17);
    let wire = Name::from_wire(&message[message.len() - 17..]).unwrap();
    assert_eq!(wire.to_string(), "www.example.com.");
}
