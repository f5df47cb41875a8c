//! dns: a query over UDP that must be answered with records.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use tokio::net::UdpSocket;

use super::connect::{in_words, source};
use super::{Ask, Clock, Passed, ProbeError};

/// The largest response over UDP that is read: without EDNS it is 512 (RFC 1035 section 4.2.1); what is
/// longer is somebody's mistake, and still to be told in words.
const RESPONSE_OCTETS_MAX: usize = 4096;

/// Asks, and takes the first response that is to this question; others are old, or forged.
pub async fn probe(ask: &Ask, target: SocketAddr, clock: Clock) -> Result<Passed, ProbeError> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = source(&ask.check, target).unwrap_or(any);
    let query = Query::query(ask.check.dns.name.clone(), ask.check.dns.record_type);
    let mut message = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(query.clone());
    let octets = message.to_vec().map_err(|error| ProbeError::new(error.to_string()))?;
    let response = async {
        let socket = UdpSocket::bind(SocketAddr::new(from, 0)).await?;
        socket.connect(target).await?;
        socket.send(&octets).await?;
        let mut buffer = [0; RESPONSE_OCTETS_MAX];
        loop {
            let length = socket.recv(&mut buffer).await?;
            let response = Message::from_vec(&buffer[..length]).ok();
            let is_ours = |response: &Message| {
                response.metadata.id == message.metadata.id
                    && response.metadata.message_type == MessageType::Response
                    && response.queries.first().is_none_or(|asked| *asked == query)
            };
            if let Some(response) = response.filter(is_ours) {
                return Ok(response);
            }
        }
    };
    let response = clock.within("response", response).await?.map_err(|error| in_words(&error))?;
    match response.metadata.response_code {
        ResponseCode::NoError if response.answers.is_empty() => {
            Err(ProbeError::new("NOERROR without an answer"))
        }
        ResponseCode::NoError => Ok(Passed::default()),
        // Its names are those of RFC 9499 but for their case.
        code => Err(ProbeError::new(format!("{}, expected an answer", format!("{code:?}").to_uppercase()))),
    }
}
