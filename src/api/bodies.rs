//! What goes over the API: bodies of requests and responses, as JSON.
//!
//! They are types of their own, the same for the server and the command line; what they become inside is
//! [`crate::state`]'s. Unknown fields of requests are refused. Times are RFC 3339 in UTC, spans of time are
//! texts such as `30s`, `2m` or `1h 30m`.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::files::Json;
use crate::state::model::{Scope, Time};

// ---- Drains

/// Which answers: every field that is there must match, and one must be there; `answer` stands alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "pop": "eu-west-1", "pool": "wss" }))]
#[serde(deny_unknown_fields)]
pub struct ScopeBody {
    /// A site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pop: Option<String>,
    /// A pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// A load balancer generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// One answer: `pool/PoP/stack`, or `record/answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl From<ScopeBody> for Scope {
    fn from(body: ScopeBody) -> Scope {
        Scope { pop: body.pop, pool: body.pool, stack: body.stack, answer: body.answer }
    }
}

impl From<Scope> for ScopeBody {
    fn from(scope: Scope) -> ScopeBody {
        ScopeBody { pop: scope.pop, pool: scope.pool, stack: scope.stack, answer: scope.answer }
    }
}

/// How clients come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnBody {
    /// Percent of the drained clients that is back with each step, ascending to 100.
    pub steps: Vec<u8>,
    /// Between two steps, such as `2m`.
    pub pause: String,
}

/// A drain to be made: `POST /api/v1/drains`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "scope": { "pop": "eu-west-1", "pool": "wss" }, "percent": 30, "reason": "envoy fails", "expires_in": "2h" }))]
#[serde(deny_unknown_fields)]
pub struct NewDrain {
    /// What it takes out.
    pub scope: ScopeBody,
    /// For how many of a hundred clients.
    #[serde(default = "hundred")]
    #[schema(minimum = 1, maximum = 100, default = 100)]
    pub percent: u8,
    /// Why, for whoever reads it at night.
    pub reason: String,
    /// From when on; now, if it is not there.
    #[serde(default, deserialize_with = "moment", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub starts_at: Option<Time>,
    /// From its start until it ends by itself, such as `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// How its clients come back; the pool's way, if it is not there.
    #[serde(default, rename = "return", skip_serializing_if = "Option::is_none")]
    pub return_steps: Option<ReturnBody>,
    /// Serve it from memory while the store cannot be written.
    #[serde(default)]
    pub volatile: bool,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    pub force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

fn hundred() -> u8 {
    100
}

/// A moment, where there is one; what is none is told with one that is.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        D::Error::custom(format!(
            "`{text}` is no moment; write one such as 2026-03-01T02:00:00Z, not after {}",
            Time::MAX.strftime("%F")
        ))
    })
}

