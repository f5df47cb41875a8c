//! What the control plane shows of a serving process: counters, shares, whom a change moves.
//!
//! ```text
//! workers -> counters, samples -> Observed -> metrics, shares, impact, wanted
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::log::SetLevel;
use super::{Event, load};
use crate::api::Hooks;
use crate::api::bodies::ShareBody;
use crate::api::metrics::{Gauges, Monitoring, Requests, Sources, render};
use crate::cli::check::check;
use crate::engine::query_log::Written;
use crate::engine::sample::{Sampled, Samples};
use crate::engine::shares::Slots;
use crate::engine::steering::{Family, Scratch};
use crate::engine::{AllStats, Snapshot};
use crate::files::Problem;
use crate::geo::World;
use crate::health::notify::{HookStatus, Notices};
use crate::health::pilot::Pilot;
use crate::listeners::Counters;
use crate::state::impact::{self, Client, Served, thousands};
use crate::state::keeper::{Note, State};
use crate::state::live::{Touched, refresh};
use crate::state::model::{Drain, MigrationState, Model, Scope, Split, Time};
use crate::state::traffic::{Traffic, Window};
use crate::state::view::{StoreState, View};

/// How often the counters are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Runs of chains for one look at whom a change moves: somebody waits for it, and ten thousand records are not to
/// take seconds.
const WALKS: usize = 500_000;

/// Groups of records whose numbers go over the API; of more, the words say how many there are.
const GROUPS_SENT: usize = 20;

/// Names of records that go over the API for each group.
const NAMES_SENT: usize = 10;

/// Clients whose fate tells that of all: of the last hour's, or of the address space while nobody has asked.
const CLIENTS: usize = 4096;

/// What is counted and sampled, shared with the control plane.
#[derive(Clone)]
pub struct Observed {
    stats: AllStats,
    slots: Arc<Slots>,
    listeners: Arc<OnceLock<Counters>>,
    traffic: Arc<Mutex<Traffic>>,
    samples: Arc<Mutex<Samples>>,
    written: Arc<Written>,
}

impl Observed {
    /// Of these workers, and lines of the query log.
    pub fn new(stats: AllStats, slots: Arc<Slots>, written: Arc<Written>) -> Observed {
        let traffic = Arc::new(Mutex::new(Traffic::new(slots.clone())));
        let samples = Arc::new(Mutex::new(Samples::new(fastrand::u64(..))));
        Observed { stats, slots, listeners: Arc::default(), traffic, samples, written }
    }

    /// The listeners have started, and count.
    pub fn listen(&self, listeners: Counters) {
        // They start once.
        let _ = self.listeners.set(listeners);
    }

    /// Looks at the counters.
    pub fn look(&self, now: Instant) {
        lock(&self.traffic).tick(now, &self.stats);
        lock(&self.samples).collect(now, &self.stats.workers());
    }

    /// What the control plane shows.
    pub fn hooks(
        &self,
        state: &State,
        config: PathBuf,
        (pilot, notices): (&Pilot, &Arc<Notices>),
        events: &Sender<Event>,
        set_log_level: SetLevel,
    ) -> Hooks {
        let requests = Requests::default();
        let (monitors, heartbeats, alarms) =
            (pilot.health().clone(), pilot.health().clone(), pilot.alarms().clone());
        let (shares, wanted, whom, filling) = (self.clone(), self.clone(), self.clone(), self.clone());
        let (events, receivers) = (events.clone(), notices.clone());
        Hooks {
            metrics: self.metrics(state.clone(), (pilot, notices), requests.clone()),
            shares: Box::new(move || shares.shares()),
            wanted: Box::new(move |view, pool, pop, stack| wanted.wanted(view, pool, pop, stack)),
            impact: Box::new(move |view, model| whom.impact(view, model)),
            reload: Box::new(move |note| reload(&events, note)),
            check_files: Box::new(move || check(&config, &|_, _| {}).map(|(_, warnings)| warnings)),
            set_log_level,
            served: Box::new(move |method, route, status| requests.count(method, route, status)),
            monitors: Box::new(move || monitors.status()),
            heartbeat: Box::new(move |monitor, answer, load| heartbeats.push(monitor, answer, load)),
            notices: Box::new(move || receivers.status()),
            settle: Box::new(pilot.settler()),
            health_alarms: Box::new(move |view| {
                let now = view.believed(Time::now());
                let filling = load::warnings(view, || filling.clients(view).0, now);
                lock(&alarms).iter().cloned().chain(filling).collect()
            }),
            clock: Box::new(Time::now),
        }
    }

