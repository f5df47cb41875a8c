//! Every metric, in the order they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::time::UNIX_EPOCH;

use super::Kind::{Counter, Gauge, Histogram, Info};
use super::{Kind, Labels, Metric, Out, Reading, monitoring};
use crate::engine::shares::{Counted, Given};
use crate::health::notify::HookStatus;

/// Writes one value that has been read.
macro_rules! number {
    ($($field:ident).+) => { |reading, mut out| out.number(&[], reading.$($field).+) };
}

/// Writes one value of the process, where the system tells it.
macro_rules! process {
    ($field:ident) => {
        |reading, mut out| match &reading.process {
            Some(process) => out.number(&[], process.$field),
            None => Ok(()),
        }
    };
}

/// Every metric there is.
pub const TABLE: &[Metric] = &[
    metric("rhumb_build", Info, "The version that runs.", |_, mut out| {
        out.info(&[("version", env!("CARGO_PKG_VERSION"))])
    }),
    metric("rhumb_queries", Counter, "Queries answered, by listener, type and response code.", queries),
    metric(
        "rhumb_dropped_queries",
        Counter,
        "Packets not answered because no answer is due.",
        number!(totals.dropped),
    ),
    metric("rhumb_truncated_answers", Counter, "Answers with TC set.", number!(totals.truncated)),
    metric("rhumb_edns_queries", Counter, "Queries with EDNS that were answered.", number!(totals.edns)),
    metric(
        "rhumb_ecs_queries",
        Counter,
        "Queries with a client subnet that were answered.",
        number!(totals.ecs),
    ),
    metric(
        "rhumb_scoped_answers",
        Counter,
        "Answers to a client subnet that looked at the client's address.",
        number!(totals.scoped),
    ),
    metric(
        "rhumb_scope_bits",
        Histogram,
        "Scopes that client subnets were answered with, by family.",
        scopes,
    ),
    metric("rhumb_steered_answers", Counter, "Answers of steered records.", number!(totals.steered)),
    metric(
        "rhumb_answers",
        Counter,
        "Times each answer was given, to queries with a client subnet and without.",
        answers,
    ),
    metric(
        "rhumb_record_answers",
        Counter,
        "Answers of each steered record, where records are counted.",
        records,
    ),
    metric(
        "rhumb_geo_misses",
        Counter,
        "Clients that no source knows, by what placed them instead.",
        geo_misses,
    ),
    metric(
        "rhumb_bypassed_answers",
        Counter,
        "Answers in which a filter stood aside because it would have removed everything, by what it looks at.",
        bypasses,
    ),
    metric(
        "rhumb_shed_answers",
        Counter,
        "Answers in which load shedding removed a candidate.",
        number!(totals.shed),
    ),
    metric(
        "rhumb_drained_answers",
        Counter,
        "Answers of records of which a drain had taken candidates out, for this client or for others.",
        number!(totals.drained),
    ),
    metric(
        "rhumb_coin_answers",
        Counter,
        "Answers in which the coin of a partial drain or of a split mattered.",
        number!(totals.coins),
    ),
    metric(
        "rhumb_spread_answers",
        Counter,
        "Answers whose scope was narrowed to the record's spread.",
        number!(totals.spread),
    ),
    metric("rhumb_last_resort_answers", Counter, "Answers of last resort, by rung.", rungs),
    metric(
        "rhumb_query_log_lines",
        Counter,
        "Queries sampled for the query log, by what became of their lines.",
        query_log_lines,
    ),
    metric(
        "rhumb_query_log_errors",
        Counter,
        "Times the query log could not be opened or written.",
        |reading, mut out| out.number(&[], reading.sources.written.get()[2]),
    ),
    metric("rhumb_udp_received", Counter, "Datagrams taken from the kernel.", number!(udp.received)),
    metric("rhumb_udp_sent", Counter, "Answers the kernel took.", number!(udp.sent)),
    metric("rhumb_udp_send_errors", Counter, "Answers the kernel refused.", number!(udp.send_errors)),
    metric("rhumb_udp_receive_errors", Counter, "Receive calls that failed.", number!(udp.receive_errors)),
    metric(
        "rhumb_udp_too_long",
        Counter,
        "Datagrams longer than the buffer, dropped unread.",
        number!(udp.too_long),
    ),
    metric("rhumb_udp_panics", Counter, "Times answering panicked over UDP.", number!(udp.panics)),
    metric("rhumb_tcp_accepted", Counter, "Connections accepted.", number!(tcp.accepted)),
    metric("rhumb_tcp_accept_errors", Counter, "Accept calls that failed.", number!(tcp.accept_errors)),
    metric(
        "rhumb_tcp_displaced",
        Counter,
        "Connections that gave way to newer ones.",
        number!(tcp.displaced),
    ),
    metric(
        "rhumb_tcp_timed_out",
        Counter,
        "Connections closed because no whole query came in time.",
        number!(tcp.timed_out),
    ),
    metric(
        "rhumb_tcp_cut_off",
        Counter,
        "Connections closed because the client did not read its answers.",
        number!(tcp.cut_off),
    ),
    metric(
        "rhumb_tcp_malformed",
        Counter,
        "Connections closed because of a frame that is no query.",
        number!(tcp.malformed),
    ),
    metric("rhumb_tcp_received", Counter, "Queries read from connections.", number!(tcp.received)),
    metric(
        "rhumb_tcp_answered",
        Counter,
        "Answers made ready to send on connections.",
        number!(tcp.answered),
    ),
    metric("rhumb_tcp_panics", Counter, "Times answering panicked over TCP.", number!(tcp.panics)),
    metric("rhumb_revision", Gauge, "The revision that is served.", number!(sources.gauges.revision)),
    metric(
        "rhumb_published_timestamp_seconds",
        Gauge,
        "When the state that is served was published, since 1970.",
        published,
    ),
    metric("rhumb_store_commit_seconds", Histogram, "How long commits to the store took.", |r, out| {
        out.whole(&r.sources.timings.commit.histogram)
    }),
    metric("rhumb_publish_seconds", Histogram, "How long publishing took.", |r, out| {
        out.whole(&r.sources.timings.publish.histogram)
    }),
    metric("rhumb_drains", Gauge, "Drains in force.", number!(sources.gauges.drains)),
    metric("rhumb_splits", Gauge, "Splits in force.", number!(sources.gauges.splits)),
    metric("rhumb_migrations", Gauge, "Migrations that have not ended, by state.", migrations),
    metric("rhumb_feeds", Gauge, "Feeds known.", number!(sources.gauges.feeds)),
    metric(
        "rhumb_stale_feeds",
        Gauge,
        "Feeds whose newest value is too old.",
        number!(sources.gauges.stale_feeds),
    ),
    metric(
        "rhumb_not_durable_values",
        Gauge,
        "Values served that the store does not have yet.",
        number!(sources.gauges.not_durable),
    ),
    metric("rhumb_notices", Counter, "Notices to the receivers at a place, by what became of them.", notices),
    metric(
        "rhumb_notices_waiting",
        Gauge,
        "Notices that wait for the receivers at a place.",
        notices_waiting,
    ),
    metric("rhumb_monitors", Gauge, "Monitors of answers, by what they say.", monitoring::says),
    metric("rhumb_monitor_up", Gauge, "Whether a monitor says that an answer is up.", monitoring::up),
    metric(
        "rhumb_monitor_flapping",
        Gauge,
        "Whether an answer changed too often, and is held down.",
        monitoring::flapping,
    ),
    metric(
        "rhumb_monitor_changed_timestamp_seconds",
        Gauge,
        "Since when a monitor says so, since 1970.",
        monitoring::changed,
    ),
    metric(
        "rhumb_monitor_latency_seconds",
        Gauge,
        "How long the slowest address of an answer took when it last answered.",
        monitoring::latency,
    ),
    metric("rhumb_monitor_addresses", Gauge, "Addresses a monitor probes.", monitoring::addresses),
    metric(
        "rhumb_monitor_addresses_up",
        Gauge,
        "Of these, those that are not known to be down.",
        monitoring::addresses_up,
    ),
    metric(
        "rhumb_monitor_warnings",
        Gauge,
        "Of these, those whose last good result had a warning.",
        monitoring::warnings,
    ),
    metric(
        "rhumb_certificate_ends_timestamp_seconds",
        Gauge,
        "When the first of an answer's certificates ends, since 1970.",
        monitoring::certificate_ends,
    ),
    metric(
        "rhumb_monitors_frozen",
        Gauge,
        "Whether our own failure has frozen the verdicts of a family.",
        monitoring::frozen,
    ),
    metric("rhumb_probes", Counter, "Probes started.", number!(sources.monitoring.totals.probes)),
    metric(
        "rhumb_probe_failures",
        Counter,
        "Probes of answers that failed.",
        number!(sources.monitoring.totals.failures),
    ),
    metric(
        "rhumb_late_probes",
        Counter,
        "Probes that started later than they were due.",
        number!(sources.monitoring.totals.late),
    ),
    metric("rhumb_alarms", Gauge, "Alarms raised, by kind.", alarms),
    metric("rhumb_api_requests", Counter, "Requests to the API, by method, route and status.", requests),
    metric(
        "process_start_time_seconds",
        Gauge,
        "When the process started, since 1970.",
        process!(start_seconds),
    ),
    metric("process_cpu_seconds", Counter, "Processor time of the process.", process!(cpu_seconds)),
    metric("process_resident_memory_bytes", Gauge, "Memory of the process in RAM.", process!(resident_bytes)),
    metric(
        "process_virtual_memory_bytes",
        Gauge,
        "Memory of the process it has addresses for.",
        process!(virtual_bytes),
    ),
    metric("process_threads", Gauge, "Threads of the process.", process!(threads)),
    metric("process_open_fds", Gauge, "Open files and sockets of the process.", process!(open_fds)),
    metric("process_max_fds", Gauge, "How many files and sockets the process may open.", max_fds),
];

