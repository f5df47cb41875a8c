//! Wishes and what becomes of them, as transcripts: `tests/wishes/*.txt`, through the keeper and its store.
//!
//! A line that begins with `> ` is done, and the lines behind it are what came back; `UPDATE=1` writes what
//! comes back into the files. Time is what the transcript says: nothing waits.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rhumb::engine::explain::{Explanation, Question, explain};
use rhumb::engine::steering::Live;
use rhumb::state::change::{Change, DrainAsk, DrainEdit, MigrationStep, Which};
use rhumb::state::clock::{Clocks, Reading};
use rhumb::state::keeper::{self, Beginning, Done, Fed, Kept, Note, State, Wish};
use rhumb::state::live::{FeedValue, Touched, VerdictValue, refresh};
use rhumb::state::model::{Actor, Entry, LiveValues, MigrationGuard, Plan, Return, Scope, Time};
use rhumb::state::policy::{self, Stale};
use rhumb::state::store::Store;
use rhumb::state::store::embedded::Embedded;
use support::breakable::{Breakable, Trouble};
use support::{Folder, project};

const START: i64 = 1_800_000_000;

#[test]
fn transcripts() {
    support::transcript::run("tests/wishes", 8, |file, _| Node::new(file), Node::perform);
}

/// A node without sockets: files, store, keeper.
struct Node {
    folder: Folder,
    clock: Arc<Mutex<Reading>>,
    trouble: Arc<Mutex<Trouble>>,
    running: Option<(State, JoinHandle<()>)>,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    /// With the chains that all transcripts share, and those of this one.
    fn new(transcript: &Path) -> Node {
        let folder = Folder::example();
        let more = fs::read_to_string(project().join("tests/data/steering/more.toml")).unwrap();
        let chains = folder.read("filter-chains/wss.toml");
        let policy = "[pool.wss]\nmax_drained_capacity = 0.5\n\
                      return = { steps = [25, 100], pause = \"10m\" }\n";
        folder.write("filter-chains/wss.toml", chains.replace("[pool.wss]\n", policy));
        folder.write("filter-chains/more.toml", more);
        let own = format!("tests/data/steering/{}.toml", transcript.file_stem().unwrap().display());
        if let Ok(own) = fs::read_to_string(project().join(own)) {
            folder.write("filter-chains/own.toml", own);
        }
        let reading = Reading { wall: Time::from_second(START).unwrap(), elapsed: Duration::ZERO };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut node = Node {
            folder,
            clock: Arc::new(Mutex::new(reading)),
            trouble: Arc::default(),
            running: None,
            runtime,
        };
        node.start();
        node
    }

    fn start(&mut self) {
        let loaded = self.folder.load().unwrap_or_else(|problems| panic!("{problems:#?}"));
        let mut store = Embedded::open(&self.folder.path().join("state/rhumb.redb")).unwrap();
        let contents = store.read().unwrap();
        let store = Kept::Store(Box::new(Breakable {
            store,
            trouble: self.trouble.clone(),
            commits: Arc::default(),
        }));
        let clock = self.clock.clone();
        let clocks: Clocks = Box::new(move || *clock.lock().unwrap());
        let beginning = Beginning { store, contents, loaded, clocks, not_ready: None };
        let (state, _, thread) = keeper::start(beginning).unwrap();
        self.running = Some((state, thread));
    }

    fn stop(&mut self) {
        if let Some((state, thread)) = self.running.take() {
            state.stop();
            thread.join().unwrap();
        }
    }

    fn state(&self) -> &State {
        &self.running.as_ref().unwrap().0
    }

