//! Splits with planned steps: from one stack to another, PoP by PoP, and back in one call.
//!
//! ```text
//! start -> (advance)* -> done        hold, resume       rollback: every PoP as it was before the plan began
//!            each step is a split of the PoPs of its wave
//! ```

use super::base::Base;
use super::change::{Draft, MigrationStep, Refusal, Situation, check_pool, no_such, put, remove};
use super::live::{Values, weight};
use super::model::{
    Migration, MigrationEvent, MigrationGuard, MigrationState, Model, Plan, Row, RowChange, Split, Time,
};

/// Events kept of one migration; the audit log has them all.
const HISTORY_MAX: usize = 200;

/// The open migration that steers a PoP of a pool.
pub fn open_at<'m>(model: &'m Model, pool: &str, pop: &str) -> Option<&'m Migration> {
    let mut open = model.migrations.values().filter(|migration| migration.is_open());
    open.find(|migration| migration.plan.pool == pool && migration.pops().any(|at| at == pop))
}

/// Begins a migration, with its first step.
pub fn start(plan: &Plan, key: Option<&str>, at: &Situation) -> Result<Draft, Refusal> {
    if let Some(key) = key
        && let Some(begun) = at.model.migrations.values().find(|m| m.idempotency_key.as_deref() == Some(key))
    {
        if begun.plan != *plan {
            let message = format!("the key was used for another plan, {}; choose another key", begun.id);
            return Err(Refusal::Conflict(message));
        }
        let mut draft = Draft::new("migrate", begun.id.clone(), Vec::new());
        draft.id.clone_from(&begun.id);
        return Ok(draft);
    }
    check_plan(plan, at)?;
    let number = at.model.migrations.values().filter(|m| m.plan.pool == plan.pool);
    let number = number.filter_map(|m| m.id.rsplit_once('-')?.1.parse::<u64>().ok()).max().unwrap_or(0) + 1;
    let before = plan
        .waves
        .iter()
        .flatten()
        .map(|pop| (pop.clone(), at.model.splits.get(&(plan.pool.clone(), pop.clone())).cloned()));
    let migration = Migration {
        id: format!("{}-{number}", plan.pool),
        plan: plan.clone(),
        state: MigrationState::Running,
        wave: 0,
        step: None,
        step_since: at.now,
        why: String::new(),
        before: before.collect(),
        owner: at.actor.name.clone(),
        started_at: at.now,
        idempotency_key: key.map(String::from),
        history: Vec::new(),
    };
    let mut draft = advance(migration, at)?;
    draft.action = "migration started";
    Ok(draft)
}

fn check_plan(plan: &Plan, at: &Situation) -> Result<(), Refusal> {
    let invalid = |field, message: String| Err(Refusal::Invalid { field, message });
    if !at.base.pools.contains_key(&plan.pool) {
        return Err(Refusal::NotFound(no_such("pool", &plan.pool, at.base.pools.keys())));
    }
    check_pool(Some(&plan.pool), at)?;
    if plan.from == plan.to {
        return invalid("to", "is the same stack as `from`".into());
    }
    let ascends = plan.steps.windows(2).all(|pair| pair[0] < pair[1]);
    if plan.steps.is_empty() || !ascends || plan.steps.iter().any(|step| !(1..=100).contains(step)) {
        return invalid("steps", "write percentages that ascend, such as 10, 25, 50, 75, 100".into());
    }
    if plan.waves.is_empty() || plan.waves.iter().any(Vec::is_empty) {
        return invalid("pops", "name at least one PoP, and no empty wave".into());
    }
    let mut seen = std::collections::BTreeSet::new();
    for pop in plan.waves.iter().flatten() {
        if !at.base.pops_of(&plan.pool).contains(pop.as_str()) {
            let kind = format!("PoP of pool {}", plan.pool);
            return Err(Refusal::NotFound(no_such(&kind, pop, at.base.pops_of(&plan.pool))));
        }
        if !seen.insert(pop) {
            return invalid("pops", format!("{pop} stands twice"));
        }
        for (field, stack) in [("from", &plan.from), ("to", &plan.to)] {
            let here = || at.base.stacks(&plan.pool, pop).filter_map(|answer| answer.stack.as_deref());
            if !here().any(|known| known == stack) {
                let message =
                    format!("{pop} has no stack {stack}; it has {}", here().collect::<Vec<_>>().join(", "));
                return invalid(field, message);
            }
        }
        if share(at.base, at.model, plan, pop) <= 0.0 {
            return invalid("from", format!("neither stack has any weight at {pop}"));
        }
        if let Some(open) = open_at(at.model, &plan.pool, pop) {
            let message = format!("the migration {} steers {pop} now; let it end, or roll it back", open.id);
            return Err(Refusal::Conflict(message));
        }
    }
    Ok(())
}

