//! Queries to be explained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::drains::{ScopeBody, hundred};

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
