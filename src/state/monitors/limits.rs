//! The numbers of monitors: what is taken when nothing is written, and how far one may go.

use std::time::Duration;

use crate::config::Limit;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Time from one probe of an address to the next. Under a second, ten nodes would be a load on what they
/// watch; over an hour, it is no monitor.
pub const INTERVAL: Limit<Duration> = Limit { default: seconds(10), least: seconds(1), most: seconds(3600) };
/// How long a probe may take. 2 s is a lost SYN (1 s, RFC 6298 section 2) and a round trip around the world.
pub const TIMEOUT: Limit<Duration> =
    Limit { default: seconds(2), least: Duration::from_millis(10), most: seconds(60) };
/// Good results in a row until a failed address is up again: one may be luck.
pub const RISE: Limit<i64> = Limit { default: 2, least: 1, most: 100 };
/// Bad results in a row until an address is down: two may be lost packets.
pub const FALL: Limit<i64> = Limit { default: 3, least: 1, most: 100 };
/// Share of the interval by which each probe is late at random, so that no rhythm of ours meets a rhythm of
/// theirs. Above one half the probes of two rounds could change places.
pub const JITTER: Limit<f64> = Limit { default: 0.1, least: 0.0, most: 0.5 };
/// How old a verdict may be: a kept one to be used at start, and one that is not renewed. Five minutes are a restart and a slow one.
pub const MAX_AGE: Limit<Duration> =
    Limit { default: seconds(300), least: seconds(1), most: seconds(86_400) };
/// Days before a certificate ends from which on a good result carries a warning; 0 is never. Renewal runs
/// thirty days ahead with most authorities, so with two weeks left it has failed for two.
pub const EXPIRY_WARNING_DAYS: Limit<i64> = Limit { default: 14, least: 0, most: 365 };
/// Changes within [`FLAP_WITHIN`] that are no flapping yet; 0 turns damping off.
pub const FLAP_CHANGES: Limit<i64> = Limit { default: 5, least: 0, most: 100 };
/// The time in which changes are counted.
pub const FLAP_WITHIN: Limit<Duration> =
    Limit { default: seconds(600), least: seconds(10), most: seconds(86_400) };
/// How long an answer that flaps is held down the first time; each further time is twice as long.
pub const FLAP_HOLD: Limit<Duration> =
    Limit { default: seconds(60), least: seconds(1), most: seconds(86_400) };
/// The longest hold: what was mended is back by then, whatever it did before.
pub const FLAP_HOLD_MAX: Limit<Duration> =
    Limit { default: seconds(1800), least: seconds(1), most: seconds(86_400) };
/// Share of the reference targets, or of the pools, above which what fails is ours; several reference targets are as
/// soon as they reach it. At 1 nothing ever is.
pub const MAJORITY: Limit<f64> = Limit { default: 0.5, least: 0.0, most: 1.0 };
/// How long the first round of probes after a start may take before DNS is served all the same: better
/// everything than nothing. A round with no answer at all takes its longest timeout and a second.
pub const FIRST_ROUND: Limit<Duration> =
    Limit { default: seconds(15), least: seconds(1), most: seconds(600) };
/// Probes that run at once. Each takes a descriptor; 2,000 let a thousand probes a second all run into
/// their two seconds.
pub const PROBES_AT_ONCE: Limit<i64> = Limit { default: 2_000, least: 1, most: 100_000 };
