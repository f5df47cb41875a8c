//! EDNS (RFC 6891) and the options we understand: Client Subnet (RFC 7871) and NSID (RFC 5001).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::u16_at;

/// Option code of NSID (RFC 5001).
pub const OPTION_NSID: u16 = 3;
/// Option code of EDNS Client Subnet (RFC 7871).
pub const OPTION_SUBNET: u16 = 8;

/// What a query's OPT record says. Unknown options and flags are ignored (RFC 6891 section 6.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP message the sender takes, in octets, at least 512.
    pub udp_octets_max: u16,
    /// The DO bit, which a response copies (RFC 3225 section 3).
    pub dnssec_ok: bool,
    /// The sender asks who we are.
    pub nsid: bool,
    /// Whom the sender asks for.
    pub subnet: Option<Subnet>,
}

/// A well-formed EDNS Client Subnet option of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The client's address; every bit behind the source prefix is 0.
    pub address: IpAddr,
    /// SOURCE PREFIX-LENGTH. 0 asks us not to look (RFC 7871 section 7.1.2).
    pub source: u8,
}

/// An OPT record that is answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdnsError {
    /// An option is malformed: FORMERR.
    FormErr,
    /// A version above 0: BADVERS (RFC 6891 section 6.1.3).
    BadVers,
}

impl Edns {
    /// What is answered as if it were asked where a query's own OPT record cannot be answered.
    pub const BARE: Edns = Edns { udp_octets_max: 512, dnssec_ok: false, nsid: false, subnet: None };

    /// Reads an OPT record: its ten octets of type, class, TTL and length, and its data.
    #[inline(always)]
    pub fn parse(fixed: &[u8; 10], data: &[u8]) -> Result<Edns, EdnsError> {
        if fixed[5] != 0 {
            return Err(EdnsError::BadVers);
        }
        let mut edns = Edns {
            // Values under 512 mean 512 (RFC 6891 section 6.2.3).
            udp_octets_max: u16_at(fixed, 2).max(512),
            dnssec_ok: fixed[6] & 0x80 != 0,
            nsid: false,
            subnet: None,
        };
        let mut rest = data;
        while !rest.is_empty() {
            let (head, tail) = rest.split_first_chunk::<4>().ok_or(EdnsError::FormErr)?;
            let (value, tail) =
                tail.split_at_checked(usize::from(u16_at(head, 2))).ok_or(EdnsError::FormErr)?;
            match u16_at(head, 0) {
                OPTION_SUBNET if edns.subnet.is_some() => return Err(EdnsError::FormErr),
                OPTION_SUBNET => edns.subnet = Some(Subnet::parse(value).ok_or(EdnsError::FormErr)?),
                OPTION_NSID => edns.nsid = true,
                _ => {}
            }
            rest = tail;
        }
        Ok(edns)
    }
}

impl Subnet {
    /// Reads the option's data as strictly as RFC 7871 sections 6 and 7.1.2 ask: a known family, a
    /// scope of 0, exactly the octets the source prefix needs, and no bit set behind it.
    #[inline(always)]
    pub fn parse(value: &[u8]) -> Option<Subnet> {
        let (&[family_high, family_low, source, 0], address) = value.split_first_chunk()? else {
            return None;
        };
        if address.len() != usize::from(source).div_ceil(8) {
            return None;
        }
        let behind = source % 8;
        if behind != 0 && address.last()? << behind != 0 {
            return None;
        }
        let address = match u16::from_be_bytes([family_high, family_low]) {
            FAMILY_V4 if source <= 32 => IpAddr::V4(match *address {
                // Nearly always.
                [a, b, c] => Ipv4Addr::new(a, b, c, 0),
                _ => {
                    let mut bits = [0; 4];
                    bits[..address.len()].copy_from_slice(address);
                    Ipv4Addr::from(bits)
                }
            }),
            FAMILY_V6 if source <= 128 => {
                let mut bits = [0; 16];
                bits[..address.len()].copy_from_slice(address);
                IpAddr::V6(Ipv6Addr::from(bits))
            }
            _ => return None,
        };
        Some(Subnet { address, source })
    }

    /// Octets of the whole option in a response.
    #[inline]
    pub fn option_octets(&self) -> usize {
        8 + usize::from(self.source).div_ceil(8)
    }

