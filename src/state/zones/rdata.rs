//! Record data: items of an entry to wire form, and the walk over wire form that the checks need.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hickory_proto::serialize::txt::parse_ttl;

use super::entries::{Shape, Token};
use super::svc_params;
use super::types::{
    CDS, DS, Form, HTTPS, SMIMEA, SSHFP, SVCB, TLSA, ZONEMD, layout_of, type_code, type_name,
};
use crate::wire::name::{Name, unescape};

/// Largest time, TTLs included: 2^31 - 1 seconds (RFC 2181 section 8).
pub(super) const TIME_MAX: u32 = i32::MAX as u32;

/// Why data cannot be read: in which field, and what to write instead.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub field: &'static str,
    pub message: String,
}

/// Reads the data of a record, in its type's own form or in the generic one (RFC 3597 section 5).
/// `doubts` takes names that look as if their dot at the end were forgotten.
pub(super) fn read(
    code: u16,
    tokens: &[Token],
    origin: Option<&Name>,
    doubts: &mut Vec<String>,
) -> Result<Vec<u8>, Fault> {
    let rdata = match tokens {
        [Token { text: br"\#", shape: Shape::Plain }, rest @ ..] => {
            read_generic(code, rest).map_err(|message| Fault { field: "", message })?
        }
        _ => read_fields(code, tokens, origin, doubts)?,
    };
    if rdata.len() > usize::from(u16::MAX) {
        return Err(Fault { field: "", message: "the data are longer than 65535 octets".into() });
    }
    check_digest(code, &rdata)?;
    if matches!(code, SVCB | HTTPS) {
        doubts.extend(svc_params::doubt(&rdata[2 + name_len(&rdata[2..]).unwrap_or_default()..]));
    }
    Ok(rdata)
}

/// Where a type says which digest it has, what its field is called, and how many octets each digest has.
struct Digests {
    code: u16,
    kind_at: usize,
    field: &'static str,
    octets: &'static [(u8, usize)],
}

const fn digests(code: u16, kind_at: usize, field: &'static str, octets: &'static [(u8, usize)]) -> Digests {
    Digests { code, kind_at, field, octets }
}

/// SHA-1, SHA-256, SHA-384 and SHA-512 in DS and CDS (RFC 4509, RFC 6605), SSHFP (RFC 4255, RFC 6594), TLSA and
/// SMIMEA (RFC 6698 section 2.1.3) and ZONEMD (RFC 8976 section 5.3).
const DIGESTS: [Digests; 6] = [
    digests(DS, 3, "digest", &[(1, 20), (2, 32), (4, 48)]),
    digests(CDS, 3, "digest", &[(1, 20), (2, 32), (4, 48)]),
    digests(SSHFP, 1, "fingerprint", &[(1, 20), (2, 32)]),
    digests(TLSA, 2, "data", &[(1, 32), (2, 64)]),
    digests(SMIMEA, 2, "data", &[(1, 32), (2, 64)]),
    digests(ZONEMD, 5, "digest", &[(1, 48), (2, 64)]),
];

/// A digest that is cut off matches nothing, so whoever checks it refuses everything.
fn check_digest(code: u16, rdata: &[u8]) -> Result<(), Fault> {
    let Some(digests) = DIGESTS.iter().find(|digests| digests.code == code) else { return Ok(()) };
    let rest = rdata.get(digests.kind_at..).and_then(<[u8]>::split_first);
    let Some((kind, digest)) = rest else { return Ok(()) };
    match digests.octets.iter().find(|(other, _)| other == kind) {
        Some((_, octets)) if digest.len() != *octets => {
            let message = format!(
                "behind the number {kind} it has {octets} octets, not {}; write {} hexadecimal digits",
                digest.len(),
                octets * 2
            );
            Err(Fault { field: digests.field, message })
        }
        _ => Ok(()),
    }
}

