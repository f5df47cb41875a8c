//! Sends the answers of a batch. Those to one peer that have one length are one message, which goes through the kernel
//! once and is cut at the end (`UDP_SEGMENT`, udp(7)); the last of them may be shorter.
//!
//! ```text
//! answers    to a, 90   to b, 60   to a, 90   to b, 90   to b, 90
//! messages   a: 90+90   b: 90+90+60
//! ```
//!
//! A proxy or forwarder asks everything from few ports: its answers cost about 40 % to half less this way. For a
//! resolver that asks each question from a port of its own, it is a few comparisons for each.

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::RawFd;
use std::slice;

use libc::{c_uint, cmsghdr, iovec, mmsghdr, msghdr};

use super::mmsg::{CONTROL_BYTES, Header};

/// A longer answer is sent by itself: a piece must fit the path in one, and this fits every IPv6 path (RFC 8200, 5).
const PIECE_BYTES: usize = 1232;

/// Answers in one message. The kernel cuts 64 pieces at most, and 65,507 bytes.
const PIECES: usize = 32;

/// What became of a batch's answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Answers the kernel took.
    pub(super) sent: usize,
    /// Answers it refused.
    pub(super) refused: usize,
}

/// See the module's head. All memory is made at the start.
pub(super) struct Sender {
    /// Answers in one message at most: 1 where nothing can be cut.
    pieces: usize,
    /// The [`key`]s of the answers, in order.
    order: Vec<u64>,
    messages: Vec<mmsghdr>,
    /// The answers of messages that have several, in their order.
    parts: Vec<iovec>,
    /// One for each message.
    controls: Vec<Control>,
}

/// The control data of a message that is to be cut: a [`Cut`], and before it what its answers have.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES + size_of::<Cut>()]);

/// The control message that says how long the pieces are.
#[repr(C)]
struct Cut {
    header: cmsghdr,
    bytes: u16,
}

// SAFETY: CMSG_LEN and CMSG_SPACE only calculate.
const _: () = unsafe {
    assert!(offset_of!(Cut, bytes) == libc::CMSG_LEN(0) as usize);
    assert!(size_of::<Cut>() == libc::CMSG_SPACE(size_of::<u16>() as c_uint) as usize);
};

impl Sender {
    /// For batches of at most `answers`; `joins` if the kernel can cut what the socket sends.
    pub(super) fn new(answers: usize, joins: bool) -> Sender {
        Sender {
            pieces: if joins { PIECES } else { 1 },
            order: Vec::with_capacity(answers),
            messages: Vec::with_capacity(answers),
            parts: vec![iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; answers],
            controls: vec![Control([0; _]); answers],
        }
    }

    /// Sends the answers. One that the kernel refuses (no route, a full queue, a firewall) is lost alone: the rest
    /// is sent all the same.
    pub(super) fn send(&mut self, socket: RawFd, answers: &mut [Header]) -> Sent {
        let all = answers.len();
        let refused = if self.pieces > 1 && all > 1 {
            self.join(answers);
            self.send_joined(socket, answers)
        } else {
            send_each(socket, answers)
        };
        Sent { sent: all - refused, refused }
    }

    /// Makes messages of the answers.
    fn join(&mut self, answers: &[Header]) {
        self.order.clear();
        self.order.extend(answers.iter().enumerate().map(|(place, answer)| key(answer, place)));
        self.order.sort_unstable();
        self.messages.clear();
        let (mut order, mut parts) = (&self.order[..], &mut self.parts[..]);
        while let Some(first) = order.first() {
            let (its, others) = order.split_at(pieces(answers, order, self.pieces));
            let first = &answers[place(first)];
            let mut message = *first.message();
            if its.len() > 1 {
                let (of_message, of_others) = parts.split_at_mut(its.len());
                of_message.iter_mut().zip(its).for_each(|(part, key)| *part = answers[place(key)].part());
                message.msg_hdr.msg_iov = of_message.as_mut_ptr();
                message.msg_hdr.msg_iovlen = its.len() as _;
                self.controls[self.messages.len()].cut(&mut message.msg_hdr, first.part().iov_len as u16);
                parts = of_others;
            }
            self.messages.push(message);
            order = others;
        }
    }

    /// Sends the messages, which were made of these answers. One that the kernel refuses is sent again answer by
    /// answer. Gives the number of answers refused.
    fn send_joined(&mut self, socket: RawFd, answers: &mut [Header]) -> usize {
        let (mut next, mut refused) = (0, 0);
        while next < self.messages.len() {
            let messages = &mut self.messages[next..];
            // SAFETY: a message points to parts and control data of ours, and these to a slot of the batch.
            let error = match unsafe { send_some(socket, messages.as_mut_ptr(), messages.len()) } {
                Ok(sent) => {
                    next += sent;
                    continue;
                }
                Err(error) => error,
            };
            let pieces_of = |message: &mmsghdr| -> usize { message.msg_hdr.msg_iovlen as _ };
            let pieces = pieces_of(&self.messages[next]);
            let before = self.messages[..next].iter().map(pieces_of).sum::<usize>();
            let its = &self.order[before..before + pieces];
            let alone: usize =
                its.iter().map(|key| send_each(socket, slice::from_mut(&mut answers[place(key)]))).sum();
            // They go alone: the device cannot sum up, or the path is narrow. It would be the same again.
            let is_about_cutting =
                matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE));
            if pieces > 1 && alone == 0 && is_about_cutting {
                self.pieces = 1;
            }
            refused += alone;
            next += 1;
        }
        refused
    }
}

