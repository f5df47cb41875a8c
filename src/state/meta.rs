//! Meta as the operator writes it, on record, group and answer; the answer wins (NS1).

use std::collections::BTreeMap;
use std::str::FromStr;

use ipnet::IpNet;
use toml::de::DeValue;

use super::model::LiveValues;
use crate::chain::{LiveMeta, Meta, Up};
use crate::files::{At, Fields};
use crate::geo::written::{assigned, read_coordinates};
use crate::geo::{Coordinates, Country, Georegion, Subdivision, countries};

/// Networks an answer may name (NS1: `ip_prefixes`, at most 1000).
const IP_PREFIXES_MAX: usize = 1000;
/// Characters of a note (NS1: `note`, at most 256).
const NOTE_CHARS_MAX: usize = 256;

/// Meta of one level: what is not written is left to the level below.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetaSpec {
    country: Option<Vec<Country>>,
    subdivisions: Option<Vec<(Country, Subdivision)>>,
    georegion: Option<Vec<Georegion>>,
    coordinates: Option<Coordinates>,
    home: Option<Country>,
    ip_prefixes: Option<Vec<IpNet>>,
    asn: Option<Vec<u32>>,
    note: Option<String>,
    live: LiveSpec,
}

/// A live value as written: itself, or the feed that gives it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Value<T> {
    /// What stands there.
    Literal(T),
    /// Whatever this feed says last.
    Feed(String),
}

/// Live meta as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveSpec {
    /// See [`LiveMeta::up`].
    pub up: Option<Value<bool>>,
    /// See [`LiveMeta::loadavg`].
    pub loadavg: Option<Value<f64>>,
    /// See [`LiveMeta::connections`].
    pub connections: Option<Value<f64>>,
    /// See [`LiveMeta::requests`].
    pub requests: Option<Value<f64>>,
    /// See [`LiveMeta::low_watermark`].
    pub low_watermark: Option<Value<f64>>,
    /// See [`LiveMeta::high_watermark`].
    pub high_watermark: Option<Value<f64>>,
    /// See [`LiveMeta::weight`].
    pub weight: Option<Value<f64>>,
    /// See [`LiveMeta::priority`].
    pub priority: Option<Value<u32>>,
    /// See [`LiveMeta::cost`].
    pub cost: Option<Value<f64>>,
}

impl LiveSpec {
    fn over(self, base: LiveSpec) -> LiveSpec {
        LiveSpec {
            up: self.up.or(base.up),
            loadavg: self.loadavg.or(base.loadavg),
            connections: self.connections.or(base.connections),
            requests: self.requests.or(base.requests),
            low_watermark: self.low_watermark.or(base.low_watermark),
            high_watermark: self.high_watermark.or(base.high_watermark),
            weight: self.weight.or(base.weight),
            priority: self.priority.or(base.priority),
            cost: self.cost.or(base.cost),
        }
    }

    /// The values, where `fed` gives what a feed says of this answer: of each value, at most one says it.
    pub fn values<'f, Said: Iterator<Item = &'f LiveValues>>(&self, fed: impl Fn(&str) -> Said) -> LiveMeta {
        fn number<'f, T: Copy, Said: Iterator<Item = &'f LiveValues>>(
            value: &Option<Value<T>>,
            fed: &impl Fn(&str) -> Said,
            of: impl Fn(&LiveValues) -> Option<T>,
        ) -> Option<T> {
            match value {
                None => None,
                Some(Value::Literal(value)) => Some(*value),
                Some(Value::Feed(feed)) => fed(feed).find_map(of),
            }
        }
        let up = match &self.up {
            None => Up::default(),
            Some(Value::Literal(up)) => Up { literal: Some(*up), ..Up::default() },
            Some(Value::Feed(feed)) => Up { feed: fed(feed).find_map(|said| said.up), ..Up::default() },
        };
        LiveMeta {
            up,
            loadavg: number(&self.loadavg, &fed, |said| said.loadavg),
            connections: number(&self.connections, &fed, |said| said.connections),
            requests: number(&self.requests, &fed, |said| said.requests),
            low_watermark: number(&self.low_watermark, &fed, |said| said.low_watermark),
            high_watermark: number(&self.high_watermark, &fed, |said| said.high_watermark),
            weight: number(&self.weight, &fed, |said| said.weight),
            priority: number(&self.priority, &fed, |said| said.priority),
            cost: number(&self.cost, &fed, |said| said.cost),
        }
    }

