//! Feeds and their values.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::drains::{ScopeBody, moment};
use crate::state::model::Time;

/// Values for a feed: `POST /api/v1/feeds/{feed}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "values": [{ "scope": { "answer": "fed.example.com/one" }, "meta": { "connections": 7400 } }] }))]
#[serde(deny_unknown_fields)]
pub struct NewValues {
    /// One or many.
    pub values: Vec<NewValue>,
    /// Say what would become of them, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
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
    /// Whether it was only asked what would become of them.
    #[serde(default)]
    pub dry_run: bool,
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
