//! A small MaxMind DB file from a text: private networks, tests, the sample.
//!
//! ```text
//! # prefix        country  subdivision  lat,lon      ASN
//! 81.2.69.0/24    GB       ENG          51.51,-0.13  20712
//! 10.20.0.0/16    IE       L            53.35,-6.26
//! 198.51.100.0/24 JP
//! 203.0.113.0/24  -        -            -            AS64500
//! ```
//!
//! A line is a prefix and what is known of it, separated by spaces or tabs; `-` stands for nothing, what
//! is missing at the end too, and `#` begins a comment. The longest prefix decides, in whatever order the
//! lines stand. The file is shaped like MaxMind's City files, with the ASN beside.
//!
//! The same text always gives the same bytes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use ipnet::{IpNet, Ipv6Net};
use mmdb_writer::Writer;
use serde::Serialize;

use super::catalogue::Facts;
use super::{Coordinates, Country, Location, Subdivision, countries};
use crate::files::Problem;

/// Reads a text file and writes the database beside `to`, then in its place: readers see the old file
/// or the new one whole. Gives the number of networks.
pub fn build_file(text: &Path, to: &Path, built: Option<SystemTime>) -> Result<usize, Vec<Problem>> {
    let failed = |file: &Path, does: &str, error: io::Error| {
        vec![Problem::error(file, None, format!("cannot be {does}: {error}"))]
    };
    let read = fs::read_to_string(text).map_err(|error| failed(text, "read", error))?;
    let (bytes, networks) = build(text, &read, built)?;
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let written = File::create(part).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(part, to)
    });
    match written {
        Ok(()) => Ok(networks),
        Err(error) => {
            // Nothing may be there to remove; the first error is the one to tell.
            let _ = fs::remove_file(part);
            Err(failed(to, "written", error))
        }
    }
}

/// A text's database, and the number of its networks. `file` is only named in problems; `built` is the
/// date it will show, if any.
pub fn build(file: &Path, text: &str, built: Option<SystemTime>) -> Result<(Vec<u8>, usize), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut lines = read_lines(file, text, &mut problems);
    let mut writer = Writer::builder("rhumb-City")
        .description(&[("en", "Built by rhumb geoip build")])
        .build_epoch(built.unwrap_or_else(undated))
        .build();
    // What is inserted later wins, so the widest come first; then by address, whatever the order of lines.
    lines.sort_by_key(|line| (line.prefix.prefix_len(), line.prefix));
    for line in &lines {
        if let Err(error) = writer.insert(line.prefix, &Record::from(&line.facts)) {
            problems.push(Problem::error(file, line.number, error.to_string()).of(line.prefix.to_string()));
        }
    }
    if problems.is_empty() {
        match writer.to_bytes() {
            Ok(bytes) => return Ok((bytes, lines.len())),
            Err(error) => problems.push(Problem::error(file, None, error.to_string())),
        }
    }
    problems.sort_by_key(|problem| problem.line);
    Err(problems)
}

/// The date of a database that has none. Not the epoch itself: libmaxminddb refuses a file that was built
/// in second 0.
pub fn undated() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1)
}

struct Line {
    number: usize,
    prefix: IpNet,
    facts: Facts,
}

fn read_lines(file: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut seen = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(prefix) = words.next() else { continue };
        let mut problem = |message: String| problems.push(Problem::error(file, number, message).of(prefix));
        match read_prefix(prefix) {
            Ok(network) => match (seen.insert(network, number), read_facts(words)) {
                (Some(other), _) => problem(format!("is already in line {other}; keep one")),
                (None, Ok(facts)) => lines.push(Line { number, prefix: network, facts }),
                (None, Err(message)) => problem(message),
            },
            Err(message) => problem(message),
        }
    }
    lines
}

fn read_prefix(text: &str) -> Result<IpNet, String> {
    let prefix: IpNet =
        text.parse().map_err(|_| "is no prefix; write one such as 192.0.2.0/24".to_string())?;
    if prefix != prefix.trunc() {
        return Err(format!("has bits set behind its length; write {}", prefix.trunc()));
    }
    match prefix {
        // In this format IPv4 is ::/96 of the tree of IPv6.
        IpNet::V6(v6) if v6.contains(&IPV4_SUBTREE) || IPV4_SUBTREE.contains(&v6) => {
            Err("is where the format keeps IPv4; write IPv4 prefixes, and IPv6 ones beside ::/96".into())
        }
        prefix => Ok(prefix),
    }
}

