//! What may be asked for, and what becomes of it.
//!
//! ```text
//! Change + Situation (files, model, time, who) -> decide -> Draft (rows before and after, in words)
//!                                                       or Refusal, naming the object and the field
//! Draft -> guards: what a person must say twice
//! ```
//!
//! Pure: the same change on the same model at the same time is the same draft. The keeper commits it, and
//! asks again on the newer model when another writer was first (DESIGN, decision 11).

use std::collections::BTreeMap;

use jiff::SignedDuration;
use sha2::{Digest, Sha256};

use super::base::Base;
use super::live::{self, Values};
use super::migration;
use super::model::{
    Actor, Drain, Entry, Model, Plan, Return, Role, Row, RowChange, Scope, Split, Suspension, Time, Token,
};

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Take answers out; the same owner and scope is the same drain.
    Drain(DrainAsk),
    /// Change an own drain.
    EditDrain {
        /// Which.
        id: String,
        /// What is new about it.
        edit: DrainEdit,
    },
    /// Bring answers back.
    Undrain {
        /// Which drains.
        which: Which,
        /// At once, without the steps of their return.
        now: bool,
    },
    /// Forget a drain whose clients are all back. Our own automation asks for it.
    EndDrain {
        /// Which.
        id: String,
    },
    /// Set the weights of a pool's stacks at a PoP, or at every PoP.
    Split {
        /// The pool.
        pool: String,
        /// The site; none for all.
        pop: Option<String>,
        /// By stack.
        weights: BTreeMap<String, f64>,
    },
    /// Go back to the files' weights.
    ClearSplit {
        /// The pool.
        pool: String,
        /// The site; none for all.
        pop: Option<String>,
    },
    /// Begin a migration.
    StartMigration {
        /// What is to happen.
        plan: Plan,
        /// Makes a second start a repetition of the first.
        idempotency_key: Option<String>,
    },
    /// Move a migration on, stop it, or take it back.
    Migrate {
        /// Which.
        id: String,
        /// How.
        step: MigrationStep,
    },
    /// Make a token; the secret's hash is all we keep.
    CreateToken(Token),
    /// Make a token worthless.
    RevokeToken {
        /// Which.
        name: String,
    },
    /// Put drains and splits back to where they were at a revision.
    RollBack {
        /// The revision, for the words.
        to: u64,
        /// What was committed since, the newest first.
        since: Vec<Entry>,
    },
    /// Stop a pool's automation.
    Suspend {
        /// The pool.
        pool: String,
        /// Until when.
        until: Option<Time>,
    },
    /// Let a pool's automation act again.
    Unsuspend {
        /// The pool.
        pool: String,
    },
}

/// A drain as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainAsk {
    /// What it takes out.
    pub scope: Scope,
    /// For how many of a hundred clients.
    pub percent: u8,
    /// From when on; none for now.
    pub starts_at: Option<Time>,
    /// Seconds from its start until it ends by itself.
    pub expires_in_s: Option<u64>,
    /// How its clients come back; none for the pool's way.
    pub return_steps: Option<Return>,
}

/// What is new about a drain; what is not there stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrainEdit {
    /// For how many of a hundred clients.
    pub percent: Option<u8>,
    /// Why.
    pub reason: Option<String>,
    /// Seconds from now until it ends by itself.
    pub expires_in_s: Option<u64>,
    /// How its clients come back.
    pub return_steps: Option<Return>,
}

/// Which drains.
#[derive(Clone, Debug, PartialEq)]
pub enum Which {
    /// One.
    Id(String),
    /// Those of a scope: one's own, or everybody's.
    Scope {
        /// The scope, as it was drained.
        scope: Scope,
        /// Everybody's.
        all_owners: bool,
    },
}

/// What to do with a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationStep {
    /// The next step.
    Advance,
    /// Stay here.
    Hold,
    /// Go on by itself, if the plan says so.
    Resume,
    /// Every PoP back to where it was before.
    RollBack,
}

