//! Who asks and how; what becomes of it.

use std::net::{IpAddr, SocketAddr};

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

impl Peer {
    /// Whether an answer reaches one host, which asked: nobody listens at port 0, and nobody speaks from a
    /// multicast address, so an answer would be an attack on a third party.
    #[inline]
    pub fn can_be(&self) -> bool {
        let is_group = match self.address.ip() {
            IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified(),
            IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
        };
        self.address.port() != 0 && !is_group
    }
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This many octets of the out buffer are sent.
    Send(usize),
    /// Nothing is sent.
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_to_one_host_that_can_listen() {
        let check = |address: &str, can_be: bool| {
            let peer = Peer { address: address.parse().unwrap(), transport: Transport::Udp };
            assert_eq!(peer.can_be(), can_be, "{address}");
        };
        for address in ["192.0.2.1:1", "127.0.0.1:65535", "[2001:db8::1]:53", "[::1]:5300", "[fe80::1]:53"] {
            check(address, true);
        }
        for address in ["192.0.2.1:0", "[2001:db8::1]:0", "224.0.0.1:53", "239.255.255.255:53"] {
            check(address, false);
        }
        for address in ["255.255.255.255:53", "0.0.0.0:53", "[ff02::1]:53", "[::]:53"] {
            check(address, false);
        }
    }
}
