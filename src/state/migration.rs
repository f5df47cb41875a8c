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
    if let Some(begun) = begun(plan, key, at) {
        if begun.plan != *plan {
            let message = format!("the key was used for another plan, {}; choose another key", begun.id);
            return Err(Refusal::Conflict(message));
        }
        let mut draft = Draft::new("migration started", begun.id.clone(), Vec::new());
        draft.id.clone_from(&begun.id);
        let is = match begun.state {
            MigrationState::Running => "runs",
            MigrationState::Held => "is held",
            MigrationState::Done => "is done",
            MigrationState::RolledBack => "was rolled back",
        };
        draft.words = vec![format!("{} had begun before: it {is}, {}", begun.id, standing(begun))];
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

/// The migration that the asker began with a key: another's key is another key. Without one, the one of this plan that
/// is open: asked for twice, it is not begun twice. What has ended may begin anew.
fn begun<'m>(plan: &Plan, key: Option<&str>, at: &Situation<'m>) -> Option<&'m Migration> {
    let mut own = at.model.migrations.values().filter(|migration| migration.owner == at.actor.name);
    match key {
        Some(_) => own.find(|migration| migration.idempotency_key.as_deref() == key),
        None => own.find(|migration| migration.is_open() && migration.plan == *plan),
    }
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
    let unchanged = |action, words: String| {
        let mut draft = Draft::new(action, id, Vec::new());
        (draft.id, draft.words) = (id.into(), vec![words]);
        Ok(draft)
    };
    let changed = |action, next: Migration| {
        let mut draft = Draft::new(action, id, vec![put(at.model, Row::Migration(next))]);
        draft.id = id.into();
        Ok(draft)
    };
    match (step, migration.state) {
        (MigrationStep::RollBack, MigrationState::RolledBack) => {
            unchanged("migration rolled back", format!("{id} was rolled back before"))
        }
        (MigrationStep::RollBack, _) => roll_back(migration, at),
        (MigrationStep::Advance(wanted), _) => match is_made(migration, wanted)? {
            true => unchanged("migration step", format!("{id} is at that step, {}", standing(migration))),
            false => advance(migration.clone(), at),
        },
        (_, MigrationState::Done | MigrationState::RolledBack) => Err(ended(id)),
        (MigrationStep::Hold, MigrationState::Held) => {
            unchanged("migration held", format!("{id} is held already: {}", migration.why))
        }
        (MigrationStep::Hold, MigrationState::Running) => {
            let why = if at.reason.is_empty() { "by hand" } else { at.reason };
            changed("migration held", held(migration, why, at.now))
        }
        (MigrationStep::Resume, MigrationState::Running) => {
            unchanged("migration resumed", format!("{id} is running already"))
        }
        (MigrationStep::Resume, MigrationState::Held) => {
            let mut next = migration.clone();
            next.state = MigrationState::Running;
            next.why.clear();
            // A pause is no soaking: the step begins anew.
            next.step_since = at.now;
            note(&mut next, at.now, "resumed".into());
            changed("migration resumed", next)
        }
    }
}

fn ended(id: &str) -> Refusal {
    Refusal::Conflict(format!("the migration {id} has ended"))
}

/// Whether the step that is asked for was made before, so that a retry of `advance` makes no second one.
///
/// # Errors
/// Where it is not the next step, or no step can follow.
fn is_made(migration: &Migration, wanted: Option<usize>) -> Result<bool, Refusal> {
    let id = &migration.id;
    let (at, all) = (step_number(migration), steps(&migration.plan));
    let is_done = migration.state == MigrationState::Done;
    match wanted {
        Some(wanted) if wanted == at || is_done && wanted == all + 1 => return Ok(true),
        _ if !migration.is_open() => return Err(ended(id)),
        Some(wanted) if wanted != at + 1 => {
            return Err(Refusal::Conflict(format!(
                "{id} is at {}, so that the next is {}, and not {wanted}",
                standing(migration),
                at + 1
            )));
        }
        _ => {}
    }
    match migration.state {
        MigrationState::Held => {
            Err(Refusal::Conflict(format!("{id} is held: {}; resume it first", migration.why)))
        }
        _ => Ok(false),
    }
}

/// How many steps a plan has, over all its waves.
pub fn steps(plan: &Plan) -> usize {
    plan.waves.len() * plan.steps.len()
}

/// The number of the step a migration is at, from 1, over all its waves; 0 before the first.
pub fn step_number(migration: &Migration) -> usize {
    migration.step.map_or(0, |step| migration.wave * migration.plan.steps.len() + step + 1)
}

fn standing(migration: &Migration) -> String {
    format!("step {} of {}", step_number(migration), steps(&migration.plan))
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
    let words = whats_next(&migration);
    rows.push(put(at.model, Row::Migration(migration)));
    let mut draft = Draft::new("migration step", object, rows);
    (draft.id, draft.words) = (id, vec![words]);
    Ok(draft)
}

/// Where it is, and what makes it go on.
fn whats_next(migration: &Migration) -> String {
    let standing = standing(migration);
    match (migration.state, due_at(migration)) {
        (MigrationState::Done, _) => format!("that was {standing}, the last"),
        (_, Some(due)) => format!("it is at {standing}, and goes on by itself at {due:.0}"),
        (_, None) => format!("it is at {standing}, and waits for advance"),
    }
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
    (due_at(migration)? <= now).then(|| (MigrationStep::Advance(None), String::new()))
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