    fn perform(&mut self, command: &str) -> String {
        let said = self.act(command);
        self.is_as_if_compiled_whole(command);
        said.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// A change compiles what it touches alone: what is served is what compiling everything would give.
    fn is_as_if_compiled_whole(&self, command: &str) {
        let view = self.state().view();
        let snapshot = &view.snapshot;
        let mut whole = snapshot.live.clone();
        let (base, model, values) = (&view.base, &view.model, &view.values);
        let others = refresh(&mut whole, &Touched::All, &snapshot.steerings, base, model, values, view.now);
        let parts = |live: &[Arc<Live>]| -> Vec<String> {
            let part = |at: &u32| {
                let live = &live[*at as usize];
                format!(
                    "{:?} {:?} {:?} {:?} {:?}",
                    live.drained, live.split, live.meta, live.addresses, live.upcoming
                )
            };
            others.iter().map(part).collect()
        };
        assert_eq!(parts(&snapshot.live), parts(&whole), "after {command}");
    }

    fn act(&mut self, command: &str) -> String {
        let words = split_words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["wait", span] => {
                let span = rhumb::files::parse_duration(span).unwrap();
                self.step(span, span)
            }
            ["clock", span] => {
                let span = rhumb::files::parse_duration(span).unwrap();
                self.step(span, Duration::from_secs(1))
            }
            ["accept", "clock"] => {
                let note = Note {
                    actor: Actor { name: "anna".into(), from: "192.0.2.7".into() },
                    action: "accepted".into(),
                    object: "the clock".into(),
                    reason: "it is right".into(),
                };
                self.runtime.block_on(self.state().accept_clock(note)).unwrap();
                self.now_it_is()
            }
            ["restart"] => {
                self.stop();
                self.start();
                String::new()
            }
            ["reload", "without", file] => {
                let path = self.folder.path().join("filter-chains").join(file);
                let aside = self.folder.path().join(file);
                fs::rename(&path, &aside).unwrap();
                self.state().load(self.folder.load().unwrap_or_else(|problems| panic!("{problems:#?}")));
                fs::rename(&aside, &path).unwrap();
                String::new()
            }
            ["reload", ref without @ ..] => {
                let whole = self.folder.read("filter-chains/wss.toml");
                let is_kept = |block: &&str| {
                    !without.iter().any(|pop| {
                        block.contains(&format!("pop = \"{pop}\""))
                            || block.starts_with(&format!("[pop.{pop}]"))
                    })
                };
                let rest: Vec<&str> = whole.split("\n\n").filter(is_kept).collect();
                self.folder.write("filter-chains/wss.toml", rest.join("\n\n"));
                let loaded = self.folder.load().unwrap_or_else(|problems| panic!("{problems:#?}"));
                self.folder.write("filter-chains/wss.toml", whole);
                self.state().load(loaded);
                String::new()
            }
            ["store", how] => {
                *self.trouble.lock().unwrap() = match how {
                    "breaks" => Trouble::Full,
                    "denies" => Trouble::Denies,
                    "hides" => Trouble::Unreadable,
                    _ => Trouble::None,
                };
                String::new()
            }
            ["ask", name, client] => self.ask(name, client),
            ["drains"] => self.drains(),
            ["splits"] => self.splits(),
            ["monitors"] => self.monitors(),
            ["policy", pool] => self.policy(pool),
            ["log"] => self.log(),
            ["state"] => self.status(),
            ["feed", feed, ref rest @ ..] => self.feed(feed, rest),
            ["ttl", name, client] => {
                let explained = self.explain(name, client);
                format!("{}\n", explained.steered.and_then(|walk| walk.ttl).expect("a range"))
            }
            ["verdict", answer, how, ref rest @ ..] => {
                let fields = fields(rest);
                let later = |name| {
                    let span = fields.get(name)?;
                    Some(self.now() + rhumb::files::parse_duration(span).unwrap())
                };
                let verdict = VerdictValue {
                    up: how == "up",
                    failing: Vec::new(),
                    since: self.now(),
                    why: "it does not answer".into(),
                    down_by: BTreeSet::new(),
                    held_until: later("held"),
                    may_change_at: later("in_doubt").or(later("held")),
                };
                self.state().verdicts(vec![(answer.into(), Some(verdict))], Vec::new());
                self.settle();
                String::new()
            }
            // What health says that it will do, in so long.
            ["act", place, span] => {
                let (pool, pop) = place.split_once('/').unwrap();
                let scope = Scope { pool: Some(pool.into()), pop: Some(pop.into()), ..Scope::default() };
                let at = self.now() + rhumb::files::parse_duration(span).unwrap();
                self.state().acts(BTreeMap::from([(scope, at)]));
                self.settle();
                String::new()
            }
            ["as", who, ref wish @ ..] => self.wish(who, wish),
            _ => panic!("`{command}` is no command"),
        }
    }