/// The weight of both stacks together at a PoP: what the migration moves about, and nothing else.
fn share(base: &Base, model: &Model, plan: &Plan, pop: &str) -> f64 {
    let of = |stack: &str| {
        let mut here = base.stacks(&plan.pool, pop).filter(|answer| answer.stack.as_deref() == Some(stack));
        here.next().map_or(0.0, |answer| weight(model, answer))
    };
    of(&plan.from) + of(&plan.to)
}

/// Whether a PoP has both stacks, and weight to move between them.
fn can_move(plan: &Plan, pop: &str, at: &Situation) -> bool {
    let has =
        |stack: &String| at.base.stacks(&plan.pool, pop).any(|answer| answer.stack.as_ref() == Some(stack));
    has(&plan.from) && has(&plan.to) && share(at.base, at.model, plan, pop) > 0.0
}

/// Moves a migration, stops it, or takes it back.
pub fn step(id: &str, step: MigrationStep, at: &Situation) -> Result<Draft, Refusal> {
    let Some(migration) = at.model.migrations.get(id) else {
        return Err(Refusal::NotFound(no_such("migration", id, at.model.migrations.keys())));
    };
    check_pool(Some(&migration.plan.pool), at)?;
    let ended = || Refusal::Conflict(format!("the migration {id} has ended"));
    match step {
        MigrationStep::RollBack => match migration.state {
            MigrationState::RolledBack => Ok(Draft::new("migration rolled back", id, Vec::new())),
            _ => roll_back(migration, at),
        },
        _ if !migration.is_open() => Err(ended()),
        MigrationStep::Hold => {
            let why = if at.reason.is_empty() { "by hand" } else { at.reason };
            let mut draft = Draft::new(
                "migration held",
                id,
                vec![put(at.model, Row::Migration(held(migration, why, at.now)))],
            );
            draft.id = id.into();
            Ok(draft)
        }
        MigrationStep::Resume => {
            let mut next = migration.clone();
            next.state = MigrationState::Running;
            next.why.clear();
            // A pause is no soaking: the step begins anew.
            next.step_since = at.now;
            note(&mut next, at.now, "resumed".into());
            let mut draft = Draft::new("migration resumed", id, vec![put(at.model, Row::Migration(next))]);
            draft.id = id.into();
            Ok(draft)
        }
        MigrationStep::Advance => advance(migration.clone(), at),
    }
}

/// A migration that waits for a person.
pub fn held(migration: &Migration, why: &str, now: Time) -> Migration {
    let mut next = migration.clone();
    next.state = MigrationState::Held;
    next.why = why.into();
    note(&mut next, now, format!("held: {why}"));
    next
}

/// The next step: of the wave, or the first of the next wave.
fn advance(mut migration: Migration, at: &Situation) -> Result<Draft, Refusal> {
    let plan = migration.plan.clone();
    let (wave, step) = match migration.step {
        None => (0, 0),
        Some(step) if step + 1 < plan.steps.len() => (migration.wave, step + 1),
        Some(_) => (migration.wave + 1, 0),
    };
    let id = migration.id.clone();
    let mut rows = Vec::new();
    let object = match plan.waves.get(wave) {
        None => {
            migration.state = MigrationState::Done;
            note(&mut migration, at.now, "done".into());
            format!("{id} is done")
        }
        Some(pops) => {
            // The files may have changed since the plan was made: the weight would go where nothing is, and the
            // PoP get no client.
            if let Some(pop) = pops.iter().find(|pop| !can_move(&plan, pop, at)) {
                return Err(Refusal::Conflict(format!(
                    "{pop} no longer has {} and {} with any weight; bring them back, or roll {id} back",
                    plan.from, plan.to
                )));
            }
            let percent = plan.steps[step];
            (migration.wave, migration.step, migration.step_since) = (wave, Some(step), at.now);
            migration.state = MigrationState::Running;
            migration.why.clear();
            let what = format!("{} to {percent} % {}", pops.join(", "), plan.to);
            note(&mut migration, at.now, what.clone());
            rows.extend(pops.iter().map(|pop| shift(&plan, pop, percent, &id, at)));
            let is_last = wave + 1 == plan.waves.len() && step + 1 == plan.steps.len();
            // Without soaking there is nothing to wait for behind the last step.
            if is_last && plan.soak_s.is_none() {
                migration.state = MigrationState::Done;
                note(&mut migration, at.now, "done".into());
            }
            format!("{id}: {what}")
        }
    };
    rows.push(put(at.model, Row::Migration(migration)));
    let mut draft = Draft::new("migration step", object, rows);
    draft.id = id;
    Ok(draft)
}

