//! A batch of datagrams: taken with one system call, answered where they lie, given back with another.
//!
//! ```text
//! receive: recvmmsg -> slot, slot, ...         (who, to which of our addresses, query)
//! answer:  each slot's query -> its answer, in its place; those that have one move to the front
//! send:    the slots at the front -> sendmmsg
//! ```
//!
//! Written on libc: nix's `sendmmsg` gives all messages of a batch the same control data, but each
//! answer must leave from the address that its own query was sent to.

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;

use libc::{c_uint, cmsghdr, in_pktinfo, in6_pktinfo, iovec, mmsghdr, sockaddr_in, sockaddr_in6};

/// Room for one datagram. EDNS asks for at most 4,096 bytes by custom, and we advertise less. An odd
/// number of cache lines, so that the buffers of a batch do not fall on the same lines of the cache.
const DATAGRAM_BYTES: usize = 4096 + 64;

/// See the module's head. All memory is made at the start.
///
/// The headers point into the slots for as long as the batch lives: the vector of slots never grows, and a
/// slot is only reached through the pointer that its header has, never through a reference to the whole
/// vector, so that the pointers stay good. The kernel uses them only during the two calls, when nothing else
/// does.
pub(super) struct Batch {
    /// Held for the headers.
    _slots: Vec<Slot>,
    /// One per slot: where the kernel writes a datagram, and later finds the answer.
    headers: Vec<mmsghdr>,
    /// How many of them, from the front, have a datagram.
    received: usize,
    /// How many of them, from the front, have an answer.
    answered: usize,
    ipv6: bool,
    control_bytes: usize,
}

/// What became of a batch's answers.
pub(super) struct Sent {
    /// Answers the kernel took.
    pub(super) sent: usize,
    /// Answers it refused.
    pub(super) refused: usize,
}

/// A datagram, and later its answer. The kernel writes who asked and which of our addresses they asked; the
/// same bytes then tell it whom to answer, and from where.
#[repr(C)]
struct Slot {
    /// The message, for the kernel. It comes first, so that a header's pointer to it is one to its slot.
    part: iovec,
    name: Name,
    control: Control,
    message: [u8; DATAGRAM_BYTES],
}

union Name {
    v4: sockaddr_in,
    v6: sockaddr_in6,
}

/// One control message: a header and the packet information of either family, laid out as CMSG_DATA
/// has it, which is asserted below.
#[repr(C)]
struct Control {
    header: cmsghdr,
    info: Info,
}

#[repr(C)]
union Info {
    v4: in_pktinfo,
    v6: in6_pktinfo,
    /// CMSG_SPACE is a multiple of this.
    aligned: [usize; 3],
}

// SAFETY: CMSG_LEN and CMSG_SPACE only calculate.
const _: () = unsafe {
    assert!(offset_of!(Control, info) == libc::CMSG_LEN(0) as usize);
    assert!(size_of::<Control>() >= libc::CMSG_SPACE(size_of::<in6_pktinfo>() as c_uint) as usize);
};

impl Batch {
    /// A batch of at most `datagrams`, for a socket of this family; `tells_destination` if the socket
    /// says which of our addresses a datagram was sent to.
    pub(super) fn new(datagrams: usize, ipv6: bool, tells_destination: bool) -> Batch {
        let mut slots: Vec<Slot> = (0..datagrams).map(|_| Slot::new()).collect();
        let first = slots.as_mut_ptr();
        // SAFETY: there are as many slots.
        let headers: Vec<mmsghdr> = (0..datagrams).map(|n| unsafe { Slot::header(first.add(n)) }).collect();
        Batch {
            _slots: slots,
            // Fresh headers are made ready like used ones.
            received: headers.len(),
            headers,
            answered: 0,
            ipv6,
            control_bytes: if tells_destination { size_of::<Control>() } else { 0 },
        }
    }