    /// Lets the clocks run, and the keeper see it.
    fn step(&mut self, wall: Duration, elapsed: Duration) -> String {
        {
            let mut reading = self.clock.lock().unwrap();
            reading.wall += jiff::SignedDuration::try_from(wall).unwrap();
            reading.elapsed += elapsed;
        }
        // What time brings about may bring about more: a migration, step by step.
        self.settle();
        String::new()
    }

    /// A message through the keeper, so that everything before it is done.
    fn settle(&self) {
        self.runtime.block_on(self.state().export()).unwrap();
        self.runtime.block_on(self.state().export()).unwrap();
    }

    fn now(&self) -> Time {
        self.clock.lock().unwrap().wall
    }

    fn now_it_is(&self) -> String {
        format!("now +{} s\n", self.state().view().now.as_second() - START)
    }

    /// The answers a client gets, with the scope.
    fn ask(&self, name: &str, client: &str) -> String {
        let explanation = self.explain(name, client);
        let walk = explanation.steered.expect("it is steered");
        let rung = if walk.rung == "undrained" { String::new() } else { format!(" ({})", walk.rung) };
        format!("{} /{}{rung}\n", walk.picks.join(", "), explanation.scope.unwrap())
    }

    fn explain(&self, name: &str, client: &str) -> Explanation {
        let view = self.state().view();
        let network: ipnet::IpNet = client.parse().unwrap();
        let question = Question {
            name: name.parse().unwrap(),
            qtype: hickory_proto::rr::RecordType::A,
            client: Some((network.addr(), network.prefix_len())),
            resolver: IpAddr::from([127, 0, 0, 1]),
            seed: 1,
        };
        let current = Arc::new(arc_swap::ArcSwap::new(view.snapshot.clone()));
        explain(&current, &view.world, &question)
    }

    fn drains(&self) -> String {
        let view = self.state().view();
        let line = |drain: &rhumb::state::model::Drain| {
            let not_durable = view.volatile.contains(&format!("drain/{}", drain.id));
            format!(
                "{} by {}: {} %, now {} %{}\n",
                drain.scope,
                drain.owner,
                drain.percent,
                drain.percent_at(view.now),
                if not_durable { ", NOT DURABLE" } else { "" }
            )
        };
        let mut lines: Vec<String> = view.model.drains.values().map(line).collect();
        lines.sort();
        lines.concat()
    }

    fn splits(&self) -> String {
        let view = self.state().view();
        let split = |split: &rhumb::state::model::Split| {
            let weights: Vec<String> =
                split.weights.iter().map(|(stack, weight)| format!("{stack}={weight}")).collect();
            format!(
                "{} at {}: {} (r{} by {})\n",
                split.pool,
                split.pop,
                weights.join(" "),
                split.revision,
                split.owner
            )
        };
        let migration = |migration: &rhumb::state::model::Migration| {
            let why = if migration.why.is_empty() { String::new() } else { format!(": {}", migration.why) };
            format!("migration {} {:?}{why}\n", migration.id, migration.state)
        };
        let splits = view.model.splits.values().map(split);
        splits.chain(view.model.migrations.values().map(migration)).collect()
    }

    /// What is probed, by monitor, and which rows are not in force.
    fn monitors(&self) -> String {
        let view = self.state().view();
        let mut said = String::new();
        let mut probed: BTreeMap<(String, String), usize> = BTreeMap::new();
        for one in view.base.monitors.plan(&view.model.monitors).monitored {
            let how = format!("{} on port {}", one.check.kind.line().name, one.check.port);
            *probed.entry((one.monitor, how)).or_default() += 1;
        }
        for ((monitor, how), answers) in probed {
            writeln!(said, "{monitor}: {how}, {answers} answers").unwrap();
        }
        for (name, row) in &view.model.monitors {
            let state =
                view.base.monitors.dormant(row).map_or("in force".into(), |why| format!("dormant: {why}"));
            writeln!(said, "r{} by {}: {name} {state}", row.row.revision, row.row.owner).unwrap();
        }
        said
    }

