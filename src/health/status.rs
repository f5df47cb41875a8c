//! What is shown of the room: for the API, the command line and metrics.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::verdict::{Event, FrozenFamilies, Judge, Verdict};
use crate::state::model::Time;

/// One monitor of one answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonitorStatus {
    /// The monitor.
    pub monitor: String,
    /// The answer's identity.
    pub answer: String,
    /// Its pool; the record, of an answer without one.
    pub pool: String,
    /// How it probes.
    pub kind: &'static str,
    /// What it says; none before the first result.
    pub verdict: Option<Verdict>,
    /// Each address; a heartbeat has one entry without address.
    pub addresses: Vec<AddressStatus>,
    /// Its last changes, oldest first.
    pub history: Vec<Event>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AddressStatus {
    /// None for a heartbeat.
    pub address: Option<IpAddr>,
    /// After rise and fall; none before the first result.
    pub up: Option<bool>,
    /// The last result.
    pub ok: Option<bool>,
    /// When that was.
    pub checked_at: Option<Time>,
    /// The last error, in words; empty when there was none.
    pub error: String,
    /// When that was.
    pub error_at: Option<Time>,
    /// What a good result had to say all the same, such as `certificate ends in 6 days`.
    pub warning: String,
    /// When the certificate it showed last ends.
    pub certificate_ends: Option<Time>,
    /// How long the last good probe took, in milliseconds.
    pub latency_ms: Option<f64>,
}

/// A failure of our own: the verdicts of a family are frozen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alarm {
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// Since when.
    pub since: Time,
    /// Why we think so.
    pub why: String,
}

/// What a judge shows.
pub fn of(judge: &Judge, frozen: FrozenFamilies, now: Duration) -> MonitorStatus {
    let addresses = judge.addresses.iter().map(|state| AddressStatus {
        address: state.address,
        up: state.up,
        ok: state.ok,
        checked_at: state.checked_at,
        error: state.error.clone(),
        error_at: state.error_at,
        warning: state.warning.clone(),
        certificate_ends: state.certificate_ends,
        latency_ms: state.latency.map(milliseconds),
    });
    MonitorStatus {
        monitor: judge.monitored.monitor.clone(),
        answer: judge.monitored.answer.clone(),
        pool: judge.monitored.pool.clone(),
        kind: judge.monitored.check.kind.line().name,
        verdict: judge.verdict(frozen, now),
        addresses: addresses.collect(),
        history: judge.history.iter().cloned().collect(),
    }
}

/// With one digit behind the point: microseconds say nothing of a network.
pub fn milliseconds(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 10_000.0).round() / 10.0
}
