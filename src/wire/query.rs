//! A query as it comes in: header, question, EDNS.

use arrayvec::ArrayVec;

use super::edns::{Edns, EdnsError};
use super::name::{LABEL_OCTETS_MAX, NAME_OCTETS_MAX, Name};
use super::{record_type, u16_at};

/// Octets of a header (RFC 1035 section 4.1.1).
pub const HEADER_OCTETS: usize = 12;

/// Opcode QUERY (RFC 1035 section 4.1.1).
pub const OPCODE_QUERY: u8 = 0;
/// Opcode NOTIFY (RFC 1996).
pub const OPCODE_NOTIFY: u8 = 4;
/// Opcode UPDATE (RFC 2136).
pub const OPCODE_UPDATE: u8 = 5;

/// Most labels of a name, the root label not counted.
const LABELS_MAX: usize = NAME_OCTETS_MAX / 2;

/// A query's name, ready to be looked up and pointed at. One per worker, filled per query.
pub struct Qname {
    /// The name as it came: most queries ask for what the last one did, letter by letter. Empty where what
    /// was read last is no name.
    asked: ArrayVec<u8, NAME_OCTETS_MAX>,
    /// The name in lower case, in wire form. Only the first `len` octets are of this query; the rest fills
    /// the last word.
    lower: [u8; NAME_OCTETS_MAX + 9],
    /// The hash of the whole name.
    hash: u64,
    len: u8,
    /// Where each label starts in `lower`, from the left, the root label not counted.
    labels: [u8; LABELS_MAX],
    label_count: u8,
}

impl Default for Qname {
    fn default() -> Qname {
        Qname {
            asked: ArrayVec::new(),
            lower: [0; NAME_OCTETS_MAX + 9],
            hash: 0,
            len: 1,
            labels: [0; LABELS_MAX],
            label_count: 0,
        }
    }
}

impl From<&Name> for Qname {
    fn from(name: &Name) -> Qname {
        let mut qname = Qname::default();
        qname.set(name.as_wire());
        qname
    }
}

impl Qname {
    /// Takes a whole name in wire form, as zones hold them.
    #[inline]
    pub fn set(&mut self, wire: &[u8]) {
        let read = self.read(wire);
        debug_assert_eq!(read, Ok(wire.len()), "names at load are whole");
    }

    /// Reads the name at the front of `bytes`. The question is the first name of a message, so a
    /// compression pointer in it has nothing to point at (RFC 1035 section 4.1.4).
    #[inline(always)]
    fn read(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        // A name ends itself, so what begins with one is no other.
        if !self.asked.is_empty() && bytes.starts_with(&self.asked) {
            return Ok(self.asked.len());
        }
        self.read_new(bytes)
    }

    fn read_new(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        self.asked.clear();
        let mut at = 0;
        let mut count = 0;
        loop {
            let len = usize::from(*bytes.get(at).ok_or(Malformed::FormErr)?);
            if len == 0 {
                break;
            }
            // The second bound also keeps `count` below the number of labels 255 octets can hold.
            if len > LABEL_OCTETS_MAX || at + 1 + len >= NAME_OCTETS_MAX {
                return Err(Malformed::FormErr);
            }
            self.labels[count] = at as u8;
            count += 1;
            at += 1 + len;
        }
        let len = at + 1;
        // A word at a time: folded, kept, and hashed on the way. Length octets are below 64, so folding
        // case leaves them alone.
        let (words, rest) = bytes[..len].as_chunks::<8>();
        let mut hash = HASH_START;
        let mut kept = self.lower.as_chunks_mut::<8>().0.iter_mut();
        for (word, lower) in words.iter().zip(&mut kept) {
            let word = lowercase(u64::from_le_bytes(*word));
            *lower = word.to_le_bytes();
            hash = fold(hash, word);
        }
        if let (false, Some(lower)) = (rest.is_empty(), kept.next()) {
            // What is behind the name in the packet is as good to read as zeros, and is masked.
            let word = match bytes[len - rest.len()..].first_chunk::<8>() {
                Some(word) => u64::from_le_bytes(*word) & (u64::MAX >> (64 - 8 * rest.len())),
                None => word_of(rest),
            };
            let word = lowercase(word);
            *lower = word.to_le_bytes();
            hash = fold(hash, word);
        }
        self.hash = hash;
        self.len = len as u8;
        self.label_count = count as u8;
        self.asked.extend(bytes[..len].iter().copied());
        Ok(len)
    }