/// What a change is decided upon.
#[derive(Clone, Copy)]
pub struct Situation<'s> {
    /// What the files say.
    pub base: &'s Base,
    /// What is wanted so far.
    pub model: &'s Model,
    /// What feeds and monitors say.
    pub values: &'s Values,
    /// When.
    pub now: Time,
    /// Who asks.
    pub actor: &'s Actor,
    /// What they may do.
    pub role: Role,
    /// The pool they are confined to.
    pub pool: Option<&'s str>,
    /// Why they ask.
    pub reason: &'s str,
    /// They know what the guards would say.
    pub force: bool,
}

/// A change that can be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What is done, in one word, for the audit log.
    pub action: &'static str,
    /// To what, in words.
    pub object: String,
    /// What it changes; nothing when all is as asked for already.
    pub rows: Vec<RowChange>,
    /// The identity of what was made or changed, if it has one.
    pub id: String,
    /// What the asker should know.
    pub words: Vec<String>,
    /// What only `force` lets pass.
    pub guards: Vec<String>,
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It names something that is not there.
    #[error("{0}")]
    NotFound(String),
    /// A field is wrong.
    #[error("{field}: {message}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What to write instead.
        message: String,
    },
    /// Its asker may not.
    #[error("{0}")]
    Forbidden(String),
    /// It does not fit what is there.
    #[error("{0}")]
    Conflict(String),
    /// A guard stands before it; what would happen.
    #[error("{}", .0.join("; "))]
    Guarded(Vec<String>),
    /// The revision it was made for is not the newest.
    #[error("expected revision {expected}, and the newest is {current}")]
    Stale {
        /// What was expected.
        expected: u64,
        /// What is.
        current: u64,
    },
    /// The store cannot be written.
    #[error("{0}")]
    Unavailable(String),
}

impl Refusal {
    fn invalid(field: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::Invalid { field, message: message.into() }
    }
}

/// Longest name, reason or key taken, in characters.
pub const TEXT_CHARS_MAX: usize = 500;

/// Decides upon a change: what it would do, with what the guards say, or why it cannot be.
pub fn decide(change: &Change, at: &Situation) -> Result<Draft, Refusal> {
    let mut draft = match change {
        Change::Drain(ask) => drain(ask, at)?,
        Change::EditDrain { id, edit } => edit_drain(id, edit, at)?,
        Change::Undrain { which, now } => undrain(which, *now, at)?,
        Change::EndDrain { id } => end_drain(id, at)?,
        Change::Split { pool, pop, weights } => split(pool, pop.as_deref(), Some(weights), at)?,
        Change::ClearSplit { pool, pop } => split(pool, pop.as_deref(), None, at)?,
        Change::StartMigration { plan, idempotency_key } => {
            migration::start(plan, idempotency_key.as_deref(), at)?
        }
        Change::Migrate { id, step } => migration::step(id, *step, at)?,
        Change::CreateToken(token) => create_token(token, at)?,
        Change::RevokeToken { name } => revoke_token(name, at)?,
        Change::RollBack { to, since } => roll_back(*to, since, at)?,
        Change::Suspend { pool, until } => suspend(pool, Some(*until), at)?,
        Change::Unsuspend { pool } => suspend(pool, None, at)?,
    };
    draft.rows.retain(|row| row.before != row.after);
    let mut after = at.model.clone();
    for row in &draft.rows {
        after.set(&row.key, row.after.clone());
    }
    draft.guards.extend(super::guards::guards(at.base, at.model, &after, at.now));
    Ok(draft)
}

impl Draft {
    /// The draft of something done to an object.
    pub fn new(action: &'static str, object: impl Into<String>, rows: Vec<RowChange>) -> Draft {
        Draft {
            action,
            object: object.into(),
            rows,
            id: String::new(),
            words: Vec::new(),
            guards: Vec::new(),
        }
    }
}

/// A row before and after, where it is put.
pub fn put(model: &Model, row: Row) -> RowChange {
    let key = row.key();
    RowChange { before: model.get(&key), key, after: Some(row) }
}

/// A row before and after, where it is removed.
pub fn remove(model: &Model, key: String) -> RowChange {
    RowChange { before: model.get(&key), key, after: None }
}

