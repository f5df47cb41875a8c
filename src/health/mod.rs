//! Monitors: what is probed becomes verdicts, and what fails with us is not blamed on them.
//!
//! ```text
//! Plan (state::monitors) -> Room ------------------------------------------+
//!                            | schedule: due, spread over the interval     |
//!                            v                                             | status, alarms, totals
//!                           probe, a file for each kind                    v
//!                            | Passed | ProbeError                        API, command line, metrics
//!                            v
//!                           verdict: rise, fall, rule, damping <- reference: frozen while the failure is ours
//!                            v
//!                           News: verdicts, load -> whoever started us (state)
//! ```
//!
//! One thread, named `health`, and one loop on it: probes wait for sockets all the time and compute next to
//! nothing (10,000 addresses every ten seconds over loopback, `benches/health`: 7 % of a core for tcp, 12 %
//! for http, 33 MB). It takes a lock for each turn of its loop, and everybody else who asks takes it for a moment;
//! nothing on the query path does. Room and judges are plain data into which time comes as a value, so their
//! tests need no clock. The thread that ran into a bug of ours is started again by the pilot, from the last verdicts.
//!
//! What verdicts lead to is apart: [`failover`] decides, from what is [`seen`], and [`pilot`] asks the state for it
//! as anybody would; [`notify`] tells people and programs of it. What of them is [`stale`] is seen there, too: who
//! has stopped cannot say so. Deliberately absent: the store; verdicts are handed out, and handed in again at start.

mod bounds;
pub mod failover;
mod families;
mod flap;
pub mod hidden;
pub mod notify;
pub mod pilot;
pub mod probe;
pub mod reference;
pub mod restarts;
pub mod room;
pub mod schedule;
pub mod seen;
mod sites;
pub mod stale;
pub mod status;
pub mod verdict;

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::state::load::{Load, MonitorLoad};
use crate::state::model::Time;
use crate::state::monitors::{Family, Plan, Reference};
use probe::{Ask, ProbeError};
use reference::Referred;
use room::{Outcome, Room, Start};
use schedule::Key;

pub use status::{AddressStatus, Alarm, MonitorStatus};
pub use verdict::{Memory, Moment, Together, Verdict, together};

/// A probe that starts this long after it was due is counted as late: every place was taken.
pub const LATE: Duration = Duration::from_millis(250);
/// Threads that may look up names of reference targets at once; each blocks as long as the system's resolver
/// likes.
const LOOKUP_THREADS: usize = 4;
/// The longest the loop sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Probes started, those of reference targets too.
    pub probes: u64,
    /// Probes of answers that failed.
    pub failures: u64,
    /// Probes that started later than they were due, because `probes_at_once` were running.
    pub late: u64,
}

/// What is new.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Verdicts that have changed, and each again before it grows old.
    pub verdicts: Vec<Verdict>,
    /// Load that probes have brought.
    pub loads: Vec<MonitorLoad>,
}

/// The running room. Dropping it stops it.
pub struct Health {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    room: Mutex<Room>,
    tell: Box<dyn Fn(News) + Send + Sync>,
    wall: Box<dyn Fn() -> Time + Send + Sync>,
    /// There is something to do before the next probe is due.
    wake: Notify,
    /// Each address has been heard of, or we have stopped.
    reported: Condvar,
    begun: Instant,
    stop: AtomicBool,
}

impl Health {
    /// Starts probing. `tell` is called on the room's thread with what is new; `kept` are the verdicts of the last
    /// run, used while younger than their monitor's `max_age`. `wall` is the time of day.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptors for the loop.
    pub fn start(
        plan: Plan,
        tell: impl Fn(News) + Send + Sync + 'static,
        kept: Vec<Verdict>,
        wall: impl Fn() -> Time + Send + Sync + 'static,
    ) -> io::Result<Health> {
        let begun = Moment { wall: wall(), elapsed: Duration::ZERO };
        let shared = Arc::new(Shared {
            room: Mutex::new(Room::new(0, Plan::default(), Vec::new(), begun)),
            tell: Box::new(tell),
            wall: Box::new(wall),
            wake: Notify::new(),
            reported: Condvar::new(),
            begun: Instant::now(),
            stop: false.into(),
        });
        let health = Health { shared, thread: Mutex::default() };
        health.start_anew(plan, kept)?;
        Ok(health)
    }