    fn policy(&self, pool: &str) -> String {
        let view = self.state().view();
        let mut said = String::new();
        if view.base.pools.contains_key(pool) {
            let json = policy::in_force(&view.base, &view.model, pool).to_json();
            said = json.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
            let blind = policy::why_blind(&view.base, &view.model, pool);
            said += &blind.map_or(String::new(), |why| format!("{why}\n"));
        }
        if let Some(row) = view.model.policies.get(pool) {
            writeln!(said, "r{} by {}", row.row.revision, row.row.owner).unwrap();
            said +=
                &policy::dormant(&view.base, row).map_or(String::new(), |why| format!("dormant: {why}\n"));
        }
        said
    }

    fn log(&self) -> String {
        let entries = self.runtime.block_on(self.state().log(u64::MAX, 100)).unwrap();
        let line = |entry: &Entry| {
            let forced = if entry.forced { " FORCED" } else { "" };
            let Entry { revision, actor, action, object, reason, .. } = entry;
            format!("r{revision} {}{forced} {action}: {object} ({reason})\n", actor.name)
        };
        entries.iter().map(line).collect()
    }

    fn status(&self) -> String {
        let view = self.state().view();
        let mut said = format!("r{} store {:?}", view.model.revision, view.store.state);
        if !view.volatile.is_empty() {
            write!(said, ", {} not durable", view.volatile.len()).unwrap();
        }
        if let Some(alarm) = &view.clock_alarm {
            write!(said, ", {}", alarm.split(':').next().unwrap()).unwrap();
        }
        said + "\n"
    }

    fn feed(&self, feed: &str, words: &[&str]) -> String {
        let fields = fields(words);
        let number = |name: &str| fields.get(name).map(|text| text.parse::<f64>().unwrap());
        let span = |name: &str| fields.get(name).map(|span| rhumb::files::parse_duration(span).unwrap());
        let (ago, ahead) = (span("ago").unwrap_or_default(), span("ahead").unwrap_or_default());
        let value = FeedValue {
            values: LiveValues {
                up: fields.get("up").map(|up| up == "true"),
                connections: number("connections"),
                low_watermark: number("low"),
                high_watermark: number("high"),
                ..LiveValues::default()
            },
            made_at: self.now() - ago + ahead,
            max_age_s: span("max_age").map(|span| span.as_secs()),
            stale: match fields.get("stale").map(String::as_str) {
                Some("down") => Stale::Down,
                Some("neutral") => Stale::Neutral,
                _ => Stale::Hold,
            },
        };
        let values = vec![(fields["answer"].clone(), value)];
        let fed = self.runtime.block_on(self.state().feed(feed.into(), values)).unwrap();
        match &fed[0] {
            Fed::Taken => String::new(),
            other => format!("refused: {other:?}\n"),
        }
    }

    fn wish(&self, who: &str, words: &[&str]) -> String {
        let (name, role) = who.split_once(':').unwrap_or((who, "operate"));
        let flags = |flag: &str| words.contains(&flag);
        let fields = fields(words);
        let wish = Wish {
            change: self.change(words, &fields),
            actor: Actor { name: name.into(), from: "192.0.2.7".into() },
            role: clap::ValueEnum::from_str(role, false).unwrap(),
            pool: fields.get("token_pool").cloned(),
            reason: fields.get("reason").cloned().unwrap_or_default(),
            expected: fields.get("expect").map(|revision| revision.parse().unwrap()),
            force: flags("force"),
            volatile: flags("volatile"),
        };
        match self.runtime.block_on(self.state().change(wish)) {
            Ok(Done { revision, action, object, words, forced, changed, durable, .. }) => {
                let mut said = format!("r{revision} {action}: {object}");
                said += if changed { "" } else { " (nothing changed)" };
                said += if durable { "\n" } else { " NOT DURABLE\n" };
                said + &words.iter().chain(&forced).map(|line| format!("  {line}\n")).collect::<String>()
            }
            Err(refusal) => {
                let kind = format!("{refusal:?}");
                let kind = kind.split([' ', '(', '{']).next().unwrap();
                format!("{kind}: {refusal}\n")
            }
        }
    }