    /// Writes the whole option for a response: family, source and address as asked, and our scope
    /// (RFC 7871 section 7.2.1). `out` has [`Subnet::option_octets`] octets.
    #[inline]
    pub fn write(&self, scope: u8, out: &mut [u8]) {
        let length = (out.len() - 4) as u8;
        let family = if self.address.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 } as u8;
        let head = [0, OPTION_SUBNET as u8, 0, length, 0, family, self.source, scope];
        out[..8].copy_from_slice(&head);
        let out = &mut out[8..];
        match (self.address, &mut *out) {
            (IpAddr::V4(v4), [a, b, c]) => [*a, *b, *c, _] = v4.octets(),
            (IpAddr::V4(v4), _) => out.copy_from_slice(&v4.octets()[..out.len()]),
            (IpAddr::V6(v6), _) => out.copy_from_slice(&v6.octets()[..out.len()]),
        }
    }
}

/// A guess at the client without a look at the rest of the packet: nearly every client subnet is a /24 of
/// IPv4, in the last option of the last record.
#[inline]
pub fn subnet_at_end(packet: &[u8]) -> Option<Ipv4Addr> {
    let (address, head) = (packet.last_chunk::<3>()?, packet.last_chunk::<11>()?.first_chunk::<8>()?);
    let [a, b, c] = *address;
    // Compared as one word.
    (*head == [0, OPTION_SUBNET as u8, 0, 7, 0, FAMILY_V4 as u8, 24, 0]).then_some(Ipv4Addr::new(a, b, c, 0))
}

/// Address family numbers (IANA): IPv4 and IPv6.
const FAMILY_V4: u16 = 1;
const FAMILY_V6: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_at_the_end_is_guessed() {
        let check = |option: &[u8], expect: Option<[u8; 4]>| {
            let packet = [&[7; 30], option].concat();
            assert_eq!(subnet_at_end(&packet), expect.map(Ipv4Addr::from), "{option:?}");
        };
        check(&[0, 8, 0, 7, 0, 1, 24, 0, 81, 2, 69], Some([81, 2, 69, 0]));
        check(&[0, 8, 0, 7, 0, 1, 20, 0, 81, 2, 64], None);
        check(&[0, 8, 0, 7, 0, 1, 24, 0, 81, 2, 69, 0, 3, 0, 0], None);
        assert_eq!(subnet_at_end(&[0, 1, 24, 0, 81, 2, 69]), None);
    }

    #[test]
    fn subnet_is_read_strictly() {
        let check = |value: &[u8], expect: Option<(&str, u8)>| {
            let got = Subnet::parse(value);
            let expect = expect.map(|(address, source)| Subnet { address: address.parse().unwrap(), source });
            assert_eq!(got, expect, "{value:?}");
            if let Some(subnet) = got {
                let mut out = vec![0; subnet.option_octets()];
                subnet.write(0, &mut out);
                assert_eq!(out[4..], *value);
            }
        };
        check(&[0, 1, 24, 0, 81, 2, 69], Some(("81.2.69.0", 24)));
        check(&[0, 1, 0, 0], Some(("0.0.0.0", 0)));
        check(&[0, 2, 0, 0], Some(("::", 0)));
        check(&[0, 1, 32, 0, 1, 2, 3, 4], Some(("1.2.3.4", 32)));
        check(&[0, 1, 20, 0, 1, 2, 0x30], Some(("1.2.48.0", 20)));
        check(&[0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 1], Some(("2001:db8:0:100::", 56)));
        check(&[], None);
        check(&[0, 1, 24], None);
        check(&[0, 0, 0, 0], None); // Family 0.
        check(&[0, 3, 8, 0, 1], None); // Unknown family.
        check(&[1, 1, 8, 0, 1], None); // Unknown family whose low octet looks known.
        check(&[0, 1, 24, 0, 81, 2], None); // Too short.
        check(&[0, 1, 24, 0, 81, 2, 69, 0], None); // Too long.
        check(&[0, 1, 20, 0, 1, 2, 0x38], None); // A bit behind the prefix.
        check(&[0, 1, 24, 1, 81, 2, 69], None); // A scope in a query.
        check(&[0, 1, 33, 0, 1, 2, 3, 4, 0], None); // A prefix IPv4 does not have.
        check(&[0, 1, 0, 0, 0], None); // An address where none belongs.
    }
}
