//! The parameters of SVCB and HTTPS records (RFC 9460 section 2.1, section 7 and appendix A).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use data_encoding::BASE64;

use super::entries::{Shape, Token};
use super::rdata::unescape_text;

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const ECH: u16 = 5;
const INVALID: u16 = 65535;

/// The registered keys, at their numbers (RFC 9460 section 14.3.2, RFC 9461, RFC 9540).
const KEYS: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

/// Reads all parameters to wire form, which has them in the order of their keys (section 2.2).
pub(super) fn read(tokens: &[Token]) -> Result<Vec<u8>, String> {
    let mut params = Vec::new();
    for token in tokens {
        params.push(param(token)?);
    }
    params.sort();
    if let Some(twice) = params.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("the key `{}` stands here twice; write it once", key_name(twice[0].0)));
    }
    let has = |key: u16| params.iter().any(|(other, _)| *other == key);
    if has(NO_DEFAULT_ALPN) && !has(ALPN) {
        return Err("`no-default-alpn` needs `alpn` beside it (RFC 9460 section 7.1.1)".into());
    }
    if let Some((MANDATORY, keys)) = params.first() {
        let mut listed = keys.chunks(2).map(|key| u16::from_be_bytes([key[0], key[1]]));
        if let Some(absent) = listed.find(|&key| !has(key)) {
            return Err(format!("`mandatory` lists `{}`, which is not here; write it too", key_name(absent)));
        }
    }
    let mut wire = Vec::new();
    for (key, value) in params {
        let len = u16::try_from(value.len()).map_err(|_| "a value is longer than 65535 octets")?;
        wire.extend_from_slice(&key.to_be_bytes());
        wire.extend_from_slice(&len.to_be_bytes());
        wire.extend_from_slice(&value);
    }
    Ok(wire)
}

fn param(token: &Token) -> Result<(u16, Vec<u8>), String> {
    let shown = String::from_utf8_lossy(token.text);
    if token.shape == Shape::Quoted {
        return Err(format!("\"{shown}\" is no parameter; write key=\"value\""));
    }
    let (key, value) = match token.text.iter().position(|&byte| byte == b'=') {
        Some(at) => (&token.text[..at], Some(unquote(&token.text[at + 1..])?)),
        None => (token.text, None),
    };
    let key = key_number(&String::from_utf8_lossy(key))?;
    let value = match value {
        Some(value) => unescape_text(value)?,
        None => Vec::new(),
    };
    let name = KEYS.get(usize::from(key)).filter(|_| !token.text.starts_with(b"key"));
    let wire = encode(name.copied().unwrap_or_default(), value).map_err(|why| format!("`{shown}`: {why}"))?;
    Ok((key, wire))
}

/// A value as its key wants it; keys written by number, and unknown ones, take it as it is.
fn encode(key: &str, value: Vec<u8>) -> Result<Vec<u8>, String> {
    match key {
        "mandatory" => {
            let mut keys = Vec::new();
            for name in list(&value)? {
                keys.push(key_number(&String::from_utf8_lossy(&name))?);
            }
            keys.sort();
            if keys.contains(&MANDATORY) || keys.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err("list each key once, and never `mandatory` itself".into());
            }
            Ok(keys.into_iter().flat_map(u16::to_be_bytes).collect())
        }
        "alpn" => {
            let mut wire = Vec::new();
            for protocol in list(&value)? {
                let len = u8::try_from(protocol.len()).map_err(|_| "a protocol is longer than 255 octets")?;
                wire.push(len);
                wire.extend_from_slice(&protocol);
            }
            Ok(wire)
        }
        "no-default-alpn" | "ohttp" if value.is_empty() => Ok(value),
        "no-default-alpn" | "ohttp" => Err("it takes no value".into()),
        "port" => parse::<u16>(&value)
            .map(|port| port.to_be_bytes().into())
            .ok_or("write a port, 0 to 65535".into()),
        "ipv4hint" => hints::<Ipv4Addr, 4>(&value, |address| address.octets()),
        "ipv6hint" => hints::<Ipv6Addr, 16>(&value, |address| address.octets()),
        "ech" if value.is_empty() => Err("write the ECHConfigList in base64".into()),
        "ech" => BASE64.decode(&value).map_err(|e| format!("no base64: {e}")),
        "dohpath" => match std::str::from_utf8(&value) {
            Ok(path) if path.starts_with('/') && path.contains("{?dns}") => Ok(value),
            _ => Err("write a path such as /dns-query{?dns} (RFC 9461 section 5)".into()),
        },
        _ => Ok(value),
    }
}

