//! Scenarios: the tests of the filters as text, and the examples in their manuals.
//!
//! ```text
//! answer   NAME META...            one of the record's answers
//! network  PREFIX PLACE            what the world knows: GB, GB-ENG, GB-ENG@51.5,-0.1, AS2856, or two of them
//! default  PLACE                   the default place
//! client   ADDRESS[/LEN] | PLACE   who asks; a PLACE is put at 192.0.2.0/24
//! resolver ADDRESS | PLACE         the packet's address; a PLACE is put at 198.51.100.0/24
//! chain    FILTER, FILTER(OPTION=VALUE), ...
//! before   NAME...                 checked: the answers as listed
//! after    NAME...                 checked: what the chain makes of them
//! scope, placed, bypassed, why, warn                      checked, too
//! nodata_on_empty, ignore_health                          switches
//! ```
//!
//! Lines take effect in order; a check speaks of what was said before it. `why` and `bypassed` are about
//! the chain's last filter.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::str::FromStr;

use super::KINDS;
use crate::chain::{
    Answer, Answers, Ask, Chain, LiveMeta, OptionValue, Options, Picks, Silent, Spec, SpecError, Tracer,
    draw,
    trace::{Recorder, Step},
};
use crate::geo::{Coordinates, Country, Location, Questions, Subdivision, World};

/// Runs a scenario and holds it against its checks.
pub(super) fn check(text: &str) {
    let mut scenario = Scenario::default();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut checks = 0;
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !scenario.read(word, rest.trim()) {
            scenario.hold(word, rest).unwrap_or_else(|found| panic!("{text}\n{line}\nfound: {found}"));
            checks += 1;
        }
    }
    assert!(checks > 0, "{text}\nchecks nothing");
}

/// Holds the error a filter over two plain answers is refused with.
pub(super) fn refused(filter: &str, error: &str) {
    let scenario = Scenario::parse(&format!("answer a\nanswer b\nchain {filter}"));
    assert_eq!(scenario.compile().err().map(|error| error.to_string()).as_deref(), Some(error));
}

/// What a scenario says up to some line.
pub(super) struct Scenario {
    answers: Vec<Answer>,
    live: Vec<LiveMeta>,
    /// Prefixes and their places, as entries of `networks.toml`.
    networks: BTreeMap<String, String>,
    default: Option<Location>,
    ask: Ask,
    nodata_on_empty: bool,
    steps: Vec<(String, Options)>,
}

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            answers: Vec::new(),
            live: Vec::new(),
            networks: BTreeMap::new(),
            default: None,
            ask: Ask {
                client: parse(CLIENT),
                source: 32,
                resolver: parse(RESOLVER),
                place: None,
                random: 1,
                record_salt: draw::salt(SEED, &["sticky", "www.example.com"]),
                ignore_health: false,
            },
            nodata_on_empty: false,
            steps: Vec::new(),
        }
    }
}

/// The seed of the sticky hash in all scenarios.
const SEED: u64 = 7;
const CLIENT: &str = "192.0.2.1";
const RESOLVER: &str = "198.51.100.1";

