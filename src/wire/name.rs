//! Domain names as they stand in files and in memory: uncompressed wire form (RFC 1035 section 3.1).

use std::fmt;
use std::str::FromStr;

/// Most octets of a name in wire form, its root label included (RFC 1035 section 2.3.4).
pub const NAME_OCTETS_MAX: usize = 255;
/// Most octets of a label (RFC 1035 section 2.3.4).
pub const LABEL_OCTETS_MAX: usize = 63;

/// An absolute name in uncompressed wire form, in the case it was written in. Comparing and hashing
/// fold ASCII case (RFC 4343).
#[derive(Clone)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The root.
    pub fn root() -> Name {
        Name(Box::new([0]))
    }

    /// A name from its wire form, which must be one whole uncompressed name and nothing more.
    pub fn from_wire(wire: &[u8]) -> Result<Name, NameError> {
        let mut at = 0;
        loop {
            match wire.get(at) {
                Some(0) if at + 1 == wire.len() && wire.len() <= NAME_OCTETS_MAX => {
                    return Ok(Name(wire.into()));
                }
                Some(&len) if len > 0 && len as usize <= LABEL_OCTETS_MAX => at += 1 + len as usize,
                _ => return Err(NameError::Malformed),
            }
        }
    }

    /// A name from its master file form (RFC 1035 section 5.1: `\X`, `\DDD`); relative names and `@`
    /// are completed with `origin`, and are an error without one.
    pub fn parse(text: &[u8], origin: Option<&Name>) -> Result<Name, NameError> {
        let whole = |mut wire: Vec<u8>, end: &[u8]| {
            wire.extend_from_slice(end);
            if wire.len() > NAME_OCTETS_MAX { Err(NameError::NameTooLong) } else { Ok(Name(wire.into())) }
        };
        match text {
            b"" => return Err(NameError::EmptyLabel),
            b"." => return Ok(Name::root()),
            b"@" => return origin.cloned().ok_or(NameError::Relative),
            _ => {}
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label = 0; // Where the current label's length octet stands.
        wire.push(0);
        let mut rest = text.iter();
        while let Some(&byte) = rest.next() {
            match byte {
                b'.' => {
                    close(&mut wire, label)?;
                    if rest.as_slice().is_empty() {
                        return whole(wire, &[0]);
                    }
                    label = wire.len();
                    wire.push(0);
                }
                b'\\' => wire.push(unescape(&mut rest)?),
                other => wire.push(other),
            }
        }
        close(&mut wire, label)?;
        whole(wire, origin.ok_or(NameError::Relative)?.as_wire())
    }

    /// The wire form.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The name in lower case.
    pub fn to_lowercase(&self) -> Name {
        Name(self.0.to_ascii_lowercase().into())
    }

    /// The labels from the left, without the root label.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (&len, tail) = rest.split_first()?;
            let (label, tail) = tail.split_at(len as usize);
            rest = tail;
            (len > 0).then_some(label)
        })
    }

    /// The name without its first label; none for the root.
    pub fn parent(&self) -> Option<Name> {
        let first = self.0[0] as usize;
        (first > 0).then(|| Name(self.0[first + 1..].into()))
    }

    /// Whether the name is `ancestor` or below it.
    pub fn is_in(&self, ancestor: &Name) -> bool {
        let Some(from) = self.0.len().checked_sub(ancestor.0.len()) else { return false };
        let mut label = 0;
        while label < from {
            label += 1 + usize::from(self.0[label]);
        }
        label == from && self.0[from..].eq_ignore_ascii_case(&ancestor.0)
    }

    /// Whether the first label is `*` (RFC 4592 section 2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }
}

/// Writes a label's length at its front, and checks it.
fn close(wire: &mut [u8], label: usize) -> Result<(), NameError> {
    match wire.len() - label - 1 {
        0 => Err(NameError::EmptyLabel),
        len if len > LABEL_OCTETS_MAX => Err(NameError::LabelTooLong),
        len => {
            wire[label] = len as u8;
            Ok(())
        }
    }
}

