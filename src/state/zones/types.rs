//! The record types: their names, their numbers, what their data are made of, and which are refused.
//!
//! One line per type, as the field's own RFCs draw them. We read record data by this table and not by
//! hickory-proto's parser, because that one (0.26) is wrong, or silent, about every type in it:
//!
//! - names: made lower case, `\DDD` is read in octal, `a_b` is refused, and so is `@`;
//! - items too many are dropped without a word (`A 192.0.2.1 192.0.2.2` is one address);
//! - texts: `\DDD` gives another octet, escapes outside quotes stay as they stand, other bytes than
//!   UTF-8 cannot be written;
//! - SVCB and HTTPS: a relative target stays relative, keys stand in any order, twice, or not at all
//!   where `mandatory` names them;
//! - SSHFP, CERT, OPENPGPKEY: hexadecimal and base64 with a space in it, as `dig` prints it, are refused
//!   or cut off;
//! - DS, CDS, DNSKEY, CDNSKEY, SPF, RP, AFSDB, URI, the generic form and unknown types (RFC 3597) are
//!   not read at all.
//!
//! `tests/zones.rs` holds that list against the library, so that we see when it has become better. Its
//! decoder is right, and is the oracle for the bytes we write; its reading of times is right and is used.

use std::borrow::Cow;

/// What a field is made of, in text and on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// A domain name; a relative one is completed with the origin.
    Name,
    /// A number of one octet.
    U8,
    /// A number of two octets.
    U16,
    /// A number of four octets.
    U32,
    /// Seconds in four octets, written with or without units (`1h30m`).
    Time,
    /// A DNSSEC algorithm, by number or by its mnemonic.
    Algorithm,
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// A character string: a length octet and up to 255 octets.
    Text,
    /// One or more character strings, to the end.
    Texts,
    /// A property tag of CAA: a length octet, letters and digits.
    Tag,
    /// A text without a length octet, to the end.
    LongText,
    /// Hexadecimal, to the end.
    Hex,
    /// Base64, to the end.
    Base64,
    /// Record types as a bitmap (RFC 4034 section 4.1.2), to the end.
    Types,
    /// Service parameters (RFC 9460 section 2.1), to the end.
    Params,
}

/// A type that can be read from text.
pub(super) struct Layout {
    pub name: &'static str,
    pub code: u16,
    pub fields: &'static [(&'static str, Form)],
    /// What a record of it looks like, for messages.
    pub example: &'static str,
}

pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const MX: u16 = 15;
pub(super) const SRV: u16 = 33;
pub(super) const DS: u16 = 43;
pub(super) const SSHFP: u16 = 44;
pub(super) const TLSA: u16 = 52;
pub(super) const SMIMEA: u16 = 53;
pub(super) const CDS: u16 = 59;
pub(super) const ZONEMD: u16 = 63;
pub(super) const SVCB: u16 = 64;
pub(super) const HTTPS: u16 = 65;
pub(super) const A: u16 = 1;
pub(super) const AAAA: u16 = 28;

const fn layout(
    name: &'static str,
    code: u16,
    fields: &'static [(&'static str, Form)],
    example: &'static str,
) -> Layout {
    Layout { name, code, fields, example }
}

use Form::*;