/// A change of a drain: `PATCH /api/v1/drains/{id}`. What is not there stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "percent": 100, "reason": "it got worse" }))]
#[serde(deny_unknown_fields)]
pub struct DrainPatch {
    /// For how many of a hundred clients.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u8, minimum = 1, maximum = 100, required = false)]
    pub percent: Option<u8>,
    /// Why.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reason: Option<String>,
    /// From when on, while it has not begun: its end moves with it. Null begins it now.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub starts_at: Option<Option<Time>>,
    /// From now, or from its start while it has not begun, until it ends by itself. Null: it does not.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expires_in: Option<Option<String>>,
    /// How its clients come back. Null: the pool's way.
    #[serde(
        default,
        rename = "return",
        deserialize_with = "or_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<ReturnBody>)]
    pub return_steps: Option<Option<ReturnBody>>,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    pub force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

/// A field that may be left out, and may be null to take back what was said.
fn or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// A field that may be left out, and is no null: nobody would know what that is to say.
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// Drains to be lifted by scope: `POST /api/v1/drains/lift`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "scope": { "pop": "eu-west-1", "pool": "wss" }, "now": true }))]
#[serde(deny_unknown_fields)]
pub struct Lift {
    /// The scope, as it was drained.
    pub scope: ScopeBody,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// At once, without the steps of the return.
    #[serde(default)]
    pub now: bool,
    /// Everybody's drains, not only one's own; needs the role operate.
    #[serde(default)]
    pub all_owners: bool,
    /// Serve it from memory while the store cannot be written.
    #[serde(default)]
    pub volatile: bool,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    pub force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

/// A drain as it is: `GET /api/v1/drains`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrainBody {
    /// Its identity, made of owner and scope.
    pub id: String,
    /// What it takes out.
    pub scope: ScopeBody,
    /// The same in words.
    pub scope_words: String,
    /// Whose it is.
    pub owner: String,
    /// For how many of a hundred clients it was asked for.
    pub percent: u8,
    /// For how many of a hundred clients it is in force now.
    pub percent_now: u8,
    /// `scheduled`, `active` or `returning`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// When it was asked for first.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// From when on.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: Time,
    /// Until when, if it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
    /// How its clients come back.
    #[serde(rename = "return")]
    pub return_steps: Option<ReturnBody>,
    /// Since when they do.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub returning_since: Option<Time>,
    /// The revision that last changed it.
    pub revision: u64,
    /// Whether it survives a restart.
    pub durable: bool,
}

// ---- What became of a write

/// What became of a write, or would.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// The revision that is served from the next packet on.
    pub revision: u64,
    /// The identity of what was made or changed; empty where it has none.
    pub id: String,
    /// What was done, in words.
    pub action: String,
    /// To what, in words.
    pub object: String,
    /// What else there is to know, in words: what still drains the scope, which guards `force` passed, ...
    pub notes: Vec<String>,
    /// Whether anything changed; a repetition changes nothing.
    pub changed: bool,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it was only asked what would happen.
    pub dry_run: bool,
    /// Guards that only `force` passes; for `dry_run`.
    #[serde(default)]
    pub guards: Vec<String>,
    /// Whom it moves, and where to; for `dry_run`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub impact: Option<serde_json::Value>,
    /// Seconds until resolvers have forgotten the answers before: the longest TTL of the records it touches.
    pub ttl_s: u32,
}

// ---- Splits, migrations

/// Weights to be set: `PUT /api/v1/pools/{pool}/splits/{pop}`, where `*` is every PoP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "weights": { "haproxy": 75, "envoy": 25 }, "reason": "a first quarter" }))]
#[serde(deny_unknown_fields)]
pub struct NewSplit {
    /// By stack; one that is not named keeps its weight.
    pub weights: BTreeMap<String, f64>,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    pub force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

/// The split of a pool at a PoP: `GET /api/v1/pools/{pool}/splits`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SplitBody {
    /// The pool.
    pub pool: String,
    /// The site.
    pub pop: String,
    /// By stack, what is in force.
    pub weights: BTreeMap<String, f64>,
    /// By stack, what the files say.
    pub file_weights: BTreeMap<String, f64>,
    /// Who set it; none where the files' weights are in force.
    pub owner: Option<String>,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// The revision that set it.
    pub revision: Option<u64>,
}

/// A migration to be begun: `POST /api/v1/migrations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "pool": "wss", "from": "haproxy", "to": "envoy", "pops": ["eu-west-1", "eu-west-2"], "soak": "30m" }))]
#[serde(deny_unknown_fields)]
pub struct NewMigration {
    /// The pool.
    pub pool: String,
    /// The stack that clients leave.
    pub from: String,
    /// The stack they go to.
    pub to: String,
    /// PoPs one after the other; `*` alone is every PoP of the pool. Either this or `waves`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pops: Vec<String>,
    /// PoPs that go together, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Vec<String>>,
    /// Percent of the clients on the new stack at each step, ascending.
    #[serde(default = "usual_steps")]
    pub steps: Vec<u8>,
    /// How long each step soaks before the next follows by itself; not there: each step waits for `advance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<String>,
    /// When an answer of the new stack is down or above its high watermark: `hold`, `roll_back` or `ignore`.
    #[serde(default)]
    pub guard: GuardBody,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    pub force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

fn usual_steps() -> Vec<u8> {
    vec![10, 25, 50, 75, 100]
}

/// What a migration does when something goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardBody {
    /// It waits for a person.
    #[default]
    Hold,
    /// Every PoP goes back.
    RollBack,
    /// Nothing.
    Ignore,
}

