//! What is to be explained: read from text, and asked of the server as a resolver asks.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{DNSClass, RecordType};

use super::Explanation;
use crate::engine::{Peer, Reply, Snapshot, Stats, Transport, Worker};
use crate::wire::Name;

/// What to explain.
#[derive(Clone, Debug)]
pub struct Question {
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub qtype: RecordType,
    /// The client's network, as ECS gives it; none for a query without.
    pub client: Option<(IpAddr, u8)>,
    /// The packet's address.
    pub resolver: IpAddr,
    /// Starts the random numbers: the same seed draws the same.
    pub seed: u64,
}

/// Sends the query through the server and writes down what comes back.
pub(super) fn ask(snapshot: &Arc<ArcSwap<Snapshot>>, question: &Question, explanation: &mut Explanation) {
    let Ok(packet) = packet(question) else {
        explanation.rcode = "the question cannot be put into a packet".into();
        return;
    };
    let mut worker = Worker::new(snapshot.clone(), Arc::new(Stats::default()), question.seed);
    let peer = Peer { address: SocketAddr::new(question.resolver, 53), transport: Transport::Tcp };
    let mut out = vec![0; usize::from(u16::MAX)];
    let Reply::Send(len) = worker.answer(&packet, peer, &mut out) else {
        explanation.rcode = "dropped".into();
        return;
    };
    let Ok(response) = Message::from_vec(&out[..len]) else {
        explanation.rcode = "unreadable".into();
        return;
    };
    explanation.rcode = mnemonic(response.metadata.response_code);
    let lines = |records: &[hickory_proto::rr::Record]| records.iter().map(ToString::to_string).collect();
    explanation.answer = lines(&response.answers);
    explanation.authority = lines(&response.authorities);
    explanation.additional = lines(&response.additionals);
    let subnet = response.edns.as_ref().and_then(|edns| {
        edns.options().as_ref().iter().find_map(|(_, option)| match option {
            EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
            _ => None,
        })
    });
    explanation.scope = subnet;
}

/// The code as RFC 9499 section 3 and `dig` write it; any other as the library names it.
fn mnemonic(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".into(),
        ResponseCode::FormErr => "FORMERR".into(),
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::NXDomain => "NXDOMAIN".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        ResponseCode::Refused => "REFUSED".into(),
        other => other.to_string(),
    }
}

fn packet(question: &Question) -> Result<Vec<u8>, hickory_proto::ProtoError> {
    let name = hickory_proto::rr::Name::from_str(&question.name.to_string())?;
    let mut query = Query::query(name, question.qtype);
    query.set_query_class(DNSClass::IN);
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Query;
    message.add_query(query);
    if let Some((address, source)) = question.client {
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address, source, 0)));
        message.set_edns(edns);
    }
    message.to_vec()
}

/// Reads a record type: a mnemonic, or `TYPE65` as RFC 3597 section 5 writes the others.
///
/// # Errors
/// In words.
pub fn parse_type(text: &str) -> Result<RecordType, String> {
    let text = text.to_ascii_uppercase();
    match text.strip_prefix("TYPE").and_then(|number| number.parse::<u16>().ok()) {
        Some(number) => Ok(RecordType::from(number)),
        None => RecordType::from_str(&text).map_err(|_| format!("`{text}` is no record type")),
    }
}

/// Reads a client's network. An address alone is cut to /24 or /56, as resolvers do.
///
/// # Errors
/// What to write instead.
pub fn parse_subnet(text: &str) -> Result<(IpAddr, u8), String> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is no address"))?;
    let (usual, most) = if address.is_ipv4() { (24, 32) } else { (56, 128) };
    let len = match len.map(str::parse::<u8>) {
        None => usual,
        Some(Ok(len)) if len <= most => len,
        Some(_) => return Err(format!("write a length from 0 to {most} after the slash")),
    };
    let cut = ipnet::IpNet::new(address, len).map_err(|error| error.to_string())?;
    Ok((cut.network(), len))
}
