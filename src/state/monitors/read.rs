//! Reading `[monitor.NAME]` and `[health]`.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use toml::de::DeValue;

use super::http::{read_http, read_tls};
use super::*;
use crate::config::Limit;
use crate::files::{Fields, Json, Problem, read_json};

/// Fields of every kind that probes; a heartbeat has no address.
const PROBE_FIELDS: [&str; 7] =
    ["port", "timeout", "jitter", "source", "family", "addresses", "min_addresses"];

/// The reference targets' own rhythm, where no monitor is quicker: quick enough to know of our failure before a
/// verdict of three results, ten seconds apart, falls.
const REFERENCE_INTERVAL: Duration = Duration::from_secs(5);

/// Reads a monitor that came as JSON.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_monitor_json(name: &str, json: &Json) -> Result<MonitorSpec, Vec<Problem>> {
    // Without an error it is clear what it is.
    read_json(&object(name), json, |fields| read_monitor(None, name, fields))?.ok_or_else(Vec::new)
}

fn object(name: &str) -> String {
    format!("monitor {name}")
}

/// Reads a monitor; files it names are beside the one it is written in, if it is in one. None when it is not clear
/// what it is; that has been told.
pub fn read_monitor(file: Option<&Path>, name: &str, mut fields: Fields) -> Option<MonitorSpec> {
    fields.object = object(name);
    fields.require(&["kind", "target"]);
    let line = fields.text("kind").and_then(|kind| {
        let line = KINDS.iter().find(|line| line.name == kind.value);
        if line.is_none() {
            let known: Vec<&str> = KINDS.iter().map(|line| line.name).collect();
            let message = format!("there is no kind `{}`; known are {}", kind.value, known.join(", "));
            fields.error("kind", kind.line, message);
        }
        line
    });
    let target = read_target(&mut fields);
    if let Some(line) = line {
        refuse_foreign(&mut fields, line);
    }
    let kind = line.map_or(Kind::Tcp, |line| line.kind);
    let mut check = Check::new(kind, 0);
    check.secure = fields.flag("secure").is_some_and(|flag| flag.value);
    check.ping = fields.flag("ping").is_some_and(|flag| flag.value);
    check.port = read_port(&mut fields, line, check.secure);
    check.http = read_http(&mut fields);
    let tls = fields.table("tls");
    if let Some(tls) = tls.as_ref().filter(|_| kind == Kind::WebSocket && !check.secure) {
        fields.error("tls", tls.line, "does nothing over ws; write secure = true for wss");
    }
    check.tls = tls.map_or_else(TlsAsk::default, |tls| read_tls(file, &fields.object, tls));
    check.dns = read_dns(&mut fields, kind);
    read_rhythm(&mut fields, &mut check);
    check.source = read_source(&mut fields);
    check.family = read_family(&mut fields);
    check.rule = read_rule(&mut fields);
    check.flap = read_flap(&mut fields);
    check.stale = Stale::read(&mut fields);
    fields.finish();
    line?;
    Some(MonitorSpec { target: target?, check: Arc::new(check) })
}

/// Takes out the fields that do nothing for a kind, so that nobody waits for what they say.
fn refuse_foreign(fields: &mut Fields, line: &KindLine) {
    let special = KINDS.iter().flat_map(|line| line.fields).copied();
    let probing = PROBE_FIELDS.into_iter().filter(|_| line.kind == Kind::Push);
    for name in special.filter(|name| !line.fields.contains(name)).chain(probing) {
        if !fields.has(name) {
            continue;
        }
        if let Some(value) = fields.value(name) {
            fields.error(name, value.line, format!("does nothing for a {} monitor; take it out", line.name));
        }
    }
}

fn read_target(fields: &mut Fields) -> Option<At<Scope>> {
    let mut target = fields.table("target")?;
    target.object = format!("{} target", fields.object);
    let line = target.line;
    let mut part = |name| target.text(name).map(|text| text.value);
    let scope = Scope { pool: part("pool"), pop: part("pop"), stack: part("stack"), answer: part("answer") };
    if scope == Scope::default() {
        target.error("pool", line, "name at least one of pool, pop, stack and answer");
    }
    target.finish();
    (scope != Scope::default()).then_some(At { value: scope, line })
}

