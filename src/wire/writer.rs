//! A response as it goes out: sections in order, names compressed, whole RRsets or truncation.

use arrayvec::ArrayVec;

use super::edns::OPTION_NSID;
use super::query::HEADER_OCTETS;
use super::{CLASS_CH, CLASS_IN, Edns, Qname, Rcode, record_type};

/// Octets of an OPT record without options (RFC 6891 section 6.1.2).
const OPT_OCTETS: usize = 11;
/// A compression pointer has 14 bits (RFC 1035 section 4.1.4).
const POINTER_MAX: usize = 0x3FFF;
/// Names written in one message that later names may point at. A message with more is only longer.
const NAMES_MAX: usize = 32;

/// The sections records are counted in, by their place in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Section {
    Answer = 6,
    Authority = 8,
    Additional = 10,
}

/// The RRset did not fit, and nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Writes one response into the caller's buffer.
pub struct Writer<'w> {
    out: &'w mut [u8],
    at: usize,
    /// Where records must end: the limit less what the OPT record takes.
    end: usize,
    opt_octets: usize,
    qname: &'w Qname,
    /// Suffixes of names written behind the question, and where they stand.
    names: ArrayVec<(&'w [u8], u16), NAMES_MAX>,
}

impl<'w> Writer<'w> {
    /// Starts a response over the packet it answers: header and question, the first `question_end` octets,
    /// stay as they are, case and all. `limit` bounds the whole message, `opt_octets` what
    /// [`Writer::finish`] will add.
    #[inline(always)]
    pub fn new(
        out: &'w mut [u8],
        question_end: usize,
        limit: usize,
        opt_octets: usize,
        qname: &'w Qname,
    ) -> Writer<'w> {
        // QR; opcode and RD as asked. AA, TC, RA, Z, AD are 0, CD as asked.
        out[2] = 0x80 | out[2] & 0x79;
        out[3] &= 0x10;
        out[6..HEADER_OCTETS].fill(0);
        let end = limit.min(out.len()).saturating_sub(opt_octets);
        Writer { out, at: question_end, end, opt_octets, qname, names: ArrayVec::new() }
    }

    /// Octets [`Writer::finish`] will add for a query's OPT record; without an identity to tell, `nsid`
    /// is empty, and the option is left out.
    #[inline]
    pub fn opt_octets(edns: &Edns, nsid: &[u8]) -> usize {
        let nsid = if nsid.is_empty() { 0 } else { 4 + nsid.len() };
        OPT_OCTETS + nsid + edns.subnet.map_or(0, |subnet| subnet.option_octets())
    }

    /// Takes the question back out: the response is the header alone.
    pub fn clear_question(&mut self) {
        self.out[4..6].fill(0);
        self.at = HEADER_OCTETS;
    }

    /// Marks the answer as authoritative.
    #[inline]
    pub fn set_authoritative(&mut self) {
        self.out[2] |= 0x04;
    }

    /// Marks the response as truncated (RFC 2181 section 9).
    #[inline]
    pub fn set_truncated(&mut self) {
        self.out[2] |= 0x02;
    }

    /// Whether anything was left out.
    #[inline]
    pub fn is_truncated(&self) -> bool {
        self.out[2] & 0x02 != 0
    }

    /// Records counted so far in the answer section.
    #[inline]
    pub fn answer_count(&self) -> u16 {
        u16::from_be_bytes([self.out[6], self.out[7]])
    }

    #[inline]
    fn count(&mut self, section: Section, records: u16) {
        let at = section as usize;
        let count = u16::from_be_bytes([self.out[at], self.out[at + 1]]) + records;
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    /// Writes an RRset rendered by [`render`], all of it or nothing.
    ///
    /// `owner` is its owner name in wire form; none means the name of the question, which is the
    /// fast and usual case: the bytes go out as they are.
    #[inline]
    pub fn rrset(
        &mut self,
        section: Section,
        owner: Option<&'w [u8]>,
        rendered: Rendered<'w>,
    ) -> Result<(), Full> {
        if owner.is_none() && !compresses(rendered.record_type) {
            let end = self.at + rendered.bytes.len();
            if end > self.end {
                return Err(Full);
            }
            self.out[self.at..end].copy_from_slice(rendered.bytes);
            self.at = end;
            self.count(section, rendered.count);
            return Ok(());
        }
        self.rrset_by_record(section, owner, rendered)
    }

    fn rrset_by_record(
        &mut self,
        section: Section,
        owner: Option<&'w [u8]>,
        rendered: Rendered<'w>,
    ) -> Result<(), Full> {
        let (start, names) = (self.at, self.names.len());
        let mut rest = rendered.bytes;
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(RECORD_HEAD_OCTETS);
            let (rdata, tail) = tail.split_at(usize::from(u16::from_be_bytes([head[10], head[11]])));
            if self.record(owner, head, rendered.record_type, rdata).is_err() {
                self.at = start;
                self.names.truncate(names);
                return Err(Full);
            }
            rest = tail;
        }
        self.count(section, rendered.count);
        Ok(())
    }

    fn record(
        &mut self,
        owner: Option<&'w [u8]>,
        head: &'w [u8],
        record_type: u16,
        rdata: &'w [u8],
    ) -> Result<(), Full> {
        match owner {
            Some(owner) => self.name(owner)?,
            None => self.put(&head[..2])?,
        }
        self.put(&head[2..])?;
        let length_at = self.at - 2;
        let (before, names, after) = split_rdata(record_type, rdata);
        self.put(before)?;
        let mut rest = names;
        while !rest.is_empty() {
            let (name, tail) = rest.split_at(name_octets(rest));
            self.name(name)?;
            rest = tail;
        }
        self.put(after)?;
        let length = (self.at - length_at - 2) as u16;
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Writes address records, all of `groups` or nothing: each group's addresses from a start that
    /// rotates by `turn`. The owner is as for [`Writer::rrset`], and must already stand in the message.
    #[inline]
    pub fn addresses<'a, const N: usize>(
        &mut self,
        owner: Option<&[u8]>,
        record_type: u16,
        ttl: u32,
        turn: u32,
        groups: impl Iterator<Item = &'a [[u8; N]]> + Clone,
    ) -> Result<(), Full> {
        let count: usize = groups.clone().map(<[_]>::len).sum();
        let record_octets = RECORD_HEAD_OCTETS + N;
        if self.at + count * record_octets > self.end {
            return Err(Full);
        }
        let mut head = record_head(record_type, ttl, N as u16);
        if let Some(owner) = owner {
            let offset = self.offset_of(owner).ok_or(Full)?;
            head[..2].copy_from_slice(&(0xC000 | offset).to_be_bytes());
        }
        let end = self.at + count * record_octets;
        let mut records = self.out[self.at..end].chunks_exact_mut(record_octets);
        for group in groups {
            // Maps the turn onto the group's length without a division.
            let first = ((u64::from(turn) * group.len() as u64) >> 32) as usize;
            for (turned, record) in (first..first + group.len()).zip(&mut records) {
                // Without a branch, which would be guessed wrong as often as not.
                let at = if turned < group.len() { turned } else { turned - group.len() };
                record[..RECORD_HEAD_OCTETS].copy_from_slice(&head);
                record[RECORD_HEAD_OCTETS..].copy_from_slice(&group[at]);
            }
        }
        self.at = end;
        self.count(Section::Answer, count as u16);
        Ok(())
    }

    /// Writes a name, pointing at the longest suffix that already stands in the message.
    fn name(&mut self, name: &'w [u8]) -> Result<(), Full> {
        let mut from = 0;
        while name[from] != 0 {
            if let Some(offset) = self.offset_of(&name[from..]) {
                return self.put(&(0xC000 | offset).to_be_bytes());
            }
            let label = 1 + usize::from(name[from]);
            if self.at <= POINTER_MAX && !self.names.is_full() {
                self.names.push((&name[from..], self.at as u16));
            }
            self.put(&name[from..from + label])?;
            from += label;
        }
        self.put(&[0])
    }

    /// Writes one CNAME record with the owner of [`Writer::rrset`].
    pub fn cname(&mut self, owner: Option<&'w [u8]>, ttl: u32, target: &'w [u8]) -> Result<(), Full> {
        let start = self.at;
        let mut write = || {
            match owner {
                Some(owner) => self.name(owner)?,
                None => self.put(&QUESTION_POINTER)?,
            }
            let head = record_head(record_type::CNAME, ttl, 0);
            self.put(&head[2..])?;
            let rdata = self.at;
            self.name(target)?;
            let length = (self.at - rdata) as u16;
            self.out[rdata - 2..rdata].copy_from_slice(&length.to_be_bytes());
            Ok(())
        };
        write().inspect_err(|_| self.at = start)?;
        self.count(Section::Answer, 1);
        Ok(())
    }

    /// Writes one HINFO record whose CPU is `cpu` and whose OS is empty (RFC 8482 section 4.2).
    pub fn hinfo(&mut self, owner: Option<&'w [u8]>, ttl: u32, cpu: &'static [u8; 7]) -> Result<(), Full> {
        let mut rdata = [0; 9];
        rdata[0] = cpu.len() as u8;
        rdata[1..8].copy_from_slice(cpu);
        self.synthesized(owner, record_head(record_type::HINFO, ttl, rdata.len() as u16), &rdata)
    }

    /// Writes one TXT record of class CH with one text of at most 255 octets and a TTL of 0 (RFC 4892).
    pub fn text_of_chaos(&mut self, text: &[u8]) -> Result<(), Full> {
        let mut head = record_head(record_type::TXT, 0, text.len() as u16 + 1);
        head[4..6].copy_from_slice(&CLASS_CH.to_be_bytes());
        let mut rdata = ArrayVec::<u8, 256>::new();
        rdata.push(text.len() as u8);
        rdata.extend(text.iter().copied());
        self.synthesized(None, head, &rdata)
    }

    /// Writes one record that stands in no zone.
    fn synthesized(
        &mut self,
        owner: Option<&'w [u8]>,
        head: [u8; RECORD_HEAD_OCTETS],
        rdata: &[u8],
    ) -> Result<(), Full> {
        let start = self.at;
        let owner = match owner {
            Some(owner) => self.name(owner),
            None => self.put(&QUESTION_POINTER),
        };
        let written = owner.and_then(|()| self.put(&head[2..])).and_then(|()| self.put(rdata));
        written.inspect_err(|_| self.at = start)?;
        self.count(Section::Answer, 1);
        Ok(())
    }

    /// Whether a name already stands in the message, so that records of that owner can follow.
    pub fn has_name(&self, name: &[u8]) -> bool {
        self.offset_of(name).is_some()
    }

    fn offset_of(&self, suffix: &[u8]) -> Option<u16> {
        if let Some(from) = self.qname.wire_len().checked_sub(suffix.len()) {
            let ends_alike = self.qname.lower()[from..].eq_ignore_ascii_case(suffix);
            if ends_alike && self.qname.labels().contains(&(from as u8)) {
                return Some((HEADER_OCTETS + from) as u16);
            }
        }
        self.names
            .iter()
            .copied()
            .find(|(name, _)| name.eq_ignore_ascii_case(suffix))
            .map(|(_, offset)| offset)
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.at + bytes.len();
        if end > self.end {
            return Err(Full);
        }
        self.out[self.at..end].copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    /// Ends the response: the response code, and the OPT record with NSID and the scope where asked.
    /// `nsid` is what [`Writer::opt_octets`] was told, `advertised` our own largest UDP message. Returns
    /// the octets of the whole message.
    #[inline(always)]
    pub fn finish(
        mut self,
        rcode: Rcode,
        edns: Option<&Edns>,
        scope: u8,
        nsid: &[u8],
        advertised: u16,
    ) -> usize {
        self.out[3] |= rcode as u8 & 0xF;
        let Some(edns) = edns else { return self.at };
        let octets = self.opt_octets;
        let opt = &mut self.out[self.at..self.at + octets];
        let [size_high, size_low] = advertised.to_be_bytes();
        let [data_high, data_low] = ((octets - OPT_OCTETS) as u16).to_be_bytes();
        let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
        opt[..OPT_OCTETS].copy_from_slice(&[
            0,
            0,
            record_type::OPT as u8,
            size_high,
            size_low,
            rcode as u8 >> 4,
            0,
            dnssec_ok,
            0,
            data_high,
            data_low,
        ]);
        let mut options = &mut opt[OPT_OCTETS..];
        if !nsid.is_empty() {
            let (option, rest) = options.split_at_mut(4 + nsid.len());
            option[..2].copy_from_slice(&OPTION_NSID.to_be_bytes());
            option[2..4].copy_from_slice(&(nsid.len() as u16).to_be_bytes());
            option[4..].copy_from_slice(nsid);
            options = rest;
        }
        if let Some(subnet) = edns.subnet {
            subnet.write(scope, options);
        }
        self.at += octets;
        self.count(Section::Additional, 1);
        self.at
    }
}