/// The identity of a drain: the same owner and scope is the same drain.
pub fn drain_id(owner: &str, scope: &Scope) -> String {
    let text = serde_json::to_string(&(owner, scope)).expect("texts are JSON");
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes())[..8])
}

fn drain(ask: &DrainAsk, at: &Situation) -> Result<Draft, Refusal> {
    check_scope(&ask.scope, at)?;
    check_percent(ask.percent)?;
    check_reason(at.reason)?;
    let starts_at = ask.starts_at.unwrap_or(at.now);
    let id = drain_id(&at.actor.name, &ask.scope);
    let old = at.model.drains.get(&id);
    // A retry of a drain that has begun does not begin it anew.
    let starts_at = match old.filter(|old| ask.starts_at.is_none() && old.starts_at <= at.now) {
        Some(old) if old.ending_since(at.now).is_none() => old.starts_at,
        _ => starts_at,
    };
    let drain = Drain {
        id: id.clone(),
        scope: ask.scope.clone(),
        owner: at.actor.name.clone(),
        percent: ask.percent,
        reason: at.reason.into(),
        created_at: old.map_or(at.now, |old| old.created_at),
        starts_at,
        expires_at: ask.expires_in_s.map(|s| after(starts_at, s, "expires_in")).transpose()?,
        return_steps: ask.return_steps.clone().or_else(|| default_return(&ask.scope, at.base)),
        returning_since: None,
        revision: old.map_or(0, |old| old.revision),
    };
    let words = still_drained(&ask.scope, Some(&id), at);
    let mut draft = Draft::new(
        "drain",
        format!("{} by {} %", ask.scope, ask.percent),
        vec![put(at.model, Row::Drain(drain))],
    );
    (draft.id, draft.words) = (id, words);
    Ok(draft)
}

fn edit_drain(id: &str, edit: &DrainEdit, at: &Situation) -> Result<Draft, Refusal> {
    let mut drain = own_drain(id, at)?;
    if let Some(percent) = edit.percent {
        check_percent(percent)?;
        drain.percent = percent;
    }
    if let Some(reason) = &edit.reason {
        check_reason(reason)?;
        drain.reason.clone_from(reason);
    }
    if let Some(seconds) = edit.expires_in_s {
        drain.expires_at = Some(after(at.now.max(drain.starts_at), seconds, "expires_in")?);
    }
    if let Some(steps) = &edit.return_steps {
        drain.return_steps = Some(steps.clone());
    }
    let object = format!("{} by {} %", drain.scope, drain.percent);
    let words = still_drained(&drain.scope, Some(id), at);
    let mut draft = Draft::new("drain", object, vec![put(at.model, Row::Drain(drain))]);
    (draft.id, draft.words) = (id.into(), words);
    Ok(draft)
}

fn undrain(which: &Which, now: bool, at: &Situation) -> Result<Draft, Refusal> {
    let (ids, scope) = match which {
        Which::Id(id) => {
            let drain = own_drain(id, at)?;
            (vec![id.clone()], drain.scope)
        }
        Which::Scope { scope, all_owners } => {
            check_scope(scope, at)?;
            if *all_owners && !at.role.includes(Role::Operate) {
                return Err(Refusal::Forbidden("lifting others' drains needs the role operate".into()));
            }
            let is_meant =
                |drain: &&Drain| drain.scope == *scope && (*all_owners || drain.owner == at.actor.name);
            let ids: Vec<String> =
                at.model.drains.values().filter(is_meant).map(|drain| drain.id.clone()).collect();
            if ids.is_empty() {
                return Err(Refusal::NotFound(nothing_to_lift(scope, at)));
            }
            (ids, scope.clone())
        }
    };
    let rows = ids.iter().map(|id| {
        let drain = &at.model.drains[id];
        let has_steps = drain.return_steps.is_some() && at.now >= drain.starts_at;
        if now || !has_steps {
            return remove(at.model, format!("drain/{id}"));
        }
        let returning_since = drain.ending_since(at.now).or(Some(at.now));
        put(at.model, Row::Drain(Drain { returning_since, ..drain.clone() }))
    });
    let mut draft = Draft::new("undrain", scope.to_string(), rows.collect());
    let mut without = at.model.clone();
    for row in &draft.rows {
        without.set(&row.key, row.after.clone());
    }
    draft.words = still_drained(&scope, None, &Situation { model: &without, ..*at });
    if draft.words.is_empty() {
        draft.words.push(format!("nothing drains {scope} any more"));
    }
    draft.id = ids.first().cloned().unwrap_or_default();
    Ok(draft)
}

