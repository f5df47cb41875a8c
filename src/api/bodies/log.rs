//! The audit log, tokens, and what the process is told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::state::model::Time;

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
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_revision: Option<u64>,
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
    /// The how-manieth load since the start is served.
    pub load: u64,
    /// What is suspicious about them.
    pub warnings: Vec<String>,
    /// Whether they were only looked at.
    #[serde(default)]
    pub dry_run: bool,
}
