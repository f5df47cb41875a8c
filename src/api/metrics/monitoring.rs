//! What the monitors say, as numbers.
//!
//! A series stands for a monitor and an answer, never for an address: those are counted.

use std::fmt;

use super::{Out, Reading};
use crate::health::{Health, MonitorStatus, Totals};
use crate::state::model::Time;

/// Pairs of a monitor and an answer that have series of their own, by name. `rhumb_monitors` counts them all.
const PAIRS_MAX: usize = 2048;

/// What is read of the monitors.
#[derive(Clone, Debug, Default)]
pub struct Monitoring {
    /// What each says of each answer, by monitor and answer.
    pub status: Vec<MonitorStatus>,
    /// What was done since the start.
    pub totals: Totals,
    /// Which families are frozen: IPv4, IPv6.
    pub frozen: [bool; 2],
}

impl Monitoring {
    /// As it is now.
    pub fn of(health: &Health) -> Monitoring {
        Monitoring { status: health.status(), totals: health.totals(), frozen: health.frozen() }
    }
}

/// How many say what.
pub fn says(reading: &Reading, mut out: Out) -> fmt::Result {
    let count = |wanted: Option<bool>| {
        let said = |status: &&MonitorStatus| status.verdict.as_ref().map(|verdict| verdict.up) == wanted;
        reading.sources.monitoring.status.iter().filter(said).count() as u64
    };
    out.number(&[("says", "up")], count(Some(true)))?;
    out.number(&[("says", "down")], count(Some(false)))?;
    out.number(&[("says", "nothing")], count(None))
}

/// 1 where it says up.
pub fn up(reading: &Reading, out: Out) -> fmt::Result {
    each(reading, out, |status| Some(f64::from(u8::from(status.verdict.as_ref()?.up))))
}

/// 1 where it is held down.
pub fn flapping(reading: &Reading, out: Out) -> fmt::Result {
    each(reading, out, |status| Some(f64::from(u8::from(status.verdict.as_ref()?.flapping))))
}

/// Since when it says so.
pub fn changed(reading: &Reading, out: Out) -> fmt::Result {
    each(reading, out, |status| Some(seconds(status.verdict.as_ref()?.since)))
}

/// How long its slowest address took.
pub fn latency(reading: &Reading, out: Out) -> fmt::Result {
    each(reading, out, |status| Some(status.verdict.as_ref()?.latency_ms? / 1000.0))
}

/// How many addresses it has.
pub fn addresses(reading: &Reading, out: Out) -> fmt::Result {
    each(reading, out, |status| Some(status.addresses.len() as f64))
}

/// How many of them are up, or not known to be down.
pub fn addresses_up(reading: &Reading, out: Out) -> fmt::Result {
    each(reading, out, |status| {
        Some(status.addresses.iter().filter(|address| address.up != Some(false)).count() as f64)
    })
}

/// How many of them had something to say all the same.
pub fn warnings(reading: &Reading, out: Out) -> fmt::Result {
    each(reading, out, |status| {
        Some(status.addresses.iter().filter(|address| !address.warning.is_empty()).count() as f64)
    })
}

/// When the first of its certificates ends.
pub fn certificate_ends(reading: &Reading, out: Out) -> fmt::Result {
    each(reading, out, |status| {
        let ends = status.addresses.iter().filter_map(|address| address.certificate_ends);
        ends.min().map(seconds)
    })
}

/// 1 where our own failure has frozen a family.
pub fn frozen(reading: &Reading, mut out: Out) -> fmt::Result {
    let [ipv4, ipv6] = reading.sources.monitoring.frozen.map(u64::from);
    out.number(&[("family", "ipv4")], ipv4)?;
    out.number(&[("family", "ipv6")], ipv6)
}

fn each(reading: &Reading, mut out: Out, of: impl Fn(&MonitorStatus) -> Option<f64>) -> fmt::Result {
    for status in reading.sources.monitoring.status.iter().take(PAIRS_MAX) {
        if let Some(number) = of(status) {
            out.number(&[("monitor", &status.monitor), ("answer", &status.answer)], number)?;
        }
    }
    Ok(())
}

fn seconds(time: Time) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}
