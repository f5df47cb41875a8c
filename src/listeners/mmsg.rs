//! A batch of datagrams: taken with one system call, answered where they lie, given back with another.
//!
//! ```text
//! receive: recvmmsg -> slot, slot, ...         (who, to which of our addresses, query)
//! answer:  each slot's query -> its answer, in its place; those that have one move to the front
//! send:    the slots at the front -> Sender -> sendmmsg
//! ```
//!
//! Written on libc: nix's `sendmmsg` gives all messages of a batch the same control data, but each
//! answer must leave from the address that its own query was sent to.

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;

use libc::{c_uint, cmsghdr, in_pktinfo, in6_pktinfo, iovec, mmsghdr, sockaddr_in, sockaddr_in6};

use super::sender::{Sender, Sent};

/// Room for one datagram. EDNS asks for at most 4,096 bytes by custom, and we advertise less. An odd
/// number of cache lines, so that the buffers of a batch do not fall on the same lines of the cache.
const DATAGRAM_BYTES: usize = 4096 + 64;

/// Room for the packet information of a datagram.
pub(super) const CONTROL_BYTES: usize = size_of::<Control>();

/// See the module's head. All memory is made at the start.
pub(super) struct Batch {
    /// One per slot: where the kernel writes a datagram, and later finds the answer.
    headers: Vec<Header>,
    /// Held for the headers. It never grows.
    _slots: Vec<Slot>,
    /// How many of the headers, from the front, have a datagram.
    received: usize,
    /// How many of them, from the front, have an answer.
    answered: usize,
    sender: Sender,
    ipv6: bool,
    /// What the kernel may write of packet information.
    control_bytes: usize,
}

/// A datagram or an answer, as the kernel wants it described. It points into its slot, and nothing else does: a slot
/// is only reached through its header, never through the vector of slots, so that the pointers stay good.
/// The kernel uses them only during its calls, when nothing else does.
#[repr(transparent)]
pub(super) struct Header(mmsghdr);

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
    /// Either, what is not used being 0: two registers' worth.
    all: [u32; 8],
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
    /// Either, what is not used being 0. CMSG_SPACE is a multiple of its parts.
    all: [u32; 6],
}

// SAFETY: CMSG_LEN and CMSG_SPACE only calculate.
const _: () = unsafe {
    assert!(offset_of!(Control, info) == libc::CMSG_LEN(0) as usize);
    assert!(size_of::<Info>() == size_of::<[u32; 6]>());
    assert!(size_of::<Control>() >= libc::CMSG_SPACE(size_of::<in6_pktinfo>() as c_uint) as usize);
};

impl Batch {
    /// A batch of at most `datagrams`, for a socket of this family; `tells_destination` if the socket
    /// says which of our addresses a datagram was sent to, `joins` if the kernel can cut what it sends.
    pub(super) fn new(datagrams: usize, ipv6: bool, tells_destination: bool, joins: bool) -> Batch {
        let mut slots: Vec<Slot> = (0..datagrams).map(|_| Slot::new()).collect();
        let first = slots.as_mut_ptr();
        // SAFETY: there are as many slots, and they are held as long as their headers.
        let headers: Vec<Header> = (0..datagrams).map(|n| unsafe { Header::of(first.add(n)) }).collect();
        Batch {
            // Fresh headers are made ready like used ones.
            received: headers.len(),
            headers,
            _slots: slots,
            answered: 0,
            sender: Sender::new(datagrams, joins),
            ipv6,
            control_bytes: if tells_destination { CONTROL_BYTES } else { 0 },
        }
    }

    /// Waits for a datagram, then takes all that are there, up to the batch's size. Gives their number.
    pub(super) fn receive(&mut self, socket: RawFd) -> io::Result<usize> {
        for header in &mut self.headers[..self.received] {
            header.0.msg_hdr.msg_namelen = size_of::<Name>() as libc::socklen_t;
            header.0.msg_hdr.msg_controllen = self.control_bytes as _;
            header.slot_mut().part.iov_len = DATAGRAM_BYTES;
        }
        self.received = 0;
        let (headers, length) = (self.headers.as_mut_ptr().cast(), self.headers.len() as c_uint);
        // SAFETY: each header points into its own slot, and the lengths are those of what is pointed to.
        let received = unsafe {
            libc::recvmmsg(socket, headers, length, libc::MSG_WAITFORONE as _, std::ptr::null_mut())
        };
        self.received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        // A socket that is shut down gives one message from nobody.
        let is_shut_down = self.headers[0].0.msg_hdr.msg_namelen == 0;
        Ok(if is_shut_down { 0 } else { self.received })
    }

