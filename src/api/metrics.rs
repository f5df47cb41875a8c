//! Numbers for Prometheus, in the OpenMetrics text format.
//!
//! ```text
//! Sources (counters, slots, gauges) -> Reading (everything read once) -> TABLE -> text
//! ```
//!
//! Nothing is counted here: a scrape reads what workers and listeners count anyway. A metric is an entry of
//! [`TABLE`] and a row in `docs/operations.md`. Every label has a bounded number of values: those of the
//! code, those of the operator's files, and no more of these than there are slots.

mod monitoring;
mod process;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::engine::queries::{QueryTotals, ScopeTotals};
use crate::engine::query_log::Written;
use crate::engine::shares::{Counted, Given, Slots};
use crate::engine::stats::AllStats;
use crate::engine::{Stats, Totals};
use crate::health::notify::HookStatus;
use crate::listeners::{Counters, TcpTotals, UdpTotals};
use crate::state::view::Timings;
pub use monitoring::Monitoring;
use process::Process;
pub use table::TABLE;

/// The type of what [`render`] writes, for the HTTP header.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything a scrape reads.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The workers' counters.
    pub stats: AllStats,
    /// What the slots of answers and records stand for.
    pub slots: Arc<Slots>,
    /// The listeners' counters.
    pub listeners: Counters,
    /// What has become of the lines of the query log.
    pub written: Arc<Written>,
    /// What the state says of itself.
    pub gauges: Gauges,
    /// What the monitors say.
    pub monitoring: Monitoring,
    /// How long the road of a change took.
    pub timings: Timings,
    /// The requests to the API.
    pub requests: Requests,
}

/// What the state says of itself, as it is at the scrape.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// The revision being served.
    pub revision: u64,
    /// When it was published.
    pub published: Option<SystemTime>,
    /// Drains in force.
    pub drains: u64,
    /// Splits in force.
    pub splits: u64,
    /// Migrations that run, and those that are held.
    pub migrations: [u64; 2],
    /// Feeds known.
    pub feeds: u64,
    /// Of these, those whose newest value is too old.
    pub stale_feeds: u64,
    /// Values served that the store does not have yet.
    pub not_durable: u64,
    /// How the receivers of notices are.
    pub notices: Vec<HookStatus>,
    /// Alarms that are raised: of each kind, how many. The kinds are the code's.
    pub alarms: Vec<(&'static str, u64)>,
}

/// The methods that are told apart: a client may invent others.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// The requests to the API. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<BTreeMap<Request, u64>>>);

/// What is told of a request: method, route and status.
type Request = (&'static str, String, u16);

impl Requests {
    /// Counts a request. `route` is the pattern that matched and never the path that was asked for, of
    /// which there is no end; nothing where none did.
    pub fn count(&self, method: &str, route: Option<&str>, status: u16) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let request = (method, route.unwrap_or("none").to_string(), status);
        *self.counts().entry(request).or_default() += 1;
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Request, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes every metric.
pub fn render(sources: &Sources) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Reading::take(sources)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes everything");
    text
}

/// An entry of the table.
pub struct Metric {
    /// Its name, without the ending its kind adds.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// How it behaves.
    pub kind: Kind,
    write: fn(&Reading, Out) -> fmt::Result,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Comes and goes.
    Gauge,
    /// Counts in buckets.
    Histogram,
    /// Always 1; its labels tell.
    Info,
}

impl Metric {
    /// Its name as queries name it.
    pub fn full_name(&self) -> String {
        let ending = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
            Kind::Info => "_info",
        };
        format!("{}{ending}", self.name)
    }
}

/// Everything, read once, so that what belongs together fits together.
#[derive(Debug)]
struct Reading {
    totals: Totals,
    queries: QueryTotals,
    scopes: ScopeTotals,
    counted: Vec<(Arc<Counted>, Given)>,
    udp: UdpTotals,
    tcp: TcpTotals,
    process: Option<Process>,
    sources: Sources,
}

impl Reading {
    fn take(sources: &Sources) -> Reading {
        let counted = sources.slots.counted();
        let given = sources.stats.given(counted.len());
        let mut reading = Reading {
            totals: sources.stats.totals(),
            queries: QueryTotals::default(),
            scopes: ScopeTotals::default(),
            counted: counted.into_iter().zip(given).collect(),
            udp: sources.listeners.udp_totals(),
            tcp: sources.listeners.tcp_totals(),
            process: Process::read(),
            sources: sources.clone(),
        };
        for stats in sources.stats.workers() {
            let Stats { queries, scopes, .. } = &*stats;
            reading.queries.add(queries);
            reading.scopes.add(scopes);
        }
        reading
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for metric in TABLE {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
                Kind::Info => MetricType::Info,
            };
            let encoder = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            (metric.write)(self, Out { encoder, kind: metric.kind })?;
        }
        Ok(())
    }
}

type Labels<'l> = &'l [(&'l str, &'l str)];

/// Where a line of the table writes its values.
struct Out<'e> {
    encoder: MetricEncoder<'e>,
    kind: Kind,
}

impl Out<'_> {
    /// A value of a counter or of a gauge.
    fn number<N: EncodeCounterValue + EncodeGaugeValue>(&mut self, labels: Labels, number: N) -> fmt::Result {
        let kind = self.kind;
        let write = |encoder: &mut MetricEncoder| match kind {
            Kind::Counter => encoder.encode_counter::<NoLabelSet, N, f64>(&number, None),
            Kind::Gauge | Kind::Histogram | Kind::Info => encoder.encode_gauge(&number),
        };
        if labels.is_empty() {
            write(&mut self.encoder)
        } else {
            write(&mut self.encoder.encode_family(&labels)?)
        }
    }

    /// What was counted by its number of bits, in buckets up to these.
    fn bits(&mut self, labels: Labels, counts: &[u64], bounds: &[usize]) -> fmt::Result {
        let sum: u64 = counts.iter().zip(0..).map(|(count, bits)| count * bits).sum();
        let mut rest = counts.iter().enumerate().peekable();
        let mut buckets = Vec::new();
        for &bound in bounds {
            let mut count = 0;
            while let Some((_, more)) = rest.next_if(|(bits, _)| *bits <= bound) {
                count += more;
            }
            buckets.push((bound as f64, count));
        }
        buckets.push((f64::INFINITY, rest.map(|(_, count)| count).sum()));
        let all = counts.iter().sum();
        self.encoder.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum as f64, all, &buckets, None)
    }

    /// Labels that tell something.
    fn info(&mut self, labels: Labels) -> fmt::Result {
        self.encoder.encode_info(&labels)
    }

    /// What the library counts itself.
    fn whole(self, metric: &impl EncodeMetric) -> fmt::Result {
        metric.encode(self.encoder)
    }
}