fn shift(plan: &Plan, pop: &str, percent: u8, owner: &str, at: &Situation) -> RowChange {
    let all = share(at.base, at.model, plan, pop);
    let old = at.model.splits.get(&(plan.pool.clone(), pop.to_string()));
    let mut weights = old.map(|old| old.weights.clone()).unwrap_or_default();
    let to = all * f64::from(percent) / 100.0;
    weights.insert(plan.from.clone(), all - to);
    weights.insert(plan.to.clone(), to);
    put(
        at.model,
        Row::Split(Split {
            pool: plan.pool.clone(),
            pop: pop.into(),
            weights,
            owner: owner.into(),
            since: at.now,
            revision: old.map_or(0, |old| old.revision),
        }),
    )
}

fn roll_back(migration: &Migration, at: &Situation) -> Result<Draft, Refusal> {
    let pool = &migration.plan.pool;
    for pop in migration.pops() {
        if let Some(other) = open_at(at.model, pool, pop).filter(|open| open.id != migration.id) {
            return Err(Refusal::Conflict(format!(
                "the migration {} has begun at {pop} since; roll that one back first",
                other.id
            )));
        }
    }
    let mut rows: Vec<RowChange> = migration
        .before
        .iter()
        .map(|(pop, before)| match before {
            Some(split) => put(at.model, Row::Split(split.clone())),
            None => remove(at.model, format!("split/{pool}/{pop}")),
        })
        .collect();
    let mut next = migration.clone();
    next.state = MigrationState::RolledBack;
    next.why = at.reason.into();
    let why = if at.reason.is_empty() { String::new() } else { format!(": {}", at.reason) };
    note(&mut next, at.now, format!("rolled back{why}"));
    rows.push(put(at.model, Row::Migration(next)));
    let mut draft = Draft::new("migration rolled back", migration.id.clone(), rows);
    draft.id.clone_from(&migration.id);
    Ok(draft)
}

fn note(migration: &mut Migration, time: Time, what: String) {
    migration.history.push(MigrationEvent { time, what });
    let more = migration.history.len().saturating_sub(HISTORY_MAX);
    migration.history.drain(..more);
}

/// What a running migration does by itself now, and why.
pub fn due(
    migration: &Migration,
    base: &Base,
    values: &Values,
    now: Time,
) -> Option<(MigrationStep, String)> {
    if migration.state != MigrationState::Running || migration.step.is_none() {
        return None;
    }
    let wrong = match migration.plan.guard {
        MigrationGuard::Ignore => None,
        MigrationGuard::Hold | MigrationGuard::RollBack => what_is_wrong(migration, base, values, now),
    };
    match (wrong, migration.plan.guard) {
        (Some(why), MigrationGuard::RollBack) => return Some((MigrationStep::RollBack, why)),
        (Some(why), _) => return Some((MigrationStep::Hold, why)),
        (None, _) => {}
    }
    (due_at(migration)? <= now).then(|| (MigrationStep::Advance, String::new()))
}

/// When its next step follows by itself.
pub fn due_at(migration: &Migration) -> Option<Time> {
    let is_running = migration.state == MigrationState::Running;
    let soak = i64::try_from(migration.plan.soak_s.filter(|_| is_running)?).ok()?;
    migration.step_since.checked_add(jiff::SignedDuration::from_secs(soak)).ok()
}

/// What monitors and feeds say against the new stack, as far as clients are on it.
fn what_is_wrong(migration: &Migration, base: &Base, values: &Values, now: Time) -> Option<String> {
    let plan = &migration.plan;
    let pops = plan.waves.iter().take(migration.wave + 1).flatten();
    let mut answers = pops.flat_map(|pop| {
        base.stacks(&plan.pool, pop).filter(|answer| answer.stack.as_deref() == Some(&plan.to))
    });
    answers.find_map(|answer| {
        let meta = values.live_meta(answer, now);
        if !meta.up.is_up() {
            return Some(format!("{} is down ({})", answer.id, meta.up.said_no().unwrap_or_default()));
        }
        let high = meta.high_watermark?;
        let loads =
            [("loadavg", meta.loadavg), ("connections", meta.connections), ("requests", meta.requests)];
        let over =
            loads.into_iter().find_map(|(name, load)| Some((name, load.filter(|load| *load >= high)?)));
        over.map(|(name, load)| {
            format!("{} has {name} {load}, at or above its high watermark {high}", answer.id)
        })
    })
}
