//! What the files say of operating a pool, and of feeds: capacities, how clients come back, how old a value
//! may be.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::base::Base;
use super::model::{Model, Policy, Return, Understood};
use crate::files::{At, Fields, Json, Problem, read_json};

/// Share of a pool's capacity that drains may take together without `force`, when none is written.
pub const MAX_DRAINED_CAPACITY_DEFAULT: f64 = 0.5;

/// Share of a pool's capacity that health may take out, when none is written.
pub const MAX_DOWN_CAPACITY_DEFAULT: f64 = 0.5;

/// How a pool is operated.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolPolicy {
    /// What it can hold at each PoP, in the unit of its load metric. PoPs that are not written share
    /// equally: each counts as much as the average of those that are.
    pub capacity: BTreeMap<String, f64>,
    /// Share of the capacity that drains may take together, 0 to 1.
    pub max_drained_capacity: f64,
    /// How clients come back when a drain ends.
    pub return_steps: Option<Return>,
    /// Share of the capacity that health may take out, by verdicts and by drains of its own, 0 to 1. What is
    /// beyond it goes on being answered, with an alarm: one bad monitor must not dump the world on the last PoP.
    pub max_down_capacity: f64,
    /// What health does about a PoP that fails; none leaves it to verdicts and people.
    pub failover: Option<FailoverSpec>,
}

/// When a PoP is taken out because it fails, and how it comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct FailoverSpec {
    /// Share of its answers with a weight that must be down, above 0, up to 1.
    pub detect: f64,
    /// The monitor that is enough by itself: where it says of one of these answers that it is down, the PoP fails.
    pub monitor: Option<At<String>>,
    /// For how long they must be.
    pub detect_for: Duration,
    /// For how many of a hundred clients it is taken out in the end.
    pub percent: u8,
    /// How it gets there: percentages, with a pause between two; none is at once.
    pub out: Option<Return>,
    /// PoPs of the pool that health takes out at the same time.
    pub max_concurrent_pops: usize,
    /// For how long it must be well before its clients come back.
    pub return_after: Duration,
    /// The longest that grows to by relapses, each of which doubles it.
    pub return_after_max: Duration,
    /// How its clients come back.
    pub return_steps: Return,
}

/// How clients come back after a failover, when neither it nor the pool says: in percent, with two minutes
/// between two steps.
const RETURN_DEFAULT: ([u8; 4], u64) = ([10, 25, 50, 100], 120);

impl Default for FailoverSpec {
    fn default() -> FailoverSpec {
        FailoverSpec {
            detect: 1.0,
            monitor: None,
            detect_for: Duration::from_secs(30),
            percent: 100,
            out: None,
            max_concurrent_pops: 1,
            return_after: Duration::from_secs(60),
            return_after_max: Duration::from_secs(1800),
            return_steps: Return { steps: RETURN_DEFAULT.0.to_vec(), pause_s: RETURN_DEFAULT.1 },
        }
    }
}

impl Default for PoolPolicy {
    fn default() -> PoolPolicy {
        PoolPolicy {
            capacity: BTreeMap::new(),
            max_drained_capacity: MAX_DRAINED_CAPACITY_DEFAULT,
            return_steps: None,
            max_down_capacity: MAX_DOWN_CAPACITY_DEFAULT,
            failover: None,
        }
    }
}

/// How a pool that there is is operated: as its row of the store says, else as the files say.
pub fn in_force<'p>(base: &'p Base, model: &'p Model, pool: &str) -> &'p PoolPolicy {
    let row = model.policies.get(pool).and_then(|policy| policy.said.as_deref().ok());
    row.unwrap_or_else(|| &base.pools[pool].policy)
}

/// What of a row is not in force, and why; nothing when all of it is.
pub fn dormant(base: &Base, policy: &Understood<Policy, PoolPolicy>) -> Option<String> {
    let pool = &policy.row.pool;
    if !base.pools.contains_key(pool) {
        return Some(format!("there is no pool {pool}"));
    }
    match &policy.said {
        Err(problems) => Some(problems.iter().map(Problem::words).collect::<Vec<String>>().join("; ")),
        Ok(said) => {
            let pops = base.pops_of(pool);
            let gone: Vec<&str> =
                said.capacity.keys().map(String::as_str).filter(|pop| !pops.contains(pop)).collect();
            let words =
                || format!("capacity: the pool has no answer at {}; all else is in force", gone.join(", "));
            (!gone.is_empty()).then(words)
        }
    }
}