/// An RRset's records as they stand in memory: each with a pointer to the question as its owner, its
/// type, class, TTL, and its data with whole names.
#[derive(Clone, Copy, Debug)]
pub struct Rendered<'r> {
    /// The type of all of them.
    pub record_type: u16,
    /// How many there are.
    pub count: u16,
    /// The records.
    pub bytes: &'r [u8],
}

impl<'r> Rendered<'r> {
    /// The data of the first record.
    pub fn first_rdata(&self) -> &'r [u8] {
        let octets = usize::from(u16::from_be_bytes([self.bytes[10], self.bytes[11]]));
        &self.bytes[RECORD_HEAD_OCTETS..][..octets]
    }
}

/// Octets of owner pointer, type, class, TTL and data length.
const RECORD_HEAD_OCTETS: usize = 12;

/// A pointer to the question's name, which always stands behind the header.
const QUESTION_POINTER: [u8; 2] = (0xC000 | HEADER_OCTETS as u16).to_be_bytes();

#[inline]
fn record_head(record_type: u16, ttl: u32, rdata_octets: u16) -> [u8; RECORD_HEAD_OCTETS] {
    let mut head = [0; RECORD_HEAD_OCTETS];
    head[..2].copy_from_slice(&QUESTION_POINTER);
    head[2..4].copy_from_slice(&record_type.to_be_bytes());
    head[4..6].copy_from_slice(&CLASS_IN.to_be_bytes());
    head[6..10].copy_from_slice(&ttl.to_be_bytes());
    head[10..].copy_from_slice(&rdata_octets.to_be_bytes());
    head
}

/// Renders one record to the end of an RRset's bytes.
pub fn render(record_type: u16, ttl: u32, rdata: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&record_head(record_type, ttl, rdata.len() as u16));
    bytes.extend_from_slice(rdata);
}

/// The types whose names may be compressed by us (RFC 3597 section 4 keeps it to those of RFC 1035).
#[inline]
fn compresses(record_type: u16) -> bool {
    use record_type::{CNAME, MX, NS, PTR, SOA};
    matches!(record_type, NS | CNAME | SOA | PTR | MX)
}

/// What stands before the names, the names, and what stands behind.
fn split_rdata(record_type: u16, rdata: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (before, rest) = match record_type {
        record_type::MX => rdata.split_at(2),
        kind if compresses(kind) => rdata.split_at(0),
        _ => return (rdata, &[], &[]),
    };
    let first = name_octets(rest);
    let names = match record_type {
        record_type::SOA => first + name_octets(&rest[first..]),
        _ => first,
    };
    let (names, after) = rest.split_at(names);
    (before, names, after)
}

/// Octets of the whole name at the front.
fn name_octets(bytes: &[u8]) -> usize {
    let mut at = 0;
    while bytes[at] != 0 {
        at += 1 + usize::from(bytes[at]);
    }
    at + 1
}
