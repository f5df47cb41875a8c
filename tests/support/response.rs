//! A response as hickory-proto reads it, held against its query, as text.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name as HickoryName, RData, Record};
use rhumb::engine::Transport;
use rhumb::state::zones::type_name;
use rhumb::wire::Name;

use super::query::Query;

/// Reads a response, and holds it against what every response to a well-formed query keeps to.
pub fn read(query: &Query, packet: &[u8], reply: &[u8]) -> Message {
    let response = Message::from_vec(reply).unwrap_or_else(|e| panic!("{e}: {reply:02x?}"));
    let asked = Message::from_vec(packet).unwrap();
    let header = &response.metadata;
    assert_eq!(header.id, asked.metadata.id);
    assert_eq!(header.message_type, MessageType::Response);
    assert_eq!(header.op_code, asked.metadata.op_code);
    assert_eq!(header.recursion_desired, asked.metadata.recursion_desired);
    assert!(!header.recursion_available && !header.authentic_data, "{header:?}");
    let question = 12..12 + query.name.as_wire().len() + 4;
    assert_eq!(reply[question.clone()], packet[question], "the question is echoed, case and all");
    let limit = match (query.transport, &asked.edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => 512,
        (Transport::Udp, Some(edns)) => usize::from(edns.max_payload().clamp(512, 1232)),
    };
    assert!(reply.len() <= limit, "{} octets, {limit} allowed", reply.len());
    assert_eq!(response.edns.is_some(), asked.edns.is_some(), "EDNS answers EDNS");
    if let (Some(ours), Some(theirs)) = (&response.edns, &asked.edns) {
        assert_eq!((ours.version(), ours.max_payload()), (0, 1232));
        assert_eq!(ours.flags().dnssec_ok, theirs.flags().dnssec_ok);
        assert_eq!(ours.flags().z, 0);
        let known = |code: &EdnsCode| matches!(code, EdnsCode::Subnet | EdnsCode::NSID);
        assert!(ours.options().as_ref().iter().all(|(code, _)| known(code)));
    }
    let echoed = |subnet: ClientSubnet| (subnet.addr(), subnet.source_prefix());
    assert_eq!(subnet(&response).map(echoed), subnet(&asked).map(echoed), "ECS answers ECS");
    response
}

/// The Client Subnet option.
pub fn subnet(message: &Message) -> Option<ClientSubnet> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(*subnet),
        other => panic!("{other:?}"),
    }
}

/// The response in lines: `NOERROR aa scope=24`, then an RRset per line, the sections after the first
/// named. Records of an RRset are sorted, unless they are to be seen as they were sent.
pub fn show(response: &Message, as_sent: bool) -> String {
    let header = &response.metadata;
    let mut head = vec![rcode(header.response_code)];
    for (set, flag) in [(header.authoritative, "aa"), (header.truncation, "tc")] {
        head.extend(set.then(|| flag.to_string()));
    }
    head.extend(subnet(response).map(|subnet| format!("scope={}", subnet.scope_prefix())));
    let nsid = response.edns.as_ref().and_then(|edns| edns.option(EdnsCode::NSID));
    if let Some(EdnsOption::NSID(id)) = nsid {
        head.push(format!("nsid={}", String::from_utf8_lossy(id.as_ref())));
    }
    let mut lines = vec![head.join(" ")];
    for (section, records) in [
        ("", &response.answers),
        ("authority ", &response.authorities),
        ("additional ", &response.additionals),
    ] {
        let same = |a: &Record, b: &Record| a.name == b.name && a.record_type() == b.record_type();
        for rrset in records.chunk_by(same) {
            let mut items: Vec<String> = rrset.iter().map(|record| data(&record.data)).collect();
            if !as_sent {
                items.sort();
            }
            let first = &rrset[0];
            assert!(rrset.iter().all(|record| record.ttl == first.ttl), "an RRset has one TTL");
            let (owner, kind) = (name(&first.name), type_name(first.record_type().into()));
            let line = format!("{section}{owner} {} {kind} {}", first.ttl, items.join(", "));
            lines.push(line.trim_end().into());
        }
    }
    lines.join("\n")
}

/// Record data as master files have it, where hickory-proto shows it otherwise.
fn data(data: &RData) -> String {
    match data {
        RData::TXT(txt) => {
            let texts = txt.txt_data.iter().map(|text| format!("\"{}\"", text.escape_ascii()));
            texts.collect::<Vec<_>>().join(" ")
        }
        RData::Unknown { rdata, .. } => {
            let hex: String = rdata.anything.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("\\# {} {hex}", rdata.anything.len())
        }
        known => known.to_string(),
    }
}

/// hickory-proto's name as ours: it writes odd octets another way.
fn name(name: &HickoryName) -> Name {
    let mut wire = Vec::new();
    for label in name {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    Name::from_wire(&wire).unwrap()
}

fn rcode(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".into(),
        ResponseCode::FormErr => "FORMERR".into(),
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::NXDomain => "NXDOMAIN".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        ResponseCode::Refused => "REFUSED".into(),
        // 16 is both; a server without TSIG means the one of EDNS.
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS".into(),
        other => format!("{other:?}"),
    }
}