#[rustfmt::skip]
const LAYOUTS: &[Layout] = &[
    layout("A", A, &[("address", V4)], "A 192.0.2.1"),
    layout("AAAA", AAAA, &[("address", V6)], "AAAA 2001:db8::1"),
    layout("NS", NS, &[("name server", Name)], "NS ns1.example.com."),
    layout("CNAME", CNAME, &[("target", Name)], "CNAME www.example.com."),
    layout("SOA", SOA, &[("primary", Name), ("mailbox", Name), ("serial", U32), ("refresh", Time), ("retry", Time), ("expire", Time), ("minimum", Time)], "SOA ns1.example.com. hostmaster.example.com. 1 2h 15m 14d 5m"),
    layout("PTR", 12, &[("target", Name)], "PTR www.example.com."),
    layout("HINFO", 13, &[("cpu", Text), ("os", Text)], "HINFO \"PC\" \"Linux\""),
    layout("MX", MX, &[("preference", U16), ("exchange", Name)], "MX 10 mail.example.com."),
    layout("TXT", 16, &[("text", Texts)], "TXT \"some text\""),
    layout("RP", 17, &[("mailbox", Name), ("text name", Name)], "RP admin.example.com. info.example.com."),
    layout("AFSDB", 18, &[("subtype", U16), ("host", Name)], "AFSDB 1 afs.example.com."),
    layout("SRV", SRV, &[("priority", U16), ("weight", U16), ("port", U16), ("target", Name)], "SRV 10 50 443 www.example.com."),
    layout("NAPTR", 35, &[("order", U16), ("preference", U16), ("flags", Text), ("service", Text), ("regexp", Text), ("replacement", Name)], "NAPTR 100 10 \"S\" \"SIP+D2U\" \"\" _sip._udp.example.com."),
    layout("KX", 36, &[("preference", U16), ("exchanger", Name)], "KX 10 kx.example.com."),
    layout("CERT", 37, &[("certificate type", U16), ("key tag", U16), ("algorithm", Algorithm), ("certificate", Base64)], "CERT 1 0 0 MIIB"),
    layout("DS", DS, &[("key tag", U16), ("algorithm", Algorithm), ("digest type", U8), ("digest", Hex)], "DS 12345 13 2 <64 hexadecimal digits>"),
    layout("SSHFP", SSHFP, &[("algorithm", U8), ("fingerprint type", U8), ("fingerprint", Hex)], "SSHFP 4 2 <64 hexadecimal digits>"),
    layout("DNSKEY", 48, &[("flags", U16), ("protocol", U8), ("algorithm", Algorithm), ("key", Base64)], "DNSKEY 257 3 13 <base64>"),
    layout("DHCID", 49, &[("digest", Base64)], "DHCID <base64>"),
    layout("TLSA", TLSA, &[("usage", U8), ("selector", U8), ("matching type", U8), ("data", Hex)], "TLSA 3 1 1 <64 hexadecimal digits>"),
    layout("SMIMEA", SMIMEA, &[("usage", U8), ("selector", U8), ("matching type", U8), ("data", Hex)], "SMIMEA 3 1 1 <64 hexadecimal digits>"),
    layout("CDS", CDS, &[("key tag", U16), ("algorithm", Algorithm), ("digest type", U8), ("digest", Hex)], "CDS 12345 13 2 <64 hexadecimal digits>"),
    layout("CDNSKEY", 60, &[("flags", U16), ("protocol", U8), ("algorithm", Algorithm), ("key", Base64)], "CDNSKEY 257 3 13 <base64>"),
    layout("OPENPGPKEY", 61, &[("key", Base64)], "OPENPGPKEY <base64>"),
    layout("CSYNC", 62, &[("serial", U32), ("flags", U16), ("types", Types)], "CSYNC 1 3 NS A AAAA"),
    layout("ZONEMD", ZONEMD, &[("serial", U32), ("scheme", U8), ("hash", U8), ("digest", Hex)], "ZONEMD 1 1 1 <96 hexadecimal digits>"),
    layout("SVCB", SVCB, &[("priority", U16), ("target", Name), ("parameters", Params)], "SVCB 1 svc.example.com. alpn=h2,h3 port=8443"),
    layout("HTTPS", HTTPS, &[("priority", U16), ("target", Name), ("parameters", Params)], "HTTPS 1 . alpn=h2,h3"),
    layout("SPF", 99, &[("text", Texts)], "SPF \"v=spf1 -all\""),
    layout("URI", 256, &[("priority", U16), ("weight", U16), ("target", LongText)], "URI 10 1 \"https://www.example.com/\""),
    layout("CAA", 257, &[("flags", U8), ("tag", Tag), ("value", LongText)], "CAA 0 issue \"ca.example.net\""),
];

/// Names that we know and whose text form we do not read: they are written in the generic form.
const GENERIC_ONLY: &[(&str, u16)] =
    &[("KEY", 25), ("LOC", 29), ("APL", 42), ("IPSECKEY", 45), ("HIP", 55), ("EUI48", 108), ("EUI64", 109)];

const REFUSED: &[(&str, u16)] = &[
    ("NULL", 10),
    ("SIG", 24),
    ("NXT", 30),
    ("DNAME", 39),
    ("OPT", 41),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TKEY", 249),
    ("TSIG", 250),
    ("IXFR", 251),
    ("AXFR", 252),
    ("MAILB", 253),
    ("MAILA", 254),
    ("ANY", 255),
    ("*", 255),
];

/// Why records of a type are not served, in whatever form they are written.
pub(super) fn refusal(code: u16) -> Option<&'static str> {
    Some(match code {
        // Served as plain data they would promise a signed zone without being one: no proofs, no
        // signatures beside the answers. DNSKEY, DS, CDS and CDNSKEY are just data and are served.
        24 | 30 | 46 | 47 | 50 | 51 => {
            "signed zones are not served yet; leave out what the signer wrote, and the DS at the parent"
        }
        39 => "DNAME is not followed here; write a CNAME for each name, or a wildcard CNAME",
        10 => "NULL is not allowed in a zone (RFC 1035 section 3.3.10); TXT holds free text",
        // RFC 6895 section 3.1.
        0 | 41 | 128..=255 | 65535 => "this type belongs to messages and not to zones; leave the line out",
        _ => return None,
    })
}

/// The layout of a type.
pub(super) fn layout_of(code: u16) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| layout.code == code)
}

/// The number of a type from its name, or from `TYPE123` (RFC 3597 section 5).
pub(super) fn type_code(word: &[u8]) -> Option<u16> {
    let named = LAYOUTS.iter().map(|layout| (layout.name, layout.code));
    let mut named = named.chain(GENERIC_ONLY.iter().copied()).chain(REFUSED.iter().copied());
    named.find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word)).map(|(_, code)| code).or_else(|| {
        let (prefix, digits) = word.split_at_checked(4)?;
        let digits = digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok())??;
        prefix.eq_ignore_ascii_case(b"TYPE").then(|| digits.parse().ok())?
    })
}

/// The name of a type, or `TYPE123` where it has none here.
pub fn type_name(code: u16) -> Cow<'static, str> {
    let others = GENERIC_ONLY.iter().chain(REFUSED);
    match layout_of(code)
        .map(|layout| layout.name)
        .or_else(|| others.clone().find(|o| o.1 == code).map(|o| o.0))
    {
        Some(name) => name.into(),
        None => format!("TYPE{code}").into(),
    }
}
