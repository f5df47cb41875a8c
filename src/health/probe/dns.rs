//! dns: a query that must be answered with records, over UDP, and over TCP where that is too little room.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::connect::{connect, in_words, source};
use super::{Ask, Clock, Passed, ProbeError};

/// The largest response over UDP that is read: without EDNS it is 512 (RFC 1035 section 4.2.1); what is
/// longer is somebody's mistake, and still to be told in words.
const RESPONSE_OCTETS_MAX: usize = 4096;

/// Asks, and takes the first response that is to this question; others are old, or forged. One that is truncated
/// is asked for again over TCP (RFC 7766 section 5), as a resolver does.
pub async fn probe(ask: &Ask, target: SocketAddr, clock: Clock) -> Result<Passed, ProbeError> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = source(&ask.check, target).unwrap_or(any);
    let query = Query::query(ask.check.dns.name.clone(), ask.check.dns.record_type);
    let mut message = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(query.clone());
    let octets = message.to_vec().map_err(|error| ProbeError::new(error.to_string()))?;
    let is_ours = |response: &Message| {
        response.metadata.id == message.metadata.id
            && response.metadata.message_type == MessageType::Response
            && response.queries.first().is_none_or(|asked| *asked == query)
    };
    let over_udp = async {
        let socket = UdpSocket::bind(SocketAddr::new(from, 0)).await?;
        socket.connect(target).await?;
        socket.send(&octets).await?;
        let mut buffer = [0; RESPONSE_OCTETS_MAX];
        loop {
            let length = socket.recv(&mut buffer).await?;
            let response = Message::from_vec(&buffer[..length]).ok();
            if let Some(response) = response.filter(is_ours) {
                return Ok(response);
            }
        }
    };
    let mut response = clock.within("response", over_udp).await?.map_err(|error| in_words(&error))?;
    if response.metadata.truncation {
        response = over_tcp(ask, target, clock, &octets).await?;
        if !is_ours(&response) {
            return Err(ProbeError::new("over TCP the response is to another question"));
        }
    }
    match response.metadata.response_code {
        ResponseCode::NoError if response.answers.is_empty() => {
            Err(ProbeError::new("NOERROR without an answer"))
        }
        ResponseCode::NoError => Ok(Passed::default()),
        // Its names are those of RFC 9499 but for their case.
        code => Err(ProbeError::new(format!("{}, expected an answer", format!("{code:?}").to_uppercase()))),
    }
}

/// Asks over a connection of its own: each message has its length before it (RFC 1035 section 4.2.2).
async fn over_tcp(ask: &Ask, target: SocketAddr, clock: Clock, octets: &[u8]) -> Result<Message, ProbeError> {
    let of_tcp = |error: ProbeError| ProbeError::new(format!("truncated over UDP, and over TCP: {error}"));
    let mut stream = connect(&ask.check, target, clock).await.map_err(of_tcp)?;
    let exchange = async {
        let mut frame = (octets.len() as u16).to_be_bytes().to_vec();
        frame.extend_from_slice(octets);
        stream.write_all(&frame).await?;
        let length = stream.read_u16().await?;
        let mut response = vec![0; usize::from(length)];
        stream.read_exact(&mut response).await?;
        Ok(response)
    };
    let response = clock.within("response", exchange).await.map_err(of_tcp)?;
    let response = response.map_err(|error| of_tcp(in_words(&error)))?;
    Message::from_vec(&response).map_err(|_| of_tcp(ProbeError::new("no DNS in what came back")))
}
