//! Who may ask.

use super::{Draft, Refusal, Situation, no_such, put, remove};
use crate::state::model::{Row, Token};

pub(super) fn create(token: &Token, at: &Situation) -> Result<Draft, Refusal> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if token.name.is_empty() || token.name.len() > 64 || !token.name.chars().all(fits) {
        return Err(Refusal::invalid("name", "write 1 to 64 letters, digits, hyphens, dots or underscores"));
    }
    // Whoever owned these names would own the drains of our automation.
    if ["health", "rhumb", "local"].contains(&token.name.as_str()) {
        return Err(Refusal::invalid("name", format!("`{}` is kept for rhumb itself", token.name)));
    }
    if at.model.tokens.contains_key(&token.name) {
        let message = format!("there is a token {} already; revoke it first", token.name);
        return Err(Refusal::Conflict(message));
    }
    if let Some(pool) = token.pool.as_ref().filter(|pool| !at.base.pools.contains_key(*pool)) {
        return Err(Refusal::NotFound(no_such("pool", pool, at.base.pools.keys())));
    }
    let rows = vec![put(at.model, Row::Token(token.clone()))];
    let mut draft = Draft::new("token created", token.name.clone(), rows);
    draft.id.clone_from(&token.name);
    Ok(draft)
}

pub(super) fn revoke(name: &str, at: &Situation) -> Result<Draft, Refusal> {
    if !at.model.tokens.contains_key(name) {
        return Err(Refusal::NotFound(no_such("token", name, at.model.tokens.keys())));
    }
    Ok(Draft::new("token revoked", name, vec![remove(at.model, format!("token/{name}"))]))
}
