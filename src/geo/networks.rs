//! `networks.toml`: what the operator knows better than any database. The first source.
//!
//! ```toml
//! [[network]]
//! prefixes = ["10.20.0.0/16", "2001:db8:20::/48"]
//! country = "IE"
//! subdivision = "L"            # ISO 3166-2 after the hyphen; needs a country
//! latitude = 53.35             # degrees; both or none; need a country
//! longitude = -6.26
//! asn = 64500
//! note = "Dublin office VPN"   # shown by `explain` and `geoip lookup`
//! ```
//!
//! An entry gives a location, an autonomous system, or both. The longest match decides, and inherits
//! nothing from the entry around it: an address in a nested entry that gives only an ASN takes its
//! location from the next source. So to read what an entry does, one entry is enough.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::catalogue::{Catalogue, Facts, Family, Folded};
use super::ranges::{Address, Ranges};
use super::written::{assigned, read_coordinates};
use super::{Country, Location, Subdivision, countries, embedded};
use crate::files::{At, Document, Fields, Problem, Severity};

/// The file's entries.
#[derive(Default)]
pub(super) struct Networks {
    entries: Vec<Entry>,
}

/// One entry.
pub(super) struct Entry {
    pub prefixes: Vec<IpNet>,
    pub facts: Facts,
    pub note: Option<String>,
}

impl Networks {
    /// Reads a file's text; warnings, or everything that is wrong with it.
    pub fn parse(file: &Path, text: &str) -> Result<(Networks, Vec<Problem>), Vec<Problem>> {
        let document = Document::new(file, text);
        let mut entries = Vec::new();
        if let Some(mut root) = document.read() {
            let mut seen = HashMap::new();
            entries =
                root.tables("network").into_iter().map(|fields| read_entry(fields, &mut seen)).collect();
            root.finish();
        }
        let problems = document.into_problems();
        match problems.iter().any(|problem| problem.severity == Severity::Error) {
            true => Err(problems),
            false => Ok((Networks { entries }, problems)),
        }
    }

    /// The entry that decides about an address, and which of its prefixes does.
    pub fn find(&self, address: IpAddr) -> Option<(IpNet, &Entry)> {
        let of_entry = |entry| move |prefix: &IpNet| prefix.contains(&address).then_some((*prefix, entry));
        let all = self.entries.iter().flat_map(|entry| entry.prefixes.iter().filter_map(of_entry(entry)));
        all.max_by_key(|(prefix, _)| prefix.prefix_len())
    }

    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.entries.iter().map(|entry| entry.prefixes.len()).sum()
    }

    /// The entries as ranges.
    pub fn fold(&self, catalogue: &mut Catalogue) -> Folded {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            let numbers = catalogue.facts(&entry.facts);
            for prefix in &entry.prefixes {
                match prefix {
                    IpNet::V4(net) => v4.push((net.network().into(), net.broadcast().into(), numbers)),
                    IpNet::V6(net) => v6.push((net.network().into(), net.broadcast().into(), numbers)),
                }
            }
        }
        Folded { v4: fold_family(v4), v6: fold_family(v6) }
    }
}

fn fold_family<A: Address>(networks: Vec<(A, A, (u32, u32))>) -> Family<A> {
    let layer = |number: fn((u32, u32)) -> u32| {
        let numbered = networks.iter().map(|&(first, last, numbers)| (first, last, number(numbers)));
        Ranges::from_nested(numbered.collect())
    };
    Family { locations: layer(|(location, _)| location), asns: layer(|(_, asn)| asn) }
}

/// `seen` has every prefix read so far and its line.
fn read_entry(mut fields: Fields, seen: &mut HashMap<IpNet, usize>) -> Entry {
    let written = fields.texts("prefixes");
    fields.object = match written.first() {
        Some(first) => format!("network {}", first.value),
        None => "network".into(),
    };
    if written.is_empty() {
        fields.error("prefixes", fields.line, "missing; write at least one, such as [\"192.0.2.0/24\"]");
    }
    let mut prefixes = Vec::new();
    for At { value, line } in written {
        match read_prefix(&value) {
            Ok(prefix) => {
                if let Some(other) = seen.insert(prefix, line) {
                    fields.error("prefixes", line, format!("{prefix} is already in line {other}; keep one"));
                }
                let longest = if prefix.addr().is_ipv4() { 24 } else { 56 };
                if prefix.prefix_len() > longest {
                    let message = format!(
                        "{prefix} is longer than /{longest}: resolvers send no more of a client's address, so it only matches them"
                    );
                    fields.warning("prefixes", line, message);
                }
                prefixes.push(prefix);
            }
            Err(message) => fields.error("prefixes", line, message),
        }
    }
    let facts = read_facts(&mut fields);
    let note = fields.text("note").map(|note| note.value);
    fields.finish();
    Entry { prefixes, facts, note }
}