    /// Starts it again after it has ended, from the last verdicts: what is left of its room may be half done.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptors for the loop.
    pub fn start_anew(&self, plan: Plan, kept: Vec<Verdict>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUP_THREADS)
            .build()?;
        // Nodes must not be in step with each other either.
        let room = Room::new(fastrand::u64(..), plan, kept, self.shared.now());
        self.shared.lock().begin_anew(room);
        let theirs = self.shared.clone();
        let thread = std::thread::Builder::new().name("health".into()).spawn(move || {
            runtime.block_on(run(&theirs));
            // A lookup that hangs does not keep us.
            runtime.shutdown_background();
        })?;
        *self.thread() = Some(thread);
        Ok(())
    }

    /// Another plan, after a reload or a change over the API: what did not change keeps its verdict, its history and
    /// its rhythm.
    pub fn update(&self, plan: Plan) {
        self.shared.lock().update(plan, self.shared.now());
        self.shared.wake.notify_one();
    }

    /// A heartbeat has come, with the load of its answer. What is to be said of that; none when no push monitor of
    /// this name watches this answer.
    pub fn push(&self, monitor: &str, answer: &str, load: Load) -> Option<MonitorLoad> {
        let said = self.shared.lock().push(monitor, answer, load, self.shared.now());
        self.shared.wake.notify_one();
        said
    }

    /// What every monitor says of every answer, by monitor and answer.
    pub fn status(&self) -> Vec<MonitorStatus> {
        self.shared.lock().status(self.shared.now())
    }

    /// Failures of our own that last: verdicts of the family are frozen.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.shared.lock().alarms()
    }

    /// Whether the room still works: a mistake of ours may have ended it.
    pub fn is_running(&self) -> bool {
        self.thread().as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done since the start.
    pub fn totals(&self) -> Totals {
        self.shared.lock().totals()
    }

    /// Which families are frozen by a failure of our own: IPv4, IPv6.
    pub fn frozen(&self) -> [bool; 2] {
        self.shared.lock().frozen()
    }

    /// Whether each address has been probed once, or had a kept verdict; for readiness.
    pub fn first_round(&self) -> bool {
        self.shared.lock().has_reported()
    }

    /// Waits for the first round, no longer than this. False when it did not end in time: then it is better
    /// to serve everything than nothing.
    pub fn wait_first_round(&self, limit: Duration) -> bool {
        let waits = |room: &mut Room| !room.has_reported();
        let room = self.shared.lock();
        let waited = self.shared.reported.wait_timeout_while(room, limit, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_reported()
    }

    /// Stops, and waits until no verdict comes any more.
    pub fn stop(self) {
        self.end();
    }

    fn end(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake.notify_one();
        let thread = self.thread().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of the monitors has panicked");
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// The room. A panic while somebody had it leaves plain data behind, with one result not counted.
    fn lock(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        Moment { wall: (self.wall)(), elapsed: self.begun.elapsed() }
    }
}

/// The loop: starts what is due, takes what has ended, tells what is new.
async fn run(shared: &Shared) {
    let mut running: JoinSet<(Key, Outcome)> = JoinSet::new();
    let mut ended: Vec<(Key, Outcome)> = Vec::new();
    while !shared.stop.load(Ordering::Acquire) {
        let (news, next) = {
            let mut room = shared.lock();
            let now = shared.now();
            for (key, outcome) in ended.drain(..) {
                room.observe(key, outcome, now);
            }
            let mut is_full = running.len() >= room.probes_at_once();
            while !is_full && let Some((key, start)) = room.start(now) {
                running.spawn(async move { (key, start.run_whole().await) });
                is_full = running.len() >= room.probes_at_once();
            }
            if room.has_reported() {
                shared.reported.notify_all();
            }
            // Of what is due and has no place, the next that ends makes one.
            let news = News { verdicts: room.news(now), loads: room.loads() };
            (news, room.next().filter(|_| !is_full))
        };
        if news != News::default() {
            (shared.tell)(news);
        }
        let next = shared.begun + next.unwrap_or_else(|| shared.begun.elapsed() + IDLE);
        tokio::select! {
            Some(joined) = running.join_next() => ended.extend(joined.ok()),
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(next.into()) => {}
        }
        while let Some(joined) = running.try_join_next() {
            ended.extend(joined.ok());
        }
    }
}

impl Start {
    /// Every probe that starts ends, or it would never be due again.
    async fn run_whole(self) -> Outcome {
        let panicked = |_| Outcome::Address(Err(ProbeError::new("the probe itself failed; see the log")));
        AssertUnwindSafe(self.run()).catch_unwind().await.unwrap_or_else(panicked)
    }

    async fn run(self) -> Outcome {
        match self {
            Start::Address(ask, target) => Outcome::Address(probe::probe(&ask, target).await),
            Start::Reference(ask, reference) => Outcome::Reference(ask_reference(&ask, &reference).await),
        }
    }
}

/// Asks a reference target in each family its name has.
async fn ask_reference(ask: &Ask, reference: &Reference) -> Referred {
    let lookup = tokio::net::lookup_host((reference.host.as_str(), ask.check.port));
    let addresses: Vec<SocketAddr> = match tokio::time::timeout(ask.check.timeout, lookup).await {
        Ok(Ok(addresses)) => addresses.collect(),
        _ => return Referred::NotFound,
    };
    let of = |family: Family| {
        let address = addresses.iter().find(|address| Family::of(address.ip()) == family).copied();
        async move { Some(probe::probe(ask, address?).await.is_ok()) }
    };
    let (ipv4, ipv6) = tokio::join!(of(Family::Ipv4), of(Family::Ipv6));
    Referred::Asked([ipv4, ipv6])
}
