//! What two sets of files say otherwise about PoPs, pools, feeds and records, in words.
//!
//! It tells what is written, not what that does: who goes elsewhere is [`super::impact`]'s to say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};

use serde::Serialize;

use super::chains::{AnswerSpec, Chains, FilterSpec, Pool, RecordSpec};
use super::ttl::Ttl;

/// One thing that is written otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// What, as problems call it: `record wss-primary.example.com`.
    pub object: String,
    /// How: `added`, `removed`, or a field with its value, and what that was.
    pub what: String,
}

impl Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.what)
    }
}

/// Everything that `new` says otherwise than `old`.
pub fn edits(old: &Chains, new: &Chains) -> Vec<Edit> {
    let mut edits = Vec::new();
    each(&mut edits, "pop ", &old.pops, &new.pops, |edits, object, old, new| {
        edits.field(object, "country and coordinates", &old.meta, &new.meta, |_| String::new());
    });
    each(&mut edits, "pool ", &old.pools, &new.pools, pool_edits);
    each(&mut edits, "feed ", &old.feeds, &new.feeds, |edits, object, old, new| {
        edits.field(object, "max_age and stale", &old.value, &new.value, |_| String::new());
    });
    let by_name = |chains: &'_ Chains| -> BTreeMap<String, RecordSpec> {
        let name = |record: &RecordSpec| record.name.to_lowercase().to_string();
        let records = chains.records.iter();
        records.map(|record| (name(record).trim_end_matches('.').into(), record.clone())).collect()
    };
    each(&mut edits, "record ", &by_name(old), &by_name(new), record_edits);
    edits
}

/// Adds to a list of edits.
trait Tell {
    fn tell(&mut self, object: &str, what: String);

    /// Tells of a field whose value is another. `show` is empty for what is too long for a line.
    fn field<T: PartialEq>(
        &mut self,
        object: &str,
        field: &str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
    ) {
        if old == new {
            return;
        }
        match (show(new), show(old)) {
            (new, old) if new.is_empty() && old.is_empty() => {
                self.tell(object, format!("{field} changed"));
            }
            (new, old) => {
                let or_none = |text: String| if text.is_empty() { "none".into() } else { text };
                self.tell(object, format!("{field} {}, was {}", or_none(new), or_none(old)));
            }
        }
    }
}

impl Tell for Vec<Edit> {
    fn tell(&mut self, object: &str, what: String) {
        self.push(Edit { object: object.into(), what });
    }
}

/// Tells which are gone and which are new, and asks about those on both sides.
fn each<T>(
    edits: &mut Vec<Edit>,
    kind: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    both: impl Fn(&mut Vec<Edit>, &str, &T, &T),
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let object = format!("{kind}{name}");
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) => both(edits, &object, old, new),
            (None, _) => edits.tell(&object, "added".into()),
            (_, None) => edits.tell(&object, "removed".into()),
        }
    }
}

fn pool_edits(edits: &mut Vec<Edit>, object: &str, old: &Pool, new: &Pool) {
    edits.field(object, "meta", &old.meta, &new.meta, |_| String::new());
    let capacity = |capacity: &BTreeMap<String, f64>| {
        capacity.iter().map(|(pop, holds)| format!("{pop} {holds}")).collect::<Vec<String>>().join(", ")
    };
    let (was, is) = (&old.policy, &new.policy);
    edits.field(object, "capacity", &was.capacity, &is.capacity, capacity);
    for (field, was, is) in [
        ("max_drained_capacity", was.max_drained_capacity, is.max_drained_capacity),
        ("max_down_capacity", was.max_down_capacity, is.max_down_capacity),
    ] {
        edits.field(object, field, &was, &is, f64::to_string);
    }
    edits.field(object, "failover", &was.failover, &is.failover, |_| String::new());
    edits.field(object, "return", &was.return_steps, &is.return_steps, |_| String::new());
    answer_edits(edits, object, &old.answers, &new.answers);
}

fn answer_edits(edits: &mut Vec<Edit>, object: &str, old: &[AnswerSpec], new: &[AnswerSpec]) {
    let (old, new) = (by_call(old), by_call(new));
    each(edits, &format!("{object} answer "), &old, &new, |edits, object, old, new| {
        edits.field(object, "weight", &old.weight, &new.weight, text);
        edits.field(object, "a", &old.a, &new.a, |addresses| listed(addresses));
        edits.field(object, "aaaa", &old.aaaa, &new.aaaa, |addresses| listed(addresses));
        edits.field(object, "cname", &old.cname, &new.cname, text);
        let group = |answer: &AnswerSpec| answer.group.as_ref().map(|group| group.value.clone());
        edits.field(object, "group", &group(old), &group(new), text);
        edits.field(object, "meta", &old.meta, &new.meta, |_| String::new());
    });
}

/// Answers by what they are called, or by their place where two are called alike.
fn by_call(answers: &[AnswerSpec]) -> BTreeMap<String, AnswerSpec> {
    let mut named = BTreeMap::new();
    for (at, answer) in answers.iter().enumerate() {
        let pop = answer.pop.as_ref().map(|pop| &pop.value);
        let parts: Vec<&str> =
            [answer.name.as_ref(), pop, answer.stack.as_ref()].into_iter().flatten().map(|s| &**s).collect();
        let mut name = parts.join("/");
        if name.is_empty() || named.contains_key(&name) {
            name = format!("{name} {}", at + 1).trim_start().into();
        }
        named.insert(name, answer.clone());
    }
    named
}

fn record_edits(edits: &mut Vec<Edit>, object: &str, old: &RecordSpec, new: &RecordSpec) {
    let pool = |record: &RecordSpec| record.pool.as_ref().map(|pool| pool.value.clone());
    edits.field(object, "pool", &pool(old), &pool(new), text);
    edits.field(object, "ttl", &old.ttl, &new.ttl, Ttl::to_string);
    edits.field(object, "filters", &chain(old), &chain(new), |chain| chain.join(", "));
    let client_subnet = (&old.use_client_subnet, &new.use_client_subnet);
    edits.field(object, "use_client_subnet", client_subnet.0, client_subnet.1, bool::to_string);
    edits.field(object, "rotate", &old.rotate, &new.rotate, bool::to_string);
    edits.field(object, "panic_threshold", &old.panic_threshold, &new.panic_threshold, f64::to_string);
    let on_empty = |nodata: &bool| if *nodata { "nodata" } else { "unfenced" }.to_string();
    edits.field(object, "on_empty", &old.nodata_on_empty, &new.nodata_on_empty, on_empty);
    edits.field(object, "spread", &old.spread, &new.spread, |(v4, v6)| format!("/{v4} and /{v6}"));
    edits.field(object, "meta", &old.meta, &new.meta, |_| String::new());
    edits.field(object, "meta of groups", &old.groups, &new.groups, |_| String::new());
    answer_edits(edits, object, &old.answers, &new.answers);
}

/// The filters that are not disabled, with their options.
fn chain(record: &RecordSpec) -> Vec<String> {
    let filters = record.filters.iter().filter(|filter| !filter.disabled);
    let options = |filter: &FilterSpec| {
        let options = filter.options.iter().map(|(name, value)| format!("{name} = {value}"));
        options.collect::<Vec<String>>().join(", ")
    };
    let shown = filters.map(|filter| match options(filter) {
        none if none.is_empty() => filter.name.clone(),
        some => format!("{}({some})", filter.name),
    });
    shown.collect()
}

fn text<T: Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(String::new, T::to_string)
}

fn listed<T: Display + Debug>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<String>>().join(" ")
}