const IPV4_SUBTREE: Ipv6Net = Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 96);

fn read_facts<'t>(words: impl Iterator<Item = &'t str>) -> Result<Facts, String> {
    let words: Vec<_> = words.map(|word| Some(word).filter(|word| *word != "-")).collect();
    if words.len() > 4 {
        return Err(
            "has too many columns; write prefix, country, subdivision, latitude,longitude and ASN".into()
        );
    }
    let word = |column: usize| words.get(column).copied().flatten();
    let country = word(0).map(str::parse::<Country>).transpose()?;
    let subdivision = word(1).map(str::parse::<Subdivision>).transpose()?;
    let coordinates = word(2).map(str::parse::<Coordinates>).transpose()?;
    let asn = word(3).map(read_asn).transpose()?;
    if country.is_none() && (subdivision.is_some() || coordinates.is_some()) {
        return Err("has a subdivision or coordinates without a country; write the country".into());
    }
    if country.is_none() && asn.is_none() {
        return Err("gives nothing; write a country, an ASN, or both".into());
    }
    if let Some(country) = country.filter(|&country| !countries::is_known(country)) {
        let instead = countries::meant_by(country);
        return Err(format!("{country} is not assigned in ISO 3166-1{instead}"));
    }
    let location = country.map(|country| Location {
        country,
        continent: countries::continent(country),
        subdivision,
        coordinates,
    });
    Ok(Facts { location, asn })
}

fn read_asn(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("AS").or(text.strip_prefix("as")).unwrap_or(text);
    let asn = digits.parse().ok().filter(|&asn| asn != 0);
    asn.ok_or_else(|| format!("`{text}` is no ASN; write one such as 64500 or AS64500"))
}

/// A record as MaxMind's City files have it; the ASN as its ASN files do.
#[derive(Serialize)]
struct Record {
    country: Option<IsoCode>,
    continent: Option<Code>,
    subdivisions: Option<[IsoCode; 1]>,
    location: Option<Point>,
    autonomous_system_number: Option<u32>,
}

#[derive(Serialize)]
struct IsoCode {
    iso_code: String,
}

#[derive(Serialize)]
struct Code {
    code: &'static str,
}

#[derive(Serialize)]
struct Point {
    latitude: f64,
    longitude: f64,
}