impl Scenario {
    /// A scenario without checks.
    pub(super) fn parse(text: &str) -> Scenario {
        let mut scenario = Scenario::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            assert!(scenario.read(word, rest.trim()), "{line}");
        }
        scenario
    }

    /// What the chain makes of the answers, by their names.
    pub(super) fn run(&self) -> Vec<&str> {
        self.names(&self.walk().picks)
    }

    /// The same for many queries, each with a random number of its own.
    pub(super) fn draws(&self, queries: u64) -> impl Iterator<Item = Vec<&str>> {
        let (chain, _) = self.compile().unwrap();
        (0..queries).map(move |query| {
            let ask = Ask { random: draw::mix(query), ..self.ask };
            self.names(&self.follow(&chain, &ask, &mut Silent))
        })
    }

    /// The same for clients of many addresses.
    pub(super) fn clients<'s>(
        &'s self,
        clients: impl Iterator<Item = IpAddr> + 's,
    ) -> impl Iterator<Item = Vec<&'s str>> {
        let (chain, _) = self.compile().unwrap();
        clients.map(move |client| {
            let source = if client.is_ipv4() { 32 } else { 128 };
            self.names(&self.follow(&chain, &Ask { client, source, ..self.ask }, &mut Silent))
        })
    }

    /// An answer's live meta.
    pub(super) fn live(&mut self, name: &str) -> &mut LiveMeta {
        let at = self.answers.iter().position(|answer| answer.name == name).unwrap();
        &mut self.live[at]
    }

    /// Takes an answer out.
    pub(super) fn remove(&mut self, at: usize) -> String {
        self.live.remove(at);
        self.answers.remove(at).name
    }

    /// Reads a line that says how things are; says whether it was one.
    fn read(&mut self, word: &str, rest: &str) -> bool {
        match word {
            "answer" => self.answer(rest),
            "network" => {
                let (prefix, place) = rest.split_once(' ').unwrap();
                self.network(prefix, place);
            }
            "default" => {
                let world = World::from_networks_text(&entry("192.0.2.0/24", rest)).unwrap();
                self.default = world.lookup(parse(CLIENT)).location;
            }
            "client" => match rest.split_once('/').unwrap_or((rest, "")) {
                (address, length) if address.parse::<IpAddr>().is_ok() => {
                    self.ask.client = parse(address);
                    let whole = if self.ask.client.is_ipv4() { 32 } else { 128 };
                    self.ask.source = length.parse().unwrap_or(whole);
                }
                _ => {
                    (self.ask.client, self.ask.source) = (parse(CLIENT), 32);
                    self.network("192.0.2.0/24", rest);
                }
            },
            "resolver" if rest.parse::<IpAddr>().is_ok() => self.ask.resolver = parse(rest),
            "resolver" => {
                self.ask.resolver = parse(RESOLVER);
                self.network("198.51.100.0/24", rest);
            }
            "chain" => self.steps = rest.split(", ").map(step).collect(),
            "nodata_on_empty" => self.nodata_on_empty = true,
            "ignore_health" => self.ask.ignore_health = true,
            _ => return false,
        }
        true
    }

    /// Holds a line that checks; gives what was found instead.
    fn hold(&self, word: &str, expect: &str) -> Result<(), String> {
        let words = |names: Vec<&str>| names.join(" ");
        let expected = expect.split_whitespace().collect::<Vec<_>>().join(" ");
        let found = match word {
            "before" => words(self.answers.iter().map(|answer| answer.name.as_str()).collect()),
            "after" => words(self.run()),
            "scope" => self.walk().picks.scope().to_string(),
            "placed" => format!("{:?}", self.walk().picks.placed()).to_lowercase(),
            "bypassed" => if self.walk().last.bypassed { "" } else { "no" }.to_string(),
            "why" => {
                let name = expected.split(' ').next().unwrap();
                format!("{name} {}", self.remark(name)).trim().to_string()
            }
            "warn" => self.walk().warnings.join("; "),
            _ => panic!("`{word}` is unknown"),
        };
        if found == expected { Ok(()) } else { Err(found) }
    }

    fn answer(&mut self, text: &str) {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap().to_string();
        let mut answer = Answer { name, group: u16::MAX, ..Answer::default() };
        let mut live = LiveMeta::default();
        for (key, value) in words.map(|word| word.split_once('=').unwrap()) {
            self.meta(&mut answer, &mut live, key, value);
        }
        self.answers.push(answer);
        self.live.push(live);
    }

    fn meta(&self, answer: &mut Answer, live: &mut LiveMeta, key: &str, value: &str) {
        let meta = &mut answer.meta;
        match key {
            "up" => live.up.literal = Some(parse(value)),
            "feed" => live.up.feed = Some(parse(value)),
            "verdict" => live.up.verdict = Some(parse(value)),
            "loadavg" => live.loadavg = Some(parse(value)),
            "connections" => live.connections = Some(parse(value)),
            "requests" => live.requests = Some(parse(value)),
            "low_watermark" => live.low_watermark = Some(parse(value)),
            "high_watermark" => live.high_watermark = Some(parse(value)),
            "weight" => live.weight = Some(parse(value)),
            "priority" => live.priority = Some(parse(value)),
            "cost" => live.cost = Some(parse(value)),
            "country" => meta.country = list(value),
            "subdivisions" => meta.subdivisions = value.split(',').map(subdivision).collect(),
            "georegion" => meta.georegion = list(value),
            "asn" => meta.asn = list(value),
            "ip_prefixes" => meta.ip_prefixes = list(value),
            "home" => meta.home = Some(parse(value)),
            "latitude" => meta.coordinates.get_or_insert(ORIGIN).latitude = parse(value),
            "longitude" => meta.coordinates.get_or_insert(ORIGIN).longitude = parse(value),
            "pool" => answer.pool = Some(value.to_string()),
            "pop" => answer.pop = Some(value.to_string()),
            "group" => {
                let same = self.answers.iter().find(|other| other.group_name.as_deref() == Some(value));
                answer.group = same.map_or(self.answers.len() as u16, |other| other.group);
                answer.group_name = Some(value.to_string());
            }
            _ => panic!("`{key}` is no meta"),
        }
    }

    fn network(&mut self, prefix: &str, place: &str) {
        self.networks.insert(prefix.to_string(), entry(prefix, place));
    }

    fn world(&self) -> World {
        let text: String = self.networks.values().map(String::as_str).collect();
        World::from_networks_text(&text).unwrap().with_default_place(self.default)
    }

    fn compile(&self) -> Result<(Chain, Vec<String>), SpecError> {
        let world = self.world();
        let geo = Questions::new(&world);
        let mut warnings = Vec::new();
        let mut steps = Vec::new();
        for (place, (name, options)) in (0..).zip(&self.steps) {
            let kind = KINDS.iter().find(|kind| kind.name == name).expect(name);
            let (answers, nodata_on_empty) = (&self.answers[..], self.nodata_on_empty);
            let spec = Spec { options, answers, geo: &geo, place, nodata_on_empty, seed: SEED };
            let compiled = (kind.compile)(&spec)?;
            warnings.extend(compiled.warnings);
            steps.push((kind, compiled.filter));
        }
        Ok((Chain::new(steps), warnings))
    }

    fn walk(&self) -> Walk {
        let (chain, warnings) = self.compile().unwrap();
        let mut recorder = Recorder::default();
        let picks = self.follow(&chain, &Ask { place: self.place(), ..self.ask }, &mut recorder);
        Walk { picks, warnings, last: recorder.steps.pop().unwrap() }
    }

    fn follow(&self, chain: &Chain, ask: &Ask, tracer: &mut impl Tracer) -> Picks {
        let mut picks = Picks::default();
        picks.start(&(0..self.answers.len() as u8).collect::<Vec<_>>());
        chain.run(0, ask, &Answers { fixed: &self.answers, live: &self.live }, &mut picks, tracer);
        picks
    }

    /// Where the client is, as `explain` finds it.
    fn place(&self) -> Option<Location> {
        let world = self.world();
        let of = |address| world.lookup(address).location;
        of(self.ask.client).or_else(|| of(self.ask.resolver)).or(self.default)
    }

    fn remark(&self, name: &str) -> String {
        let remarks = self.walk().last.remarks;
        let about = remarks.into_iter().find(|(answer, _)| self.answers[usize::from(*answer)].name == name);
        about.map(|(_, remark)| remark).unwrap_or_default()
    }

    fn names(&self, picks: &Picks) -> Vec<&str> {
        picks.as_slice().iter().map(|&answer| self.answers[usize::from(answer)].name.as_str()).collect()
    }
}