    /// The feeds that give values, with the names of the values.
    pub fn feeds(&self) -> impl Iterator<Item = (&'static str, &str)> {
        fn feed<T>(value: &Option<Value<T>>) -> Option<&str> {
            match value {
                Some(Value::Feed(feed)) => Some(feed),
                _ => None,
            }
        }
        let named = [
            ("up", feed(&self.up)),
            ("loadavg", feed(&self.loadavg)),
            ("connections", feed(&self.connections)),
            ("requests", feed(&self.requests)),
            ("low_watermark", feed(&self.low_watermark)),
            ("high_watermark", feed(&self.high_watermark)),
            ("weight", feed(&self.weight)),
            ("priority", feed(&self.priority)),
            ("cost", feed(&self.cost)),
        ];
        named.into_iter().filter_map(|(name, feed)| Some((name, feed?)))
    }
}

impl MetaSpec {
    /// A PoP's own country and coordinates, the default meta of its answers.
    pub fn of_pop(country: Country, coordinates: Option<Coordinates>) -> MetaSpec {
        MetaSpec { country: Some(vec![country]), home: Some(country), coordinates, ..MetaSpec::default() }
    }

    /// This level over another: what is written here wins.
    pub fn over(self, base: &MetaSpec) -> MetaSpec {
        let base = base.clone();
        MetaSpec {
            country: self.country.or(base.country),
            subdivisions: self.subdivisions.or(base.subdivisions),
            georegion: self.georegion.or(base.georegion),
            // Coordinates and the country they lie in are one unit.
            home: if self.coordinates.is_some() { self.home } else { base.home },
            coordinates: self.coordinates.or(base.coordinates),
            ip_prefixes: self.ip_prefixes.or(base.ip_prefixes),
            asn: self.asn.or(base.asn),
            note: self.note.or(base.note),
            live: self.live.over(base.live),
        }
    }

    /// What filters read: the part that is compiled, and the part that lives.
    pub fn into_meta(self) -> (Meta, LiveSpec) {
        let meta = Meta {
            country: self.country.unwrap_or_default(),
            subdivisions: self.subdivisions.unwrap_or_default(),
            georegion: self.georegion.unwrap_or_default(),
            coordinates: self.coordinates,
            home: self.home,
            ip_prefixes: self.ip_prefixes.unwrap_or_default(),
            asn: self.asn.unwrap_or_default(),
            note: self.note,
        };
        (meta, self.live)
    }

    /// Whether the watermarks, as far as both are there, stand the right way round.
    pub fn watermarks(&self) -> Result<(), String> {
        match (&self.live.low_watermark, &self.live.high_watermark) {
            (Some(Value::Literal(low)), Some(Value::Literal(high))) if low > high => Err(format!(
                "low_watermark {low} is above high_watermark {high}; load is shed from the low to the high mark"
            )),
            _ => Ok(()),
        }
    }

    /// Reads the field `meta` of an object.
    pub fn read(object: &mut Fields) -> MetaSpec {
        let Some(mut fields) = object.table("meta") else { return MetaSpec::default() };
        fields.object = format!("{} meta", object.object).trim_start().into();
        let spec = MetaSpec {
            country: read_countries(&mut fields),
            subdivisions: read_subdivisions(&mut fields),
            georegion: read_list(&mut fields, "georegion"),
            coordinates: read_coordinates(&mut fields),
            home: None,
            ip_prefixes: read_prefixes(&mut fields),
            asn: read_asns(&mut fields),
            note: read_note(&mut fields),
            live: LiveSpec {
                up: read_live(&mut fields, "up", "true or false", up_of),
                loadavg: read_number(&mut fields, "loadavg"),
                connections: read_number(&mut fields, "connections"),
                requests: read_number(&mut fields, "requests"),
                low_watermark: read_number(&mut fields, "low_watermark"),
                high_watermark: read_number(&mut fields, "high_watermark"),
                weight: read_number(&mut fields, "weight"),
                priority: read_live(&mut fields, "priority", "a whole number of at least 0", whole_of),
                cost: read_number(&mut fields, "cost"),
            },
        };
        fields.finish();
        spec
    }
}

fn read_countries(fields: &mut Fields) -> Option<Vec<Country>> {
    let countries = fields.parsed_list::<Country>("country");
    let known = countries.into_iter().filter_map(|country| assigned(fields, "country", country));
    some_if_any(known.collect())
}

fn read_list<T: FromStr<Err: std::fmt::Display>>(fields: &mut Fields, name: &'static str) -> Option<Vec<T>> {
    some_if_any(fields.parsed_list::<T>(name).into_iter().map(|at| at.value).collect())
}