    fn metrics(
        &self,
        state: State,
        (pilot, notices): (&Pilot, &Arc<Notices>),
        requests: Requests,
    ) -> Box<dyn Fn() -> String + Send + Sync> {
        let observed = self.clone();
        let (health, alarms, notices) = (pilot.health().clone(), pilot.alarms().clone(), notices.clone());
        Box::new(move || {
            let view = state.view();
            render(&Sources {
                stats: observed.stats.clone(),
                slots: observed.slots.clone(),
                listeners: observed.listeners.get().cloned().unwrap_or_default(),
                written: observed.written.clone(),
                gauges: gauges(&view, notices.status(), lock(&alarms).len()),
                monitoring: Monitoring::of(&health),
                timings: view.timings.clone(),
                requests: requests.clone(),
            })
        })
    }

    fn shares(&self) -> Vec<ShareBody> {
        let traffic = lock(&self.traffic);
        let minute = traffic.share(Window::Minute);
        let minute: HashMap<&str, _> = minute.iter().map(|share| (share.answer.as_str(), share)).collect();
        let ten = traffic.share(Window::TenMinutes);
        let body = ten.into_iter().map(|share| {
            let last = minute.get(share.answer.as_str());
            ShareBody {
                with_ecs_1m: last.map_or(0, |last| last.with_ecs),
                without_ecs_1m: last.map_or(0, |last| last.without_ecs),
                with_ecs_10m: share.with_ecs,
                without_ecs_10m: share.without_ecs,
                percent_10m: Some(share.share * 100.0),
                answer: share.answer,
                pool: share.pool,
                pop: share.pop,
                stack: share.stack,
            }
        });
        body.collect()
    }

    /// Whom a change moves: of the clients of the last hour, else of the address space. Now, and beside that when a
    /// drain begins that begins later.
    fn impact(&self, view: &View, model: &Model) -> Option<serde_json::Value> {
        let now = view.believed(Time::now());
        let is_new = |drain: &&Drain| view.model.drains.get(&drain.id) != Some(drain);
        let later = model.drains.values().filter(is_new).map(|drain| drain.starts_at).max();
        let (clients, by) = self.clients(view);
        let touched = Touched::Said(changed(view, model));
        let capacities = impact::capacities(&view.base, model);
        let told = |at| {
            let before = as_it_would_be(view, &view.model, &touched, at);
            let after = as_it_would_be(view, model, &touched, at);
            impact::compare_within(&before, &after, &clients, WALKS).with_capacities(&capacities)
        };
        let mut said = told(now);
        let mut words = said.words();
        let mut at = now;
        if let Some(later) = later.filter(|later| *later > now) {
            let then = told(later);
            words.extend(then.words().into_iter().map(|word| format!("from {later:.0} on: {word}")));
            if said.is_nothing() {
                (said, at) = (then, later);
            }
        }
        said.cut(GROUPS_SENT, NAMES_SENT);
        let mut json = serde_json::to_value(said).ok()?;
        let fields = json.as_object_mut()?;
        fields.insert("at".into(), serde_json::to_value(at).ok()?);
        fields.insert("by".into(), by.into());
        fields.insert("words".into(), words.into());
        Some(json)
    }

    /// Clients whose fate tells that of all, and who they are in words.
    fn clients(&self, view: &View) -> (Vec<Client>, String) {
        let clients = clients_of(&self.hour(), &view.snapshot, &view.world);
        match clients.len() {
            0 => {
                let space = impact::address_space(&view.world, CLIENTS);
                (space, "the address space, for nobody has asked yet".into())
            }
            1 => (clients, "the one network that asked in the last hour".into()),
            count => (
                clients,
                format!("the {} networks that asked most in the last hour", thousands(count as u64)),
            ),
        }
    }

    /// Percent of a PoP's clients that should get a stack, by the networks that asked in the last hour.
    fn wanted(&self, view: &View, pool: &str, pop: &str, stack: &str) -> Option<f64> {
        let snapshot = &view.snapshot;
        let numbers = numbers(snapshot);
        let (mut all, mut on_stack) = (0.0, 0.0);
        let mut scratch = Scratch::default();
        for sampled in self.hour() {
            let Some(&record) = numbers.get(&sampled.record) else { continue };
            let served = Served::new(snapshot, record);
            let family = if sampled.network.is_ipv4() { Family::A } else { Family::Aaaa };
            let source = if sampled.network.is_ipv4() { 24 } else { 56 };
            served.walk(family, (sampled.network, source), None, fastrand::u64(..), &mut scratch);
            for &pick in scratch.picks.as_slice() {
                let answer = &served.steering.answers[usize::from(pick)];
                if answer.pool.as_deref() == Some(pool) && answer.pop.as_deref() == Some(pop) {
                    all += sampled.weight;
                    if answer.stack.as_deref() == Some(stack) {
                        on_stack += sampled.weight;
                    }
                }
            }
        }
        (all > 0.0).then(|| on_stack / all * 100.0)
    }

