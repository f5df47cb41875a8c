//! Between monitors and state: verdicts go in, drains are asked for, alarms are told.
//!
//! ```text
//! health -> load -> state
//! health -> verdicts -> pilot: together -> failover -> wishes, then verdicts -> state
//!                     |                   |-> alarms -> log, status
//!                     |                   '-> verdicts, alarms -> notices
//! state -> view: files or rows of monitors have changed -> another plan -> health
//! ```

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::failover::{self, Failover, Seen};
use super::hidden::hidden;
use super::notify::{Notice, Notices};
use super::restarts::{RAN_WELL, Restarts};
use super::stale::{Heard, Watch, counted, planned};
use super::{Health, News, Verdict, together};
use crate::state::base::Base;
use crate::state::clock::{self, Clock, Clocks};
use crate::state::keeper::State;
use crate::state::live::VerdictValue;
use crate::state::model::{Model, Time};
use crate::state::monitors::Check;
use crate::state::policy;

/// How often everything is looked at when no verdict changes: waits end, drains return.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks are no nearer to each other, unless somebody waits for one: when everything fails, thousands of verdicts come
/// one by one, and a look costs what there is.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long nothing is decided after the clock has jumped: the keeper, who says what time is believed, looks at
/// it once a second.
const JUMP_RESTS: Duration = Duration::from_secs(2);

/// Monitors that steer.
pub struct Pilot {
    health: Arc<Health>,
    events: Sender<Event>,
    alarms: Alarms,
    thread: JoinHandle<()>,
}

/// What a person must know or decide, now.
pub type Alarms = Arc<Mutex<BTreeSet<String>>>;

enum Event {
    News(Vec<Verdict>),
    /// The first round is over.
    Begin,
    Look(Sender<()>),
    Stop,
}

/// The key a monitor's verdict is kept by.
fn key(monitor: &str, answer: &str) -> String {
    format!("monitor/{monitor}/{answer}")
}

impl Pilot {
    /// Starts to probe; nothing is decided before [`Pilot::begin`]. `kept` is what the store kept, `wall` the time of
    /// day.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        state: State,
        kept: &BTreeMap<String, String>,
        notices: Arc<Notices>,
        wall: impl Fn() -> Time + Send + Sync + 'static,
    ) -> io::Result<Pilot> {
        let view = state.view();
        let plan = view.base.monitors.plan(&view.model.monitors);
        let sites = kept.iter().filter(|(key, _)| key.starts_with(failover::KEPT));
        let sites = sites.map(|(key, json)| (key.clone(), json.clone())).collect();
        let kept = kept.iter().filter(|(key, _)| key.starts_with("monitor/"));
        let kept: Vec<Verdict> = kept.filter_map(|(_, json)| serde_json::from_str(json).ok()).collect();
        let (events, inbox) = channel();
        let (news, loads) = (events.clone(), state.clone());
        let tell = move |new: News| {
            if !new.loads.is_empty() {
                loads.tell_loads(new.loads);
            }
            if !new.verdicts.is_empty() {
                // Nobody listens when the process is stopping.
                let _ = news.send(Event::News(new.verdicts));
            }
        };
        let health = Arc::new(Health::start(plan.clone(), tell, kept, wall)?);
        let alarms = Alarms::default();
        let mut clocks = clock::machine();
        let applied = view.values.verdicts().iter();
        let applied = applied.map(|(answer, verdict)| (answer.clone(), verdict.clone()));
        let steering = Steering {
            clock: Clock::new(clocks(), None),
            clocks,
            jumped_at: None,
            is_settled: false,
            applied: Failover::new(applied.collect(), sites),
            plan: planned(&plan),
            pools_of_a_pop: plan.health.pools_of_a_pop,
            dormant: dormant(&view.base, &view.model),
            planned_from: Some((view.base.clone(), view.model.clone())),
            verdicts: BTreeMap::new(),
            health: health.clone(),
            restarts: Restarts::default(),
            tripped_at: None,
            alarms: alarms.clone(),
            notices,
            state,
        };
        let thread =
            std::thread::Builder::new().name("failover".into()).spawn(move || steering.run(&inbox))?;
        Ok(Pilot { health, events, alarms, thread })
    }

    /// Has somebody told when the first round is over, or has taken this long.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn after_first_round(&self, most: Duration, tell: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let health = self.health.clone();
        let wait = move || {
            if !health.wait_first_round(most) {
                warn!("not every monitor has reported in time; what has not counts as up");
            }
            tell();
        };
        std::thread::Builder::new().name("first-round".into()).spawn(wait).map(drop)
    }

    /// The monitors, to be shown.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Alarms that are raised now.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Begins to decide, and waits until what the monitors have said so far is served.
    pub fn begin(&self) {
        let _ = self.events.send(Event::Begin);
        self.settle();
    }

    /// Waits until what has come so far is served, and what is to be probed by now is.
    pub fn settle(&self) {
        settle(&self.events);
    }

    /// The same, for others.
    pub fn settler(&self) -> impl Fn() + Send + Sync + 'static {
        let events = Mutex::new(self.events.clone());
        move || {
            let events = events.lock().unwrap_or_else(PoisonError::into_inner).clone();
            settle(&events);
        }
    }

    /// Stops probing and steering.
    pub fn stop(self) {
        let _ = self.events.send(Event::Stop);
        // A panic would have been reported where it happened.
        let _ = self.thread.join();
    }
}

