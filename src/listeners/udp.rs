//! UDP: one plain thread per core and address, each with its own socket, worker and buffers.
//!
//! ```text
//! kernel (SO_REUSEPORT: a client's packets always meet the same socket)
//!   -> thread: receive a batch -> Answer::look_ahead -> Answer::answer, one by one -> send the answers
//! ```
//!
//! Nothing is shared between the threads, nothing allocates after the start, and a busy thread's query
//! costs a thirty-second of two system calls. Deliberately absent: io_uring (10 % dearer here), readiness polling
//! (a blocking receive is one call less), UDP_GRO (senders seldom have several queries of one length in one go), and
//! any look into the packets.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::mmsg::Batch;
use super::{Answer, UDP_BATCH_DATAGRAMS, UDP_RECEIVE_BUFFER_BYTES, UdpConfig, UdpCounters, system};
use crate::engine::{Peer, Reply, Transport};

/// How long a thread rests after a receive call failed, so that a broken socket costs nothing.
const REST: Duration = Duration::from_millis(20);

/// A socket for one thread. Several may be bound to one address.
pub(super) fn bind(address: SocketAddr, config: &UdpConfig) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_reuse_port(true)?;
    let buffer = UDP_RECEIVE_BUFFER_BYTES.clamp(config.receive_buffer_bytes);
    // The first is for the privileged and knows no bound; the second takes what it gets.
    if system::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, buffer as libc::c_int).is_err() {
        socket.set_recv_buffer_size(buffer)?;
    }
    // PROBE sets DF (RFC 9715, 3.1) and ignores path MTU messages, which anybody can forge. It spares the
    // kernel choosing an identification for each datagram, 2 % of an answer's price.
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        let (level, probe) = (libc::IPPROTO_IPV6, libc::IPV6_PMTUDISC_PROBE);
        system::set_option(&socket, level, libc::IPV6_MTU_DISCOVER, probe)?;
        if tells_destination(address) {
            system::set_option(&socket, level, libc::IPV6_RECVPKTINFO, 1)?;
        }
    } else {
        let (level, probe) = (libc::IPPROTO_IP, libc::IP_PMTUDISC_PROBE);
        system::set_option(&socket, level, libc::IP_MTU_DISCOVER, probe)?;
        if tells_destination(address) {
            system::set_option(&socket, level, libc::IP_PKTINFO, 1)?;
        }
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether the kernel must tell which of our addresses was asked. A socket bound to one address knows, and
/// is spared the 3 % that telling costs.
fn tells_destination(bound: SocketAddr) -> bool {
    bound.ip().is_unspecified()
}

/// One UDP thread, from its start to its stop.
pub(super) struct Thread {
    socket: Arc<Socket>,
    stop: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

/// What a thread serves.
pub(super) struct Place {
    /// Its number among all UDP threads.
    pub(super) number: usize,
    /// Its number among the threads of its address.
    pub(super) core: usize,
    pub(super) address: SocketAddr,
    pub(super) socket: Socket,
    pub(super) counters: Arc<UdpCounters>,
}

impl Thread {
    /// Starts to serve. `make_worker` is called again if the worker panics.
    pub(super) fn start<A: Answer>(
        place: Place,
        config: UdpConfig,
        make_worker: impl Fn() -> A + Send + 'static,
    ) -> io::Result<Thread> {
        let Place { number, core, address, socket, counters } = place;
        let socket = Arc::new(socket);
        let stop = Arc::new(AtomicBool::new(false));
        let (its_socket, its_stop) = (socket.clone(), stop.clone());
        let handle = thread::Builder::new().name(format!("udp-{number}")).spawn(move || {
            if config.pin
                && let Err(error) = system::pin_to_core(core)
            {
                tracing::warn!(%error, core, "a UDP thread could not be pinned to its core");
            }
            let length = UDP_BATCH_DATAGRAMS.clamp(config.batch);
            let joins = config.segmentation && system::can_segment(&*its_socket);
            let mut batch = Batch::new(length, address.is_ipv6(), tells_destination(address), joins);
            // One poisonous packet must not end the service. Its batch is lost, and so is whatever state
            // the panic left behind: the next worker is new.
            while catch_unwind(AssertUnwindSafe(|| {
                serve(&its_socket, &mut batch, make_worker(), &counters, &its_stop);
            }))
            .is_err()
            {
                counters.panics.add();
            }
        })?;
        Ok(Thread { socket, stop, handle })
    }

    /// Asks the thread to stop after the batch it is at.
    pub(super) fn stop(&self) {
        self.stop.store(true, Relaxed);
        // Linux says "not connected" and all the same wakes who waits in receive, now and from now on.
        // This costs a query nothing; a receive timeout would cost a timer for each wait.
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    /// Waits until the thread has stopped.
    pub(super) fn join(self) {
        // A panic would have been reported where it happened.
        let _ = self.handle.join();
    }
}

/// The loop. Returns when asked to stop.
fn serve(
    socket: &Socket,
    batch: &mut Batch,
    mut worker: impl Answer,
    counters: &UdpCounters,
    stop: &AtomicBool,
) {
    let descriptor = socket.as_raw_fd();
    while !stop.load(Relaxed) {
        match batch.receive(descriptor) {
            Ok(received) => counters.received.add_many(received),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => continue,
            Err(_) => {
                counters.receive_errors.add();
                thread::sleep(REST);
                continue;
            }
        }
        worker.look_ahead(batch.queries());
        let too_long = batch.answer(|message, query, address| {
            match worker.answer(message, query, Peer { address, transport: Transport::Udp }) {
                Reply::Send(length) => Some(length),
                Reply::Drop => None,
            }
        });
        let sent = batch.send(descriptor);
        counters.sent.add_many(sent.sent);
        // Seldom or never: the lines of these stay out of the cache.
        if too_long + sent.refused > 0 {
            counters.too_long.add_many(too_long);
            counters.send_errors.add_many(sent.refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel counts its own overhead too: twice what is asked (socket(7)).
    #[test]
    fn the_receive_buffer_is_what_was_asked_for() {
        for receive_buffer_bytes in [64 << 10, 96 << 10] {
            let config = UdpConfig { receive_buffer_bytes, ..UdpConfig::default() };
            let socket = bind("127.0.0.1:0".parse().unwrap(), &config).unwrap();
            assert_eq!(socket.recv_buffer_size().unwrap(), 2 * receive_buffer_bytes);
        }
    }

    /// The kernel is told to set DF and to take no notice of what others say of the path.
    #[test]
    fn answers_are_not_fragmented() {
        let check = |address: &str, (level, name): (i32, i32), expect: i32| {
            let socket = match bind(address.parse().unwrap(), &UdpConfig::default()) {
                // A machine without IPv6 has nothing to show here.
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return,
                socket => socket.unwrap(),
            };
            let (mut value, mut length) = (0i32, size_of::<i32>() as libc::socklen_t);
            // SAFETY: the kernel writes no more than the length given, which is that of `value`.
            let got = unsafe {
                libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &mut length)
            };
            assert_eq!((got, value), (0, expect), "{address}");
        };
        check("127.0.0.1:0", (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER), libc::IP_PMTUDISC_PROBE);
        check("[::1]:0", (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER), libc::IPV6_PMTUDISC_PROBE);
    }
}