/// Why the monitor that the failover of a pool in force names cannot say that the pool fails; none when it can, or none
/// is named.
pub fn why_blind(base: &Base, model: &Model, pool: &str) -> Option<String> {
    let named = in_force(base, model, pool).failover.as_ref()?.monitor.as_ref()?;
    let why = base.monitors.why_blind(&model.monitors, &named.value, pool)?;
    Some(format!("failover: monitor: {why}"))
}

impl PoolPolicy {
    /// Reads a policy that came as JSON: the fields of a pool, and none but these. PoPs named in `capacity` come
    /// back too.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read_json(pool: &str, json: &Json) -> Result<(PoolPolicy, Vec<String>), Vec<Problem>> {
        let object = format!("pool {pool}");
        let (policy, named) = read_json(&object, json, |mut fields| {
            let read = PoolPolicy::read(&mut fields);
            fields.finish();
            read
        })?;
        Ok((policy, named.into_iter().map(|pop| pop.value).collect()))
    }

    /// As it would be written in a file, with what is so when nothing is written.
    pub fn to_json(&self) -> Json {
        let mut json = Json::new();
        let mut put = |name: &str, value| drop(json.insert(name.into(), value));
        if !self.capacity.is_empty() {
            put("capacity", json!(self.capacity));
        }
        put("max_drained_capacity", json!(self.max_drained_capacity));
        put("max_down_capacity", json!(self.max_down_capacity));
        if let Some(steps) = &self.return_steps {
            put("return", steps_json(steps));
        }
        if let Some(failover) = &self.failover {
            put("failover", failover.to_json().into());
        }
        json
    }

    /// Reads the fields of a pool that are about operating it. PoPs named in `capacity` come back too, for
    /// whoever knows which there are.
    pub fn read(pool: &mut Fields) -> (PoolPolicy, Vec<At<String>>) {
        let mut named = Vec::new();
        let mut capacity = BTreeMap::new();
        if let Some(mut fields) = pool.table("capacity") {
            fields.object = format!("{} capacity", pool.object);
            for (pop, value) in fields.named_floats(0.0, 1e12) {
                capacity.insert(pop.value.clone(), value);
                named.push(pop);
            }
        }
        let mut share = |name, default| pool.float_in(name, 0.0, 1.0).map_or(default, |share| share.value);
        let max_drained_capacity = share("max_drained_capacity", MAX_DRAINED_CAPACITY_DEFAULT);
        let max_down_capacity = share("max_down_capacity", MAX_DOWN_CAPACITY_DEFAULT);
        let return_steps = pool.table("return").and_then(|fields| read_steps(&pool.object, "return", fields));
        let failover =
            pool.table("failover").map(|fields| read_failover(pool, fields, return_steps.as_ref()));
        let policy = PoolPolicy { capacity, max_drained_capacity, return_steps, max_down_capacity, failover };
        (policy, named)
    }

    /// How clients come back when a drain ends that does not say: in the steps of the pool's `return`, else in those of
    /// its failover; none, at once, where neither is written.
    pub fn steps(&self) -> Option<&Return> {
        self.return_steps.as_ref().or(self.failover.as_ref().map(|spec| &spec.return_steps))
    }

    /// How an answer that was down for long comes back: as the pool's failover says, else in the steps of its
    /// `return`; none, at once, where neither is written.
    pub fn returning(&self) -> Option<FailoverSpec> {
        let of_return =
            |steps: &Return| FailoverSpec { return_steps: steps.clone(), ..FailoverSpec::default() };
        self.failover.clone().or_else(|| self.return_steps.as_ref().map(of_return))
    }

    /// What the pool can hold at each of these PoPs, in their order.
    pub fn capacities<'p>(
        &self,
        pops: impl Iterator<Item = &'p str> + Clone,
    ) -> impl Iterator<Item = (&'p str, f64)> {
        // A row of the store may name PoPs that have gone.
        let written = pops.clone().filter_map(|pop| self.capacity.get(pop));
        let (sum, count) = written.fold((0.0, 0), |(sum, count), written| (sum + written, count + 1));
        let average = if count == 0 { 1.0 } else { sum / f64::from(count) };
        pops.map(move |pop| (pop, self.capacity.get(pop).copied().unwrap_or(average)))
    }
}

impl FailoverSpec {
    fn to_json(&self) -> Json {
        let mut json = Json::new();
        let mut put = |name: &str, value| drop(json.insert(name.into(), value));
        put("detect", json!(self.detect));
        if let Some(monitor) = &self.monitor {
            put("monitor", json!(monitor.value));
        }
        put("for", span_json(self.detect_for));
        put("percent", json!(self.percent));
        if let Some(out) = &self.out {
            put("out", steps_json(out));
        }
        put("max_concurrent_pops", json!(self.max_concurrent_pops));
        put("return_after", span_json(self.return_after));
        put("return_after_max", span_json(self.return_after_max));
        put("return", steps_json(&self.return_steps));
        json
    }
}