    fn change(&self, words: &[&str], fields: &BTreeMap<String, String>) -> Change {
        let text = |name: &str| fields.get(name).cloned();
        let scope =
            || Scope { pop: text("pop"), pool: text("pool"), stack: text("stack"), answer: text("answer") };
        let seconds =
            |name: &str| text(name).map(|span| rhumb::files::parse_duration(&span).unwrap().as_secs());
        let starts_at = || {
            let later = |name: &str| seconds(name).map(|s| jiff::SignedDuration::from_secs(s as i64));
            later("in").map(|later| self.now() + later).or(later("ago").map(|ago| self.now() - ago))
        };
        let id = || {
            let wanted = scope();
            let view = self.state().view();
            let found =
                view.model.drains.values().find(|d| d.scope == wanted && Some(&d.owner) == fields.get("of"));
            found.map_or("none".to_string(), |drain| drain.id.clone())
        };
        let weights = || {
            let of = |word: &&str| {
                let (stack, weight) = word.split_once('=')?;
                ["haproxy", "envoy", "nginx"]
                    .contains(&stack)
                    .then(|| (stack.into(), weight.parse().unwrap()))
            };
            words.iter().filter_map(of).collect()
        };
        match words[0] {
            "drain" => Change::Drain(DrainAsk {
                scope: scope(),
                percent: text("percent").map_or(100, |percent| percent.parse().unwrap()),
                starts_at: starts_at(),
                expires_in_s: seconds("for"),
                return_steps: text("steps").map(|steps| Return {
                    steps: steps.split(',').map(|step| step.parse().unwrap()).collect(),
                    pause_s: seconds("pause").unwrap(),
                }),
            }),
            "edit" => Change::EditDrain {
                id: id(),
                edit: DrainEdit {
                    percent: text("percent").map(|percent| percent.parse().unwrap()),
                    starts_at: starts_at().map(Some),
                    expires_in_s: match text("for").as_deref() {
                        Some("ever") => Some(None),
                        _ => seconds("for").map(Some),
                    },
                    ..DrainEdit::default()
                },
            },
            "undrain" => Change::Undrain {
                which: match text("of") {
                    Some(_) => Which::Id(id()),
                    None => Which::Scope { scope: scope(), all_owners: words.contains(&"all") },
                },
                now: words.contains(&"now"),
            },
            "split" => Change::Split { pool: text("pool").unwrap(), pop: text("pop"), weights: weights() },
            "files" => Change::ClearSplit { pool: text("pool").unwrap(), pop: text("pop") },
            "monitor" => Change::SetMonitor { name: words[1].into(), fields: json(words[2]) },
            "unmonitor" => Change::ClearMonitor { name: words[1].into() },
            "policy" => Change::SetPolicy { pool: words[1].into(), fields: json(words[2]) },
            "unpolicy" => Change::ClearPolicy { pool: words[1].into() },
            "migrate" => Change::StartMigration {
                plan: Plan {
                    pool: text("pool").unwrap(),
                    from: text("from").unwrap(),
                    to: text("to").unwrap(),
                    waves: text("waves")
                        .unwrap()
                        .split('/')
                        .map(|wave| wave.split(',').filter(|pop| !pop.is_empty()).map(String::from).collect())
                        .collect(),
                    steps: text("steps").unwrap().split(',').map(|step| step.parse().unwrap()).collect(),
                    soak_s: seconds("soak"),
                    guard: match text("guard").as_deref() {
                        Some("roll_back") => MigrationGuard::RollBack,
                        Some("ignore") => MigrationGuard::Ignore,
                        _ => MigrationGuard::Hold,
                    },
                },
                idempotency_key: text("key"),
            },
            "advance" => {
                let step = text("step").map(|step| step.parse().unwrap());
                Change::Migrate { id: text("id").unwrap(), step: MigrationStep::Advance(step) }
            }
            "hold" => Change::Migrate { id: text("id").unwrap(), step: MigrationStep::Hold },
            "resume" => Change::Migrate { id: text("id").unwrap(), step: MigrationStep::Resume },
            "rollback" => match text("to") {
                Some(to) => Change::RollBack { to: to.parse().unwrap(), since: Vec::new() },
                None => Change::Migrate { id: text("id").unwrap(), step: MigrationStep::RollBack },
            },
            other => panic!("`{other}` is no wish"),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A table's fields, with `'` for quotes.
fn json(text: &str) -> rhumb::files::Json {
    serde_json::from_str(&text.replace('\'', "\"")).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Words, where `"..."` is one.
fn split_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words
}

fn fields(words: &[&str]) -> BTreeMap<String, String> {
    words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}