fn read_fields(
    code: u16,
    tokens: &[Token],
    origin: Option<&Name>,
    doubts: &mut Vec<String>,
) -> Result<Vec<u8>, Fault> {
    let Some(layout) = layout_of(code) else {
        let message = format!(
            "the data of this type are read in the generic form only; write {} \\# <length> <hexadecimal> (RFC 3597 section 5)",
            type_name(code)
        );
        return Err(Fault { field: "", message });
    };
    let fault =
        |field, why: String| Fault { field, message: format!("{why}; for example: {}", layout.example) };
    let mut wire = Vec::new();
    let mut rest = tokens;
    for &(field, form) in layout.fields {
        if rest.is_empty() && form != Form::Params {
            return Err(fault(field, "it is missing".into()));
        }
        let taken = if form.takes_all() { rest.len() } else { 1 };
        let (items, behind) = rest.split_at(taken);
        rest = behind;
        read_form(form, items, origin, doubts, &mut wire).map_err(|why| fault(field, why))?;
    }
    match rest.first() {
        Some(token) => Err(fault("", format!("`{}` is one item too many", shown(token)))),
        None => Ok(wire),
    }
}

impl Form {
    fn takes_all(self) -> bool {
        matches!(self, Form::Texts | Form::Hex | Form::Base64 | Form::Types | Form::Params)
    }
}

fn read_form(
    form: Form,
    items: &[Token],
    origin: Option<&Name>,
    doubts: &mut Vec<String>,
    wire: &mut Vec<u8>,
) -> Result<(), String> {
    match form {
        Form::Name => wire.extend_from_slice(read_name(&items[0], origin, doubts)?.as_wire()),
        Form::U8 => wire.push(number(&items[0], "a number, 0 to 255")?),
        Form::U16 => wire.extend(number::<u16>(&items[0], "a number, 0 to 65535")?.to_be_bytes()),
        Form::U32 => wire.extend(number::<u32>(&items[0], "a number, 0 to 4294967295")?.to_be_bytes()),
        Form::Time => wire.extend(read_time(plain(&items[0])?)?.to_be_bytes()),
        Form::Algorithm => wire.push(algorithm(&items[0])?),
        Form::V4 => wire.extend(number::<Ipv4Addr>(&items[0], "an IPv4 address")?.octets()),
        Form::V6 => wire.extend(number::<Ipv6Addr>(&items[0], "an IPv6 address")?.octets()),
        Form::Text => push_text(&items[0], wire)?,
        Form::Texts => items.iter().try_for_each(|item| push_text(item, wire))?,
        Form::Tag => {
            let tag = plain(&items[0])?;
            if !(1..=15).contains(&tag.len()) || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(format!("`{tag}` is no tag; 1 to 15 letters and digits"));
            }
            wire.push(tag.len() as u8);
            wire.extend_from_slice(tag.as_bytes());
        }
        Form::LongText => wire.extend(read_text(&items[0])?),
        Form::Hex => wire.extend(read_hex(items)?),
        Form::Base64 => wire
            .extend(BASE64.decode(joined(items)?.as_bytes()).map_err(|e| format!("this is no base64: {e}"))?),
        Form::Types => wire.extend(read_types(items)?),
        Form::Params => wire.extend(svc_params::read(items)?),
    }
    Ok(())
}

/// Reads a name and completes it.
pub(super) fn read_name(
    token: &Token,
    origin: Option<&Name>,
    doubts: &mut Vec<String>,
) -> Result<Name, String> {
    let text = unquoted(token)?;
    if !text.is_ascii() {
        return Err(format!("`{}` is not ASCII; write its xn-- form (RFC 5891)", shown(token)));
    }
    let name = Name::parse(text, origin).map_err(|e| format!("`{}`: {e}", shown(token)))?;
    if let Some(origin) = origin.filter(|origin| ends_twice_with(&name, origin)) {
        doubts.push(format!(
            "`{}` becomes {name} because it lacks the dot at the end of {origin} that would make it whole",
            shown(token)
        ));
    }
    Ok(name)
}