/// How many of the answers, in this order, go as one message.
fn pieces(answers: &[Header], order: &[u64], most: usize) -> usize {
    let first = &answers[place(&order[0])];
    let piece = first.part().iov_len;
    if piece > PIECE_BYTES {
        return 1;
    }
    let mut number = 1;
    for answer in order[1..].iter().take(most - 1).map(|key| &answers[place(key)]) {
        let length = answer.part().iov_len;
        if length > piece || !first.goes_with(answer) {
            break;
        }
        number += 1;
        if length < piece {
            break;
        }
    }
    number
}

/// In the order of their keys, answers to one peer are next to each other, the longer ones first.
fn key(answer: &Header, place: usize) -> u64 {
    let shortness = u16::MAX - answer.part().iov_len as u16;
    u64::from(answer.peer_mixed()) << 32 | u64::from(shortness) << 8 | place as u64
}

/// Where the answer with this key is in the batch, which has less than 256.
fn place(key: &u64) -> usize {
    (key & 0xff) as usize
}

impl Control {
    /// Takes over what the header has of control data, and adds how long the pieces are.
    fn cut(&mut self, header: &mut msghdr, bytes: u16) {
        // SAFETY: for plain numbers, zero is a value.
        let mut cut: Cut = unsafe { zeroed() };
        cut.header.cmsg_len = (offset_of!(Cut, bytes) + size_of::<u16>()) as _;
        cut.header.cmsg_level = libc::SOL_UDP;
        cut.header.cmsg_type = libc::UDP_SEGMENT;
        cut.bytes = bytes;
        let (control, given): (*mut u8, usize) = (self.0.as_mut_ptr(), header.msg_controllen as _);
        // SAFETY: the kernel wrote no more than CONTROL_BYTES, for which it was given room, and a multiple of what a
        // control message is aligned to. There is room for both.
        unsafe {
            control.copy_from_nonoverlapping(header.msg_control.cast(), given);
            control.add(given).cast::<Cut>().write(cut);
        }
        header.msg_control = control.cast();
        header.msg_controllen = (given + size_of::<Cut>()) as _;
    }
}

/// Sends the answers, each by itself. Every call gets at least one out of the way. Gives the number refused.
fn send_each(socket: RawFd, answers: &mut [Header]) -> usize {
    let (mut next, mut refused) = (0, 0);
    while next < answers.len() {
        let rest = &mut answers[next..];
        // SAFETY: a header points to its slot.
        match unsafe { send_some(socket, Header::messages(rest), rest.len()) } {
            Ok(sent) => next += sent,
            Err(_) => {
                refused += 1;
                next += 1;
            }
        }
    }
    refused
}

