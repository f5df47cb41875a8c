//! What health does about what the monitors say, as transcripts: `tests/failover/*.txt`.
//!
//! A case begins with `== ` and the fields of its pool `wss`, each behind `-- `; a line that begins with `> `
//! is done, and the lines behind it are what came of it, with the second in which it did. Everything is looked
//! at once a second, and time is what the transcript says: nothing waits. `UPDATE=1` writes what comes of it
//! into the files.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use rhumb::files::parse_duration;
use rhumb::health::failover::{Acts, Failover, OWNER, Seen};
use rhumb::state::base::Base;
use rhumb::state::change::{Change, DrainAsk, Refusal, Situation, Which, decide};
use rhumb::state::live::{FeedValue, Values, VerdictValue};
use rhumb::state::model::{Actor, Drain, Entry, LiveValues, Model, Role, Scope, Time};
use rhumb::state::policy::Stale;
use support::{Folder, project};

const START: i64 = 1_800_000_000;

/// Three pools at four PoPs. `wss` is what the case says; `api` fails with all it has, and `web`, at two of
/// the PoPs, has no failover.
const POOLS: &str = r#"
[health]
pools_of_a_pop = 2

[feed.load]

[pop]
dublin = { country = "IE" }
london = { country = "GB" }
sydney = { country = "AU" }
tokyo = { country = "JP" }

[pool.wss]
meta = { connections = { feed = "load" }, low_watermark = 80, high_watermark = 100 }
answer = [
    { pop = "dublin", stack = "envoy", weight = 50, a = "192.0.2.1" },
    { pop = "dublin", stack = "haproxy", weight = 50, a = "192.0.2.2" },
    { pop = "london", a = "192.0.2.3" },
    { pop = "sydney", a = "192.0.2.4" },
    { pop = "tokyo", a = "192.0.2.5" },
]
# the case

[pool.api]
failover = { for = "5s", return_after = "10s", return = { steps = [50, 100], pause = "5s" } }
answer = [
    { pop = "dublin", a = "192.0.2.11" },
    { pop = "london", a = "192.0.2.12" },
    { pop = "sydney", a = "192.0.2.13" },
    { pop = "tokyo", a = "192.0.2.14" },
]

[[pool.web.answer]]
pop = "dublin"
a = "192.0.2.21"

[[pool.web.answer]]
pop = "london"
a = "192.0.2.22"

[[pool.web.answer]]
pop = "tokyo"
a = "192.0.2.23"
"#;