    /// Waits for a datagram, then takes all that are there, up to the batch's size. Gives their number.
    pub(super) fn receive(&mut self, socket: RawFd) -> io::Result<usize> {
        for header in &mut self.headers[..self.received] {
            header.msg_hdr.msg_namelen = size_of::<Name>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = self.control_bytes as _;
            // SAFETY: see the type's head.
            unsafe { (*slot_of(header)).part.iov_len = DATAGRAM_BYTES };
        }
        self.received = 0;
        // SAFETY: each header points into its own slot, see above, and the lengths are those of what is
        // pointed to.
        let received = unsafe {
            let (headers, length) = (self.headers.as_mut_ptr(), self.headers.len() as c_uint);
            libc::recvmmsg(socket, headers, length, libc::MSG_WAITFORONE as _, std::ptr::null_mut())
        };
        self.received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        // A socket that is shut down gives one message from nobody.
        let is_shut_down = self.headers[0].msg_hdr.msg_namelen == 0;
        Ok(if is_shut_down { 0 } else { self.received })
    }

    /// The datagrams, those too long cut.
    pub(super) fn queries(&self) -> impl Iterator<Item = &[u8]> {
        self.headers[..self.received].iter().map(|header| {
            // SAFETY: see the type's head; the batch is borrowed.
            let slot = unsafe { &*slot_of(header) };
            &slot.message[..(header.msg_len as usize).min(DATAGRAM_BYTES)]
        })
    }

    /// Asks `answer` about every datagram, which is the front of what it is given, as long as it is told:
    /// it writes the answer over it and gives its length, or none. Gives the number of datagrams that were
    /// too long for us, of which it is not asked.
    pub(super) fn answer(
        &mut self,
        mut answer: impl FnMut(&mut [u8], usize, SocketAddr) -> Option<usize>,
    ) -> usize {
        self.answered = 0;
        let mut too_long = 0;
        for n in 0..self.received {
            let header = &self.headers[n];
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                too_long += 1;
                continue;
            }
            // SAFETY: see the type's head; the batch is borrowed for us alone.
            let slot = unsafe { &mut *slot_of(header) };
            let Some(peer) = slot.peer(self.ipv6, header.msg_hdr.msg_namelen) else { continue };
            let query = (header.msg_len as usize).min(DATAGRAM_BYTES);
            if let Some(length) = answer(&mut slot.message, query, peer) {
                slot.part.iov_len = length.min(DATAGRAM_BYTES);
                if n != self.answered {
                    self.headers.swap(n, self.answered);
                }
                self.answered += 1;
            }
        }
        too_long
    }

    /// Sends the answers. One that the kernel refuses (no route, a full queue, a firewall) is lost
    /// alone: the rest is sent all the same, and every call gets at least one out of the way.
    pub(super) fn send(&mut self, socket: RawFd) -> Sent {
        if self.control_bytes > 0 {
            for header in &self.headers[..self.answered] {
                // SAFETY: as for answering.
                let slot = unsafe { &mut *slot_of(header) };
                if header.msg_hdr.msg_controllen != 0 {
                    slot.control.info.leave_route_open(self.ipv6);
                }
            }
        }
        let (mut next, mut refused) = (0, 0);
        while next < self.answered {
            let rest = &mut self.headers[next..self.answered];
            // SAFETY: as for receiving; the kernel only reads what the headers point to.
            let sent = unsafe { libc::sendmmsg(socket, rest.as_mut_ptr(), rest.len() as c_uint, 0) };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => next += sent,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => {
                    refused += 1;
                    next += 1;
                }
            }
        }
        Sent { sent: next - refused, refused }
    }
}

/// The slot a header points into.
fn slot_of(header: &mmsghdr) -> *mut Slot {
    header.msg_hdr.msg_iov.cast()
}

impl Slot {
    fn new() -> Slot {
        Slot {
            part: iovec { iov_base: std::ptr::null_mut(), iov_len: 0 },
            // SAFETY: for plain numbers, zero is a value.
            name: unsafe { zeroed() },
            // SAFETY: as above.
            control: unsafe { zeroed() },
            message: [0; DATAGRAM_BYTES],
        }
    }