fn read_port(fields: &mut Fields, line: Option<&KindLine>, secure: bool) -> u16 {
    let written = fields.has("port");
    if let Some(port) = fields.integer_in("port", 1, 65535) {
        return port.value as u16;
    }
    match line.map(|line| (line.kind, line.port)) {
        Some((Kind::WebSocket, _)) if secure => 443,
        Some((_, Some(port))) => port,
        Some((_, None)) if !written => {
            fields.error("port", fields.line, "missing; it must be written");
            0
        }
        _ => 0,
    }
}

fn read_dns(fields: &mut Fields, kind: Kind) -> DnsAsk {
    let mut ask = DnsAsk::default();
    if kind == Kind::Dns {
        fields.require(&["name"]);
    }
    if let Some(name) = fields.text("name") {
        match hickory_proto::rr::Name::from_ascii(&name.value) {
            Ok(mut read) => {
                read.set_fqdn(true);
                ask.name = read;
            }
            Err(_) => fields.error("name", name.line, format!("`{}` is no domain name", name.value)),
        }
    }
    if let Some(written) = fields.text("type") {
        match written.value.to_uppercase().parse() {
            Ok(read) => ask.record_type = read,
            Err(_) => {
                let message = format!("`{}` is no type; write one such as A, AAAA or SOA", written.value);
                fields.error("type", written.line, message);
            }
        }
    }
    ask
}

fn read_rhythm(fields: &mut Fields, check: &mut Check) {
    check.interval = span(fields, "interval", INTERVAL);
    // What nobody wrote gives way to the interval.
    check.timeout = check.timeout.min(check.interval);
    if let Some(At { value, line }) = span_in(fields, "timeout", TIMEOUT) {
        check.timeout = value;
        if value > check.interval {
            fields.error("timeout", line, "is longer than the interval; a probe ends before the next");
        }
    }
    check.rise = limited(fields, "rise", RISE) as u32;
    check.fall = limited(fields, "fall", FALL) as u32;
    check.jitter = fields.float_in("jitter", JITTER.least, JITTER.most).map_or(JITTER.default, |at| at.value);
    check.max_age = check.max_age.max(check.interval * 2);
    if let Some(At { value, line }) = span_in(fields, "max_age", MAX_AGE) {
        check.max_age = value;
        if value < check.interval {
            fields.error("max_age", line, "is shorter than the interval; every verdict would be too old");
        }
    }
}

fn read_source(fields: &mut Fields) -> Vec<IpAddr> {
    let mut sources: Vec<IpAddr> = Vec::new();
    for At { value, line } in fields.parsed_list_like::<IpAddr>("source", "192.0.2.1 or 2001:db8::1") {
        let family = Family::of(value);
        if sources.iter().any(|other| Family::of(*other) == family) {
            fields.error(
                "source",
                line,
                format!("a second {} address; write one of each family", family.name()),
            );
        }
        sources.push(value);
    }
    sources
}

fn read_family(fields: &mut Fields) -> Option<Family> {
    let family = fields.text("family")?;
    match family.value.as_str() {
        "ipv4" => Some(Family::Ipv4),
        "ipv6" => Some(Family::Ipv6),
        "both" => None,
        other => {
            let message = format!("`{other}` is unknown; write ipv4, ipv6 or both (the default)");
            fields.error("family", family.line, message);
            None
        }
    }
}

fn read_rule(fields: &mut Fields) -> Rule {
    let addresses = fields.value("addresses");
    let quorum = addresses.and_then(|At { value, line }| {
        let number = match &value {
            DeValue::Integer(number) => number.as_str().parse().ok().filter(|number| *number >= 1),
            DeValue::String(text) if text == "any" => Some(1),
            DeValue::String(text) if text == "each" => return None,
            _ => None,
        };
        if number.is_none() {
            let message = "write \"each\" (the default), \"any\", or how many must answer, such as 2";
            fields.error("addresses", line, message);
        }
        number
    });
    let least = fields.value("min_addresses").and_then(|At { value, line }| {
        if quorum.is_some() {
            fields.error("min_addresses", line, "does nothing beside addresses; it is for \"each\"");
        }
        let least = match &value {
            DeValue::Integer(number) => {
                number.as_str().parse().ok().filter(|number| *number >= 1).map(Least::Number)
            }
            DeValue::Float(share) => {
                let share: Option<f64> = share.as_str().parse().ok();
                share.filter(|share| *share > 0.0 && *share <= 1.0).map(Least::Share)
            }
            _ => None,
        };
        if least.is_none() {
            fields.error("min_addresses", line, "write a number from 1, or a share such as 0.5");
        }
        least
    });
    quorum.map_or(Rule::Each(least.unwrap_or(Least::Number(1))), Rule::Quorum)
}