fn settle(events: &Sender<Event>) {
    let (reply, done) = channel();
    if events.send(Event::Look(reply)).is_ok() {
        let _ = done.recv();
    }
}

struct Steering {
    applied: Failover,
    plan: BTreeMap<Watch, Arc<Check>>,
    pools_of_a_pop: Option<usize>,
    /// Rows of the store that are not in force, in words.
    dormant: BTreeSet<String>,
    /// What these three were made from; none after a bug, when nobody knows how far it came.
    planned_from: Option<(Arc<Base>, Arc<Model>)>,
    verdicts: BTreeMap<Watch, Heard>,
    health: Arc<Health>,
    /// Of the room of monitors.
    restarts: Restarts,
    /// When a look of ours last ran into a bug.
    tripped_at: Option<Instant>,
    alarms: Alarms,
    notices: Arc<Notices>,
    state: State,
    clocks: Clocks,
    clock: Clock,
    /// When the clock last jumped, in elapsed time.
    jumped_at: Option<Duration>,
    /// The first round is over. Before, an answer that has not been heard of would count as new, and what was
    /// down for long would come back at once.
    is_settled: bool,
}

/// What a mistake of ours is called.
const BUG: &str =
    "the failover of this node ran into a bug of rhumb, and may have left something undone: see the log";
/// The same, of the monitors.
const STOPPED: &str =
    "the monitors of this node ran into a bug of rhumb, and are started again each time: see the log";

/// Monitors and policies of the store that are not in force, and failovers whose monitor is not, and why.
fn dormant(base: &Base, model: &Model) -> BTreeSet<String> {
    let monitors = model.monitors.iter().filter_map(|(name, row)| {
        let why = base.monitors.dormant(row)?;
        Some(format!("the monitor {name} that {} set is not in force: {why}", row.row.owner))
    });
    let policies = model.policies.iter().filter_map(|(pool, row)| {
        let why = policy::dormant(base, row)?;
        Some(format!("the policy of pool {pool} that {} set is not in force: {why}", row.row.owner))
    });
    let blind = base.pools.keys().filter_map(|pool| {
        let why = policy::why_blind(base, model, pool)?;
        Some(format!("the policy of pool {pool} is not wholly in force: {why}"))
    });
    monitors.chain(policies).chain(blind).collect()
}

impl Steering {
    fn run(mut self, inbox: &Receiver<Event>) {
        while let Some(events) = self.wait(inbox) {
            // A look that trips over a mistake of ours must not end what keeps the others.
            match catch_unwind(AssertUnwindSafe(|| self.take(events))) {
                Ok(true) => return,
                Ok(false) => {}
                Err(_) => {
                    error!("health: {BUG}");
                    if !self.has_tripped() {
                        // Once: what trips each time must not keep us from everything else.
                        self.planned_from = None;
                    }
                    self.tripped_at = Some(Instant::now());
                    self.alarms.lock().unwrap_or_else(PoisonError::into_inner).insert(BUG.into());
                }
            }
        }
    }