    /// The header by which the kernel writes to a slot; it lacks the lengths of the name, the message and
    /// the control data. Makes the slot's part point to its message.
    ///
    /// # Safety
    ///
    /// `slot` must point to a slot.
    unsafe fn header(slot: *mut Slot) -> mmsghdr {
        // SAFETY: the caller says so. For plain numbers and pointers, zero is a value.
        unsafe {
            (*slot).part.iov_base = (&raw mut (*slot).message).cast();
            let mut header: mmsghdr = zeroed();
            header.msg_hdr.msg_name = (&raw mut (*slot).name).cast();
            header.msg_hdr.msg_iov = slot.cast();
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = (&raw mut (*slot).control).cast();
            header
        }
    }

    /// Who sent the datagram, if the kernel said so.
    fn peer(&self, ipv6: bool, name_bytes: libc::socklen_t) -> Option<SocketAddr> {
        let name_bytes = name_bytes as usize;
        if ipv6 && name_bytes >= size_of::<sockaddr_in6>() {
            // SAFETY: the kernel wrote a whole sockaddr_in6, as it does for every datagram of this family.
            let v6 = unsafe { self.name.v6 };
            let (address, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
            Some(SocketAddrV6::new(address, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        } else if !ipv6 && name_bytes >= size_of::<sockaddr_in>() {
            // SAFETY: as above, of the other family.
            let v4 = unsafe { self.name.v4 };
            let address = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(address, u16::from_be(v4.sin_port)).into())
        } else {
            None
        }
    }
}

impl Info {
    /// Keeps the address that was asked and lets the routing table choose the interface: the way back
    /// need not be the way in. Only a link-local address means nothing without its interface.
    fn leave_route_open(&mut self, ipv6: bool) {
        // SAFETY: the kernel wrote the information of this family; either is plain numbers anyway.
        unsafe {
            if !ipv6 {
                self.v4.ipi_ifindex = 0;
            } else if !Ipv6Addr::from(self.v6.ipi6_addr.s6_addr).is_unicast_link_local() {
                self.v6.ipi6_ifindex = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::*;

    /// Of four datagrams one is not answered and one answer is refused by the kernel: the other two
    /// arrive, each the answer to its own query.
    #[test]
    fn one_refused_answer_is_lost_alone() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let clients: Vec<_> = (0..4).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for (n, client) in clients.iter().enumerate() {
            client.send_to(&[n as u8; 20], ours.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new(8, false, false);
        assert_eq!(batch.receive(ours.as_raw_fd()).unwrap(), 4);
        let mut peers = Vec::new();
        let too_long = batch.answer(|message, _, peer| {
            peers.push(peer);
            let query = message[0];
            message[0] += 100;
            (query != 0).then_some(1)
        });
        assert_eq!(too_long, 0);
        assert_eq!(peers, clients.iter().map(|client| client.local_addr().unwrap()).collect::<Vec<_>>());
        // Linux refuses to send to port 0. The first is not answered, so the third is the second answer.
        // SAFETY: see the type's head.
        unsafe { (*slot_of(&batch.headers[1])).name.v4.sin_port = 0 };
        let sent = batch.send(ours.as_raw_fd());
        assert_eq!((sent.sent, sent.refused), (2, 1));
        for n in [1, 3] {
            let mut answer = [0; 20];
            assert_eq!(clients[n].recv(&mut answer).unwrap(), 1);
            assert_eq!(answer[0] as usize, n + 100);
        }
    }

    #[test]
    fn too_long_is_not_answered() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for length in [DATAGRAM_BYTES, DATAGRAM_BYTES + 1, 0] {
            client.send_to(&vec![7; length], ours.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new(3, false, false);
        assert_eq!(batch.receive(ours.as_raw_fd()).unwrap(), 3);
        let mut lengths = Vec::new();
        let too_long = batch.answer(|_, query, _| {
            lengths.push(query);
            None
        });
        assert_eq!((too_long, lengths), (1, vec![DATAGRAM_BYTES, 0]));
    }
}
