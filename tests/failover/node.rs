//! Failover, and a state that does what it wishes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::SignedDuration;
use rhumb::engine::Snapshot;
use rhumb::engine::explain::{Question, explain};
use rhumb::files::parse_duration;
use rhumb::health::failover::{Acts, Failover, OWNER, Seen};
use rhumb::state::Loaded;
use rhumb::state::base::BaseAnswer;
use rhumb::state::change::{Change, DrainAsk, Refusal, Situation, Which, decide};
use rhumb::state::clock::{Clock, Reading};
use rhumb::state::live::{FeedValue, Touched, Values, VerdictValue, refresh};
use rhumb::state::model::{Actor, Drain, Entry, LiveValues, Model, Role, Scope, Time};
use rhumb::state::policy::Stale;

use super::probed::{MONITOR, Probed};
use super::support::Folder;

const START: i64 = 1_800_000_000;

/// What is asked beside the monitors, unless the case says otherwise.
const REFERENCES: &str = r#"references = ["tcp://192.0.2.99:443"]"#;

/// Three pools at four PoPs. `wss` is what the case says; `api` fails with all it has, and `web`, at two of
/// the PoPs, has no failover. `plain` stands at none.
const POOLS: &str = r#"
[health]
pools_of_a_pop = 2
references = ["tcp://192.0.2.99:443"]

[feed.load]

[pop]
dublin = { country = "IE" }
london = { country = "GB" }
sydney = { country = "AU" }
tokyo = { country = "JP" }

