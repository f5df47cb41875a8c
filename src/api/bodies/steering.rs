//! Splits and migrations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::state::model::Time;

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