/// Bounds of the buckets of scopes: the lengths that databases, spreads and coins make.
const BOUNDS: (&[usize], &[usize]) =
    (&[0, 8, 12, 16, 18, 20, 22, 24, 28, 32], &[0, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 128]);

const fn metric(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    write: fn(&Reading, Out) -> fmt::Result,
) -> Metric {
    Metric { name, help, kind, write }
}

fn queries(reading: &Reading, mut out: Out) -> fmt::Result {
    let mut counted = reading.queries.counted();
    counted.try_for_each(|([listener, qtype, rcode], count)| {
        out.number(&[("listener", listener), ("type", qtype), ("rcode", rcode)], count)
    })
}

fn scopes(reading: &Reading, mut out: Out) -> fmt::Result {
    out.bits(&[("family", "ipv4")], &reading.scopes.v4, BOUNDS.0)?;
    out.bits(&[("family", "ipv6")], &reading.scopes.v6, BOUNDS.1)
}

fn answers(reading: &Reading, mut out: Out) -> fmt::Result {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    for (counted, given) in &reading.counted {
        let (id, [pool, pop, stack]) = match &**counted {
            Counted::Answer { id, pool, pop, stack, .. } => (&id[..], [pool, pop, stack].map(text)),
            Counted::Rest => ("rest", Default::default()),
            Counted::Record(_) => continue,
        };
        by_ecs(&mut out, &[("answer", id), ("pool", &pool), ("pop", &pop), ("stack", &stack)], *given)?;
    }
    Ok(())
}