    /// The name in lower case, in wire form.
    #[inline]
    pub fn lower(&self) -> &[u8] {
        &self.lower[..usize::from(self.len)]
    }

    /// Octets of the name in wire form.
    #[inline]
    pub fn wire_len(&self) -> usize {
        usize::from(self.len)
    }

    /// Where each label starts in [`Qname::lower`], from the left.
    #[inline]
    pub fn labels(&self) -> &[u8] {
        &self.labels[..usize::from(self.label_count)]
    }

    /// How many labels there are, the root label not counted.
    #[inline]
    pub fn label_count(&self) -> usize {
        usize::from(self.label_count)
    }

    /// The hash of the suffix that starts at a label.
    #[inline]
    pub fn hash(&self, label: usize) -> u64 {
        if label == 0 {
            return self.hash;
        }
        let (from, len) = (self.suffix_start(label), usize::from(self.len));
        let (words, rest) = self.lower[from..len].as_chunks::<8>();
        let hash = words.iter().fold(HASH_START, |hash, word| fold(hash, u64::from_le_bytes(*word)));
        if rest.is_empty() {
            return hash;
        }
        fold(hash, word_of(rest))
    }

    /// The suffix that starts at a label, in lower case; the root behind the last.
    #[inline]
    pub fn suffix(&self, label: usize) -> &[u8] {
        &self.lower()[self.suffix_start(label)..]
    }

    #[inline]
    fn suffix_start(&self, label: usize) -> usize {
        self.labels().get(label).map_or(usize::from(self.len) - 1, |start| usize::from(*start))
    }
}

/// A step of the hash, a folded multiply as in wyhash: the high half carries what the low half loses.
#[inline]
fn fold(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(HASH_FACTOR);
    product as u64 ^ (product >> 64) as u64
}

/// Up to eight octets, with zeros behind.
fn word_of(octets: &[u8]) -> u64 {
    octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet))
}

/// Eight octets with ASCII capitals folded.
#[inline]
fn lowercase(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Bit 7 of an octet is set where it is at least `A`, and where it is beyond `Z`; octets of 128 and
    // more are masked, as they are no ASCII.
    let octets = word & (EACH * 0x7F);
    let from_a = octets + EACH * (0x80 - b'A' as u64);
    let beyond_z = octets + EACH * (0x7F - b'Z' as u64);
    let capital = from_a & !beyond_z & !word & (EACH * 0x80);
    word | capital >> 2
}

/// Any odd start and factor do; senders cannot choose what is in the table, only what they ask of it.
const HASH_START: u64 = 0x9E37_79B9_7F4A_7C15;
const HASH_FACTOR: u64 = 0xA076_1D64_78BD_642F;

/// A query that can be answered, or refused with its question.
pub struct Query {
    /// The opcode, 0 to 15.
    pub opcode: u8,
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS.
    pub qclass: u16,
    /// Octets of header and question: what a response starts with.
    pub question_end: usize,
    /// The OPT record.
    pub edns: Result<Option<Edns>, EdnsError>,
}

/// A packet that is no query we can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not answered: a response, a fragment, or a packet with something behind its end. Answering
    /// could start a loop or serve an attacker.
    Drop,
    /// Answered with the header alone: its question cannot be read.
    FormErr,
    /// Answered with header and question: what comes behind the question cannot be read.
    FormErrWithQuestion(usize),
    /// Answered with the header and [`edns_of_other`] (RFC 1035 section 4.1.1).
    NotImp,
    /// NOTIFY and UPDATE are understood and not done here: answered with the header and [`edns_of_other`].
    Refused,
}