struct Walk {
    picks: Picks,
    warnings: Vec<String>,
    last: Step,
}

const ORIGIN: Coordinates = Coordinates { latitude: 0.0, longitude: 0.0 };

fn parse<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("`{text}`: {error:?}"))
}

fn list<T: FromStr<Err: Debug>>(text: &str) -> Vec<T> {
    text.split(',').map(parse).collect()
}

fn subdivision(text: &str) -> (Country, Subdivision) {
    let (country, part) = text.split_once('-').unwrap();
    (parse(country), parse(part))
}

/// An entry of `networks.toml` for `GB`, `GB-ENG`, either with `@51.5,-0.1`, `AS2856`, or both with a
/// blank between.
fn entry(prefix: &str, place: &str) -> String {
    let mut text = format!("[[network]]\nprefixes = '{prefix}'\n");
    for word in place.split_whitespace() {
        if let Some(number) = word.strip_prefix("AS").filter(|rest| !rest.is_empty()) {
            text += &format!("asn = {number}\n");
            continue;
        }
        let (code, at) = word.split_once('@').unwrap_or((word, ""));
        let (country, subdivision) = code.split_once('-').unwrap_or((code, ""));
        text += &format!("country = '{country}'\n");
        if !subdivision.is_empty() {
            text += &format!("subdivision = '{subdivision}'\n");
        }
        if let Some((latitude, longitude)) = at.split_once(',') {
            text += &format!("latitude = {latitude}\nlongitude = {longitude}\n");
        }
    }
    text
}

/// `shuffle` or `select_first_n(n=2)`.
fn step(text: &str) -> (String, Options) {
    let (name, rest) = text.split_once('(').unwrap_or((text, ""));
    let options = rest.strip_suffix(')').into_iter().map(|option| {
        let (key, value) = option.split_once('=').unwrap();
        (key.to_string(), OptionValue::Text(value.to_string()))
    });
    (name.to_string(), options.collect())
}