fn records(reading: &Reading, mut out: Out) -> fmt::Result {
    for (counted, given) in &reading.counted {
        if let Counted::Record(name) = &**counted {
            by_ecs(&mut out, &[("record", name)], *given)?;
        }
    }
    Ok(())
}

/// A number for queries with a client subnet, and one for those without.
fn by_ecs(out: &mut Out, labels: Labels, given: Given) -> fmt::Result {
    let with = |value| labels.iter().copied().chain([("ecs", value)]).collect::<Vec<_>>();
    out.number(&with("yes"), given.with_ecs)?;
    out.number(&with("no"), given.without_ecs)
}

fn geo_misses(reading: &Reading, mut out: Out) -> fmt::Result {
    let totals = &reading.totals;
    out.number(&[("placed_by", "resolver")], totals.placed_by_resolver)?;
    out.number(&[("placed_by", "default")], totals.placed_by_default)?;
    out.number(&[("placed_by", "nothing")], totals.placed_by_nothing)
}

fn bypasses(reading: &Reading, mut out: Out) -> fmt::Result {
    let totals = &reading.totals;
    out.number(&[("filter", "health")], totals.bypassed_health)?;
    out.number(&[("filter", "shed_load")], totals.bypassed_shed)?;
    out.number(&[("filter", "fence")], totals.bypassed_fence)
}

