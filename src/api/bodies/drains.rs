//! Drains, and the scopes they have.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::state::model::{Scope, Time};

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

pub(super) fn hundred() -> u8 {
    100
}

/// A moment, where there is one; what is none is told with one that is.
pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
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