    /// Waits until it is time to look, and returns what has come by then; none when nobody is left who could tell.
    fn wait(&self, inbox: &Receiver<Event>) -> Option<Vec<Event>> {
        let looked = Instant::now();
        let (mut events, mut due) = (Vec::new(), looked + LOOK_EVERY);
        loop {
            match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    due = match &event {
                        Event::News(verdicts) if verdicts.iter().all(|verdict| self.is_known(verdict)) => due,
                        Event::News(_) => due.min(looked + LOOK_AGAIN),
                        Event::Begin | Event::Look(_) | Event::Stop => looked,
                    };
                    events.push(event);
                }
                Err(RecvTimeoutError::Timeout) => return Some(events),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Whether a verdict is only told again, before it grows old.
    fn is_known(&self, verdict: &Verdict) -> bool {
        let watch = (verdict.monitor.clone(), verdict.answer.clone());
        self.verdicts.get(&watch).is_some_and(|heard| heard.verdict.says_what(verdict))
    }

    /// Takes what has come, and looks at everything; true ends it.
    fn take(&mut self, events: Vec<Event>) -> bool {
        let (mut kept, mut waiting) = (Vec::new(), Vec::new());
        let at = (self.clocks)().elapsed;
        for event in events {
            match event {
                Event::News(verdicts) => kept.extend(verdicts.into_iter().filter_map(|verdict| {
                    let json = serde_json::to_string(&verdict).expect("verdicts are JSON");
                    let name = (verdict.monitor.clone(), verdict.answer.clone());
                    // What was taken out may have been on its way.
                    let row = self.plan.contains_key(&name).then(|| (key(&name.0, &name.1), Some(json)))?;
                    self.verdicts.insert(name, Heard { verdict, at });
                    Some(row)
                })),
                Event::Begin => self.is_settled = true,
                Event::Look(reply) => waiting.push(reply),
                Event::Stop => return true,
            }
        }
        kept.extend(self.plan_anew());
        self.start_anew();
        self.look(kept);
        for reply in waiting {
            // Who waited may have gone.
            let _ = reply.send(());
        }
        false
    }

    /// Probes what is to be probed now, if that has changed. What is no longer probed is forgotten.
    fn plan_anew(&mut self) -> Vec<(String, Option<String>)> {
        let view = self.state.view();
        let is_same = self.planned_from.as_ref().is_some_and(|(base, model)| {
            Arc::ptr_eq(base, &view.base)
                && model.monitors == view.model.monitors
                && model.policies == view.model.policies
        });
        self.planned_from = Some((view.base.clone(), view.model.clone()));
        if is_same {
            return Vec::new();
        }
        self.dormant = dormant(&view.base, &view.model);
        let plan = view.base.monitors.plan(&view.model.monitors);
        self.plan = planned(&plan);
        self.pools_of_a_pop = plan.health.pools_of_a_pop;
        self.health.update(plan);
        let gone = self.verdicts.keys().filter(|key| !self.plan.contains_key(*key));
        let gone = gone.map(|(monitor, answer)| (key(monitor, answer), None)).collect();
        self.verdicts.retain(|key, _| self.plan.contains_key(key));
        gone
    }

    /// Starts the monitors again, from what they said last, when a bug has stopped them.
    fn start_anew(&mut self) {
        if !self.restarts.is_due(self.health.is_running(), (self.clocks)().elapsed) {
            return;
        }
        let view = self.state.view();
        let plan = view.base.monitors.plan(&view.model.monitors);
        let kept = self.verdicts.values().map(|heard| heard.verdict.clone()).collect();
        match self.health.start_anew(plan, kept) {
            Ok(()) => warn!("health: the monitors were started again"),
            Err(error) => error!("health: the monitors cannot be started again: {error}"),
        }
    }

    /// Whether a look of ours ran into a bug lately.
    fn has_tripped(&self) -> bool {
        self.tripped_at.is_some_and(|at| at.elapsed() < RAN_WELL)
    }

    /// Whether the clock has jumped, and the keeper may not have seen it.
    fn has_jumped(&mut self) -> bool {
        let reading = (self.clocks)();
        self.clock.tick(reading);
        if self.clock.alarm().is_some() {
            self.clock.accept(reading);
            self.jumped_at = Some(reading.elapsed);
        }
        self.jumped_at.is_some_and(|at| reading.elapsed < at + JUMP_RESTS)
    }

    fn look(&mut self, mut kept: Vec<(String, Option<String>)>) {
        if self.has_jumped() || !self.is_settled {
            if !kept.is_empty() {
                self.state.verdicts(Vec::new(), kept);
            }
            return;
        }
        let view = self.state.view();
        let (verdicts, old) = counted(&self.verdicts, &self.plan, (self.clocks)().elapsed);
        let said = said(verdicts.iter().map(Borrow::borrow));
        let hidden = hidden(verdicts.iter().map(Borrow::borrow));
        let now = view.believed(Time::now());
        let seen = Seen {
            base: &view.base,
            model: &view.model,
            values: &view.values,
            said: &said,
            hidden: &hidden,
            pools_of_a_pop: self.pools_of_a_pop,
            now,
        };
        let mut acts = self.applied.look(&seen);
        for act in &acts.wishes {
            match self.state.change_blocking(act.wish()) {
                // The keeper has logged it, as it does for anybody.
                Ok(_) => {}
                Err(refusal) => {
                    warn!("health: not done for {}: {refusal} ({})", act.site, act.reason);
                    self.applied.refused(act, &refusal, now);
                }
            }
        }
        for (answer, verdict) in &acts.verdicts {
            let before = view.values.verdicts().get(answer);
            let notice = Notice::of_verdict(answer, before, verdict.as_ref(), now);
            notice.into_iter().for_each(|notice| self.notices.tell(notice));
        }
        kept.extend(self.applied.kept());
        if *view.values.acts() != acts.upcoming {
            self.state.acts(std::mem::take(&mut acts.upcoming));
        }
        if !acts.verdicts.is_empty() || !kept.is_empty() {
            self.state.verdicts(acts.verdicts, kept);
        }
        acts.alarms.extend(self.dormant.iter().cloned());
        let ours = self.health.alarms();
        acts.alarms.extend(ours.into_iter().map(|alarm| {
            format!("{} monitoring has failed here since {:.0}: {}", alarm.family, alarm.since, alarm.why)
        }));
        acts.alarms.extend(old);
        acts.alarms.extend(self.restarts.is_told().then(|| STOPPED.into()));
        acts.alarms.extend(self.has_tripped().then(|| BUG.into()));
        self.tell(acts.alarms, now);
    }

    fn tell(&self, alarms: BTreeSet<String>, now: Time) {
        let mut told = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        for new in alarms.difference(&told) {
            error!("health: {new}");
            self.notices.tell(Notice::of_alarm(new, false, now));
        }
        for over in told.difference(&alarms) {
            info!("health: no longer: {over}");
            self.notices.tell(Notice::of_alarm(over, true, now));
        }
        *told = alarms;
    }
}

/// What all monitors of each answer say together.
pub fn said<'v>(verdicts: impl Iterator<Item = &'v Verdict>) -> BTreeMap<String, VerdictValue> {
    let value = |(answer, said): (String, super::Together)| {
        let why = said.said_no.map_or_else(String::new, |(monitor, error)| format!("{monitor}: {error}"));
        let value = VerdictValue {
            up: said.up,
            failing: said.failing.into_iter().collect(),
            since: said.since.unwrap_or(Time::UNIX_EPOCH),
            why,
            down_by: said.down_by,
            held_until: said.held_until,
            may_change_at: said.may_change_at,
        };
        (answer, value)
    };
    together(verdicts).into_iter().map(value).collect()
}
