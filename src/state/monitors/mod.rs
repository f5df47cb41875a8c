//! Monitors as the operator writes them: which answers, what is asked of them, how often, and how many
//! results make a verdict.
//!
//! ```text
//! [monitor.NAME], rows of the store -> read -> MonitorSpec { target, check } -+
//! pools, records ----------------------------------------> Candidate ---------+-> Plan -> crate::health
//! ```
//!
//! A row of the store replaces the files' monitor of its name, as long as there is something it can probe.
//!
//! Plain data: how a kind is probed is in [`crate::health`], a file each.

mod http;
mod limits;
mod read;
mod targets;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use hyper::{HeaderMap, Method};
use rustls::pki_types::CertificateDer;

use super::chains::Place;
use super::load::ByMetric;
use super::model::Scope;
use super::policy::Stale;
use crate::files::{At, Json};

pub use limits::*;
pub use read::{read_health, read_monitor, read_monitor_json};
pub use targets::{Candidate, Monitors, Unfit};

/// A monitor of the files.
#[derive(Clone, Debug)]
pub struct FileMonitor {
    /// Where it is written.
    pub place: Place,
    /// What it says.
    pub spec: MonitorSpec,
    /// The same, as it was written.
    pub written: Json,
}

/// A monitor as written.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorSpec {
    /// The answers it probes.
    pub target: At<Scope>,
    /// What it does; shared by all it probes.
    pub check: Arc<Check>,
}

/// What a monitor does to each of its addresses. Two that are equal make the same verdicts.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// How it probes.
    pub kind: Kind,
    /// The port.
    pub port: u16,
    /// What is asked over HTTP, for http, https and websocket.
    pub http: HttpAsk,
    /// What is asked of TLS, for https, tls, and websocket over wss.
    pub tls: TlsAsk,
    /// websocket: wss instead of ws.
    pub secure: bool,
    /// websocket: a ping that must come back.
    pub ping: bool,
    /// dns: the question.
    pub dns: DnsAsk,
    /// See [`INTERVAL`].
    pub interval: Duration,
    /// See [`TIMEOUT`].
    pub timeout: Duration,
    /// See [`RISE`].
    pub rise: u32,
    /// See [`FALL`].
    pub fall: u32,
    /// See [`JITTER`].
    pub jitter: f64,
    /// Our own addresses to probe from, at most one of each family; the system chooses for the rest.
    pub source: Vec<IpAddr>,
    /// Probes only addresses of this family.
    pub family: Option<Family>,
    /// How results of addresses become a verdict of the answer.
    pub rule: Rule,
    /// See [`MAX_AGE`].
    pub max_age: Duration,
    /// What becomes of a verdict that is older.
    pub stale: Stale,
    /// When changes are too many.
    pub flap: Flap,
}

/// How a monitor probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request and its response.
    Http,
    /// The same over TLS.
    Https,
    /// A connection.
    Tcp,
    /// A connection and a TLS handshake.
    Tls,
    /// An upgrade to WebSocket (RFC 6455).
    WebSocket,
    /// A query over UDP.
    Dns,
    /// A heartbeat that comes to us.
    Push,
}

/// What is asked over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpAsk {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The `Host` header; the address when none is written.
    pub host: Option<String>,
    /// Further headers.
    pub headers: HeaderMap,
    /// Statuses that are good.
    pub status: Vec<RangeInclusive<u16>>,
    /// A text the body must have in it.
    pub body: Option<String>,
    /// Where in the body, which is JSON then, the answer's load stands: pointers (RFC 6901).
    pub load: ByMetric<String>,
}

impl HttpAsk {
    /// Whether it asks for load.
    pub fn asks_for_load(&self) -> bool {
        self.load.iter().any(Option::is_some)
    }
}

impl Default for HttpAsk {
    fn default() -> HttpAsk {
        HttpAsk {
            method: Method::GET,
            path: "/".into(),
            host: None,
            headers: HeaderMap::new(),
            status: vec![200..=299],
            body: None,
            load: ByMetric::default(),
        }
    }
}

