//! What two sets of files say otherwise about PoPs, pools and records, in words.
//!
//! It tells what is written, not what that does: who goes elsewhere is [`super::impact`]'s to say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};

use serde::Serialize;

use super::chains::{AnswerSpec, Chains, FilterSpec, Pool, RecordSpec};

/// One thing that is written otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What, as problems call it: `record wss-primary.example.com`.
    pub object: String,
    /// How: `added`, `removed`, or a field with its value, and what that was.
    pub what: String,
}

impl Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.what)
    }
}

/// Everything that `new` says otherwise than `old`.
pub fn changes(old: &Chains, new: &Chains) -> Vec<Change> {
    let mut changes = Vec::new();
    each(&mut changes, "pop ", &old.pops, &new.pops, |changes, object, old, new| {
        changes.field(object, "country and coordinates", &old.meta, &new.meta, |_| String::new());
    });
    each(&mut changes, "pool ", &old.pools, &new.pools, pool_changes);
    let by_name = |chains: &'_ Chains| -> BTreeMap<String, RecordSpec> {
        let name = |record: &RecordSpec| record.name.to_lowercase().to_string();
        let records = chains.records.iter();
        records.map(|record| (name(record).trim_end_matches('.').into(), record.clone())).collect()
    };
    each(&mut changes, "record ", &by_name(old), &by_name(new), record_changes);
    changes
}

/// Adds to a list of changes.
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
                self.tell(object, format!("{field} is another"));
            }
            (new, old) => {
                let or_none = |text: String| if text.is_empty() { "none".into() } else { text };
                self.tell(object, format!("{field} {}, was {}", or_none(new), or_none(old)));
            }
        }
    }
}

impl Tell for Vec<Change> {
    fn tell(&mut self, object: &str, what: String) {
        self.push(Change { object: object.into(), what });
    }
}

/// Tells which are gone and which are new, and asks about those on both sides.
fn each<T>(
    changes: &mut Vec<Change>,
    kind: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    both: impl Fn(&mut Vec<Change>, &str, &T, &T),
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let object = format!("{kind}{name}");
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) => both(changes, &object, old, new),
            (None, _) => changes.tell(&object, "added".into()),
            (_, None) => changes.tell(&object, "removed".into()),
        }
    }
}

fn pool_changes(changes: &mut Vec<Change>, object: &str, old: &Pool, new: &Pool) {
    changes.field(object, "meta", &old.meta, &new.meta, |_| String::new());
    answer_changes(changes, object, &old.answers, &new.answers);
}

fn answer_changes(changes: &mut Vec<Change>, object: &str, old: &[AnswerSpec], new: &[AnswerSpec]) {
    let (old, new) = (by_call(old), by_call(new));
    each(changes, &format!("{object} answer "), &old, &new, |changes, object, old, new| {
        changes.field(object, "weight", &old.weight, &new.weight, text);
        changes.field(object, "a", &old.a, &new.a, |addresses| listed(addresses));
        changes.field(object, "aaaa", &old.aaaa, &new.aaaa, |addresses| listed(addresses));
        changes.field(object, "cname", &old.cname, &new.cname, text);
        let group = |answer: &AnswerSpec| answer.group.as_ref().map(|group| group.value.clone());
        changes.field(object, "group", &group(old), &group(new), text);
        changes.field(object, "meta", &old.meta, &new.meta, |_| String::new());
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

fn record_changes(changes: &mut Vec<Change>, object: &str, old: &RecordSpec, new: &RecordSpec) {
    let pool = |record: &RecordSpec| record.pool.as_ref().map(|pool| pool.value.clone());
    changes.field(object, "pool", &pool(old), &pool(new), text);
    changes.field(object, "ttl", &old.ttl, &new.ttl, u32::to_string);
    changes.field(object, "filters", &chain(old), &chain(new), |chain| chain.join(", "));
    let client_subnet = (&old.use_client_subnet, &new.use_client_subnet);
    changes.field(object, "use_client_subnet", client_subnet.0, client_subnet.1, bool::to_string);
    changes.field(object, "rotate", &old.rotate, &new.rotate, bool::to_string);
    changes.field(object, "panic_threshold", &old.panic_threshold, &new.panic_threshold, f64::to_string);
    let on_empty = |nodata: &bool| if *nodata { "nodata" } else { "unfenced" }.to_string();
    changes.field(object, "on_empty", &old.nodata_on_empty, &new.nodata_on_empty, on_empty);
    changes.field(object, "spread", &old.spread, &new.spread, |(v4, v6)| format!("/{v4} and /{v6}"));
    changes.field(object, "meta", &old.meta, &new.meta, |_| String::new());
    changes.field(object, "meta of groups", &old.groups, &new.groups, |_| String::new());
    answer_changes(changes, object, &old.answers, &new.answers);
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