/// `www.example.com.example.com.`: hardly anybody means that.
fn ends_twice_with(name: &Name, origin: &Name) -> bool {
    let (name, origin) = (name.as_wire(), origin.as_wire());
    let once = &origin[..origin.len() - 1];
    let Some(before) = name.len().checked_sub(origin.len()).map(|end| &name[..end]) else { return false };
    !once.is_empty()
        && name[before.len()..].eq_ignore_ascii_case(origin)
        && before.len() >= once.len()
        && before[before.len() - once.len()..].eq_ignore_ascii_case(once)
}

/// Reads seconds, with or without units.
pub(super) fn read_time(text: &str) -> Result<u32, String> {
    match parse_ttl(text) {
        Ok(time) if time <= TIME_MAX => Ok(time),
        Ok(_) => Err(format!("`{text}` is longer than {TIME_MAX} seconds (RFC 2181 section 8)")),
        Err(_) => Err(format!("`{text}` is no time; write seconds or units, such as 3600 or 1h30m")),
    }
}

fn read_generic(code: u16, tokens: &[Token]) -> Result<Vec<u8>, String> {
    let usage = "write \\# <length> <hexadecimal> (RFC 3597 section 5)";
    let (len, hex) = tokens.split_first().ok_or_else(|| format!("the length is missing; {usage}"))?;
    let len: u16 = number(len, "the length in octets, 0 to 65535")?;
    let rdata = if hex.is_empty() { Vec::new() } else { read_hex(hex)? };
    if rdata.len() != usize::from(len) {
        return Err(format!("the length says {len}, but there are {} octets; {usage}", rdata.len()));
    }
    if layout_of(code).is_some() && walk(code, &rdata, |_, _| {}).is_none() {
        return Err(format!(
            "these octets are no whole {} data, which have no compressed names; {usage}",
            type_name(code)
        ));
    }
    Ok(rdata)
}

/// DNSSEC algorithms that are in use, by mnemonic (RFC 4034 appendix A.1 and its registry).
const ALGORITHMS: [(&str, u8); 8] = [
    ("RSASHA1", 5),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
];

fn algorithm(token: &Token) -> Result<u8, String> {
    let text = plain(token)?;
    match ALGORITHMS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some((_, number)) => Ok(*number),
        None => number(token, "an algorithm's number"),
    }
}

fn push_text(token: &Token, wire: &mut Vec<u8>) -> Result<(), String> {
    let text = read_text(token)?;
    let len = u8::try_from(text.len())
        .map_err(|_| format!("the text has {} octets and may have 255; split it into several", text.len()))?;
    wire.push(len);
    wire.extend(text);
    Ok(())
}

fn read_text(token: &Token) -> Result<Vec<u8>, String> {
    match token.shape {
        Shape::Mixed => Err(stray_quote(token)),
        _ => unescape_text(token.text),
    }
}

/// The octets a text stands for (RFC 1035 section 5.1).
pub(super) fn unescape_text(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        octets.push(match byte {
            b'\\' => unescape(&mut rest).map_err(|e| e.to_string())?,
            other => other,
        });
    }
    Ok(octets)
}

fn read_hex(items: &[Token]) -> Result<Vec<u8>, String> {
    HEXLOWER_PERMISSIVE.decode(joined(items)?.as_bytes()).map_err(|e| format!("this is no hexadecimal: {e}"))
}

fn joined(items: &[Token]) -> Result<String, String> {
    items.iter().map(plain).collect()
}

fn read_types(items: &[Token]) -> Result<Vec<u8>, String> {
    let mut codes = Vec::new();
    for item in items {
        let code = type_code(item.text).ok_or_else(|| format!("`{}` is no record type", shown(item)))?;
        codes.push(code);
    }
    codes.sort();
    let mut wire = Vec::new();
    for window in codes.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0u8; 32];
        for code in window {
            bits[usize::from(code & 0xFF) / 8] |= 0x80 >> (code % 8);
        }
        let len = bits.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
        wire.extend([(window[0] >> 8) as u8, len as u8]);
        wire.extend_from_slice(&bits[..len]);
    }
    Ok(wire)
}

