//! Scenarios of the whole server: files and live state in, responses out.
//!
//! `tests/scenarios/*.txt` hold them. A file begins with files that all its scenarios share, each under
//! `-- path`; a scenario begins with `== title`, may replace some of them, and goes on with its steps under
//! `-- steps`:
//!
//! ```text
//! ? www.example.com A subnet=81.2.69.0/24    a query, see support/query.rs
//!   NOERROR aa scope=0                       its response, see support/response.rs
//!   www.example.com. 3600 A 192.0.2.1
//! live eu-west-1 drained=30                  from here on: answers by name or by a part of it, `*` for all
//! live eu-west-1 near=20                     from here on: something may change its steering in 20 seconds
//! live reset                                 from here on: as the files say
//! ```
//!
//! Where a query is drawn several times, or asked by several clients, every different response is there,
//! parted by `or`. `UPDATE=1 cargo test --test scenarios` writes what is answered into the files; read it
//! against the RFCs before you keep it.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rhumb::chain::LiveMeta;
use rhumb::engine::explain::{Question, explain};
use rhumb::engine::steering::{Live, Upcoming, What};
use rhumb::engine::{Reply, Snapshot, Stats, Worker};
use rhumb::state::Loaded;
use support::query::Query;
use support::scenario::{self, Scenario};
use support::{project, response};

#[test]
fn scenarios() {
    let files = scenario::files();
    // Files are independent of each other, so they run side by side.
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = files.iter().map(|file| scope.spawn(move || run_file(file))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Runs every scenario of a file; what is wrong, in words.
fn run_file(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let shown = file.strip_prefix(project()).unwrap().display().to_string();
    let lines: Vec<&str> = text.lines().collect();
    let mut wrong = Vec::new();
    let mut updated = String::new();
    let mut copied = 0;
    for scenario in scenario::read(&lines) {
        let steps = scenario.steps.clone();
        lines[copied..steps.start].iter().for_each(|line| updated += &format!("{line}\n"));
        updated += &Run::new(&shown, &scenario).steps(&lines[steps.clone()], steps.start, &mut wrong);
        copied = steps.end;
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, updated).unwrap();
        return Vec::new();
    }
    wrong
}

/// A scenario's state.
struct Run<'f> {
    file: &'f str,
    loaded: Loaded,
    snapshot: Arc<ArcSwap<Snapshot>>,
}

