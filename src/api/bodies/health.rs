//! Monitors, policies and suspensions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::steering::HistoryLine;
use crate::files::Json;
use crate::state::model::Time;

/// What a monitor says of an answer: `GET /api/v1/monitors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonitorBody {
    /// The monitor.
    pub monitor: String,
    /// The answer.
    pub answer: String,
    /// Its pool; the record, of an answer without one.
    pub pool: String,
    /// Where the monitor is from; none for a moment after it was taken out.
    pub from: Option<Origin>,
    /// How it probes: `http`, `websocket`, ...
    pub kind: String,
    /// Whether it says that the answer is up; none before the first result.
    pub up: Option<bool>,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// The last error, in words; empty when there was none.
    pub error: String,
    /// When that was, since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub error_at: Option<Time>,
    /// It changed too often, and is held down.
    pub flapping: bool,
    /// We have lost our own way to it: it stays as it was.
    pub frozen: bool,
    /// Each address.
    pub addresses: Vec<AddressBody>,
    /// Its last changes, oldest first.
    pub history: Vec<HistoryLine>,
}

/// Where a monitor or a policy is from: a file, or somebody over the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Origin {
    /// It stands in a file.
    File {
        /// The file, and the line.
        file: String,
    },
    /// Somebody set it, and it stays in force until it is taken back.
    Api {
        /// Who.
        by: String,
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Time,
        /// Why; may be empty.
        reason: String,
        /// The revision that set it.
        revision: u64,
        /// What is in force again without it: the file, and the line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<String>,
    },
}

/// One monitor: `GET /api/v1/monitors/{monitor}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonitorShown {
    /// Its name.
    pub monitor: String,
    /// Where it is from.
    pub from: Origin,
    /// Why it is not in force, if it is not: what it names is gone from the files. Where these have a monitor of its
    /// name, that one is in force meanwhile.
    pub dormant: Option<String>,
    /// The fields of its table as they were written. Values of headers are hidden from who may not set them.
    #[schema(value_type = Object)]
    pub fields: Json,
    /// What it says of each answer.
    pub answers: Vec<MonitorBody>,
}

/// A monitor to be set: `PUT /api/v1/monitors/{monitor}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "fields": { "kind": "tcp", "port": 443, "interval": "5s", "target": { "pool": "wss", "pop": "eu-west-1" } },
    "reason": "the load balancers' own port"
}))]
#[serde(deny_unknown_fields)]
pub struct NewMonitor {
    /// The fields of a table `[monitor.NAME]`, as docs/configuration.md has them. `tls.ca` is PEM here, and no file.
    #[schema(value_type = Object)]
    pub fields: Json,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

/// How a pool is operated: `GET /api/v1/pools/{pool}/policy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyBody {
    /// The pool.
    pub pool: String,
    /// Where its policy is from.
    pub from: Origin,
    /// What of it is not in force, and why, if something is not.
    pub dormant: Option<String>,
    /// The policy that is in force, with what is so when nothing is written; without a pool, as it was set.
    #[schema(value_type = Object)]
    pub fields: Json,
}

/// A policy to be set: `PUT /api/v1/pools/{pool}/policy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "fields": { "max_down_capacity": 0.3, "failover": { "detect": 0.5, "for": "20s" } },
    "reason": "sale weekend"
}))]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    /// The fields of a table `[pool.NAME]` that are about operating it, as docs/configuration.md has them: `capacity`,
    /// `max_drained_capacity`, `max_down_capacity`, `return` and `failover`. What is left out is as if it stood in no
    /// file either.
    #[schema(value_type = Object)]
    pub fields: Json,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

/// What a monitor says of one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AddressBody {
    /// None for a heartbeat.
    pub address: Option<String>,
    /// Whether it is up; none before the first result.
    pub up: Option<bool>,
    /// When it was last probed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub checked_at: Option<Time>,
    /// The last error, in words; empty when there was none.
    pub error: String,
    /// When that was, since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub error_at: Option<Time>,
    /// What a good result had to say all the same; empty mostly.
    pub warning: String,
    /// When the certificate it showed ends; of monitors over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub certificate_ends: Option<Time>,
    /// How long the last good probe took, in milliseconds.
    pub latency_ms: Option<f64>,
}

/// A heartbeat: `POST /api/v1/monitors/{monitor}/heartbeat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The answer that is well.
    pub answer: String,
    /// Its load average; counts until as many heartbeats are missed as make it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub loadavg: Option<f64>,
    /// Its open connections; the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub connections: Option<f64>,
    /// Its requests; the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub requests: Option<f64>,
}

/// A pool whose automation is to stop: `PUT /api/v1/pools/{pool}/suspension`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Suspend {
    /// Why, for whoever reads it at night.
    pub reason: String,
    /// For how long, such as `1h`; until it is lifted, if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}
