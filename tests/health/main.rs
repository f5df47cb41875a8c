//! Monitors: results over time to verdicts, whole rooms on a clock that the test turns, and the real thing on
//! loopback. What each kind of probe makes of good and bad servers is in `tests/probes.rs`.

mod judges;
mod ours;
mod rooms;
mod running;
#[path = "../support/mod.rs"]
mod support;
mod turned;

use std::path::Path;
use std::time::Duration;

use rhumb::files::parse_duration;
use rhumb::health::probe::{Passed, ProbeError};
use rhumb::health::{Moment, Verdict};
use rhumb::state::chains::Chains;
use rhumb::state::monitors::Plan;

fn at(elapsed: Duration) -> Moment {
    Moment { wall: "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap() + elapsed, elapsed }
}

fn time(text: &str) -> Duration {
    parse_duration(text).unwrap_or_else(|error| panic!("{error}"))
}

/// What the files say.
fn plan(text: &str) -> Plan {
    let (mut chains, mut problems) = (Chains::default(), Vec::new());
    chains.read_file(Path::new("test.toml"), text, &mut problems);
    chains.check_monitors(&mut problems);
    assert_eq!(problems, [], "{text}");
    chains.monitors().plan(&Default::default())
}

fn failed() -> Result<Passed, ProbeError> {
    Err(ProbeError::new("refused"))
}

/// A verdict in words; times since the start.
fn words(verdict: Option<Verdict>) -> String {
    let Some(verdict) = verdict else { return "unknown".into() };
    let since = (verdict.since - at(Duration::ZERO).wall).as_secs();
    let mut words = format!("{} since {since}s", if verdict.up { "up" } else { "down" });
    for address in &verdict.failing {
        words += &format!(" without {address}");
    }
    words += if verdict.flapping { " flapping" } else { "" };
    words += if verdict.frozen { " frozen" } else { "" };
    words
}
