//! `[[test]]` tables, held against what the snapshot knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;

use hickory_proto::rr::RecordType;

use super::{Expect, Test};
use crate::chain::Answer;
use crate::engine::Snapshot;
use crate::engine::explain::{parse_subnet, parse_type};
use crate::engine::zones::Found;
use crate::files::{At, Document, Fields, Problem};
use crate::state::chains::Place;
use crate::state::model::{LiveValues, Scope};
use crate::state::whatif::{WhatIf, covers};
use crate::wire::{Name, Qname};

/// Where a query comes from where nothing is written: nobody's place, as with `rhumb explain`.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// No load, mark, weight or cost is larger.
const VALUE_MAX: f64 = 1e12;

/// Reads a file's tests; every mistake in it is a problem.
pub fn read(file: &Path, text: &str, snapshot: &Snapshot, problems: &mut Vec<Problem>) -> Vec<Test> {
    let document = Document::new(file, text);
    let mut tests = Vec::new();
    if let Some(mut root) = document.read() {
        let known = Known::new(snapshot);
        for fields in root.tables("test") {
            tests.extend(read_test(file, fields, &known));
        }
        root.finish();
    }
    problems.extend(document.into_problems());
    tests
}

/// What may be named.
struct Known<'s> {
    snapshot: &'s Snapshot,
    pools: BTreeSet<&'s str>,
    pops: BTreeSet<&'s str>,
    stacks: BTreeSet<&'s str>,
}