impl<'f> Run<'f> {
    fn new(file: &'f str, scenario: &Scenario) -> Run<'f> {
        let loaded = scenario.folder().load().unwrap_or_else(|problems| panic!("{file}: {problems:#?}"));
        let snapshot = Arc::new(ArcSwap::from_pointee(with_live(&loaded.snapshot, |_, _, _, _, _| {})));
        Run { file, loaded, snapshot }
    }

    /// Runs the steps; gives them back as they should stand.
    fn steps(&self, lines: &[&str], first_line: usize, wrong: &mut Vec<String>) -> String {
        let mut updated = String::new();
        let mut at = 0;
        while let Some(&line) = lines.get(at) {
            at += 1;
            let _ = writeln!(updated, "{line}");
            if let Some(live) = line.strip_prefix("live ") {
                self.set_live(live);
            } else if let Some(query) = line.strip_prefix("? ") {
                let end = (at..lines.len()).find(|&at| !lines[at].starts_with("  ")).unwrap_or(lines.len());
                let expected: Vec<&str> = lines[at..end].iter().map(|line| line.trim()).collect();
                let query = Query::parse(query);
                // The step's place is worth more than an unwound stack; the panic itself is printed anyway.
                let got = catch_unwind(AssertUnwindSafe(|| self.ask(&query)));
                let got = got.unwrap_or_else(|_| "panicked".into());
                for line in got.lines() {
                    let _ = writeln!(updated, "  {line}");
                }
                if got != expected.join("\n") {
                    let place = format!("{}:{}", self.file, first_line + at);
                    let expected = expected.join("\n");
                    let why = self.explain(&query);
                    wrong.push(format!(
                        "{place}: {line}\n--- expected\n{expected}\n--- got\n{got}\n--- explained\n{why}"
                    ));
                }
                at = end;
            } else {
                let ok = line.is_empty() || line.starts_with('#');
                assert!(ok, "{}:{}: what is this? {line}", self.file, first_line + at);
            }
        }
        updated
    }

    /// Every different response to the query.
    fn ask(&self, query: &Query) -> String {
        let mut responses = BTreeSet::new();
        for query in query.each_client() {
            for seed in query.seed..query.seed + query.draws {
                let packet = query.packet(seed as u16);
                let mut worker = Worker::new(self.snapshot.clone(), Arc::new(Stats::default()), seed);
                let mut out = [0; 65_535];
                let shown = match worker.answer(&packet, query.peer(), &mut out) {
                    Reply::Send(len) => {
                        response::show(&response::read(&query, &packet, &out[..len]), query.as_sent)
                    }
                    Reply::Drop => "dropped".into(),
                };
                responses.insert(shown);
            }
        }
        responses.into_iter().collect::<Vec<_>>().join("\nor\n")
    }

    fn explain(&self, query: &Query) -> String {
        let question = Question {
            name: query.name.clone(),
            qtype: query.qtype,
            client: query.subnet.map(|subnet| (subnet.network(), subnet.prefix_len())),
            resolver: query.resolver,
            seed: query.seed,
        };
        explain(&self.snapshot, &self.loaded.world, &question).to_string()
    }

    /// `reset`, or answers and what is true of them now: `eu-west-1 drained=30 up=false`.
    fn set_live(&self, line: &str) {
        let (which, settings) = line.split_once(' ').unwrap_or((line, ""));
        let base = if which == "reset" { &self.loaded.snapshot } else { &**self.snapshot.load() };
        let mut matched = which == "reset";
        let next = with_live(base, |name, meta, drained, split, near| {
            if which != "*" && which != name && !name.split('/').any(|part| part == which) {
                return;
            }
            matched = true;
            for setting in settings.split_whitespace() {
                let (key, value) = setting.split_once('=').unwrap_or_else(|| panic!("live {line}"));
                let number = || value.parse::<f64>().unwrap_or_else(|e| panic!("live {line}: {e}"));
                let flag = || Some(value.parse().unwrap_or_else(|e| panic!("live {line}: {e}")));
                match key {
                    "drained" => *drained = number() as u8,
                    "split" => *split = number(),
                    "near" => *near = Upcoming { seconds: number() as u32, what: Some(What::Drain) },
                    "up" => meta.up.literal = flag(),
                    "feed" => meta.up.feed = flag(),
                    "verdict" => meta.up.verdict = flag(),
                    "loadavg" => meta.loadavg = Some(number()),
                    "connections" => meta.connections = Some(number()),
                    "requests" => meta.requests = Some(number()),
                    "low" => meta.low_watermark = Some(number()),
                    "high" => meta.high_watermark = Some(number()),
                    "weight" => meta.weight = Some(number()),
                    "priority" => meta.priority = Some(number() as u32),
                    "cost" => meta.cost = Some(number()),
                    _ => panic!("live {line}: what is `{key}`?"),
                }
            }
        });
        assert!(matched, "live {line}: there is no such answer");
        self.snapshot.store(Arc::new(next));
    }
}

/// The same snapshot with another live part; `change` sees each answer by its name.
fn with_live(
    base: &Snapshot,
    mut change: impl FnMut(&str, &mut LiveMeta, &mut u8, &mut f64, &mut Upcoming),
) -> Snapshot {
    let live = base.steerings.iter().zip(&base.live).map(|(steering, live)| {
        let (mut meta, mut drained, mut split) =
            (live.meta.clone(), live.drained.clone(), live.split.clone());
        let mut near = live.upcoming;
        for (index, answer) in steering.answers.iter().enumerate() {
            change(&answer.name, &mut meta[index], &mut drained[index], &mut split[index], &mut near);
        }
        Live::with_addresses(steering, steering.addresses.clone(), meta, drained, split, near)
    });
    Snapshot {
        revision: base.revision + 1,
        zones: base.zones.clone(),
        records: base.records.clone(),
        steerings: base.steerings.clone(),
        live: live.collect(),
        identity: base.identity.clone(),
    }
}