impl Query {
    /// Reads a packet.
    ///
    /// QDCOUNT other than 1 is FORMERR (RFC 9619). Opcodes are looked at first: their messages may
    /// look different from a query's.
    #[inline]
    pub fn parse(packet: &[u8], qname: &mut Qname) -> Result<Query, Malformed> {
        // QR set is a response; a bare header asks nothing.
        if packet.len() <= HEADER_OCTETS || packet[2] & 0x80 != 0 {
            return Err(Malformed::Drop);
        }
        let opcode = packet[2] >> 3 & 0xF;
        match opcode {
            OPCODE_QUERY => {}
            OPCODE_NOTIFY | OPCODE_UPDATE => return Err(Malformed::Refused),
            _ => return Err(Malformed::NotImp),
        }
        if u16_at(packet, 4) != 1 {
            return Err(Malformed::FormErr);
        }
        let name_end = HEADER_OCTETS + qname.read(&packet[HEADER_OCTETS..])?;
        let question_end = name_end + 4;
        if packet.len() < question_end {
            return Err(Malformed::FormErr);
        }
        let records = u32::from(u16_at(packet, 6)) + u32::from(u16_at(packet, 8));
        let edns = match (records, u16_at(packet, 10)) {
            (0, 0) if packet.len() == question_end => Ok(None),
            (0, 0) => return Err(Malformed::Drop),
            (0, 1) if let Some((fixed, data)) = lone_opt(&packet[question_end..]) => {
                Edns::parse(fixed, data).map(Some)
            }
            (_, additional) => read_records(packet, question_end, records, u32::from(additional))?,
        };
        Ok(Query {
            opcode,
            qtype: u16_at(packet, name_end),
            qclass: u16_at(packet, name_end + 2),
            question_end,
            edns,
        })
    }
}

/// The EDNS of a message that is answered by its opcode alone, which a response answers with EDNS of its own
/// (RFC 6891 section 7); [`Edns::BARE`] where it cannot be answered any further. None where the message does
/// not look like a query: an opcode nobody knows may lay it out as it likes.
#[cold]
pub fn edns_of_other(packet: &[u8]) -> Option<Edns> {
    let mut at = HEADER_OCTETS;
    for _ in 0..u16_at(packet, 4) {
        at += name_octets(packet.get(at..)?)? + 4;
    }
    packet.get(at..)?;
    // UPDATE has other names for its sections, and the same records in them (RFC 2136 section 2).
    let records = u32::from(u16_at(packet, 6)) + u32::from(u16_at(packet, 8));
    let edns = read_records(packet, at, records, u32::from(u16_at(packet, 10))).ok()?;
    edns.unwrap_or(Some(Edns::BARE))
}

/// An OPT record at the root that is all there is, as in nearly every query that has records: its ten octets
/// of type, class, TTL and length, and its data.
#[inline(always)]
fn lone_opt(records: &[u8]) -> Option<(&[u8; 10], &[u8])> {
    let (head, data) = records.split_first_chunk::<11>()?;
    let [0, fixed @ ..] = head else { return None };
    let is_whole = u16_at(fixed, 0) == record_type::OPT && data.len() == usize::from(u16_at(fixed, 8));
    is_whole.then_some((fixed, data))
}

/// Walks over answer, authority and additional, and reads the OPT record on the way.
fn read_records(
    packet: &[u8],
    question_end: usize,
    before_additional: u32,
    additional: u32,
) -> Result<Result<Option<Edns>, EdnsError>, Malformed> {
    let unreadable = Malformed::FormErrWithQuestion(question_end);
    let mut rest = &packet[question_end..];
    let mut edns = Ok(None);
    for index in 0..before_additional + additional {
        let owner_octets = name_octets(rest).ok_or(unreadable)?;
        let at_root = rest[0] == 0;
        let (fixed, tail) = rest[owner_octets..].split_first_chunk::<10>().ok_or(unreadable)?;
        let (data, tail) = tail.split_at_checked(usize::from(u16_at(fixed, 8))).ok_or(unreadable)?;
        if u16_at(fixed, 0) == record_type::OPT {
            // At the root, once, in the additional section (RFC 6891 section 6.1.1).
            if index < before_additional || !at_root || !matches!(edns, Ok(None)) {
                return Err(unreadable);
            }
            edns = Edns::parse(fixed, data).map(Some);
        }
        rest = tail;
    }
    // Bytes behind the last record: not a message.
    if rest.is_empty() { Ok(edns) } else { Err(Malformed::Drop) }
}

/// Octets of the name at the front. A pointer ends it; nothing here needs what it points at.
#[inline]
fn name_octets(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let end = loop {
        match *bytes.get(at)? {
            0 => break at + 1,
            len if usize::from(len) <= LABEL_OCTETS_MAX => at += 1 + usize::from(len),
            pointer if pointer >= 0xC0 => break at + 2,
            _ => return None,
        }
    };
    (end <= bytes.len()).then_some(end)
}
