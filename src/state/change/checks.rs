//! What every change is held against, and what its asker is told.

use std::collections::BTreeSet;
use std::fmt::Display;

use jiff::SignedDuration;

use super::{Refusal, Situation, TEXT_CHARS_MAX};
use crate::state::model::{Scope, Time};

/// That a scope says something, and that there is something in it.
pub(super) fn check_scope(scope: &Scope, at: &Situation) -> Result<(), Refusal> {
    let others = [&scope.pop, &scope.pool, &scope.stack];
    let named = others.iter().filter(|field| field.is_some()).count();
    match (&scope.answer, named) {
        (None, 0) => return Err(Refusal::invalid("scope", "name a pop, a pool or a stack, or an answer")),
        (Some(_), 1..) => return Err(Refusal::invalid("scope", "an answer stands alone")),
        _ => {}
    }
    check_pool(scope.pool.as_deref(), at)?;
    // Of a pool that no record gives answers of there is no steering.
    if at.base.overlap(scope, scope) || at.base.answers().any(|answer| scope.covers(answer)) {
        return Ok(());
    }
    let base = at.base;
    if let Some(pop) = scope.pop.as_ref().filter(|pop| !base.pops.contains_key(*pop)) {
        return Err(Refusal::NotFound(no_such("PoP", pop, base.pops.keys())));
    }
    if let Some(pool) = scope.pool.as_ref().filter(|pool| !base.pools.contains_key(*pool)) {
        return Err(Refusal::NotFound(no_such("pool", pool, base.pools.keys())));
    }
    let stacks: BTreeSet<&str> = base.answers().filter_map(|answer| answer.stack.as_deref()).collect();
    if let Some(stack) = scope.stack.as_ref().filter(|stack| !stacks.contains(stack.as_str())) {
        return Err(Refusal::NotFound(no_such("stack", stack, stacks)));
    }
    let known: Vec<&str> = base.answers().map(|answer| answer.id.as_str()).collect();
    Err(Refusal::NotFound(no_such("answer", &scope.to_string(), known)))
}

/// That a token that is confined to a pool stays in it.
pub fn check_pool(pool: Option<&str>, at: &Situation) -> Result<(), Refusal> {
    match at.pool {
        Some(own) if pool != Some(own) => Err(Refusal::Forbidden(format!(
            "the token {} is confined to pool {own}; name it in the request",
            at.actor.name
        ))),
        _ => Ok(()),
    }
}

pub(super) fn check_percent(percent: u8) -> Result<(), Refusal> {
    match percent {
        1..=100 => Ok(()),
        _ => Err(Refusal::invalid("percent", format!("{percent} is out of range; write 1 to 100"))),
    }
}

/// That somebody says why.
pub fn check_reason(reason: &str) -> Result<(), Refusal> {
    match reason.trim().chars().count() {
        0 => Err(Refusal::invalid("reason", "missing; say why, for whoever reads the log at night")),
        1..=TEXT_CHARS_MAX => Ok(()),
        _ => Err(Refusal::invalid("reason", format!("write at most {TEXT_CHARS_MAX} characters"))),
    }
}

/// That what somebody says of why, if anything, is no novel.
pub fn check_reason_if_any(reason: &str) -> Result<(), Refusal> {
    if reason.is_empty() { Ok(()) } else { check_reason(reason) }
}

pub(super) fn after(start: Time, seconds: u64, field: &'static str) -> Result<Time, Refusal> {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let end = seconds.and_then(|seconds| start.checked_add(SignedDuration::from_secs(seconds)).ok());
    end.ok_or_else(|| Refusal::invalid(field, "write a span of time such as 30m or 2h"))
}

/// What is missing, and what there is.
pub fn no_such<S: Display>(kind: &str, name: &str, known: impl IntoIterator<Item = S>) -> String {
    let known: Vec<String> = known.into_iter().map(|name| name.to_string()).collect();
    let shown = some_of(&known);
    let there_is = match known.len() {
        0 => "there is none at all".into(),
        1 => format!("there is only {shown}"),
        _ => format!("there are {shown}"),
    };
    format!("there is no {kind} called {name}; {there_is}")
}

/// Names, as many as somebody reads: a list of thousands helps nobody.
pub fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    const KNOWN_MAX: usize = 50;
    let shown: Vec<&str> = names.iter().take(KNOWN_MAX).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(KNOWN_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