fn rungs(reading: &Reading, mut out: Out) -> fmt::Result {
    let totals = &reading.totals;
    out.number(&[("rung", "down")], totals.rung_down)?;
    out.number(&[("rung", "partly_drained")], totals.rung_partly_drained)?;
    out.number(&[("rung", "drained")], totals.rung_drained)
}

fn query_log_lines(reading: &Reading, mut out: Out) -> fmt::Result {
    let [written, lost, _] = reading.sources.written.get();
    out.number(&[("result", "written")], written)?;
    out.number(&[("result", "dropped")], reading.totals.sampled_dropped)?;
    out.number(&[("result", "lost")], lost)
}

/// Of the receivers at each place: the rest of their URLs may be a secret.
fn by_place<const N: usize>(
    reading: &Reading,
    of: impl Fn(&HookStatus) -> [u64; N],
) -> BTreeMap<String, [u64; N]> {
    let mut places = BTreeMap::new();
    for status in &reading.sources.gauges.notices {
        let counts = places.entry(status.to.clone()).or_insert([0; N]);
        counts.iter_mut().zip(of(status)).for_each(|(count, more)| *count += more);
    }
    places
}

fn notices(reading: &Reading, mut out: Out) -> fmt::Result {
    let places = by_place(reading, |status| [status.delivered, status.failed, status.dropped]);
    for (to, counts) in &places {
        for (result, count) in ["delivered", "failed", "dropped"].into_iter().zip(counts) {
            out.number(&[("to", to), ("result", result)], *count)?;
        }
    }
    Ok(())
}

fn notices_waiting(reading: &Reading, mut out: Out) -> fmt::Result {
    let places = by_place(reading, |status| [status.waiting as u64]);
    places.iter().try_for_each(|(to, [waiting])| out.number(&[("to", to)], *waiting))
}

fn published(reading: &Reading, mut out: Out) -> fmt::Result {
    let since_1970 = |at: std::time::SystemTime| at.duration_since(UNIX_EPOCH).ok();
    match reading.sources.gauges.published.and_then(since_1970) {
        Some(since) => out.number(&[], since.as_secs_f64()),
        None => Ok(()),
    }
}

fn migrations(reading: &Reading, mut out: Out) -> fmt::Result {
    let [running, held] = reading.sources.gauges.migrations;
    out.number(&[("state", "running")], running)?;
    out.number(&[("state", "held")], held)
}

fn alarms(reading: &Reading, mut out: Out) -> fmt::Result {
    let mut alarms = reading.sources.gauges.alarms.iter();
    alarms.try_for_each(|(alarm, count)| out.number(&[("alarm", alarm)], *count))
}

fn requests(reading: &Reading, mut out: Out) -> fmt::Result {
    for ((method, route, status), count) in reading.sources.requests.counts().iter() {
        out.number(&[("method", method), ("route", route), ("status", &status.to_string())], *count)?;
    }
    Ok(())
}

fn max_fds(reading: &Reading, mut out: Out) -> fmt::Result {
    match reading.process.as_ref().and_then(|process| process.max_fds) {
        Some(max) => out.number(&[], max),
        None => Ok(()),
    }
}