fn number<T: FromStr>(token: &Token, what: &str) -> Result<T, String> {
    let text = plain(token)?;
    // `+5` is a number to Rust and to nobody else.
    text.parse().ok().filter(|_| !text.starts_with('+')).ok_or_else(|| format!("`{text}` is not {what}"))
}

/// A word, which has no reason to be anything but ASCII.
fn plain<'t>(token: &Token<'t>) -> Result<&'t str, String> {
    std::str::from_utf8(unquoted(token)?).map_err(|_| format!("`{}` is not ASCII", shown(token)))
}

fn unquoted<'t>(token: &Token<'t>) -> Result<&'t [u8], String> {
    match token.shape {
        Shape::Plain => Ok(token.text),
        Shape::Quoted => Err(format!("\"{}\" stands in quotes; write it without", shown(token))),
        Shape::Mixed => Err(stray_quote(token)),
    }
}

fn stray_quote(token: &Token) -> String {
    format!("`{}` has a quote in its middle; put the whole of it in quotes, or write \\\"", shown(token))
}

pub(super) fn shown(token: &Token) -> String {
    String::from_utf8_lossy(token.text).into_owned()
}

/// Walks the fields of data in wire form; none where they are not whole. What has no layout is one blob.
pub(super) fn walk(code: u16, rdata: &[u8], mut visit: impl FnMut(Form, Range<usize>)) -> Option<()> {
    let mut at = 0;
    for &(_, form) in layout_of(code).map_or(&[("", Form::Hex)][..], |layout| layout.fields) {
        let rest = &rdata[at..];
        let len = match form {
            Form::Name => name_len(rest)?,
            Form::U8 | Form::Algorithm => 1,
            Form::U16 => 2,
            Form::U32 | Form::Time | Form::V4 => 4,
            Form::V6 => 16,
            Form::Text => 1 + usize::from(*rest.first()?),
            Form::Tag => 1 + usize::from(*rest.first().filter(|len| **len > 0)?),
            Form::Texts => runs(rest, 1, |head| usize::from(head[0])).filter(|len| *len > 0)?,
            Form::Types => runs(rest, 2, |head| usize::from(head[1]))?,
            Form::Params => runs(rest, 4, |head| usize::from(u16::from_be_bytes([head[2], head[3]])))?,
            Form::LongText | Form::Hex | Form::Base64 => rest.len(),
        };
        rdata.get(at..at + len)?;
        visit(form, at..at + len);
        at += len;
    }
    (at == rdata.len()).then_some(())
}

fn name_len(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match usize::from(*rest.get(at)?) {
            0 => return Name::from_wire(&rest[..=at]).ok().map(|_| at + 1),
            len => at += 1 + len,
        }
    }
}

/// The length of a run of pieces, each a head of `head` octets and as much more as `more` says.
fn runs(rest: &[u8], head: usize, more: impl Fn(&[u8]) -> usize) -> Option<usize> {
    let mut at = 0;
    while at < rest.len() {
        at += head + more(rest.get(at..at + head)?);
    }
    (at == rest.len()).then_some(at)
}

/// The first name in the data: where NS, CNAME, PTR, MX, SRV, SVCB and their like point.
pub(super) fn target(code: u16, rdata: &[u8]) -> Option<Name> {
    let mut first = None;
    walk(code, rdata, |form, range| {
        if form == Form::Name && first.is_none() {
            first = Name::from_wire(&rdata[range]).ok();
        }
    })?;
    first
}

/// The data with their names in lower case: data that are the same have the same form (RFC 4034
/// section 6.2).
pub(super) fn canonical(code: u16, rdata: &[u8]) -> Cow<'_, [u8]> {
    let mut lower = Cow::Borrowed(rdata);
    walk(code, rdata, |form, range| {
        if form == Form::Name && rdata[range.clone()].iter().any(u8::is_ascii_uppercase) {
            lower.to_mut()[range].make_ascii_lowercase();
        }
    });
    lower
}