fn end_drain(id: &str, at: &Situation) -> Result<Draft, Refusal> {
    match at.model.drains.get(id) {
        Some(drain) if drain.is_over(at.now) => Ok(Draft::new(
            "drain ended",
            drain.scope.to_string(),
            vec![remove(at.model, format!("drain/{id}"))],
        )),
        // Another node was first, or somebody asked for the drain anew.
        _ => Ok(Draft::new("drain ended", "", Vec::new())),
    }
}

/// A drain that the asker may change.
fn own_drain(id: &str, at: &Situation) -> Result<Drain, Refusal> {
    let drain = at.model.drains.get(id).cloned();
    let drain = drain.ok_or_else(|| Refusal::NotFound(format!("there is no drain {id}")))?;
    if drain.owner != at.actor.name && !at.role.includes(Role::Operate) {
        let message =
            format!("the drain is {}'s; lifting others' drains needs the role operate", drain.owner);
        return Err(Refusal::Forbidden(message));
    }
    check_pool(drain.scope.pool.as_deref(), at)?;
    Ok(drain)
}

/// What drains a scope in other ways, in words.
fn still_drained(scope: &Scope, but: Option<&str>, at: &Situation) -> Vec<String> {
    let answers: Vec<_> = at.base.answers().filter(|answer| scope.covers(answer)).collect();
    let overlaps = |drain: &&Drain| answers.iter().any(|answer| drain.scope.covers(answer));
    let others = at.model.drains.values().filter(|drain| Some(drain.id.as_str()) != but).filter(overlaps);
    others
        .map(|drain| {
            let percent = drain.percent_at(at.now);
            let how = match drain.ending_since(at.now) {
                _ if at.now < drain.starts_at => format!("will be drained from {:.0}", drain.starts_at),
                Some(_) => "is on its way back from a drain".into(),
                None => "stays out: drained".into(),
            };
            format!("{} {how} by {}, {percent} % ({})", drain.scope, drain.owner, drain.reason)
        })
        .collect()
}

fn nothing_to_lift(scope: &Scope, at: &Situation) -> String {
    let others: Vec<String> = still_drained(scope, None, at);
    if others.is_empty() {
        return format!("nothing drains {scope}");
    }
    format!("{} has no drain on {scope}; {}", at.actor.name, others.join("; "))
}

/// How clients come back where the drain does not say: the pool's way, and of several pools the slowest.
fn default_return(scope: &Scope, base: &Base) -> Option<Return> {
    let is_meant = |name: &&String| base.pools[*name].answers.iter().any(|answer| scope.covers(answer));
    let pools = base.pools.keys().filter(is_meant);
    let steps = pools.filter_map(|name| base.pools[name].policy.return_steps.clone());
    steps.max_by_key(|steps| steps.pause_s * steps.steps.len() as u64)
}