impl From<&Facts> for Record {
    fn from(facts: &Facts) -> Record {
        let iso_code = |code: &dyn ToString| IsoCode { iso_code: code.to_string() };
        let location = facts.location.as_ref();
        let point = |at: Coordinates| Point { latitude: at.latitude, longitude: at.longitude };
        Record {
            country: location.map(|location| iso_code(&location.country)),
            continent: location.and_then(|location| Some(Code { code: location.continent?.as_str() })),
            subdivisions: location.and_then(|location| Some([iso_code(&location.subdivision?)])),
            location: location.and_then(|location| location.coordinates.map(point)),
            autonomous_system_number: facts.asn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Database;

    fn build(text: &str) -> Result<(Vec<u8>, usize), Vec<Problem>> {
        super::build(Path::new("nets.txt"), text, None)
    }

    #[test]
    fn a_text_and_what_its_database_says() {
        let text = "# Ours.\n\n\
            10.20.30.0/24 JP 13 35.68,139.69 AS64501 # Nested, and first.\n\
            10.20.0.0/16\tIE\tL\t53.35,-6.26\n\
            203.0.113.0/24 - - - 64500\n\
            192.168.0.0/16 de\n\
            2001:db8::/32 BR SP\n\
            fd00::/8 NZ - -41.3,174.8 64502\n";
        let (bytes, networks) = build(text).unwrap();
        assert_eq!(networks, 6);
        let database = Database::from_bytes(Path::new("nets.mmdb"), bytes).unwrap();
        let check = |address: &str, network: &str, expect: &str| {
            let (found, facts) = database.lookup(address.parse().unwrap()).unwrap();
            assert_eq!(found.unwrap().to_string(), network, "{address}");
            let location = facts.location.map(|location| location.to_string()).unwrap_or_default();
            let asn = facts.asn.map(|asn| format!(" AS{asn}")).unwrap_or_default();
            assert_eq!(format!("{location}{asn}"), expect, "{address}");
        };
        check("10.20.30.1", "10.20.30.0/24", "JP-13 35.68,139.69 (AS) AS64501");
        check("10.20.31.1", "10.20.31.0/24", "IE-L 53.35,-6.26 (EU)");
        check("203.0.113.9", "203.0.113.0/24", " AS64500");
        check("192.168.4.4", "192.168.0.0/16", "DE (EU)");
        check("2001:db8::1", "2001:db8::/32", "BR-SP (SA)");
        check("fdab::1", "fd00::/8", "NZ -41.3,174.8 (OC) AS64502");
        // IPv4 by its IPv6 names: mapped, Teredo and 6to4.
        for address in ["::ffff:10.20.30.1", "2001:0:a14:1e01::", "2002:a14:1e01::1"] {
            let (_, facts) = database.lookup(address.parse().unwrap()).unwrap();
            assert_eq!(facts.asn, Some(64501), "{address}");
        }
        let (_, facts) = database.lookup("8.8.8.8".parse().unwrap()).unwrap();
        assert_eq!(facts, Facts::default());
    }

    /// What libmaxminddb asks of a file before it opens it: a type, a size of records, a version of the
    /// format and a date.
    #[test]
    fn other_readers_take_it() {
        let (bytes, _) = build("10.0.0.0/8 IE").unwrap();
        let reader = maxminddb::Reader::from_source(bytes).unwrap();
        let metadata = reader.metadata();
        assert_eq!(metadata.build_epoch, 1);
        assert_eq!((metadata.binary_format_major_version, metadata.ip_version), (2, 6));
        assert!([24, 28, 32].contains(&metadata.record_size), "{}", metadata.record_size);
        assert_eq!(metadata.database_type, "rhumb-City");
    }

    #[test]
    fn the_order_of_lines_does_not_matter() {
        let lines = ["10.0.0.0/8 IE", "10.1.0.0/16 JP", "10.1.1.0/24 - - - 1", "2001:db8::/32 BR"];
        let (bytes, _) = build(&lines.join("\n")).unwrap();
        let mut reversed = lines;
        reversed.reverse();
        assert_eq!(build(&reversed.join("\n")).unwrap().0, bytes);
    }

    #[test]
    fn every_mistake_at_once() {
        let text = "10.0.0.1/8 IE\n\
            ten IE\n\
            10.0.0.0/8\n\
            11.0.0.0/8 UK\n\
            12.0.0.0/8 IRL\n\
            13.0.0.0/8 IE L 53.35\n\
            14.0.0.0/8 IE - - ASX\n\
            15.0.0.0/8 - L\n\
            16.0.0.0/8 IE - - 1 Dublin\n\
            17.0.0.0/8 IE\n\
            17.0.0.0/8 JP\n\
            ::/0 IE\n\
            ::10.0.0.0/104 IE\n\
            2002:a00::/24 IE\n\
            18.0.0.0/8 IE ABCD\n";
        let found: Vec<_> = build(text).unwrap_err().iter().map(ToString::to_string).collect();
        let expect = [
            "nets.txt:1: error: 10.0.0.1/8: has bits set behind its length; write 10.0.0.0/8",
            "nets.txt:2: error: ten: is no prefix; write one such as 192.0.2.0/24",
            "nets.txt:3: error: 10.0.0.0/8: gives nothing; write a country, an ASN, or both",
            "nets.txt:4: error: 11.0.0.0/8: UK is not assigned in ISO 3166-1; write GB",
            "nets.txt:5: error: 12.0.0.0/8: `IRL` is no ISO 3166-1 code of two letters",
            "nets.txt:6: error: 13.0.0.0/8: `53.35` is no point; write latitude,longitude in degrees, such as 51.51,-0.13",
            "nets.txt:7: error: 14.0.0.0/8: `ASX` is no ASN; write one such as 64500 or AS64500",
            "nets.txt:8: error: 15.0.0.0/8: has a subdivision or coordinates without a country; write the country",
            "nets.txt:9: error: 16.0.0.0/8: has too many columns; write prefix, country, subdivision, latitude,longitude and ASN",
            "nets.txt:11: error: 17.0.0.0/8: is already in line 10; keep one",
            "nets.txt:12: error: ::/0: is where the format keeps IPv4; write IPv4 prefixes, and IPv6 ones beside ::/96",
            "nets.txt:13: error: ::10.0.0.0/104: is where the format keeps IPv4; write IPv4 prefixes, and IPv6 ones beside ::/96",
            "nets.txt:14: error: 2002:a00::/24: cannot insert into aliased network 2002:a00::/24",
            "nets.txt:15: error: 18.0.0.0/8: `ABCD` is no ISO 3166-2 suffix of one to three letters or digits",
        ];
        assert_eq!(found, expect);
    }
}
