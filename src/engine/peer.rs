//! What passes between a listener and the engine beside the bytes.

use std::net::SocketAddr;

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where the packet or the connection came from.
    pub address: SocketAddr,
    /// How it came.
    pub transport: Transport,
}

/// How a query came; it decides how long the answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A datagram: the answer fits what the client said it takes (RFC 6891, 6.2.3).
    Udp,
    /// A stream with two-byte lengths (RFC 7766, 8): the answer may have 65,535 bytes.
    Tcp,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This many bytes of the out buffer go back.
    Send(usize),
    /// Nothing goes back: whatever came deserves no packet of ours.
    Drop,
}
