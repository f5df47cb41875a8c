//! What the files say of operating a pool, and of feeds: capacities, how clients come back, how old a value
//! may be.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::Return;
use crate::files::{At, Fields};

/// Share of a pool's capacity that drains may take together without `force`, when none is written.
pub const MAX_DRAINED_CAPACITY_DEFAULT: f64 = 0.5;

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
}

impl Default for PoolPolicy {
    fn default() -> PoolPolicy {
        PoolPolicy {
            capacity: BTreeMap::new(),
            max_drained_capacity: MAX_DRAINED_CAPACITY_DEFAULT,
            return_steps: None,
        }
    }
}

impl PoolPolicy {
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
        let max_drained_capacity = pool.float_in("max_drained_capacity", 0.0, 1.0);
        let policy = PoolPolicy {
            capacity,
            max_drained_capacity: max_drained_capacity
                .map_or(MAX_DRAINED_CAPACITY_DEFAULT, |share| share.value),
            return_steps: pool.table("return").and_then(|fields| read_return(&pool.object, fields)),
        };
        (policy, named)
    }

    /// What the pool can hold at each of these PoPs.
    pub fn capacities<'p>(&self, pops: impl Iterator<Item = &'p str>) -> BTreeMap<String, f64> {
        let written = self.capacity.len();
        let average = if written == 0 { 1.0 } else { self.capacity.values().sum::<f64>() / written as f64 };
        pops.map(|pop| (pop.to_string(), self.capacity.get(pop).copied().unwrap_or(average))).collect()
    }
}

fn read_return(owner: &str, mut fields: Fields) -> Option<Return> {
    fields.object = format!("{owner} return");
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
        let max_age = fields.duration("max_age").map(|age| age.value);
        let stale = fields.text("stale").map_or(Stale::Hold, |word| match word.value.as_str() {
            "hold" => Stale::Hold,
            "neutral" => Stale::Neutral,
            "down" => Stale::Down,
            other => {
                let message = format!("`{other}` is unknown; write hold (the default), neutral or down");
                fields.error("stale", word.line, message);
                Stale::Hold
            }
        });
        fields.finish();
        FeedSpec { max_age, stale }
    }
}