fn split(
    pool: &str,
    pop: Option<&str>,
    weights: Option<&BTreeMap<String, f64>>,
    at: &Situation,
) -> Result<Draft, Refusal> {
    let Some(known) = at.base.pools.get(pool) else {
        return Err(Refusal::NotFound(no_such("pool", pool, at.base.pools.keys())));
    };
    check_pool(Some(pool), at)?;
    let pops = at.base.pops_of(pool);
    let meant: Vec<&str> = match pop {
        None => pops.iter().copied().collect(),
        Some(pop) if pops.contains(pop) => vec![pop],
        Some(pop) => return Err(Refusal::NotFound(no_such(&format!("PoP of pool {pool}"), pop, pops))),
    };
    for (stack, weight) in weights.into_iter().flatten() {
        if !known.answers.iter().any(|answer| answer.stack.as_deref() == Some(stack)) {
            let stacks: std::collections::BTreeSet<&str> =
                known.answers.iter().filter_map(|answer| answer.stack.as_deref()).collect();
            return Err(Refusal::NotFound(no_such(&format!("stack of pool {pool}"), stack, stacks)));
        }
        if !weight.is_finite() || !(0.0..=1e9).contains(weight) {
            return Err(Refusal::invalid("weights", format!("{stack}: write a number from 0 to 1000000000")));
        }
    }
    if weights.is_some_and(BTreeMap::is_empty) {
        return Err(Refusal::invalid("weights", "name each stack's weight, such as haproxy=90 envoy=10"));
    }
    for pop in &meant {
        if let Some(open) = migration::open_at(at.model, pool, pop)
            && !at.force
        {
            return Err(Refusal::Conflict(format!(
                "the migration {} steers {pop} now; roll it back, or hold it and use force",
                open.id
            )));
        }
    }
    let rows = meant.iter().filter_map(|pop| {
        let key = format!("split/{pool}/{pop}");
        let Some(weights) = weights else { return Some(remove(at.model, key)) };
        let here: Vec<&str> =
            at.base.stacks(pool, pop).filter_map(|answer| answer.stack.as_deref()).collect();
        let old = at.model.splits.get(&(pool.to_string(), pop.to_string()));
        let mut all = old.map(|old| old.weights.clone()).unwrap_or_default();
        all.extend(
            weights.iter().filter(|(stack, _)| here.contains(&stack.as_str())).map(|(s, w)| (s.clone(), *w)),
        );
        let unchanged = old.is_some_and(|old| old.weights == all);
        (!all.is_empty() && !unchanged).then(|| {
            put(
                at.model,
                Row::Split(Split {
                    pool: pool.into(),
                    pop: pop.to_string(),
                    weights: all,
                    owner: at.actor.name.clone(),
                    since: at.now,
                    revision: old.map_or(0, |old| old.revision),
                }),
            )
        })
    });
    let rows: Vec<RowChange> = rows.collect();
    let object = format!("{pool} at {}", pop.unwrap_or("every PoP"));
    let mut draft = Draft::new(if weights.is_some() { "split" } else { "split cleared" }, object, rows);
    if let Some(weights) = weights {
        let shares: Vec<String> = weights.iter().map(|(stack, weight)| format!("{stack}={weight}")).collect();
        draft.object = format!("{}: {}", draft.object, shares.join(" "));
    }
    Ok(draft)
}

