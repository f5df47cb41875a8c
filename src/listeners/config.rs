//! What the listeners are told, and the range of each number.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The port of the addresses we listen on when the operator names none: 53 needs a privilege.
const DEFAULT_PORT: u16 = 5300;

/// A number with its range. The unit ends the constant's name.
#[derive(Clone, Copy, Debug)]
pub struct Limit<T> {
    /// Taken when nothing is written.
    pub default: T,
    /// The smallest that may be written.
    pub least: T,
    /// The largest that may be written.
    pub most: T,
}

impl<T: Ord + Copy> Limit<T> {
    /// Whether the operator may write this.
    pub fn contains(&self, value: T) -> bool {
        (self.least..=self.most).contains(&value)
    }

    /// The nearest number in range.
    pub fn clamp(&self, value: T) -> T {
        value.clamp(self.least, self.most)
    }
}

/// UDP threads per address. The default is replaced by the number of cores we may run on; more
/// threads than cores only take turns.
pub const UDP_THREADS: Limit<usize> = Limit { default: 1, least: 1, most: 256 };

/// Datagrams taken and given per system call. Measured with answers that leave together: 8 costs 20 % more than 16,
/// 32 costs 7 % less, 64 another 2 % less, but makes the first answer of a batch wait for the last. Where every answer
/// leaves by itself, 16 and 32 cost the same.
pub const UDP_BATCH_DATAGRAMS: Limit<usize> = Limit { default: 32, least: 1, most: 64 };

/// The receive buffer asked of the kernel per UDP socket. 1 MiB holds some 1,300 queries: it rides
/// out a stall of a few milliseconds at full load. The kernel's `net.core.rmem_max` bounds it for a
/// process without `CAP_NET_ADMIN`.
pub const UDP_RECEIVE_BUFFER_BYTES: Limit<usize> =
    Limit { default: 1 << 20, least: 64 << 10, most: 256 << 20 };

/// TCP connections in all. Each idle one holds about 4 KiB of ours and a file descriptor.
pub const TCP_CONNECTIONS: Limit<usize> = Limit { default: 2_000, least: 1, most: 100_000 };

/// TCP connections per client (an IPv4 address, an IPv6 /64). A resolver needs a handful (RFC 7766,
/// 6.2.2 asks for one); a hundred leaves room for many resolvers behind one address.
pub const TCP_CONNECTIONS_PER_CLIENT: Limit<usize> = Limit { default: 100, least: 1, most: 100_000 };

/// How long a connection may take until its next whole query is here, so that it bounds both idle
/// clients and clients that send a byte now and then. RFC 7766, 6.2.3 asks for "a few seconds".
pub const TCP_IDLE_TIMEOUT_MS: Limit<u64> = Limit { default: 10_000, least: 100, most: 600_000 };

/// How long a client may take to accept the answers that are ready. One that reads at all needs a
/// round trip or two; one that does not must not hold them in our memory.
pub const TCP_WRITE_TIMEOUT_MS: Limit<u64> = Limit { default: 5_000, least: 100, most: 600_000 };

/// What the listeners are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where to listen; each address serves UDP and TCP on one port.
    pub listen: Vec<Listen>,
    /// UDP.
    pub udp: UdpConfig,
    /// TCP.
    pub tcp: TcpConfig,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Port 0 lets the kernel choose one, the same for UDP and TCP.
    pub address: SocketAddr,
    /// The operator wrote it: a machine without it is an error. A default one the machine lacks is
    /// only worth a warning.
    pub written: bool,
}

/// How UDP is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// Threads per address, see [`UDP_THREADS`].
    pub threads: usize,
    /// Thread n of each address runs on the n-th core we may run on, and nowhere else. Good when
    /// nothing else wants those cores.
    pub pin: bool,
    /// See [`UDP_BATCH_DATAGRAMS`].
    pub batch: usize,
    /// See [`UDP_RECEIVE_BUFFER_BYTES`].
    pub receive_buffer_bytes: usize,
    /// Answers to one peer leave as one message that the kernel or the network card cuts, where they can.
    pub segmentation: bool,
}

/// How TCP is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// See [`TCP_CONNECTIONS`].
    pub connections: usize,
    /// See [`TCP_CONNECTIONS_PER_CLIENT`].
    pub connections_per_client: usize,
    /// See [`TCP_IDLE_TIMEOUT_MS`].
    pub idle_timeout: Duration,
    /// See [`TCP_WRITE_TIMEOUT_MS`].
    pub write_timeout: Duration,
}

impl Default for ListenerConfig {
    fn default() -> ListenerConfig {
        let default = |address| Listen { address, written: false };
        ListenerConfig {
            listen: vec![
                default((Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()),
                default((Ipv6Addr::LOCALHOST, DEFAULT_PORT).into()),
            ],
            udp: UdpConfig::default(),
            tcp: TcpConfig::default(),
        }
    }
}

impl Default for UdpConfig {
    fn default() -> UdpConfig {
        UdpConfig {
            threads: std::thread::available_parallelism().map_or(UDP_THREADS.default, usize::from),
            pin: false,
            batch: UDP_BATCH_DATAGRAMS.default,
            receive_buffer_bytes: UDP_RECEIVE_BUFFER_BYTES.default,
            segmentation: true,
        }
    }
}

impl Default for TcpConfig {
    fn default() -> TcpConfig {
        TcpConfig {
            connections: TCP_CONNECTIONS.default,
            connections_per_client: TCP_CONNECTIONS_PER_CLIENT.default,
            idle_timeout: Duration::from_millis(TCP_IDLE_TIMEOUT_MS.default),
            write_timeout: Duration::from_millis(TCP_WRITE_TIMEOUT_MS.default),
        }
    }
}