fn read_prefix(text: &str) -> Result<IpNet, String> {
    let prefix: IpNet = text.parse().map_err(|_| match text.parse::<IpAddr>() {
        Ok(address) => format!("`{text}` has no length; write {}", IpNet::from(address)),
        Err(_) => format!("`{text}` is no prefix; write one such as 192.0.2.0/24 or 2001:db8::/32"),
    })?;
    if prefix != prefix.trunc() {
        return Err(format!("`{text}` has bits set behind its length; write {}", prefix.trunc()));
    }
    if let IpNet::V6(v6) = prefix
        && let Some(block) = embedded::BLOCKS.iter().find(|block| block.contains(&v6))
    {
        return Err(format!("{prefix} lies in {block}, where the IPv4 address inside decides; write that"));
    }
    Ok(prefix)
}

fn read_facts(fields: &mut Fields) -> Facts {
    let names = ["country", "subdivision", "latitude", "longitude", "asn"];
    let there: Vec<_> = names.into_iter().filter(|name| fields.has(name)).collect();
    let written = |name| there.contains(&name);
    let country = fields.parsed::<Country>("country");
    let subdivision = fields.parsed::<Subdivision>("subdivision");
    let coordinates = read_coordinates(fields);
    let asn = fields.integer_in("asn", 1, i64::from(u32::MAX));
    let country = country.and_then(|country| assigned(fields, "country", country));
    if !written("country") {
        for name in ["subdivision", "latitude", "longitude"] {
            if written(name) {
                fields.error(name, fields.line, "needs a country; write country too");
            }
        }
        if there.is_empty() {
            fields.error("", fields.line, "gives nothing; write country, asn, or both");
        }
    }
    let location = country.map(|country| Location {
        country,
        continent: countries::continent(country),
        subdivision: subdivision.map(|subdivision| subdivision.value),
        coordinates,
    });
    Facts { location, asn: asn.map(|asn| asn.value as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = match Networks::parse(Path::new("networks.toml"), text) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems,
        };
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_at_once() {
        let check = |text: &str, expect: &[&str]| assert_eq!(problems(text), expect, "{text}");
        check("", &[]);
        check("[[network]]\nprefixes = '10.0.0.0/8'\nasn = 64500", &[]);
        check(
            "[[network]]\n\
             prefixes = ['10.20.0.1/16', '10.20.0.0', 'dublin', '2001:db8::/32']\n\
             country = 'UK'\n\
             latitude = 95\n\
             longitud = 1.5\n\
             [[network]]\n\
             prefixes = '2001:db8::/32'\n\
             [[network]]\n\
             country = 'IRL'\n\
             [[network]]\n\
             prefixes = '192.0.2.0/25'\n\
             longitude = 6.0\n\
             asn = 0\n",
            &[
                "networks.toml:1: error: network 10.20.0.1/16: latitude: stands alone; write longitude too, or neither",
                "networks.toml:2: error: network 10.20.0.1/16: prefixes: `10.20.0.1/16` has bits set behind its length; write 10.20.0.0/16",
                "networks.toml:2: error: network 10.20.0.1/16: prefixes: `10.20.0.0` has no length; write 10.20.0.0/32",
                "networks.toml:2: error: network 10.20.0.1/16: prefixes: `dublin` is no prefix; write one such as 192.0.2.0/24 or 2001:db8::/32",
                "networks.toml:3: error: network 10.20.0.1/16: country: `UK` is no assigned ISO 3166-1 code of two letters; write GB",
                "networks.toml:4: error: network 10.20.0.1/16: latitude: 95 is out of range; write -90 to 90",
                "networks.toml:5: error: network 10.20.0.1/16: longitud: unknown field; did you mean `longitude`?",
                "networks.toml:6: error: network 2001:db8::/32: gives nothing; write country, asn, or both",
                "networks.toml:7: error: network 2001:db8::/32: prefixes: 2001:db8::/32 is already in line 2; keep one",
                "networks.toml:8: error: network: prefixes: missing; write at least one, such as [\"192.0.2.0/24\"]",
                "networks.toml:9: error: network: country: `IRL` is no ISO 3166-1 code of two letters",
                "networks.toml:10: error: network 192.0.2.0/25: longitude: needs a country; write country too",
                "networks.toml:11: warning: network 192.0.2.0/25: prefixes: 192.0.2.0/25 is longer than /24: resolvers send no more of a client's address, so it only matches them",
                "networks.toml:12: error: network 192.0.2.0/25: longitude: stands alone; write latitude too, or neither",
                "networks.toml:13: error: network 192.0.2.0/25: asn: 0 is out of range; write 1 to 4294967295",
            ],
        );
        check(
            "[[network]]\nprefixes = '2002:a00::/24'\ncountry = 'IE'",
            &[
                "networks.toml:2: error: network 2002:a00::/24: prefixes: 2002:a00::/24 lies in 2002::/16, where the IPv4 address inside decides; write that",
            ],
        );
        check(
            "[[network]]\nprefixes = '2001:db8::/57'\ncountry = 'IE'",
            &[
                "networks.toml:2: warning: network 2001:db8::/57: prefixes: 2001:db8::/57 is longer than /56: resolvers send no more of a client's address, so it only matches them",
            ],
        );
    }
}