/// The next step of a migration: `POST /api/v1/migrations/{id}/advance`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "step": 2, "reason": "it looks good" }))]
#[serde(deny_unknown_fields)]
pub struct AdvanceBody {
    /// Which step, by its number over all waves, from 1: one more than the migration's `step`. The step it is at
    /// changes nothing, so that a retry is safe; any other is 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    pub force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

/// A change of a migration: `POST /api/v1/migrations/{id}/hold|resume|rollback`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "reason": "it looks good" }))]
#[serde(deny_unknown_fields)]
pub struct StepBody {
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    pub force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

/// A migration as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationBody {
    /// Its identity.
    pub id: String,
    /// The pool.
    pub pool: String,
    /// The stack that clients leave.
    pub from: String,
    /// The stack they go to.
    pub to: String,
    /// PoPs that go together, in order.
    pub waves: Vec<Vec<String>>,
    /// Percent of the clients on the new stack at each step.
    pub steps: Vec<u8>,
    /// The number of the step it is at, over all waves, from 1.
    pub step: usize,
    /// How many steps there are, over all waves.
    pub steps_in_all: usize,
    /// How long each step soaks.
    pub soak: Option<String>,
    /// What it does when something goes wrong.
    pub guard: GuardBody,
    /// `running`, `held`, `done` or `rolled_back`.
    pub state: String,
    /// Why it is held or was rolled back.
    pub why: String,
    /// Who started it.
    pub owner: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Time,
    /// When its next step follows by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Time>,
    /// How far each PoP is, in the order of the waves.
    pub pops: Vec<MigrationPop>,
    /// Its steps so far, newest last.
    pub history: Vec<HistoryLine>,
}

/// How far a migration is at a PoP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationPop {
    /// The site.
    pub pop: String,
    /// `waiting`, `moving` or `moved`.
    pub state: String,
    /// Percent of the weight on the new stack.
    pub percent: f64,
    /// Percent of the clients that should get the new stack, by the networks that asked in the last hour; none
    /// before anybody has.
    pub wanted: Option<f64>,
    /// Percent of the answers of the last 10 minutes that were the new stack's; none before there are any.
    pub observed: Option<f64>,
}

/// A moment of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryLine {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Time,
    /// What.
    pub what: String,
}

// ---- Feeds

/// Values for a feed: `POST /api/v1/feeds/{feed}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "values": [{ "scope": { "answer": "fed.example.com/one" }, "meta": { "connections": 7400 } }] }))]
#[serde(deny_unknown_fields)]
pub struct NewValues {
    /// One or many.
    pub values: Vec<NewValue>,
}

/// Values of one answer, or of every answer of a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewValue {
    /// Which answers.
    pub scope: ScopeBody,
    /// What is said of them.
    pub meta: MetaBody,
    /// When that was made; now, if it is not there.
    #[serde(default, deserialize_with = "moment", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub made_at: Option<Time>,
    /// How old it may be; the feed's, if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// What becomes of it then: `hold`, `neutral` or `down`; the feed's, if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
}

/// Live meta.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetaBody {
    /// Whether it is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// Load average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loadavg: Option<f64>,
    /// Open connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<f64>,
    /// Requests.
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

/// What became of a feed's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FedBody {
    /// How many are served now.
    pub taken: usize,
    /// Which were refused, and why: one line each.
    pub refused: Vec<String>,
}

/// A feed as it is: `GET /api/v1/feeds`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FeedBody {
    /// Its name.
    pub feed: String,
    /// How old a value may be, where the value does not say.
    pub max_age: Option<String>,
    /// What becomes of one that is older.
    pub stale: String,
    /// Its values.
    pub values: Vec<FeedValueBody>,
}

/// What a feed says of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FeedValueBody {
    /// The answer.
    pub answer: String,
    /// What it says.
    pub meta: MetaBody,
    /// When that was made.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Time,
    /// Whether it is older than it may be.
    pub stale: bool,
}