/// What looks wrong with parameters in wire form: an `ech` that is no ECHConfigList (TLS Encrypted Client Hello, section 4).
pub(super) fn doubt(mut params: &[u8]) -> Option<String> {
    while let [key_high, key_low, high, low, rest @ ..] = params {
        let key = u16::from_be_bytes([*key_high, *key_low]);
        let (value, behind) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        if key == ECH && !is_ech_config_list(value) {
            return Some(
                "`ech` is no ECHConfigList, so clients will not use it; write it as the server gives it"
                    .into(),
            );
        }
        params = behind;
    }
    None
}

/// A length and so many octets: one or more configurations, each a version, a length and so many octets.
fn is_ech_config_list(value: &[u8]) -> bool {
    let [high, low, configs @ ..] = value else { return false };
    let mut configs = configs;
    if configs.is_empty() || configs.len() != usize::from(u16::from_be_bytes([*high, *low])) {
        return false;
    }
    while let [_, _, high, low, rest @ ..] = configs {
        let Some(behind) = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) else { return false };
        configs = behind;
    }
    configs.is_empty()
}

fn hints<A: FromStr, const N: usize>(value: &[u8], octets: impl Fn(A) -> [u8; N]) -> Result<Vec<u8>, String> {
    let mut wire = Vec::new();
    for item in list(value)? {
        let address = parse::<A>(&item).ok_or("write addresses of that family, with commas between")?;
        wire.extend_from_slice(&octets(address));
    }
    Ok(wire)
}

/// A comma-separated list (appendix A.1): `\,` and `\\` stand for the character itself.
fn list(value: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut items = vec![Vec::new()];
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b',' => items.push(Vec::new()),
            b'\\' => match bytes.next() {
                Some(&escaped @ (b',' | b'\\')) => items.last_mut().expect("never empty").push(escaped),
                _ => return Err("inside a list only `\\,` and `\\\\` are escapes".into()),
            },
            _ => items.last_mut().expect("never empty").push(byte),
        }
    }
    if items.iter().any(Vec::is_empty) {
        return Err("the list has an empty item; write one or more, with commas between".into());
    }
    Ok(items)
}

fn key_number(name: &str) -> Result<u16, String> {
    if let Some(number) = KEYS.iter().position(|key| *key == name) {
        return Ok(number as u16);
    }
    // `keyNNNNN` has no leading zeros and the last number is reserved (section 14.3.1).
    let number = name.strip_prefix("key").and_then(|digits| {
        digits.parse::<u16>().ok().filter(|number| number.to_string() == digits && *number != INVALID)
    });
    number.ok_or_else(|| {
        format!("`{name}` is no known key; write one of {}, or key0 to key65534", KEYS.join(", "))
    })
}

fn key_name(key: u16) -> String {
    KEYS.get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| name.to_string())
}

/// A value without its quotes; inside a value they are not allowed.
fn unquote(value: &[u8]) -> Result<&[u8], String> {
    let inner = match value {
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    };
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return Err("a quote stands in the middle of a value; write key=\"value\"".into()),
            _ => {}
        }
    }
    Ok(inner)
}

fn parse<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::entries::Entries;
    use super::*;

    /// The vectors of RFC 9460 appendix D.2, and the keys that came later.
    #[test]
    fn wire_form() {
        let check = |text: &str, expect: &[u8]| {
            let mut tokens = Vec::new();
            Entries::new(text.as_bytes()).next(&mut tokens);
            assert_eq!(read(&tokens).as_deref(), Ok(expect), "{text}");
        };
        check("", b"");
        check("port=53", b"\0\x03\0\x02\0\x35");
        check("key667=hello", b"\x02\x9b\0\x05hello");
        check(r#"key667="hello\210qoo""#, b"\x02\x9b\0\x09hello\xd2qoo");
        check(
            r#"ipv6hint="2001:db8::1,2001:db8::53:1""#,
            b"\0\x06\0\x20\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\x53\0\x01",
        );
        check(
            "alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
            b"\0\0\0\x04\0\x01\0\x04\0\x01\0\x09\x02h2\x05h3-19\0\x04\0\x04\xc0\0\x02\x01",
        );
        let escaped = b"\0\x01\0\x0c\x08f\\oo,bar\x02h2";
        check(r#"alpn="f\\\\oo\\,bar,h2""#, escaped);
        check(r"alpn=f\\\092oo\092,bar,h2", escaped);
        check("key1=\\002h2 no-default-alpn", b"\0\x01\0\x03\x02h2\0\x02\0\0");
        check("ohttp dohpath=/q{?dns}", b"\0\x07\0\x08/q{?dns}\0\x08\0\0");
        check("ech=AAEC", b"\0\x05\0\x03\0\x01\x02");
    }
}
