//! What each row holds.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Time;
use crate::files::Json;

/// Which answers a drain takes out: every field that is there must match, and one must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// A site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pop: Option<String>,
    /// A pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// A load balancer generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// One answer, by its identity (`pool/PoP/stack`, `record/answer`); stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// In words, as an operator says it: `eu-west-1`, `envoy at eu-west-1 in pool wss`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(answer) = &self.answer {
            return f.write_str(answer);
        }
        let parts = [("", &self.stack), ("at ", &self.pop), ("in pool ", &self.pool)];
        let mut written = false;
        for (word, part) in parts {
            let Some(part) = part else { continue };
            match written {
                true => write!(f, " {word}{part}")?,
                false if word == "in pool " => write!(f, "pool {part}")?,
                false => f.write_str(part)?,
            }
            written = true;
        }
        Ok(())
    }
}

/// Takes answers out for a share of the clients (DESIGN, decision 6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// Made of owner and scope, so that the same drain asked for twice is one.
    pub id: String,
    /// What it takes out.
    pub scope: Scope,
    /// Whose it is: a token's name, or `health`.
    pub owner: String,
    /// For how many of a hundred clients, 1 to 100.
    pub percent: u8,
    /// Why.
    pub reason: String,
    /// When it was asked for first.
    pub created_at: Time,
    /// From when on.
    pub starts_at: Time,
    /// Until when, if it ends by itself.
    pub expires_at: Option<Time>,
    /// How its clients come back.
    #[serde(rename = "return", default)]
    pub return_steps: Option<Return>,
    /// Since when its clients are coming back; it ends with the last step.
    #[serde(default)]
    pub returning_since: Option<Time>,
    /// The revision that last changed it; 0 while it is in memory alone.
    #[serde(default)]
    pub revision: u64,
}

/// How clients come back: this many of a hundred at a time, with a pause after each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Return {
    /// Share of the drained clients that is back with each step, in percent, ascending; the last is 100.
    pub steps: Vec<u8>,
    /// Seconds between two steps.
    pub pause_s: u64,
}

/// Weights of the stacks of a pool at a PoP, instead of the files' (DESIGN, decision 7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// The pool.
    pub pool: String,
    /// The site.
    pub pop: String,
    /// By stack; one that is not named keeps the files' weight.
    pub weights: BTreeMap<String, f64>,
    /// Who set it last.
    pub owner: String,
    /// Since when.
    pub since: Time,
    /// The revision that last changed it.
    #[serde(default)]
    pub revision: u64,
}

/// A split with planned steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Migration {
    /// Its identity: the pool and a number.
    pub id: String,
    /// What is to happen.
    pub plan: Plan,
    /// How far it is.
    pub state: MigrationState,
    /// The wave it is at, from 0.
    pub wave: usize,
    /// The step of the wave, from 0; none before the first.
    pub step: Option<usize>,
    /// Since when it is at this step.
    pub step_since: Time,
    /// Why it is held or was rolled back; empty otherwise.
    #[serde(default)]
    pub why: String,
    /// The splits of the plan's PoPs before it began, by PoP; none where the files' weights were in force.
    pub before: BTreeMap<String, Option<Split>>,
    /// Who started it.
    pub owner: String,
    /// When.
    pub started_at: Time,
    /// The key that makes a second start of it a repetition.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// Its steps so far, newest last.
    #[serde(default)]
    pub history: Vec<MigrationEvent>,
}

/// What a migration is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The pool.
    pub pool: String,
    /// The stack that clients leave.
    pub from: String,
    /// The stack they go to.
    pub to: String,
    /// PoPs that go together, in the order of the waves.
    pub waves: Vec<Vec<String>>,
    /// Percent of the clients on the new stack at each step, ascending.
    pub steps: Vec<u8>,
    /// Seconds at a step before the next follows by itself; none waits for `advance`.
    pub soak_s: Option<u64>,
    /// What happens when something goes wrong on the new stack.
    #[serde(default)]
    pub guard: MigrationGuard,
}

/// What a migration does when an answer of the new stack is down or above its high watermark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationGuard {
    /// It waits for a person.
    #[default]
    Hold,
    /// Every PoP of the plan goes back.
    RollBack,
    /// Nothing.
    Ignore,
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationState {
    /// Its steps follow.
    Running,
    /// It stays where it is until `resume`.
    Held,
    /// The last step is done.
    Done,
    /// Every PoP is back where it was.
    RolledBack,
}

