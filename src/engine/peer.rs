//! Who asks and how; what becomes of it.

use std::net::SocketAddr;

/// The socket side of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: the limit on a response is the client's and ours.
    Udp,
    /// A stream: the limit on a response is what two octets of length can say.
    Tcp,
}

/// The packet's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address and port it came from.
    pub address: SocketAddr,
    /// How it came.
    pub transport: Transport,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This many octets of the out buffer are sent.
    Send(usize),
    /// Nothing is sent.
    Drop,
}
