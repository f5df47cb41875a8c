//! What is configured, and what is true of it now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::health::Origin;
use crate::state::model::Time;

/// The node: `GET /api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// What it calls itself.
    pub node: String,
    /// Its version.
    pub version: String,
    /// The revision that is served.
    pub revision: u64,
    /// Seconds since it began.
    pub uptime_s: u64,
    /// Whether it should get clients' queries.
    pub ready: bool,
    /// Why not; empty when it is.
    pub not_ready: String,
    /// What a person should look at, one line each; none is good.
    pub alarms: Vec<String>,
    /// The store.
    pub store: StoreBody,
    /// The files.
    pub files: FilesBody,
    /// Geo databases.
    pub geo: Vec<GeoSource>,
    /// How much of everything there is.
    pub counts: Counts,
    /// The receivers of notices.
    #[serde(default)]
    pub notices: Vec<ReceiverBody>,
    /// Served from memory alone, until the store is back.
    pub not_durable: Vec<String>,
    /// Seconds a change took from a decision to the next packet seeing it, last time.
    pub last_change_s: f64,
}

/// How a receiver of notices is; the numbers are since the start, or since it was configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReceiverBody {
    /// Where it is; the rest of its URL may be a secret.
    pub to: String,
    /// Notices it has taken.
    pub delivered: u64,
    /// Notices that were given up.
    pub failed: u64,
    /// Notices that were dropped, because too many waited.
    pub dropped: u64,
    /// Notices that wait.
    pub waiting: usize,
    /// What is wrong with it; empty when nothing is.
    pub error: String,
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreBody {
    /// `ok`, `failing` or `damaged`.
    pub state: String,
    /// What is wrong; empty when nothing is.
    pub why: String,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// When the copy was made that is served instead.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub copy_made_at: Option<Time>,
}

/// The files that are served, and a later load that could not be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FilesBody {
    /// When they were loaded.
    #[schema(value_type = String, format = DateTime)]
    pub loaded_at: Time,
    /// The how-manieth load since the start it is.
    pub load: u64,
    /// What is suspicious about them.
    pub warnings: Vec<String>,
    /// When a later load was refused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rejected_at: Option<Time>,
    /// What was wrong with it.
    pub errors: Vec<String>,
}

/// A source of places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GeoSource {
    /// The file.
    pub file: String,
    /// What it is, in words: its type, when it was built, how large it is.
    pub about: String,
}

/// How much of everything there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Zones.
    pub zones: usize,
    /// Static records.
    pub static_records: usize,
    /// Steered records.
    pub steered_records: usize,
    /// Pools.
    pub pools: usize,
    /// PoPs.
    pub pops: usize,
    /// Drains that are in force now.
    pub drains: usize,
    /// Splits that differ from the files'.
    pub splits: usize,
    /// Migrations that have not ended.
    pub migrations: usize,
    /// Values of feeds that are older than they may be.
    pub stale_values: usize,
}

/// A site: `GET /api/v1/pops`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PopBody {
    /// Its name.
    pub pop: String,
    /// For people.
    pub city: Option<String>,
    /// Where it is written.
    pub file: String,
    /// How it stands in each pool.
    pub pools: Vec<PopPool>,
}

/// How a site stands in a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PopPool {
    /// The pool.
    pub pool: String,
    /// `serving`, `draining` (for a part of the clients), `drained`, `down` or `weightless`.
    pub state: String,
    /// For how many of a hundred clients it is taken out.
    pub drained_percent: f64,
    /// By stack, the weights in force.
    pub weights: BTreeMap<String, f64>,
    /// What it can hold, and its share of the pool's capacity in percent.
    pub capacity: f64,
    /// Percent of the pool's capacity that stands here.
    pub capacity_percent: f64,
    /// Percent of the pool's answers of the last minute and of the last 10 minutes; none before there are any.
    pub share_1m: Option<f64>,
    /// See above.
    pub share_10m: Option<f64>,
}

/// A pool: `GET /api/v1/pools`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolBody {
    /// Its name.
    pub pool: String,
    /// Where it is written.
    pub file: String,
    /// Percent of its capacity that is drained, and may be.
    pub drained_percent: f64,
    /// See above.
    pub max_drained_percent: f64,
    /// Why its automation is suspended, if it is.
    pub suspended: Option<String>,
    /// Where its policy is from.
    pub policy_from: Origin,
    /// Its answers.
    pub answers: Vec<AnswerBody>,
}

/// A steered record: `GET /api/v1/records`, `GET /api/v1/records/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordBody {
    /// Its owner name.
    pub record: String,
    /// Where it is written.
    pub file: String,
    /// Seconds.
    pub ttl: u32,
    /// The pool whose answers it gives, if any.
    pub pool: Option<String>,
    /// Its chain, as it was written.
    #[schema(value_type = Vec<Object>)]
    pub filters: Vec<serde_json::Value>,
    /// The rung of last resort it stands on for most clients: `up`, `down`, `partly_drained` or `drained`.
    pub rung: String,
    /// Its answers; only for one record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerBody>,
}

/// An answer, and what is true of it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnswerBody {
    /// Its identity.
    pub answer: String,
    /// Its pool, if any.
    pub pool: Option<String>,
    /// Its site, if any.
    pub pop: Option<String>,
    /// Its load balancer generation, if any.
    pub stack: Option<String>,
    /// What it answers with.
    pub rdata: Vec<String>,
    /// Whether it is being answered: it has weight, is up, and not drained whole.
    pub answering: bool,
    /// Why not, or not for everybody; empty otherwise.
    pub why: String,
    /// Whether it is up.
    pub up: bool,
    /// For how many of a hundred clients it is drained.
    pub drained_percent: u8,
    /// The weight of its stack in the split.
    pub weight: f64,
    /// Each value, where it comes from and since when.
    pub values: Vec<ValueBody>,
}

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ValueBody {
    /// Which: a key of meta, `drained`, `split` or `verdict`.
    pub key: String,
    /// Its value; null where the source has said nothing yet.
    #[schema(value_type = Value)]
    pub value: serde_json::Value,
    /// `file`, `feed NAME`, `monitor`, `drain by OWNER`, `split by OWNER`.
    pub source: String,
    /// Since when, where that is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// Older than it may be.
    #[serde(default)]
    pub stale: bool,
}

/// Answers given: `GET /api/v1/share`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShareBody {
    /// The answer.
    pub answer: String,
    /// Its pool, if any.
    pub pool: Option<String>,
    /// Its site, if any.
    pub pop: Option<String>,
    /// Its load balancer generation, if any.
    pub stack: Option<String>,
    /// Times it was given in the last minute to queries with ECS, and to those without.
    pub with_ecs_1m: u64,
    /// See above.
    pub without_ecs_1m: u64,
    /// The same over the last 10 minutes.
    pub with_ecs_10m: u64,
    /// See above.
    pub without_ecs_10m: u64,
    /// Percent of its pool's (or record's) answers over the last 10 minutes; none before there are any.
    pub percent_10m: Option<f64>,
}