    /// The datagrams, those too long cut.
    pub(super) fn queries(&self) -> impl Iterator<Item = &[u8]> {
        self.headers[..self.received].iter().map(|header| &header.slot().message[..header.received()])
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
            let header = &mut self.headers[n];
            if header.0.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                too_long += 1;
                continue;
            }
            let (query, name_bytes) = (header.received(), header.0.msg_hdr.msg_namelen);
            let slot = header.slot_mut();
            let Some(peer) = slot.peer(self.ipv6, name_bytes) else { continue };
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

    /// Sends the answers.
    pub(super) fn send(&mut self, socket: RawFd) -> Sent {
        let answers = &mut self.headers[..self.answered];
        if self.control_bytes > 0 {
            for header in answers.iter_mut().filter(|header| header.0.msg_hdr.msg_controllen != 0) {
                header.slot_mut().control.info.leave_route_open(self.ipv6);
            }
        }
        self.sender.send(socket, answers)
    }

    #[cfg(test)]
    pub(super) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The n-th datagram came from this port.
    #[cfg(test)]
    pub(super) fn came_from_port(&mut self, n: usize, port: u16) {
        self.headers[n].slot_mut().name.v4.sin_port = port.to_be();
    }
}

impl Header {
    /// The header by which the kernel writes to a slot; it lacks the lengths of the name, the message and
    /// the control data. Makes the slot's part point to its message.
    ///
    /// # Safety
    ///
    /// `slot` must point to a slot that lives as long as the header, and is reached through it alone.
    unsafe fn of(slot: *mut Slot) -> Header {
        // SAFETY: the caller says so. For plain numbers and pointers, zero is a value.
        unsafe {
            (*slot).part.iov_base = (&raw mut (*slot).message).cast();
            let mut header: mmsghdr = zeroed();
            header.msg_hdr.msg_name = (&raw mut (*slot).name).cast();
            header.msg_hdr.msg_iov = slot.cast();
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = (&raw mut (*slot).control).cast();
            Header(header)
        }
    }

    fn slot(&self) -> &Slot {
        // SAFETY: see the type's head; the header is borrowed.
        unsafe { &*self.0.msg_hdr.msg_iov.cast() }
    }

    fn slot_mut(&mut self) -> &mut Slot {
        // SAFETY: see the type's head; the header is borrowed for us alone.
        unsafe { &mut *self.0.msg_hdr.msg_iov.cast() }
    }

    /// The bytes of the datagram that are in the slot.
    fn received(&self) -> usize {
        (self.0.msg_len as usize).min(DATAGRAM_BYTES)
    }

    /// The message, for a call of the kernel.
    pub(super) fn message(&self) -> &mmsghdr {
        &self.0
    }

    /// Where their messages begin, for a call of the kernel.
    pub(super) fn messages(headers: &mut [Header]) -> *mut mmsghdr {
        headers.as_mut_ptr().cast()
    }

    /// The answer, for the kernel.
    pub(super) fn part(&self) -> iovec {
        self.slot().part
    }

    /// A number of the peer's. Another peer's is most likely another.
    pub(super) fn peer_mixed(&self) -> u32 {
        // SAFETY: the union is plain numbers, whoever wrote them, and was 0 before.
        let name = unsafe { &self.slot().name.all };
        // The port, and the IPv4 address or the end of the IPv6 address.
        name[0].rotate_left(16) ^ name[1] ^ name[4] ^ name[5]
    }

    /// Whether both answers go to one peer, from one of our addresses.
    pub(super) fn goes_with(&self, other: &Header) -> bool {
        let (one, two) = (self.slot(), other.slot());
        let told = self.0.msg_hdr.msg_controllen;
        // SAFETY: the unions are plain numbers, whoever wrote them, and were 0 before.
        unsafe {
            alike(&one.name.all, &two.name.all)
                && told == other.0.msg_hdr.msg_controllen
                && (told == 0 || alike(&one.control.info.all, &two.control.info.all))
        }
    }
}

impl Slot {
    fn new() -> Slot {
        Slot {
            part: iovec { iov_base: std::ptr::null_mut(), iov_len: 0 },
            name: Name { all: [0; 8] },
            // SAFETY: for plain numbers, zero is a value.
            control: unsafe { zeroed() },
            message: [0; DATAGRAM_BYTES],
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

/// Equality without a call, as arrays of this length would have it.
fn alike<const N: usize>(one: &[u32; N], two: &[u32; N]) -> bool {
    one.iter().zip(two).fold(0, |differ, (one, two)| differ | (one ^ two)) == 0
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn too_long_is_not_answered() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for length in [DATAGRAM_BYTES, DATAGRAM_BYTES + 1, 0] {
            client.send_to(&vec![7; length], ours.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new(3, false, false, false);
        assert_eq!(batch.receive(ours.as_raw_fd()).unwrap(), 3);
        let mut lengths = Vec::new();
        let too_long = batch.answer(|_, query, _| {
            lengths.push(query);
            None
        });
        assert_eq!((too_long, lengths), (1, vec![DATAGRAM_BYTES, 0]));
    }
}
