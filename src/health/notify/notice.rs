//! What is told: one sentence for people, and fields for programs.

use std::net::IpAddr;

use serde::Serialize;

use crate::config::Event;
use crate::health::failover::OWNER;
use crate::state::live::VerdictValue;
use crate::state::model::{Drain, Entry, Row, Scope, Time};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// What kind of thing.
    pub event: Event,
    /// When.
    pub at: Time,
    /// In a sentence.
    pub text: String,
    /// In fields.
    #[serde(flatten)]
    pub about: About,
}

/// The fields of each event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum About {
    /// Of `drain`, `undrain` and `drain_ended`.
    Drain {
        /// What is taken out.
        scope: Scope,
        /// For how many of a hundred clients.
        percent: u8,
        /// The evidence.
        reason: String,
        /// The revision that did it.
        revision: u64,
    },
    /// Of `verdict`.
    Verdict {
        /// The answer.
        answer: String,
        /// What counts for it now.
        up: bool,
        /// Addresses that leave it.
        failing: Vec<IpAddr>,
        /// Since when.
        since: Time,
        /// Which monitor says no, and why.
        why: String,
    },
    /// Of `alarm` and `alarm_over`.
    Alarm {
        /// The alarm: the same words when it is over.
        alarm: String,
    },
    /// Of `change`: the line of the audit log.
    Change {
        /// The revision it made.
        revision: u64,
        /// Who.
        actor: String,
        /// What, in a word.
        action: String,
        /// To what.
        object: String,
        /// Why.
        reason: String,
        /// It passed guards.
        forced: bool,
    },
}

impl Notice {
    /// What an entry of the audit log tells: that it is there, and what becomes of drains of health by it,
    /// whoever made it.
    pub fn of_entry(entry: &Entry) -> Vec<Notice> {
        let ours = |row: &Option<Row>| match row {
            Some(Row::Drain(drain)) if drain.owner == OWNER => Some(drain.clone()),
            _ => None,
        };
        let drains = entry.rows.iter().filter_map(|row| of_drain(ours(&row.before), ours(&row.after), entry));
        let Entry { revision, time, actor, action, object, reason, forced, .. } = entry;
        let about = About::Change {
            revision: *revision,
            actor: actor.name.clone(),
            action: action.clone(),
            object: object.clone(),
            reason: reason.clone(),
            forced: *forced,
        };
        let text = format!("{}: {action} {object}{}", actor.name, because(reason));
        drains.chain([Notice { event: Event::Change, at: *time, text, about }]).collect()
    }

    /// What counts for an answer has changed; none where nobody would notice.
    pub fn of_verdict(
        answer: &str,
        before: Option<&VerdictValue>,
        now: Option<&VerdictValue>,
        at: Time,
    ) -> Option<Notice> {
        let value = now?;
        // What was never heard of counted as up.
        let is_same = before.map_or(value.up && value.failing.is_empty(), |before| {
            before.up == value.up && before.failing == value.failing
        });
        if is_same {
            return None;
        }
        let VerdictValue { up, failing, since, why, .. } = value.clone();
        let without: Vec<String> = failing.iter().map(IpAddr::to_string).collect();
        let without =
            if without.is_empty() { String::new() } else { format!(" without {}", without.join(", ")) };
        let text = format!("{answer} is {}{without}{}", if up { "up" } else { "down" }, because(&why));
        let about = About::Verdict { answer: answer.into(), up, failing, since, why };
        Some(Notice { event: Event::Verdict, at, text, about })
    }

    /// An alarm is raised, or is over.
    pub fn of_alarm(alarm: &str, over: bool, at: Time) -> Notice {
        let (event, text) = match over {
            false => (Event::Alarm, alarm.to_string()),
            true => (Event::AlarmOver, format!("no longer: {alarm}")),
        };
        Notice { event, at, text, about: About::Alarm { alarm: alarm.into() } }
    }
}

/// What becomes of a drain of health.
fn of_drain(before: Option<Drain>, after: Option<Drain>, entry: &Entry) -> Option<Notice> {
    let reason = &entry.reason;
    let (event, drain, text) = match (before, after) {
        (_, Some(drain)) if drain.returning_since.is_some() => {
            let text = format!("clients of {} come back", drain.scope);
            (Event::Undrain, drain, text)
        }
        (_, Some(drain)) => {
            let text = format!("health drains {} by {} %", drain.scope, drain.percent);
            (Event::Drain, drain, text)
        }
        (Some(drain), None) => {
            let text = format!("the drain of {} has ended", drain.scope);
            (Event::DrainEnded, drain, text)
        }
        (None, None) => return None,
    };
    let about = About::Drain {
        scope: drain.scope,
        percent: drain.percent,
        reason: reason.clone(),
        revision: entry.revision,
    };
    Some(Notice { event, at: entry.time, text: text + &because(reason), about })
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}