fn steps_json(steps: &Return) -> serde_json::Value {
    json!({ "steps": steps.steps, "pause": span_json(Duration::from_secs(steps.pause_s)) })
}

fn span_json(span: Duration) -> serde_json::Value {
    format!("{:#}", jiff::SignedDuration::try_from(span).unwrap_or(jiff::SignedDuration::MAX)).into()
}

fn read_failover(pool: &Fields, mut fields: Fields, return_steps: Option<&Return>) -> FailoverSpec {
    fields.object = format!("{} failover", pool.object);
    let object = fields.object.clone();
    let usual = FailoverSpec::default();
    let steps =
        |fields: &mut Fields, name| fields.table(name).and_then(|table| read_steps(&object, name, table));
    let (out, back) = (steps(&mut fields, "out"), steps(&mut fields, "return"));
    let mut span = |name, usual| fields.duration(name).map_or(usual, |span| span.value);
    let (detect_for, return_after) =
        (span("for", usual.detect_for), span("return_after", usual.return_after));
    let return_after_max = span("return_after_max", usual.return_after_max).max(return_after);
    let spec = FailoverSpec {
        detect: fields.float_in("detect", 0.01, 1.0).map_or(usual.detect, |share| share.value),
        monitor: fields.text("monitor"),
        detect_for,
        percent: fields.integer_in("percent", 1, 100).map_or(usual.percent, |percent| percent.value as u8),
        out,
        max_concurrent_pops: fields
            .integer_in("max_concurrent_pops", 1, 1000)
            .map_or(usual.max_concurrent_pops, |n| n.value as usize),
        return_after,
        return_after_max,
        return_steps: back.or_else(|| return_steps.cloned()).unwrap_or(usual.return_steps),
    };
    fields.finish();
    spec
}

fn read_steps(owner: &str, name: &str, mut fields: Fields) -> Option<Return> {
    fields.object = format!("{owner} {name}");
    fields.require(&["steps", "pause"]);
    let line = fields.line;
    let steps: Vec<i64> = fields.integers("steps").into_iter().map(|step| step.value).collect();
    let pause = fields.duration("pause");
    let checked = check_steps(&steps);
    if let Err(message) = &checked
        && !steps.is_empty()
    {
        fields.error("steps", line, message.clone());
    }
    fields.finish();
    Some(Return { steps: checked.ok()?, pause_s: pause?.value.as_secs() })
}

/// Percentages that ascend to 100.
///
/// # Errors
/// What to write instead.
pub fn check_steps(steps: &[i64]) -> Result<Vec<u8>, String> {
    let ascends = steps.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascends || steps.first().is_none_or(|first| *first < 1) || steps.last() != Some(&100) {
        return Err("write percentages that ascend from at least 1 to 100, such as 10, 25, 50, 100".into());
    }
    Ok(steps.iter().map(|step| *step as u8).collect())
}

/// What becomes of a value that is older than it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stale {
    /// It goes on counting, and an alarm says that it is old.
    #[default]
    Hold,
    /// It no longer counts.
    Neutral,
    /// The answer counts as down.
    Down,
}

impl Stale {
    /// Reads `stale`.
    pub fn read(fields: &mut Fields) -> Stale {
        fields.text("stale").map_or(Stale::Hold, |word| match word.value.as_str() {
            "hold" => Stale::Hold,
            "neutral" => Stale::Neutral,
            "down" => Stale::Down,
            other => {
                let message = format!("`{other}` is unknown; write hold (the default), neutral or down");
                fields.error("stale", word.line, message);
                Stale::Hold
            }
        })
    }
}

/// An outside source of live values.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedSpec {
    /// How old a value may be, where the value itself does not say.
    pub max_age: Option<Duration>,
    /// What becomes of one that is older.
    pub stale: Stale,
}

impl FeedSpec {
    /// Reads `[feed.NAME]`.
    pub fn read(name: &str, mut fields: Fields) -> FeedSpec {
        fields.object = format!("feed {name}");
        let max_age = fields.duration("max_age");
        if let Some(age) = max_age.as_ref().filter(|age| age.value < Duration::from_secs(1)) {
            fields.error("max_age", age.line, "write at least 1s, or leave it out");
        }
        let max_age = max_age.map(|age| age.value);
        let stale = Stale::read(&mut fields);
        fields.finish();
        FeedSpec { max_age, stale }
    }
}