fn some_if_any<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// `subdivisions = { BR = ["SP"] }`, and `us_state`, `ca_province` as spellings of it.
fn read_subdivisions(fields: &mut Fields) -> Option<Vec<(Country, Subdivision)>> {
    let mut all = Vec::new();
    for (name, country) in [("us_state", "US"), ("ca_province", "CA")] {
        let country: Country = country.parse().expect("two letters");
        for code in fields.parsed_list::<Subdivision>(name) {
            match countries::is_part(country, code.value) {
                true => all.push((country, code.value)),
                false => fields.error(name, code.line, no_part(country, code.value)),
            }
        }
    }
    let Some(map) = fields.table("subdivisions") else { return some_if_any(all) };
    for (country, codes) in map.into_values() {
        let parsed: Result<Country, String> = country.value.parse();
        let country = match parsed {
            Ok(code) => assigned(fields, "subdivisions", At { value: code, line: country.line }),
            Err(error) => {
                fields.error("subdivisions", country.line, error);
                None
            }
        };
        let line = codes.line;
        let codes: Vec<DeValue> = match codes.value {
            DeValue::Array(list) => list.into_iter().map(|code| code.into_inner()).collect(),
            single => vec![single],
        };
        for code in codes {
            match (
                country,
                code.as_str().ok_or("write ISO 3166-2 suffixes in quotes".into()).and_then(str::parse),
            ) {
                (Some(country), Ok(code)) if !countries::is_part(country, code) => {
                    fields.error("subdivisions", line, no_part(country, code));
                }
                (Some(country), Ok(code)) => all.push((country, code)),
                (None, Ok::<Subdivision, String>(_)) => {}
                (_, Err(error)) => fields.error("subdivisions", line, error),
            }
        }
    }
    some_if_any(all)
}

fn no_part(country: Country, code: Subdivision) -> String {
    let example = if country.as_str() == "US" { "CA" } else { "ON" };
    format!("there is no {country}-{code}; write the postal code of a part of {country}, such as {example}")
}

fn read_prefixes(fields: &mut Fields) -> Option<Vec<IpNet>> {
    let prefixes = fields.parsed_list_like::<IpNet>("ip_prefixes", "192.0.2.0/24 or 2001:db8::/32");
    if let Some(first) = prefixes.get(IP_PREFIXES_MAX) {
        fields.error(
            "ip_prefixes",
            first.line,
            format!("more than {IP_PREFIXES_MAX}; write fewer, wider ones"),
        );
    }
    for prefix in &prefixes {
        if prefix.value.trunc() != prefix.value {
            let message = format!("{} has host bits set; write {}", prefix.value, prefix.value.trunc());
            fields.error("ip_prefixes", prefix.line, message);
        }
    }
    some_if_any(prefixes.into_iter().map(|prefix| prefix.value).collect())
}

/// A number, a text (`"AS2914"` too), or a list of them.
fn read_asns(fields: &mut Fields) -> Option<Vec<u32>> {
    let mut asns = Vec::new();
    for At { value, line } in fields.list("asn") {
        let number = match &value {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) => text.trim_start_matches("AS").parse().ok(),
            _ => None,
        };
        match number {
            // 0 is reserved (RFC 7607).
            Some(number) if number != 0 => asns.push(number),
            _ => fields.error("asn", line, "write the number of an autonomous system, such as 2914"),
        }
    }
    some_if_any(asns)
}

fn read_note(fields: &mut Fields) -> Option<String> {
    let note = fields.text("note")?;
    if note.value.chars().count() > NOTE_CHARS_MAX {
        fields.error("note", note.line, format!("write at most {NOTE_CHARS_MAX} characters"));
    }
    Some(note.value)
}

/// NS1's clients write `up` as a bool, 0 or 1, or either in quotes.
fn up_of(value: &DeValue) -> Option<bool> {
    match value {
        DeValue::Boolean(up) => Some(*up),
        DeValue::Integer(number) => bit(number.as_str()),
        DeValue::String(text) => bit(text),
        _ => None,
    }
}

fn bit(text: &str) -> Option<bool> {
    BTreeMap::from([("1", true), ("true", true), ("0", false), ("false", false)]).get(text).copied()
}

fn whole_of(value: &DeValue) -> Option<u32> {
    match value {
        DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
        DeValue::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A number of at least 0, as every live number is.
fn read_number(fields: &mut Fields, name: &'static str) -> Option<Value<f64>> {
    read_live(fields, name, "a number of at least 0", |value| {
        let number = match value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::String(text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite() && *number >= 0.0)
    })
}

/// A value, or `{ feed = "..." }`.
fn read_live<T>(
    fields: &mut Fields,
    name: &'static str,
    wanted: &str,
    read: impl Fn(&DeValue) -> Option<T>,
) -> Option<Value<T>> {
    let At { value, line } = fields.value(name)?;
    if value.as_table().is_some_and(|table| table.contains_key("feed")) {
        let mut table = fields.as_table(name, At { value, line })?;
        table.object = format!("{} {name}", fields.object).trim_start().into();
        let feed = table.text("feed");
        table.finish();
        return feed.map(|feed| Value::Feed(feed.value));
    }
    let read = read(&value);
    if read.is_none() {
        fields.error(name, line, format!("write {wanted}, or {{ feed = \"...\" }}"));
    }
    read.map(Value::Literal)
}