fn create_token(token: &Token, at: &Situation) -> Result<Draft, Refusal> {
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

fn revoke_token(name: &str, at: &Situation) -> Result<Draft, Refusal> {
    if !at.model.tokens.contains_key(name) {
        return Err(Refusal::NotFound(no_such("token", name, at.model.tokens.keys())));
    }
    Ok(Draft::new("token revoked", name, vec![remove(at.model, format!("token/{name}"))]))
}

/// Drains and splits as they were: what was committed since is undone, the newest first.
fn roll_back(to: u64, since: &[Entry], at: &Situation) -> Result<Draft, Refusal> {
    check_reason(at.reason)?;
    let mut wanted = at.model.clone();
    let mut keys = std::collections::BTreeSet::new();
    for change in since.iter().flat_map(|entry| entry.rows.iter().rev()) {
        if change.key.starts_with("drain/") || change.key.starts_with("split/") {
            wanted.set(&change.key, change.before.clone());
            keys.insert(change.key.clone());
        }
    }
    let mut rows: Vec<RowChange> = keys
        .into_iter()
        .map(|key| RowChange { before: at.model.get(&key), after: wanted.get(&key), key })
        .collect();
    // A migration that is open would go on from splits that are not its own.
    let open = at.model.migrations.values().filter(|migration| migration.is_open());
    rows.extend(open.map(|open| {
        put(at.model, Row::Migration(migration::held(open, "steering was rolled back", at.now)))
    }));
    Ok(Draft::new("rolled back", format!("drains and splits to revision {to}"), rows))
}

fn suspend(pool: &str, until: Option<Option<Time>>, at: &Situation) -> Result<Draft, Refusal> {
    if !at.base.pools.contains_key(pool) {
        return Err(Refusal::NotFound(no_such("pool", pool, at.base.pools.keys())));
    }
    check_pool(Some(pool), at)?;
    let Some(until) = until else {
        let rows = vec![remove(at.model, format!("suspension/{pool}"))];
        return Ok(Draft::new("automation resumed", pool, rows));
    };
    check_reason(at.reason)?;
    let suspension = Suspension {
        pool: pool.into(),
        owner: at.actor.name.clone(),
        reason: at.reason.into(),
        since: at.now,
        until,
    };
    Ok(Draft::new("automation suspended", pool, vec![put(at.model, Row::Suspension(suspension))]))
}

/// That a scope says something, and that there is something in it.
fn check_scope(scope: &Scope, at: &Situation) -> Result<(), Refusal> {
    let others = [&scope.pop, &scope.pool, &scope.stack];
    let named = others.iter().filter(|field| field.is_some()).count();
    match (&scope.answer, named) {
        (None, 0) => return Err(Refusal::invalid("scope", "name a pop, a pool or a stack, or an answer")),
        (Some(_), 1..) => return Err(Refusal::invalid("scope", "an answer stands alone")),
        _ => {}
    }
    check_pool(scope.pool.as_deref(), at)?;
    if at.base.answers().any(|answer| scope.covers(answer)) {
        return Ok(());
    }
    let base = at.base;
    if let Some(pop) = scope.pop.as_ref().filter(|pop| !base.pops.contains_key(*pop)) {
        return Err(Refusal::NotFound(no_such("PoP", pop, base.pops.keys())));
    }
    if let Some(pool) = scope.pool.as_ref().filter(|pool| !base.pools.contains_key(*pool)) {
        return Err(Refusal::NotFound(no_such("pool", pool, base.pools.keys())));
    }
    let stacks: std::collections::BTreeSet<&str> =
        base.answers().filter_map(|answer| answer.stack.as_deref()).collect();
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

fn check_percent(percent: u8) -> Result<(), Refusal> {
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

fn after(start: Time, seconds: u64, field: &'static str) -> Result<Time, Refusal> {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let end = seconds.and_then(|seconds| start.checked_add(SignedDuration::from_secs(seconds)).ok());
    end.ok_or_else(|| Refusal::invalid(field, "write a span of time such as 30m or 2h"))
}

/// What is missing, and what there is.
pub fn no_such<S: std::fmt::Display>(kind: &str, name: &str, known: impl IntoIterator<Item = S>) -> String {
    /// A list of thousands helps nobody.
    const KNOWN_MAX: usize = 50;
    let known: Vec<String> = known.into_iter().map(|name| name.to_string()).collect();
    let more = known.len().saturating_sub(KNOWN_MAX);
    let shown = known[..known.len().min(KNOWN_MAX)].join(", ");
    let there_is = match (known.len(), more) {
        (0, _) => "there is none at all".into(),
        (1, _) => format!("there is only {shown}"),
        (_, 0) => format!("there are {shown}"),
        (_, more) => format!("there are {shown} and {more} more"),
    };
    format!("there is no {kind} called {name}; {there_is}")
}

/// How much of each answer of a pool's PoP is taken out, for whoever asks about capacity: by drains and by
/// splits of weight 0 together, 0 to 1.
pub fn taken_out(base: &Base, model: &Model, pool: &str, pop: &str, now: Time) -> f64 {
    let stacks = base.stacks(pool, pop).filter(|answer| live::weight(model, answer) > 0.0);
    let out = stacks.map(|answer| {
        let covers = model.drains.values().filter(|drain| drain.scope.covers(answer));
        covers.map(|drain| drain.percent_at_most(now)).max().unwrap_or(0)
    });
    // While one stack is left, a client that loses the other goes there.
    f64::from(out.min().unwrap_or(100)) / 100.0
}