impl<'s> Known<'s> {
    fn new(snapshot: &'s Snapshot) -> Known<'s> {
        let answers = || snapshot.steerings.iter().flat_map(|steering| &steering.answers);
        Known {
            snapshot,
            pools: answers().filter_map(|answer| answer.pool.as_deref()).collect(),
            pops: answers().filter_map(|answer| answer.pop.as_deref()).collect(),
            stacks: answers().filter_map(|answer| answer.stack.as_deref()).collect(),
        }
    }

    /// The steered record that answers for a name.
    fn record(&self, name: &Name) -> Option<usize> {
        match self.snapshot.zones.find(&Qname::from(name), false) {
            Found::Name(node) => node.steered().map(|record| record as usize),
            _ => None,
        }
    }

    /// Whether any answer is in a scope.
    fn has(&self, scope: &Scope) -> bool {
        let mut answers = self.snapshot.steerings.iter().flat_map(|steering| &steering.answers);
        answers.any(|answer| covers(scope, answer))
    }
}

fn read_test(file: &Path, mut fields: Fields, known: &Known) -> Option<Test> {
    fields.object = "test".into();
    fields.require(&["name", "record", "expect"]);
    let name = fields.text("name");
    if let Some(name) = &name {
        fields.object = format!("test \"{}\"", name.value);
    }
    let record = fields.parsed::<Name>("record");
    let record_index = record.as_ref().and_then(|record| {
        let found = known.record(&record.value);
        if found.is_none() {
            let names = known.snapshot.records.iter().map(|record| record.name.to_string());
            let message = unknown("steered record", &record.value, names);
            fields.error("record", record.line, message);
        }
        found
    });
    let qtype = fields.text("type").map_or(Some(RecordType::A), |text| {
        let told = |error| fields.error("type", text.line, format!("{error}; write one such as A or AAAA"));
        parse_type(&text.value).map_err(told).ok()
    });
    if fields.has("client") && fields.has("clients") {
        fields.error("client", fields.line, "stands beside clients; write one of them");
    }
    let has_client = fields.has("client") || fields.has("clients");
    let mut clients = read_clients(&mut fields, "client");
    clients.extend(read_clients(&mut fields, "clients"));
    let resolver = fields.parsed::<IpAddr>("resolver").map(|resolver| resolver.value);
    if !has_client && resolver.is_none() {
        fields.error("client", fields.line, "missing; write a client's network, or the resolver alone");
    }
    let what_if = WhatIf {
        drains: read_drains(&mut fields, known),
        splits: read_splits(&mut fields, known),
        values: read_values(&mut fields, known),
    };
    let answers = record_index.map(|record| {
        let steering = known.snapshot.records[record].steering as usize;
        &known.snapshot.steerings[steering].answers[..]
    });
    let expect = fields.table("expect").map(|mut expect| {
        expect.object = format!("{} expect", fields.object);
        read_expect(expect, answers)
    });
    let place = Place { file: file.into(), line: fields.line };
    fields.finish();
    Some(Test {
        place,
        name: name?.value,
        record: record?.value,
        qtype: qtype?,
        clients,
        resolver: resolver.unwrap_or(RESOLVER),
        what_if,
        expect: expect?,
        record_index: record_index?,
    })
}

fn read_clients(fields: &mut Fields, name: &'static str) -> Vec<(IpAddr, u8)> {
    let texts = fields.texts(name);
    let read = |At { value, line }: At<String>| {
        parse_subnet(&value).map_err(|error| fields.error(name, line, error)).ok()
    };
    texts.into_iter().filter_map(read).collect()
}

/// A name that some answer has.
fn read_known(
    fields: &mut Fields,
    name: &'static str,
    kind: &str,
    known: &BTreeSet<&str>,
) -> Option<At<String>> {
    let text = fields.text(name)?;
    if !known.contains(text.value.as_str()) {
        fields.error(name, text.line, unknown(kind, &text.value, known.iter()));
        return None;
    }
    Some(text)
}

/// The fields of a scope, each checked by itself and all of them together.
fn read_scope(fields: &mut Fields, known: &Known) -> Scope {
    let names = ["pop", "pool", "stack", "answer"];
    let written = names.iter().filter(|name| fields.has(name)).count();
    let value = |text: Option<At<String>>| text.map(|text| text.value);
    let scope = Scope {
        pop: value(read_known(fields, "pop", "PoP", &known.pops)),
        pool: value(read_known(fields, "pool", "pool", &known.pools)),
        stack: value(read_known(fields, "stack", "stack", &known.stacks)),
        answer: value(fields.text("answer")),
    };
    let read = [&scope.pop, &scope.pool, &scope.stack, &scope.answer].into_iter().flatten().count();
    if written == 0 {
        fields.error("pop", fields.line, "missing; write at least one of pop, pool and stack, or an answer");
    } else if written == read && !known.has(&scope) {
        let field = if scope.answer.is_some() { "answer" } else { "pop" };
        fields.error(field, fields.line, format!("there is no answer of {scope}"));
    }
    scope
}

fn read_drains(fields: &mut Fields, known: &Known) -> Vec<(Scope, u8)> {
    let object = format!("{} drain", fields.object);
    let drains = fields.tables("drains").into_iter().map(|mut drain| {
        drain.object = object.clone();
        let scope = read_scope(&mut drain, known);
        let percent = drain.integer_in("percent", 0, 100).map_or(100, |percent| percent.value as u8);
        drain.finish();
        (scope, percent)
    });
    drains.collect()
}

fn read_splits(fields: &mut Fields, known: &Known) -> Vec<(String, String, BTreeMap<String, f64>)> {
    let object = format!("{} split", fields.object);
    let splits = fields.tables("splits").into_iter().filter_map(|mut split| {
        split.object = object.clone();
        split.require(&["pool", "pop", "weights"]);
        let pool = read_known(&mut split, "pool", "pool", &known.pools).map(|pool| pool.value);
        let pop = read_known(&mut split, "pop", "PoP", &known.pops).map(|pop| pop.value);
        let line = split.line;
        let weights = split.table("weights").map(|mut weights| {
            weights.object = format!("{object} weights");
            weights.named_floats(0.0, VALUE_MAX)
        });
        let mut read = BTreeMap::new();
        for (stack, weight) in weights.unwrap_or_default() {
            let stack = stack.value;
            let at = Scope { stack: Some(stack.clone()), pool: pool.clone(), pop: pop.clone(), answer: None };
            if !known.has(&at) {
                split.error("weights", line, format!("there is no answer of {at}"));
            }
            read.insert(stack, weight);
        }
        split.finish();
        Some((pool?, pop?, read))
    });
    splits.collect()
}

fn read_values(fields: &mut Fields, known: &Known) -> Vec<(Scope, LiveValues)> {
    let object = format!("{} value", fields.object);
    let values = fields.tables("values").into_iter().map(|mut value| {
        value.object = object.clone();
        let scope = read_scope(&mut value, known);
        let mut load = |name| value.float_in(name, 0.0, VALUE_MAX).map(|number| number.value);
        let mut values = LiveValues {
            loadavg: load("loadavg"),
            connections: load("connections"),
            requests: load("requests"),
            low_watermark: load("low_watermark"),
            high_watermark: load("high_watermark"),
            weight: load("weight"),
            cost: load("cost"),
            ..LiveValues::default()
        };
        values.up = value.flag("up").map(|up| up.value);
        let priority = value.integer_in("priority", 0, i64::from(u32::MAX));
        values.priority = priority.map(|priority| priority.value as u32);
        value.finish();
        (scope, values)
    });
    values.collect()
}

/// `answers` are the record's, where there is one: what may be expected of it.
fn read_expect(mut fields: Fields, answers: Option<&[Answer]>) -> Expect {
    let names = |of: fn(&Answer) -> Option<&String>| -> Option<BTreeSet<&str>> {
        Some(answers?.iter().filter_map(of).map(String::as_str).collect())
    };
    let pops = names(|answer| answer.pop.as_ref());
    let stacks = names(|answer| answer.stack.as_ref());
    let called = names(|answer| Some(&answer.name));
    let any = pops.iter().chain(&stacks).chain(&called).flatten().copied().collect::<BTreeSet<&str>>();
    let any = answers.map(|_| any);
    let expect = Expect {
        pops: read_names(&mut fields, "pops", "PoP", &pops),
        stacks: read_names(&mut fields, "stacks", "stack", &stacks),
        answers: read_names(&mut fields, "answers", "answer", &called),
        data: [
            read_data::<Ipv4Addr>(&mut fields, "a", RecordType::A, "192.0.2.1"),
            read_data::<Ipv6Addr>(&mut fields, "aaaa", RecordType::AAAA, "2001:db8::1"),
            read_data::<Name>(&mut fields, "cname", RecordType::CNAME, "www.example.net"),
        ]
        .into_iter()
        .flatten()
        .collect(),
        scope: fields.integer_in("scope", 0, 128).map(|scope| scope.value as u8),
        rcode: fields.text("rcode").map(|rcode| rcode.value.to_ascii_uppercase()),
        shares: read_shares(&mut fields, &any),
        never: read_names(&mut fields, "never", "PoP, stack or answer", &any)
            .unwrap_or_default()
            .into_iter()
            .collect(),
    };
    if expect == Expect::default() {
        fields.error("pops", fields.line, "missing; write at least one thing that is expected");
    }
    fields.finish();
    expect
}

/// A list of names that the record's answers have.
fn read_names(
    fields: &mut Fields,
    name: &'static str,
    kind: &str,
    known: &Option<BTreeSet<&str>>,
) -> Option<BTreeSet<String>> {
    let is_written = fields.has(name);
    let texts = fields.texts(name);
    for text in &texts {
        check_name(fields, name, kind, text, known);
    }
    is_written.then(|| texts.into_iter().map(|text| text.value).collect())
}

fn check_name(
    fields: &Fields,
    field: &'static str,
    kind: &str,
    text: &At<String>,
    known: &Option<BTreeSet<&str>>,
) {
    if let Some(known) = known.as_ref().filter(|known| !known.contains(text.value.as_str())) {
        fields.error(field, text.line, unknown(&format!("{kind} of this record"), &text.value, known.iter()));
    }
}

fn read_data<T: FromStr + Display>(
    fields: &mut Fields,
    name: &'static str,
    of: RecordType,
    example: &str,
) -> Option<(RecordType, BTreeSet<String>)> {
    let is_written = fields.has(name);
    let data =
        fields.parsed_list_like::<T>(name, example).into_iter().map(|data| data.value.to_string()).collect();
    is_written.then_some((of, data))
}

/// `shares = { "eu-west-2" = "30..36 %" }`.
fn read_shares(fields: &mut Fields, known: &Option<BTreeSet<&str>>) -> Vec<(String, f64, f64)> {
    let shares = fields.table("shares").map(Fields::into_values).unwrap_or_default();
    let mut read = Vec::new();
    for (name, value) in shares {
        check_name(fields, "shares", "PoP, stack or answer", &name, known);
        match value.value.as_str().and_then(percent_range) {
            Some((from, to)) => read.push((name.value, from, to)),
            None => fields.error("shares", value.line, "write a text such as \"30..36 %\" or \"100 %\""),
        }
    }
    read
}

fn percent_range(text: &str) -> Option<(f64, f64)> {
    let text = text.trim().strip_suffix('%')?.trim_end();
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to): (f64, f64) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (0.0 <= from && from <= to && to <= 100.0).then_some((from, to))
}

fn unknown(kind: &str, name: &dyn Display, known: impl Iterator<Item: Display>) -> String {
    let known: Vec<String> = known.map(|name| name.to_string()).collect();
    match known[..] {
        [] => format!("there is no {kind} `{name}`; there is none"),
        _ => format!("there is no {kind} `{name}`; known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_shares() {
        for (text, expect) in [
            ("30..36 %", Some((30.0, 36.0))),
            ("0 .. 0.5%", Some((0.0, 0.5))),
            ("100 %", Some((100.0, 100.0))),
            ("36..30 %", None),
            ("30..101 %", None),
            ("30", None),
            ("NaN %", None),
        ] {
            assert_eq!(percent_range(text), expect, "{text}");
        }
    }
}