/// What is asked of TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsAsk {
    /// The name the certificate must be for; `host` when none is written, else the address.
    pub name: Option<String>,
    /// Whether the certificate is checked at all.
    pub verify: bool,
    /// Authorities of one's own, instead of the system's.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// See [`EXPIRY_WARNING_DAYS`].
    pub expiry_warning_days: u32,
}

impl Default for TlsAsk {
    fn default() -> TlsAsk {
        let expiry_warning_days = EXPIRY_WARNING_DAYS.default as u32;
        TlsAsk { name: None, verify: true, authorities: None, expiry_warning_days }
    }
}

/// The question of a dns monitor.
#[derive(Clone, Debug, PartialEq)]
pub struct DnsAsk {
    /// The name.
    pub name: hickory_proto::rr::Name,
    /// The type.
    pub record_type: hickory_proto::rr::RecordType,
}

impl Default for DnsAsk {
    fn default() -> DnsAsk {
        DnsAsk { name: hickory_proto::rr::Name::root(), record_type: hickory_proto::rr::RecordType::A }
    }
}

/// How results of addresses become a verdict of their answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Each stands for itself: one that fails leaves the answer's list, and the answer goes down when fewer
    /// than this are left.
    Each(Least),
    /// They stand for the answer together: it is up while this many are. None leaves the list.
    Quorum(u32),
}

/// How many addresses of a family must be left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Least {
    /// A number, or all if there are fewer.
    Number(u32),
    /// A share of them, above 0, up to 1.
    Share(f64),
}

impl Least {
    /// The number, of this many.
    pub fn of(self, all: usize) -> usize {
        match self {
            Least::Number(number) => all.min(number as usize),
            Least::Share(share) => (share * all as f64).ceil() as usize,
        }
    }
}

/// When an answer's changes are too many, and what then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flap {
    /// See [`FLAP_CHANGES`].
    pub changes: u32,
    /// See [`FLAP_WITHIN`].
    pub within: Duration,
    /// See [`FLAP_HOLD`].
    pub hold: Duration,
    /// See [`FLAP_HOLD_MAX`].
    pub hold_max: Duration,
}

impl Default for Flap {
    fn default() -> Flap {
        Flap {
            changes: FLAP_CHANGES.default as u32,
            within: FLAP_WITHIN.default,
            hold: FLAP_HOLD.default,
            hold_max: FLAP_HOLD_MAX.default,
        }
    }
}

impl Check {
    /// A check of a kind with everything as it is when nothing else is written.
    pub fn new(kind: Kind, port: u16) -> Check {
        Check {
            kind,
            port,
            http: HttpAsk::default(),
            tls: TlsAsk::default(),
            secure: false,
            ping: false,
            dns: DnsAsk::default(),
            interval: INTERVAL.default,
            timeout: TIMEOUT.default,
            rise: RISE.default as u32,
            fall: FALL.default as u32,
            jitter: JITTER.default,
            source: Vec::new(),
            family: None,
            rule: Rule::Each(Least::Number(1)),
            max_age: MAX_AGE.default,
            stale: Stale::Hold,
            flap: Flap::default(),
        }
    }

    /// After how long without news a verdict is too old: `max_age`, but no less than four intervals, since news
    /// comes with a probe.
    pub fn stale_after(&self) -> Duration {
        self.max_age.max(self.interval * 4)
    }

    /// How long a load that it says counts: until as many results are missed as make an address down. A heartbeat
    /// has its interval to come; a probe begins a little later than that, and takes its time.
    pub fn load_counts(&self) -> Duration {
        let late = match self.kind {
            Kind::Push => Duration::ZERO,
            _ => self.interval.mul_f64(self.jitter) + self.timeout,
        };
        self.interval * self.fall + late
    }