/// The octet behind a backslash: `DDD` in decimal, or any other character itself.
pub fn unescape<'t>(rest: &mut impl Iterator<Item = &'t u8>) -> Result<u8, NameError> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0')).ok_or(NameError::Escape);
    let first = rest.next().ok_or(NameError::Escape)?;
    if !first.is_ascii_digit() {
        return Ok(*first);
    }
    let second = rest.next().ok_or(NameError::Escape)?;
    let third = rest.next().ok_or(NameError::Escape)?;
    u8::try_from(digit(first)? * 100 + digit(second)? * 10 + digit(third)?).map_err(|_| NameError::Escape)
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for byte in &self.0 {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Canonical order (RFC 4034 section 6.1): label by label from the right, in lower case.
impl Ord for Name {
    fn cmp(&self, other: &Name) -> std::cmp::Ordering {
        let key = |name: &Name| {
            let mut labels: Vec<_> = name.labels().map(<[u8]>::to_ascii_lowercase).collect();
            labels.reverse();
            labels
        };
        key(self).cmp(&key(other))
    }
}

/// The master file form, with the dot at the end.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if *self.0 == [0] {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        write!(f, "\\{}", byte as char)?
                    }
                    b'!'..=b'~' => write!(f, "{}", byte as char)?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A name as people write it in configurations: absolute with or without the dot at the end.
impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        Name::parse(text.as_bytes(), Some(&Name::root()))
    }
}

/// Why a text or bytes are no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or nothing at all.
    #[error("a label is empty; write a name like www.example.com")]
    EmptyLabel,
    /// RFC 1035 section 2.3.4.
    #[error("a label is longer than 63 octets")]
    LabelTooLong,
    /// RFC 1035 section 2.3.4.
    #[error("the name is longer than 255 octets")]
    NameTooLong,
    /// RFC 1035 section 5.1.
    #[error("a backslash must be followed by a character or by three digits up to 255")]
    Escape,
    /// There is no origin to complete it with.
    #[error("the name is relative and there is no origin; end it with a dot")]
    Relative,
    /// Not one whole uncompressed name.
    #[error("these bytes are not one whole uncompressed name")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_forms() {
        let origin: Name = "example.com".parse().unwrap();
        let check = |text: &str, expect: &str| {
            let got = Name::parse(text.as_bytes(), Some(&origin)).map(|name| name.to_string());
            assert_eq!(got.unwrap_or_else(|e| e.to_string()), expect, "{text}");
        };
        check("@", "example.com.");
        check("www", "www.example.com.");
        check("www.example.net.", "www.example.net.");
        check(".", ".");
        check(r"a\.b", r"a\.b.example.com.");
        check(r"\097\000", r"a\000.example.com.");
        check(r"\256", "a backslash must be followed by a character or by three digits up to 255");
        check("a..b", "a label is empty; write a name like www.example.com");
        check(&"a".repeat(64), "a label is longer than 63 octets");
        check(&"a.".repeat(127), &"a.".repeat(127));
        check(&"a.".repeat(128), "the name is longer than 255 octets");
    }

    #[test]
    fn ancestors() {
        let check = |name: &str, ancestor: &str, expect: bool| {
            let [name, ancestor]: [Name; 2] = [name, ancestor].map(|name| name.parse().unwrap());
            assert_eq!(name.is_in(&ancestor), expect, "{name} {ancestor}");
        };
        check("www.example.com", "example.com", true);
        check("WWW.example.COM", "Example.com", true);
        check("example.com", "example.com", true);
        check("example.com", ".", true);
        check("example.com", "www.example.com", false);
        check("notexample.com", "example.com", false);
        check(r"not\007example.com", "example.com", false);
        check("example.org", "example.com", false);
    }

    proptest! {
        #[test]
        fn text_and_wire_round_trip(labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..8)) {
            let mut wire = Vec::new();
            for label in &labels {
                wire.push(label.len() as u8);
                wire.extend_from_slice(label);
            }
            wire.push(0);
            let name = Name::from_wire(&wire).unwrap();
            let again: Name = name.to_string().parse().unwrap();
            prop_assert_eq!(again.as_wire(), name.as_wire());
            prop_assert_eq!(name.labels().count(), labels.len());
        }
    }
}