/// Sends messages until one is refused. Gives the number sent, which is not 0, or why the first was refused.
///
/// # Safety
///
/// There must be as many messages, at least one, and what they point to. The kernel only reads it.
unsafe fn send_some(socket: RawFd, messages: *mut mmsghdr, number: usize) -> io::Result<usize> {
    loop {
        // SAFETY: as the caller says.
        let sent = unsafe { libc::sendmmsg(socket, messages, number as c_uint, 0) };
        match usize::try_from(sent) {
            Ok(sent) => return Ok(sent),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::super::mmsg::Batch;
    use super::super::system::{can_segment, set_option};
    use super::*;

    /// A socket of ours with clients, who have asked.
    struct Scene {
        ours: UdpSocket,
        clients: Vec<UdpSocket>,
        batch: Batch,
    }

    const BOUND: [&str; 4] = ["127.0.0.1", "::1", "0.0.0.0", "::"];

    /// Who asks, and how long the answer is to be.
    type Asked = (usize, usize);

    impl Scene {
        /// None where the machine lacks the family, or cannot cut.
        fn new(bound: &str, asked: &[Asked], joins: bool) -> Option<Scene> {
            let ours = UdpSocket::bind((bound, 0)).ok().filter(|socket| !joins || can_segment(socket))?;
            let is_ipv6 = bound.contains(':');
            let is_wildcard = ours.local_addr().unwrap().ip().is_unspecified();
            if is_wildcard && is_ipv6 {
                set_option(&ours, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1).unwrap();
            } else if is_wildcard {
                set_option(&ours, libc::IPPROTO_IP, libc::IP_PKTINFO, 1).unwrap();
            }
            let loopback = if is_ipv6 { "::1" } else { "127.0.0.1" };
            let clients: Vec<_> =
                (0..3).map(|_| UdpSocket::bind((loopback, 0)).ok()).collect::<Option<_>>()?;
            let port = ours.local_addr().unwrap().port();
            for (n, (client, length)) in asked.iter().enumerate() {
                let mut query = vec![n as u8];
                query.extend((*length as u16).to_be_bytes());
                clients[*client].send_to(&query, (loopback, port)).unwrap();
            }
            let mut batch = Batch::new(64, is_ipv6, is_wildcard, joins);
            assert_eq!(batch.receive(ours.as_raw_fd()).unwrap(), asked.len());
            Some(Scene { ours, clients, batch })
        }

        /// Answers all, each with its number and as long as asked for. Length 0 asks for none.
        fn answer(&mut self) -> Sent {
            self.batch.answer(|message, query, _| {
                assert_eq!(query, 3);
                let length = u16::from_be_bytes([message[1], message[2]]) as usize;
                let number = message[0];
                message[..length].fill(number);
                (length > 0).then_some(length)
            });
            self.batch.send(self.ours.as_raw_fd())
        }

        /// Every client has got the answers to what it asked, and nothing else.
        fn check(&self, asked: &[Asked]) {
            for (number, client) in self.clients.iter().enumerate() {
                client.set_nonblocking(true).unwrap();
                let mut expect: Vec<_> = asked
                    .iter()
                    .enumerate()
                    .filter(|(_, (who, length))| *who == number && *length > 0)
                    .map(|(n, (_, length))| vec![n as u8; *length])
                    .collect();
                let mut buffer = [0; 5000];
                let mut got: Vec<_> = std::iter::from_fn(|| {
                    client.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
                })
                .collect();
                expect.sort_unstable();
                got.sort_unstable();
                assert!(got == expect, "client {number} of {asked:?} got {got:?}");
            }
        }
    }

    fn asked() -> impl proptest::strategy::Strategy<Value = Vec<Asked>> {
        let length =
            proptest::prop_oneof![4 => proptest::sample::select(vec![3, 90, 120]), 1 => 0..4000usize];
        proptest::collection::vec((0..3usize, length), 1..=64)
    }

    proptest::proptest! {
        /// Whoever asks, and however long the answers are: they arrive as if each were sent by itself.
        #[test]
        fn every_answer_arrives(asked in asked(), bound in proptest::sample::select(&BOUND[..])) {
            if let Some(mut scene) = Scene::new(bound, &asked, true) {
                let answers = asked.iter().filter(|(_, length)| *length > 0).count();
                assert_eq!(scene.answer(), Sent { sent: answers, refused: 0 });
                scene.check(&asked);
            }
        }
    }

    /// The kernel is given few messages, and answers of one length.
    #[test]
    fn what_is_joined() {
        #[rustfmt::skip]
        let cases: &[(&str, &[Asked], &[usize])] = &[
            ("alike",                       &[(0, 90), (0, 90), (0, 90)],               &[3]),
            ("the last is shorter",         &[(0, 90), (0, 90), (0, 60), (0, 60)],      &[3, 1]),
            ("two peers",                   &[(0, 90), (1, 90), (1, 90), (0, 90)],      &[2, 2]),
            ("mixed lengths",               &[(0, 90), (0, 60), (0, 90), (0, 60)],      &[3, 1]),
            ("one is not answered",         &[(0, 90), (1, 0), (0, 90)],                &[2]),
            ("as long as a path is wide",   &[(0, 1232), (0, 1232), (0, 1233), (0, 1233)], &[1, 1, 2]),
            ("more than a message holds",   &[(0, 90); 40],                             &[32, 8]),
        ];
        for (what, asked, expect) in cases {
            let Some(mut scene) = Scene::new("127.0.0.1", asked, true) else { return };
            scene.answer();
            let joined = scene.batch.sender().messages.iter().map(|message| message.msg_hdr.msg_iovlen);
            assert_eq!(joined.collect::<Vec<_>>(), *expect, "{what}");
        }
    }

    /// A kernel that cuts nothing (it sums up for nobody who wants no sums) is asked once.
    #[test]
    fn what_cannot_be_cut_is_sent_one_by_one() {
        let asked = [(0, 90), (0, 90), (1, 90), (1, 90), (1, 80)];
        let Some(mut scene) = Scene::new("127.0.0.1", &asked, true) else { return };
        set_option(&scene.ours, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        assert_eq!(scene.answer(), Sent { sent: 5, refused: 0 });
        scene.check(&asked);
        assert_eq!(scene.batch.sender().pieces, 1);
    }

    /// Linux refuses to send to port 0. The rest arrives.
    #[test]
    fn refused_answers_are_lost_alone() {
        for joins in [false, true] {
            let asked = [(0, 90), (1, 90), (1, 90), (2, 90)];
            let Some(mut scene) = Scene::new("127.0.0.1", &asked, joins) else { return };
            for n in [1, 2] {
                scene.batch.came_from_port(n, 0);
            }
            assert_eq!(scene.answer(), Sent { sent: 2, refused: 2 }, "{joins}");
            scene.check(&[(0, 90), (1, 0), (1, 0), (2, 90)]);
        }
    }
}