/// One step of a migration that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MigrationEvent {
    /// When.
    pub time: Time,
    /// What, in words.
    pub what: String,
}

impl Migration {
    /// Whether it still steers its PoPs.
    pub fn is_open(&self) -> bool {
        matches!(self.state, MigrationState::Running | MigrationState::Held)
    }

    /// Its PoPs, in order.
    pub fn pops(&self) -> impl Iterator<Item = &String> {
        self.plan.waves.iter().flatten()
    }
}

/// A bearer token; the secret itself is kept by its owner alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// What it is called, in drains and in the audit log.
    pub name: String,
    /// SHA-256 of the secret, in hexadecimal. The secret has 256 random bits, so nothing slower is needed.
    pub hash: String,
    /// What its bearer may do.
    pub role: Role,
    /// The pool it is confined to, if any.
    #[serde(default)]
    pub pool: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// Until when it is good.
    #[serde(default)]
    pub expires_at: Option<Time>,
}

/// What a bearer may do. Each may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nothing else.
    Read,
    /// Give values to feeds.
    Feed,
    /// Make drains, and lift its own.
    Drain,
    /// All of these, splits and migrations, and lift others' drains.
    Operate,
    /// Everything, tokens included.
    Admin,
}

impl Role {
    /// Whether it includes another.
    pub fn includes(self, other: Role) -> bool {
        match self {
            Role::Admin => true,
            Role::Operate => other != Role::Admin,
            Role::Drain | Role::Feed | Role::Read => other == self || other == Role::Read,
        }
    }
}

/// Automation of a pool that a person has stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspension {
    /// The pool.
    pub pool: String,
    /// Who.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// Until when; none until it is lifted.
    pub until: Option<Time>,
}

/// A monitor beside the files', or instead of the one of its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    /// Its name.
    pub name: String,
    /// The fields of a table `[monitor.NAME]`.
    pub fields: Json,
    /// Who set it last.
    pub owner: String,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// The revision that last changed it.
    #[serde(default)]
    pub revision: u64,
}

/// How a pool is operated, instead of what the files say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The pool.
    pub pool: String,
    /// The fields of a table `[pool.NAME]` that are about operating it.
    pub fields: Json,
    /// Who set it last.
    pub owner: String,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// The revision that last changed it.
    #[serde(default)]
    pub revision: u64,
}

/// What a feed says of one answer, or a monitor: fast values, which have no revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveValues {
    /// Whether it is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// Load average, in the operator's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loadavg: Option<f64>,
    /// Open connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<f64>,
    /// Requests, in the operator's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<f64>,
    /// Load up to which nothing is shed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_watermark: Option<f64>,
    /// Load from which everything is shed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_watermark: Option<f64>,
    /// Relative weight for weighted filters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Preference, lowest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Cost, lowest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

impl LiveValues {
    /// Those that the other does not say.
    pub fn without(&self, other: &LiveValues) -> LiveValues {
        fn left<T: Copy, U>(own: Option<T>, other: Option<U>) -> Option<T> {
            own.filter(|_| other.is_none())
        }
        LiveValues {
            up: left(self.up, other.up),
            loadavg: left(self.loadavg, other.loadavg),
            connections: left(self.connections, other.connections),
            requests: left(self.requests, other.requests),
            low_watermark: left(self.low_watermark, other.low_watermark),
            high_watermark: left(self.high_watermark, other.high_watermark),
            weight: left(self.weight, other.weight),
            priority: left(self.priority, other.priority),
            cost: left(self.cost, other.cost),
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == LiveValues::default()
    }

    /// The names of what it says.
    pub fn keys(&self) -> Vec<&'static str> {
        let all = [
            ("up", self.up.is_some()),
            ("loadavg", self.loadavg.is_some()),
            ("connections", self.connections.is_some()),
            ("requests", self.requests.is_some()),
            ("low_watermark", self.low_watermark.is_some()),
            ("high_watermark", self.high_watermark.is_some()),
            ("weight", self.weight.is_some()),
            ("priority", self.priority.is_some()),
            ("cost", self.cost.is_some()),
        ];
        all.into_iter().filter(|(_, is_said)| *is_said).map(|(name, _)| name).collect()
    }
}