    /// Whether a certificate is part of it.
    pub fn is_tls(&self) -> bool {
        matches!(self.kind, Kind::Https | Kind::Tls) || self.kind == Kind::WebSocket && self.secure
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        }
    }
}

/// How our own failure is told from theirs (`[health]`), and how much is probed at once.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSpec {
    /// Targets outside that are as good as always there; without any, pools that fail at once stand in.
    pub references: Vec<Reference>,
    /// See [`MAJORITY`].
    pub majority: f64,
    /// See [`PROBES_AT_ONCE`].
    pub probes_at_once: usize,
    /// See [`FIRST_ROUND`].
    pub first_round: Duration,
    /// When this many pools of a PoP fail, the whole PoP is taken out; none leaves the others alone.
    pub pools_of_a_pop: Option<usize>,
}

impl Default for HealthSpec {
    fn default() -> HealthSpec {
        HealthSpec {
            references: Vec::new(),
            majority: MAJORITY.default,
            probes_at_once: PROBES_AT_ONCE.default as usize,
            first_round: FIRST_ROUND.default,
            pools_of_a_pop: None,
        }
    }
}

impl HealthSpec {
    /// The same beside monitors, of which the quickest probes so often. Reference targets are asked no less often, or
    /// our own failure would be taken for theirs before it is known.
    fn beside(&self, quickest: Duration) -> HealthSpec {
        let mut health = self.clone();
        for reference in health.references.iter_mut().filter(|reference| reference.check.interval > quickest)
        {
            let check = Arc::make_mut(&mut reference.check);
            check.interval = quickest;
            check.timeout = check.timeout.min(quickest);
        }
        health
    }
}

/// A target outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// As it is written.
    pub text: String,
    /// An address, or a name that is looked up.
    pub host: String,
    /// What is done to it: any response is good.
    pub check: Arc<Check>,
}

/// One monitor of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitored {
    /// The monitor's name.
    pub monitor: String,
    /// The answer's identity: `pool/PoP/stack`, `record/answer`.
    pub answer: String,
    /// Its pool; the record, of an answer without one.
    pub pool: String,
    /// Its PoP; the answer itself, of one without.
    pub site: String,
    /// What is probed; empty for push.
    pub addresses: Vec<IpAddr>,
    /// What is done.
    pub check: Arc<Check>,
}

/// Everything that is to be probed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Each monitor of each answer.
    pub monitored: Vec<Monitored>,
    /// How our own failure is told.
    pub health: HealthSpec,
}

/// A kind as it is written: its name, its port, and the fields that only some kinds have.
pub struct KindLine {
    /// The kind.
    pub kind: Kind,
    /// What it is called.
    pub name: &'static str,
    /// The port when none is written; of websocket, without TLS.
    pub port: Option<u16>,
    /// Fields it has beside those that all probes have.
    pub fields: &'static [&'static str],
}

/// The kinds there are.
pub const KINDS: [KindLine; 7] = [
    line(Kind::Http, "http", Some(80), &["method", "path", "host", "headers", "status", "body", "load"]),
    line(
        Kind::Https,
        "https",
        Some(443),
        &["method", "path", "host", "headers", "status", "body", "load", "tls"],
    ),
    line(Kind::Tcp, "tcp", None, &[]),
    line(Kind::Tls, "tls", Some(443), &["tls"]),
    line(Kind::WebSocket, "websocket", Some(80), &["path", "host", "headers", "tls", "secure", "ping"]),
    line(Kind::Dns, "dns", Some(53), &["name", "type"]),
    line(Kind::Push, "push", Some(0), &[]),
];

const fn line(
    kind: Kind,
    name: &'static str,
    port: Option<u16>,
    fields: &'static [&'static str],
) -> KindLine {
    KindLine { kind, name, port, fields }
}

impl Kind {
    /// Its line in the table.
    pub fn line(self) -> &'static KindLine {
        KINDS.iter().find(|line| line.kind == self).expect("every kind has a line")
    }
}
