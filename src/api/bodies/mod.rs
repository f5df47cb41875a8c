//! What goes over the API: bodies of requests and responses, as JSON.
//!
//! They are types of their own, the same for the server and the command line; what they become inside is
//! [`crate::state`]'s. Unknown fields of requests are refused. Times are RFC 3339 in UTC, spans of time are
//! texts such as `30s`, `2m` or `1h 30m`.

mod drains;
mod explaining;
mod feeds;
mod health;
mod inventory;
mod log;
mod steering;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use drains::*;
pub use explaining::*;
pub use feeds::*;
pub use health::*;
pub use inventory::*;
pub use log::*;
pub use steering::*;

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