    fn hour(&self) -> Vec<Sampled> {
        lock(&self.samples).hour(&self.slots)
    }
}

/// A panic while somebody had it leaves plain numbers behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The steerings of which two models want something else.
pub fn changed(view: &View, model: &Model) -> Vec<u32> {
    let old = &view.model;
    let drains = |some: &Model, other: &Model| -> Vec<Scope> {
        let is_other = |drain: &&Drain| other.drains.get(&drain.id) != Some(drain);
        some.drains.values().filter(is_other).map(|drain| drain.scope.clone()).collect()
    };
    let splits = |some: &Model, other: &Model| -> Vec<Scope> {
        let is_other = |(key, split): &(&(String, String), &Split)| other.splits.get(key) != Some(split);
        let scope = |(pool, pop): &(String, String)| Scope {
            pool: Some(pool.clone()),
            pop: Some(pop.clone()),
            ..Scope::default()
        };
        some.splits.iter().filter(is_other).map(|(key, _)| scope(key)).collect()
    };
    let mut scopes = drains(old, model);
    scopes.extend(drains(model, old));
    scopes.extend(splits(old, model));
    scopes.extend(splits(model, old));
    scopes.iter().flat_map(|scope| view.base.steerings_of(scope)).collect()
}

/// What would be served of a model at a time, as far as some steerings go.
pub fn as_it_would_be(view: &View, model: &Model, touched: &Touched, at: Time) -> Snapshot {
    let served = &view.snapshot;
    let mut live = served.live.clone();
    refresh(&mut live, touched, &served.steerings, &view.base, model, &view.values, at);
    Snapshot {
        revision: model.revision,
        zones: served.zones.clone(),
        records: served.records.clone(),
        steerings: served.steerings.clone(),
        live,
        identity: served.identity.clone(),
    }
}

/// Has the files loaded anew by the thread that does it, and waits for what comes of it.
fn reload(events: &Sender<Event>, note: Note) -> Result<(), Vec<Problem>> {
    let (reply, answer) = channel();
    // Without an answer the process is stopping.
    let sent = events.send(Event::Reload(note, reply));
    sent.ok().and_then(|()| answer.recv().ok()).unwrap_or(Ok(()))
}

/// Which record has which number.
fn numbers(snapshot: &Snapshot) -> BTreeMap<crate::wire::Name, usize> {
    snapshot.records.iter().enumerate().map(|(number, record)| (record.name.clone(), number)).collect()
}

fn clients_of(hour: &[Sampled], snapshot: &Snapshot, world: &World) -> Vec<Client> {
    let numbers = numbers(snapshot);
    let of = |sampled: &Sampled| {
        let record = *numbers.get(&sampled.record)? as u32;
        let source = if matches!(sampled.network, IpAddr::V4(_)) { 24 } else { 56 };
        let client = Client::of_query(world, sampled.network, source, record);
        Some(Client { weight: sampled.weight, ..client })
    };
    let mut clients: Vec<Client> = hour.iter().filter_map(of).collect();
    // Those that ask most tell most.
    clients.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    clients.truncate(CLIENTS);
    clients
}

fn gauges(view: &View, notices: Vec<HookStatus>, health_alarms: usize) -> Gauges {
    let filling = load::filling(view, view.believed(Time::now())).len();
    let stale: BTreeSet<&str> =
        view.values.fed().filter(|(_, _, value)| value.is_stale(view.now)).map(|(feed, _, _)| feed).collect();
    let flag = |raised: bool| u64::from(raised);
    let migrations = |state| view.model.migrations.values().filter(|m| m.state == state).count() as u64;
    Gauges {
        revision: view.model.revision,
        published: view.timings.publish.last().map(|last| UNIX_EPOCH + since_1970(last.at)),
        drains: view.model.drains.values().filter(|drain| drain.percent_at(view.now) > 0).count() as u64,
        splits: view.model.splits.size() as u64,
        migrations: [migrations(MigrationState::Running), migrations(MigrationState::Held)],
        feeds: view.base.feeds.len() as u64,
        stale_feeds: stale.len() as u64,
        not_durable: view.volatile.len() as u64,
        alarms: vec![
            ("store", flag(view.store.state != StoreState::Ok)),
            ("clock", flag(view.clock_alarm.is_some())),
            ("files", flag(view.rejected.is_some())),
            ("stale_feeds", stale.len() as u64),
            ("notices", notices.iter().filter(|receiver| !receiver.error.is_empty()).count() as u64),
            ("health", health_alarms as u64),
            ("load", filling as u64),
        ],
        notices,
    }
}

fn since_1970(time: Time) -> Duration {
    Duration::try_from(time.duration_since(Time::UNIX_EPOCH)).unwrap_or_default()
}