[pool.wss]
meta = { up = { feed = "load" }, connections = { feed = "load" }, low_watermark = 80, high_watermark = 100 }
answer = [
    { pop = "dublin", stack = "envoy", weight = 50, a = "192.0.2.1" },
    { pop = "dublin", stack = "haproxy", weight = 50, a = "192.0.2.2" },
    { pop = "london", a = ["192.0.2.3", "192.0.2.33"] },
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

[pool.plain]
return = { steps = [50, 100], pause = "10s" }
answer = [{ name = "one", a = "192.0.2.31" }, { name = "two", a = "192.0.2.32" }]
"#;

/// A monitor that can be named, where the transcript is what says things.
const CANARY: &str = r#"
[monitor.canary]
kind = "push"
target = { pool = "wss" }
"#;

/// Failover, and a state that does what it wishes.
pub struct Node {
    loaded: Loaded,
    probed: Option<Probed>,
    clock: Clock,
    /// How far the wall clock is from where it should be.
    off: SignedDuration,
    /// The time that is believed.
    now: Time,
    answered: String,
    model: Model,
    values: Values,
    said: BTreeMap<String, VerdictValue>,
    failover: Failover,
    /// What it wants kept.
    kept: BTreeMap<String, String>,
    seconds: i64,
    alarms: BTreeSet<String>,
    /// What is foreseen is told.
    foresees: bool,
    upcoming: BTreeMap<Scope, Time>,
    /// For how many of a hundred clients each drain is in force.
    percent: BTreeMap<String, u8>,
    told: String,
}

impl Node {
    pub fn new(fields: &str) -> Node {
        let folder = Folder::example();
        folder.write("zones/example.com.zone", "$TTL 1h\n@ SOA ns a 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n");
        fs::remove_file(folder.path().join("filter-chains/wss.toml")).unwrap();
        fs::remove_file(folder.path().join("zones/wss.example.net.zone")).unwrap();
        let chain = "filters = ['up', 'geotarget_country', 'select_first_n']";
        let record = |pool| format!("[[record]]\nname = '{pool}.example.com'\npool = '{pool}'\n{chain}\n");
        let is_probed = fields.lines().any(|field| field == "probed");
        let foresees = fields.lines().any(|field| field == "foresees");
        let key = |field: &str| field.split(" =").next().unwrap().to_string();
        let (mut of_pool, mut of_monitor, mut references) = (String::new(), String::new(), REFERENCES);
        for field in fields.lines().filter(|field| !["probed", "foresees"].contains(field)) {
            match key(field).as_str() {
                "references" => references = field,
                "stale" | "interval" | "fall" => of_monitor += &format!("{field}\n"),
                _ => of_pool += &format!("{field}\n"),
            }
        }
        let is_usual = |line: &&str| !of_monitor.lines().any(|field| key(field) == key(line));
        let usual: Vec<&str> = MONITOR.lines().filter(is_usual).collect();
        let monitor =
            if is_probed { format!("{}\n{of_monitor}", usual.join("\n")) } else { CANARY.to_string() };
        let pools = POOLS.replace(REFERENCES, references).replace("# the case", &of_pool)
            + &["wss", "api", "web", "plain"].map(record).concat()
            + &monitor;
        folder.write("filter-chains/pools.toml", pools);
        let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems:#?}"));
        let wall = Time::from_second(START).unwrap();
        let probed = is_probed.then(|| Probed::new(loaded.base.monitors.plan(&Default::default()), wall));
        let up = |answer: &BaseAnswer| (answer.id.clone(), verdict(true, "", 0));
        let said: BTreeMap<_, _> = match &probed {
            Some(probed) => probed.said(),
            None => loaded.base.answers().map(up).collect(),
        };
        let mut values = Values::default();
        said.iter().for_each(|(answer, verdict)| values.put_verdict(answer, Some(verdict.clone())));
        let mut node = Node {
            loaded,
            probed,
            clock: Clock::new(Reading { wall, elapsed: Duration::ZERO }, None),
            off: SignedDuration::ZERO,
            now: wall,
            answered: String::new(),
            model: Model::default(),
            values,
            failover: Failover::new(said.clone().into_iter().collect(), BTreeMap::new()),
            kept: BTreeMap::new(),
            said,
            seconds: 0,
            alarms: BTreeSet::new(),
            foresees,
            upcoming: BTreeMap::new(),
            percent: BTreeMap::new(),
            told: String::new(),
        };
        node.look();
        // Everything is as it should be, and nobody needs to read it.
        node.told.clear();
        node
    }

    /// The clocks go on, and the monitors.
    fn turn(&mut self) {
        let elapsed = Duration::from_secs(self.seconds as u64);
        let wall = Time::from_second(START + self.seconds).unwrap() + self.off;
        self.now = self.clock.tick(Reading { wall, elapsed });
        if let Some(probed) = &mut self.probed {
            probed.run(wall, elapsed);
            self.said = probed.said();
        }
    }

    fn tell(&mut self, what: impl std::fmt::Display) {
        writeln!(self.told, "{:>4}s {what}", self.seconds).unwrap();
    }

    pub fn perform(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["run", span] => {
                let until = self.seconds + parse_duration(span).unwrap().as_secs() as i64;
                while self.seconds < until {
                    self.seconds += 1;
                    self.turn();
                    self.look();
                }
            }
            ["clock", span] => {
                let is_back = span.starts_with('-');
                let span =
                    SignedDuration::try_from(parse_duration(span.trim_start_matches(['-', '+'])).unwrap());
                self.off += if is_back { -span.unwrap() } else { span.unwrap() };
            }
            ["becomes", who, ref how @ ..] => self.probed.as_mut().expect("-- probed").becomes(who, how),
            ["down", answer, ref why @ ..] => self.say(answer, verdict(false, &why.join(" "), self.seconds)),
            ["up", answer] => self.say(answer, verdict(true, "", self.seconds)),
            ["forget", answer] => drop(self.said.remove(answer)),
            ["load", answer, connections] => {
                let connections = Some(connections.parse().unwrap());
                self.feed(answer, LiveValues { connections, ..LiveValues::default() });
            }
            ["feed", answer, up] => {
                self.feed(answer, LiveValues { up: Some(up == "up"), ..LiveValues::default() });
            }
            ["reload", "without", "failover"] => {
                self.loaded.base.pools.get_mut("wss").unwrap().policy.failover = None;
            }
            ["policy", pool, "of", "files"] => self.asks("anna", Change::ClearPolicy { pool: pool.into() }),
            ["policy", pool, ref fields @ ..] => {
                let fields = toml::from_str(&fields.join(" ").replace("; ", "\n")).unwrap();
                self.asks("anna", Change::SetPolicy { pool: pool.into(), fields });
            }
            // What was kept is what the store has.
            ["restart"] => {
                self.keep();
                let applied = self.values.verdicts().iter();
                let applied = applied.map(|(answer, verdict)| (answer.clone(), verdict.clone()));
                self.failover = Failover::new(applied.collect(), self.kept.clone());
            }
            ["suspend", pool] => self.asks("anna", Change::Suspend { pool: pool.into(), until: None }),
            ["suspend", pool, "for", span] => {
                let span = SignedDuration::try_from(parse_duration(span).unwrap()).unwrap();
                let until = Some(self.now + span);
                self.asks("anna", Change::Suspend { pool: pool.into(), until });
            }
            ["resume", pool] => self.asks("anna", Change::Unsuspend { pool: pool.into() }),
            ["drain", place, by] => {
                let percent = by.trim_end_matches('%').parse().unwrap();
                let scope = scope(place);
                let ask =
                    DrainAsk { scope, percent, starts_at: None, expires_in_s: None, return_steps: None };
                self.asks("anna", Change::Drain(ask));
            }
            // Ours.
            ["lift", place] => {
                let which = Which::Scope { scope: scope(place), all_owners: true };
                self.asks("anna", Change::Undrain { which, now: false });
            }
            ["undrain", place] => {
                let which = Which::Scope { scope: scope(place), all_owners: false };
                self.asks("anna", Change::Undrain { which, now: true });
            }
            _ => panic!("`{command}` is no command"),
        }
        std::mem::take(&mut self.told)
    }

    /// Keeps what is to be kept over a restart.
    fn keep(&mut self) {
        for (key, json) in self.failover.kept() {
            match json {
                Some(json) => drop(self.kept.insert(key, json)),
                None => drop(self.kept.remove(&key)),
            }
        }
    }

    /// What the monitors say of an answer from now on.
    fn say(&mut self, answer: &str, said: VerdictValue) {
        assert!(self.loaded.base.answers().any(|known| known.id == answer), "there is no {answer}");
        self.said.insert(answer.into(), said);
    }

    fn feed(&mut self, answer: &str, values: LiveValues) {
        let value = FeedValue { values, made_at: self.now, max_age_s: None, stale: Stale::Hold };
        self.values.take_feed("load", answer, value);
    }

    fn asks(&mut self, who: &str, change: Change) {
        if let Err(refusal) = self.change(who, &change, "because") {
            self.tell(format!("{who} is refused: {refusal}"));
        }
    }

    /// One second: health looks, what it wishes is done or refused, and what is over ends.
    fn look(&mut self) {
        let now = self.now;
        let hidden = self.probed.as_ref().map(Probed::hidden).unwrap_or_default();
        let seen = Seen {
            base: &self.loaded.base,
            model: &self.model,
            values: &self.values,
            said: &self.said,
            hidden: &hidden,
            pools_of_a_pop: self.loaded.base.monitors.health.pools_of_a_pop,
            now,
        };
        let Acts { wishes, verdicts, mut alarms, upcoming } = self.failover.look(&seen);
        alarms.extend(self.clock.alarm().map(|alarm| alarm.split(" at ").next().unwrap().to_string()));
        if let Some(probed) = &self.probed {
            alarms.extend(probed.flapping().chain(probed.alarms()));
        }
        for act in &wishes {
            if let Err(why) = self.change(OWNER, &act.change, &act.reason) {
                self.failover.refused(act, &why, now);
            }
        }
        for (answer, verdict) in verdicts {
            // That one is in doubt, or no longer, is only of interest to TTLs.
            let settled = |verdict: &VerdictValue| VerdictValue { may_change_at: None, ..verdict.clone() };
            let before = self.values.verdicts().get(&answer).map(settled);
            match &verdict {
                Some(verdict) if before.as_ref() == Some(&settled(verdict)) => {}
                Some(verdict) if verdict.up => {
                    let without = |address| format!(" without {address}");
                    let without: String = verdict.failing.iter().map(without).collect();
                    self.tell(format!("{answer} counts as up{without}"));
                }
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
        if self.foresees {
            let before = std::mem::replace(&mut self.upcoming, upcoming.clone());
            for (scope, at) in upcoming.iter().filter(|(scope, at)| before.get(scope) != Some(at)) {
                self.tell(format!("{scope}: next at {}s", at.as_second() - START));
            }
        }
        self.end_what_is_over();
        self.tell_drains();
        if self.probed.is_some() {
            self.tell_answer();
        }
    }

    /// What a client in Ireland is answered, when that is something new.
    fn tell_answer(&mut self) {
        let served = &self.loaded.snapshot;
        let mut live = served.live.clone();
        let (base, now) = (&self.loaded.base, self.now);
        refresh(&mut live, &Touched::All, &served.steerings, base, &self.model, &self.values, now);
        let snapshot = Snapshot {
            revision: self.model.revision,
            zones: served.zones.clone(),
            records: served.records.clone(),
            steerings: served.steerings.clone(),
            live,
            identity: served.identity.clone(),
        };
        let question = Question {
            name: "wss.example.com".parse().unwrap(),
            qtype: hickory_proto::rr::RecordType::A,
            client: Some(("52.16.1.0".parse().unwrap(), 24)),
            resolver: [127, 0, 0, 1].into(),
            seed: 1,
        };
        let explained = explain(&Arc::new(ArcSwap::from_pointee(snapshot)), &self.loaded.world, &question);
        let mut addresses: Vec<&str> =
            explained.answer.iter().filter_map(|line| line.split_whitespace().last()).collect();
        addresses.sort_unstable();
        let walk = explained.steered.as_ref().expect("it is steered");
        let rung = if walk.rung == "undrained" { String::new() } else { format!(" ({})", walk.rung) };
        let answer = format!("answered: {} {}{rung}", walk.picks.join(", "), addresses.join(" "));
        if answer != self.answered {
            self.tell(&answer);
            self.answered = answer;
        }
    }

    /// As the keeper does.
    fn end_what_is_over(&mut self) {
        let now = self.now;
        let drains = self.model.drains.values().filter(|drain| drain.is_over(now));
        let drains = drains.map(|drain| Change::EndDrain { id: drain.id.clone() });
        let suspensions = self.model.suspensions.values();
        let suspensions = suspensions.filter(|suspension| suspension.until.is_some_and(|until| until <= now));
        let suspensions = suspensions.map(|suspension| Change::Unsuspend { pool: suspension.pool.clone() });
        for change in drains.chain(suspensions).collect::<Vec<_>>() {
            self.change("rhumb", &change, "").unwrap();
        }
    }

    /// Which drains take out more or fewer clients than a second ago.
    fn tell_drains(&mut self) {
        let now = self.now;
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
            base: &self.loaded.base,
            model: &self.model,
            values: &self.values,
            now: self.now,
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
            time: self.now,
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
    // It begins with the monitor's name, as the pilot has it.
    let down_by = why.split_once(':').map(|(monitor, _)| monitor.to_string()).into_iter().collect();
    VerdictValue {
        up,
        failing: Vec::new(),
        since,
        why: why.into(),
        down_by,
        held_until: None,
        may_change_at: None,
    }
}

/// `dublin`, or `wss/dublin`.
fn scope(place: &str) -> Scope {
    let (pool, pop) = place.split_once('/').map_or((None, place), |(pool, pop)| (Some(pool.into()), pop));
    Scope { pool, pop: Some(pop.into()), ..Scope::default() }
}