fn read_flap(fields: &mut Fields) -> Flap {
    let Some(mut flap) = fields.table("flap") else { return Flap::default() };
    flap.object = format!("{} flap", fields.object);
    let read = Flap {
        changes: limited(&mut flap, "changes", FLAP_CHANGES) as u32,
        within: span(&mut flap, "within", FLAP_WITHIN),
        hold: span(&mut flap, "hold", FLAP_HOLD),
        hold_max: span(&mut flap, "hold_max", FLAP_HOLD_MAX),
    };
    if read.hold > read.hold_max {
        flap.error("hold", flap.line, "is longer than hold_max, to which it grows");
    }
    flap.finish();
    read
}

/// Reads the table `[health]`.
pub fn read_health(mut fields: Fields) -> HealthSpec {
    fields.object = "health".into();
    let references = fields.texts("references").into_iter().filter_map(|At { value, line }| {
        let reference = read_reference(&value);
        if reference.is_none() {
            let message = format!(
                "`{value}` is no target; write one such as https://www.example.com or tcp://192.0.2.1:443"
            );
            fields.error("references", line, message);
        }
        reference
    });
    let references = references.collect();
    let majority = fields.float_in("majority", MAJORITY.least, MAJORITY.most);
    let probes_at_once = limited(&mut fields, "probes_at_once", PROBES_AT_ONCE) as usize;
    let first_round = span(&mut fields, "first_round", FIRST_ROUND);
    let pools_of_a_pop = fields.integer_in("pools_of_a_pop", 1, 1000).map(|pools| pools.value as usize);
    fields.finish();
    HealthSpec {
        references,
        majority: majority.map_or(MAJORITY.default, |share| share.value),
        probes_at_once,
        first_round,
        pools_of_a_pop,
    }
}

fn read_reference(text: &str) -> Option<Reference> {
    let uri: Uri = text.parse().ok()?;
    let line = KINDS.iter().find(|line| Some(line.name) == uri.scheme_str())?;
    if ![Kind::Http, Kind::Https, Kind::Tcp].contains(&line.kind) {
        return None;
    }
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_string();
    let mut check = Check::new(line.kind, uri.port_u16().or(line.port)?);
    if line.kind != Kind::Tcp {
        check.http.host = Some(uri.authority()?.as_str().into());
        check.http.path = uri.path_and_query().map_or("/".into(), |path| path.as_str().into());
        check.http.status = vec![100..=599];
        check.tls.name = Some(host.clone());
        check.tls.expiry_warning_days = 0;
    }
    check.interval = REFERENCE_INTERVAL;
    Some(Reference { text: text.into(), host, check: Arc::new(check) })
}

/// A whole number inside its limit; its default where it is not written.
pub(super) fn limited(fields: &mut Fields, name: &'static str, limit: Limit<i64>) -> i64 {
    fields.integer_in(name, limit.least, limit.most).map_or(limit.default, |number| number.value)
}

/// A span of time inside its limit; its default where it is not written.
fn span(fields: &mut Fields, name: &'static str, limit: Limit<Duration>) -> Duration {
    span_in(fields, name, limit).map_or(limit.default, |span| span.value)
}

/// A span of time inside its limit, where it is written.
fn span_in(fields: &mut Fields, name: &'static str, limit: Limit<Duration>) -> Option<At<Duration>> {
    let span = fields.duration(name)?;
    if limit.contains(span.value) {
        return Some(span);
    }
    let words = |span: Duration| format!("{:#}", jiff::SignedDuration::try_from(span).unwrap_or_default());
    let (least, most) = (words(limit.least), words(limit.most));
    fields.error(name, span.line, format!("{} is out of range; write {least} to {most}", words(span.value)));
    None
}