#[test]
fn transcripts() {
    let entries = fs::read_dir(project().join("tests/failover")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "the transcripts are found");
    let wrong: Vec<String> = files.iter().flat_map(|file| run_file(file)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Runs every case of a file; what differs, in words.
fn run_file(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let (mut wrong, mut written) = (Vec::new(), String::new());
    let (mut title, mut fields, mut node) = (String::new(), String::new(), None);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(written, "{line}").unwrap();
        if let Some(new) = line.strip_prefix("== ") {
            (title, fields, node) = (new.into(), String::new(), None);
        } else if let Some(field) = line.strip_prefix("-- ") {
            writeln!(fields, "{field}").unwrap();
        }
        let Some(command) = line.strip_prefix("> ") else { continue };
        let got = node.get_or_insert_with(|| Node::new(&fields)).perform(command);
        let mut expected = String::new();
        while let Some(next) = lines.next_if(|next| !next.is_empty() && !next.starts_with(['>', '=', '#'])) {
            writeln!(expected, "{next}").unwrap();
        }
        written += &got;
        if got != expected {
            let name = file.file_name().unwrap().display();
            wrong.push(format!("{name}: {title}\n> {command}\n--- expected\n{expected}--- got\n{got}"));
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, written).unwrap();
        return Vec::new();
    }
    wrong
}

/// Failover, and a state that does what it wishes.
struct Node {
    base: Base,
    pools_of_a_pop: Option<usize>,
    model: Model,
    values: Values,
    said: BTreeMap<String, VerdictValue>,
    failover: Failover,
    seconds: i64,
    alarms: BTreeSet<String>,
    /// For how many of a hundred clients each drain is in force.
    percent: BTreeMap<String, u8>,
    told: String,
}

impl Node {
    fn new(fields: &str) -> Node {
        let folder = Folder::example();
        folder.write("zones/example.com.zone", "$TTL 1h\n@ SOA ns a 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n");
        fs::remove_file(folder.path().join("filter-chains/wss.toml")).unwrap();
        fs::remove_file(folder.path().join("zones/wss.example.net.zone")).unwrap();
        let records: String = ["wss", "api", "web"]
            .map(|pool| {
                format!("[[record]]\nname = '{pool}.example.com'\npool = '{pool}'\nfilters = ['up']\n")
            })
            .concat();
        folder.write("filter-chains/pools.toml", POOLS.replace("# the case", fields) + &records);
        let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems:#?}"));
        let up = |answer: &rhumb::state::base::BaseAnswer| (answer.id.clone(), verdict(true, "", 0));
        let said: BTreeMap<String, VerdictValue> = loaded.base.answers().map(up).collect();
        let mut node = Node {
            base: loaded.base,
            pools_of_a_pop: loaded.plan.health.pools_of_a_pop,
            model: Model::default(),
            values: Values::default(),
            failover: Failover::new(said.clone().into_iter().collect()),
            said,
            seconds: 0,
            alarms: BTreeSet::new(),
            percent: BTreeMap::new(),
            told: String::new(),
        };
        node.look();
        node
    }

    fn now(&self) -> Time {
        Time::from_second(START + self.seconds).unwrap()
    }

    fn tell(&mut self, what: impl std::fmt::Display) {
        writeln!(self.told, "{:>4}s {what}", self.seconds).unwrap();
    }

    fn perform(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["run", span] => {
                let until = self.seconds + parse_duration(span).unwrap().as_secs() as i64;
                while self.seconds < until {
                    self.seconds += 1;
                    self.look();
                }
            }
            ["down", answer, ref why @ ..] => self.say(answer, verdict(false, &why.join(" "), self.seconds)),
            ["up", answer] => self.say(answer, verdict(true, "", self.seconds)),
            ["forget", answer] => drop(self.said.remove(answer)),
            ["load", answer, connections] => {
                let connections = Some(connections.parse().unwrap());
                let values = LiveValues { connections, ..LiveValues::default() };
                let value = FeedValue { values, made_at: self.now(), max_age_s: None, stale: Stale::Hold };
                self.values.put_feed("load", answer, value);
            }
            ["suspend", pool] => self.asks("anna", Change::Suspend { pool: pool.into(), until: None }),
            ["resume", pool] => self.asks("anna", Change::Unsuspend { pool: pool.into() }),
            ["drain", place, by] => {
                let percent = by.trim_end_matches('%').parse().unwrap();
                let scope = scope(place);
                let ask =
                    DrainAsk { scope, percent, starts_at: None, expires_in_s: None, return_steps: None };
                self.asks("anna", Change::Drain(ask));
            }
            ["undrain", place] => {
                let which = Which::Scope { scope: scope(place), all_owners: false };
                self.asks("anna", Change::Undrain { which, now: true });
            }
            _ => panic!("`{command}` is no command"),
        }
        std::mem::take(&mut self.told)
    }

    /// What the monitors say of an answer from now on.
    fn say(&mut self, answer: &str, said: VerdictValue) {
        assert!(self.base.answers().any(|known| known.id == answer), "there is no {answer}");
        self.said.insert(answer.into(), said);
    }

    fn asks(&mut self, who: &str, change: Change) {
        if let Err(refusal) = self.change(who, &change, "because") {
            self.tell(format!("{who} is refused: {refusal}"));
        }
    }

    /// One second: health looks, what it wishes is done or refused, and what is over ends.
    fn look(&mut self) {
        let now = self.now();
        let seen = Seen {
            base: &self.base,
            model: &self.model,
            values: &self.values,
            said: &self.said,
            pools_of_a_pop: self.pools_of_a_pop,
            now,
        };
        let Acts { wishes, verdicts, alarms } = self.failover.look(&seen);
        for act in &wishes {
            if let Err(why) = self.change(OWNER, &act.change, &act.reason) {
                self.failover.refused(act, &why, now);
            }
        }
        for (answer, verdict) in verdicts {
            match &verdict {
                Some(verdict) if verdict.up => self.tell(format!("{answer} counts as up")),
                Some(verdict) => self.tell(format!("{answer} counts as down: {}", verdict.why)),
                None => self.tell(format!("{answer} has no monitor any more")),
            }
            self.values.put_verdict(&answer, verdict);
        }
        for over in self.alarms.difference(&alarms).cloned().collect::<Vec<_>>() {
            self.tell(format!("no longer: {over}"));
        }
        for new in alarms.difference(&self.alarms).cloned().collect::<Vec<_>>() {
            self.tell(format!("ALARM: {new}"));
        }
        self.alarms = alarms;
        self.end_drains();
        self.tell_drains();
    }

    /// As the keeper does.
    fn end_drains(&mut self) {
        let now = self.now();
        let over: Vec<String> = self
            .model
            .drains
            .values()
            .filter(|drain| drain.is_over(now))
            .map(|drain| drain.id.clone())
            .collect();
        for id in over {
            self.change("rhumb", &Change::EndDrain { id }, "").unwrap();
        }
    }

    /// Which drains take out more or fewer clients than a second ago.
    fn tell_drains(&mut self) {
        let now = self.now();
        let words = |drain: &Drain| format!("{} by {}", drain.scope, drain.owner);
        let drains = self.model.drains.values();
        let percent: BTreeMap<String, u8> =
            drains.map(|drain| (words(drain), drain.percent_at(now))).collect();
        for (drain, percent) in &percent {
            if self.percent.get(drain) != Some(percent) {
                self.tell(format!("{drain}: {percent} % of the clients are out"));
            }
        }
        let gone: Vec<String> =
            self.percent.keys().filter(|drain| !percent.contains_key(*drain)).cloned().collect();
        for drain in gone {
            self.tell(format!("{drain}: over"));
        }
        self.percent = percent;
    }

    fn change(&mut self, who: &str, change: &Change, reason: &str) -> Result<(), Refusal> {
        let actor = Actor { name: who.into(), from: String::new() };
        let at = Situation {
            base: &self.base,
            model: &self.model,
            values: &self.values,
            now: self.now(),
            actor: &actor,
            role: Role::Operate,
            pool: None,
            reason,
            force: who != OWNER,
        };
        let draft = decide(change, &at)?;
        if !draft.guards.is_empty() && !at.force {
            return Err(Refusal::Guarded(draft.guards));
        }
        let entry = Entry {
            revision: self.model.revision + 1,
            time: self.now(),
            actor: actor.clone(),
            action: draft.action.into(),
            object: draft.object.clone(),
            reason: reason.into(),
            forced: false,
            rows: draft.rows,
        };
        self.model.apply(&entry);
        if who == OWNER {
            self.tell(format!("{}: {} ({reason})", entry.action, entry.object));
        }
        Ok(())
    }
}

fn verdict(up: bool, why: &str, seconds: i64) -> VerdictValue {
    let since = Time::from_second(START).unwrap() + SignedDuration::from_secs(seconds);
    VerdictValue { up, failing: Vec::new(), since, why: why.into() }
}

/// `dublin`, or `wss/dublin`.
fn scope(place: &str) -> Scope {
    let (pool, pop) = place.split_once('/').map_or((None, place), |(pool, pop)| (Some(pool.into()), pop));
    Scope { pool, pop: Some(pop.into()), ..Scope::default() }
}