// ---- What there is

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

// ---- Explaining

/// A query to be explained: `POST /api/v1/explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "name": "wss-primary.example.com", "client": "81.2.69.0/24" }))]
#[serde(deny_unknown_fields)]
pub struct ExplainBody {
    /// The name asked for.
    pub name: String,
    /// The type asked for: `A`, `AAAA`, `TYPE65`, ...
    #[serde(rename = "type", default = "type_a")]
    pub qtype: String,
    /// The client's network, such as `81.2.69.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The packet's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver: Option<String>,
    /// Starts the random numbers.
    #[serde(default)]
    pub seed: u64,
    /// What if: drains that are not made yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drains: Vec<WhatIfDrain>,
    /// What if: splits that are not made yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<WhatIfSplit>,
}

fn type_a() -> String {
    "A".into()
}

/// A drain that is not made yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIfDrain {
    /// What it would take out.
    pub scope: ScopeBody,
    /// For how many of a hundred clients.
    #[serde(default = "hundred")]
    #[schema(minimum = 1, maximum = 100, default = 100)]
    pub percent: u8,
}

/// A split that is not made yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIfSplit {
    /// The pool.
    pub pool: String,
    /// The site.
    pub pop: String,
    /// By stack.
    pub weights: BTreeMap<String, f64>,
}

// ---- Health

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

// ---- The log, tokens, the rest

/// A line of the audit log: `GET /api/v1/audit`, `GET /api/v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditLine {
    /// The revision it made.
    pub revision: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Time,
    /// Who.
    pub who: String,
    /// From which address; empty for our own automation.
    pub from: String,
    /// What was done, in words.
    pub action: String,
    /// To what, in words.
    pub object: String,
    /// Why.
    pub reason: String,
    /// A guard would have refused it.
    pub forced: bool,
    /// Which rows it changed.
    pub keys: Vec<String>,
}

/// Steering to be put back: `POST /api/v1/rollback`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "to_revision": 0, "reason": "everything since was wrong" }))]
#[serde(deny_unknown_fields)]
pub struct RollbackBody {
    /// The revision that drains, splits, monitors and policies go back to.
    pub to_revision: u64,
    /// Why.
    pub reason: String,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    pub force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
}

/// A token to be made: `POST /api/v1/tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "name": "edge-automation", "role": "drain", "pool": "wss", "expires_in": "90d" }))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is called.
    pub name: String,
    /// `read`, `feed`, `drain`, `operate` or `admin`.
    pub role: String,
    /// The pool it is confined to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// How long it is good, such as `90d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// A token that was made, with the secret that nobody can show again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// What it is called.
    pub name: String,
    /// The secret, for `Authorization: Bearer ...`.
    pub token: String,
    /// The revision that made it.
    pub revision: u64,
}

/// A token as it is: `GET /api/v1/tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenBody {
    /// What it is called.
    pub name: String,
    /// What its bearer may do.
    pub role: String,
    /// The pool it is confined to.
    pub pool: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Until when it is good.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
}

/// A level of the log to be set: `PUT /api/v1/log-level`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "level": "info" }))]
#[serde(deny_unknown_fields)]
pub struct LogLevel {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,rhumb::listeners=debug`.
    pub level: String,
}

/// The files were loaded anew: `POST /api/v1/reload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// The how-manieth load since the start it is.
    pub load: u64,
    /// What is suspicious about them.
    pub warnings: Vec<String>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// Give it as `cursor` for the next part; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why a request was not done (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// What kind of problem, such as `urn:rhumb:problem:invalid`; docs/api.md has a section of each.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in words.
    pub title: String,
    /// The status of the response.
    pub status: u16,
    /// What is wrong here, and what to do instead.
    pub detail: String,
    /// The object that it is a field of, as files' mistakes name it; where the fields are those of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The newest revision; for 412.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What would happen; for 409 of a guard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
    /// Whom it would move, and where to; for 409 of a guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub impact: Option<serde_json::Value>,
}
