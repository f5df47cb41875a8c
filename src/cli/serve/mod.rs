//! `rhumb serve`: composes the rooms.
//!
//! ```text
//! read, compile -> keep, probe -> API -> first round -> bind -> start DNS -> wait (signals, changed files, reloads) -> stop
//! ```

mod control;
mod load;
mod log;
mod query_log;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use self::control::Observed;
use self::query_log::QueryLog;
use super::progress::Progress;
use super::{places, print_problems};
use crate::api::{self, Api};
use crate::config::Config;
use crate::engine::shares::Slots;
use crate::engine::{AllStats, Peer, Reply, Snapshot, Transport, Worker};
use crate::files::{Problem, Severity};
use crate::health::notify::Notices;
use crate::health::pilot::Pilot;
use crate::listeners::{self, Answer, Counters};
use crate::state::keeper::{self, Beginning, Note, State};
use crate::state::model::{Actor, Time};
use crate::state::watch::Watcher;
use crate::state::{Loaded, clock, load_as_read, load_counted};

/// How long files must rest before they are read: editors and `geoipupdate` write in several steps.
const FILES_REST: Duration = Duration::from_millis(300);
/// How long a change waits at the most, where some file never rests.
const FILES_REST_MOST: Duration = Duration::from_secs(5);

/// What wakes the serving process.
enum Event {
    FilesChanged,
    Signal(i32),
    /// The monitors have been heard of, or have had their time.
    FirstRound,
    /// Somebody asks over the control plane, and waits for what is wrong.
    Reload(Note, Sender<Result<(), Vec<Problem>>>),
}

/// Serves until a signal says stop.
pub fn run(config_file: &Path) -> anyhow::Result<()> {
    let (config, mut problems) = Config::read_partly(config_file);
    let Some(config) = config else { return refuse(&problems) };
    problems.extend(places::refused(&config));
    let set_log_level = log::start(&config.log)?;
    // Watched before they are read, so that no change falls between.
    let (events, wake) = channel();
    let mut watcher = watch_files(&events);
    watch(&mut watcher, &config, std::slice::from_ref(&config.file));
    watch_signals(events.clone())?;
    let progress = Progress::new();
    let slots = Arc::new(Slots::default());
    let loaded = load_as_read(Some(&config), problems, |config| {
        load_counted(config, 1, &slots, &|step, share| progress.report(step, share))
    });
    drop(progress);
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(&problems),
    };
    log_loaded(&loaded);

    let files = loaded.files.clone();
    let (store, contents) = store::open(&config.state);
    let kept = contents.values.clone();
    let first_round = loaded.base.monitors.health.first_round;
    let not_ready = Some(not_ready(first_round));
    let beginning = Beginning { store, contents, loaded, clocks: clock::machine(), not_ready };
    let (state, current, keeper) = keeper::start(beginning).context("cannot start to keep the state")?;
    let notices = Notices::start(node_name(&config), config.notify.clone(), state.entries());
    let notices = notices.context("cannot start to notify")?;
    let pilot =
        Pilot::start(state.clone(), &kept, notices.clone(), Time::now).context("cannot start to probe")?;
    let stats = AllStats::default();
    let query_log = QueryLog::start(&config.query_log, slots.clone()).context("cannot start a thread")?;
    let observed = Observed::new(stats.clone(), slots.clone(), query_log.written());
    let hooks = observed.hooks(&state, config.file.clone(), (&pilot, &notices), &events, set_log_level);
    let api = Api { config: config.api.clone(), node: node_name(&config), state: state.clone(), hooks };
    let api = api::start(api).context("cannot serve the control plane")?;
    // What the monitors say counts before the first query is answered.
    let told = events.clone();
    let tell = move || drop(told.send(Event::FirstRound));
    pilot.after_first_round(first_round, tell).context("cannot start a thread")?;
    if !first_round_comes(&events, &wake) {
        query_log.stop();
        stop(api, pilot, &notices, &state, keeper);
        return Ok(());
    }
    pilot.begin();

    // Bind, start, wait, stop.
    let bound = match listeners::bind(&config.listen) {
        Ok(bound) => bound,
        Err(errors) => {
            for error in &errors {
                eprintln!("rhumb: {error}");
            }
            bail!("not every address could be bound");
        }
    };
    for warning in bound.warnings() {
        warn!("{warning}");
    }
    let addresses: Vec<String> = bound.local_addresses().map(|address| address.to_string()).collect();
    if addresses.is_empty() {
        bail!(
            "there is no address to serve on; write one into listen.addresses of {}",
            config_file.display()
        );
    }
    watch(&mut watcher, &config, &files);
    let running = bound.start(worker_maker(&current, &stats, &query_log)).context("cannot start to serve")?;
    let listeners = running.counters().clone();
    observed.listen(listeners.clone());
    state.not_ready(None);
    info!("serving DNS over UDP and TCP on {}", addresses.join(", "));
    let mut server = Server {
        config,
        loads: 1,
        state: state.clone(),
        watcher,
        files,
        slots,
        stats,
        listeners,
        observed,
        query_log,
        api,
        pilot,
        notices,
    };
    server.wait(&wake);
    running.stop();
    server.query_log.stop();
    server.log_counters("stopped");
    stop(server.api, server.pilot, &server.notices, &state, keeper);
    Ok(())
}

/// Says what is wrong with the files.
fn refuse(problems: &[Problem]) -> anyhow::Result<()> {
    print_problems(problems);
    bail!("nothing is served; `rhumb check` repeats the list above")
}

/// Why a node that starts is not ready.
fn not_ready(first_round: Duration) -> String {
    let most = jiff::SignedDuration::try_from(first_round).unwrap_or_default();
    format!("DNS is served when the first round of probes is over, or has taken {most:#}")
}

/// Waits for the first round. False when a signal says stop before; whatever else comes meanwhile is done later.
fn first_round_comes(events: &Sender<Event>, wake: &Receiver<Event>) -> bool {
    let mut held = Vec::new();
    let comes = loop {
        match wake.recv() {
            Ok(Event::FirstRound) => break true,
            Ok(Event::Signal(SIGTERM | SIGINT)) | Err(_) => break false,
            Ok(event) => held.push(event),
        }
    };
    // We have the other end ourselves.
    held.into_iter().for_each(|event| drop(events.send(event)));
    comes
}

/// Ends what changes things: nothing is answered any more.
fn stop(api: api::Running, pilot: Pilot, notices: &Notices, state: &State, keeper: JoinHandle<()>) {
    api.stop();
    pilot.stop();
    notices.stop();
    state.stop();
    // A panic would have been reported where it happened.
    let _ = keeper.join();
}

/// What the node calls itself: what the configuration says, else the host's name.
fn node_name(config: &Config) -> String {
    if !config.identity.id.is_empty() {
        return config.identity.id.clone();
    }
    // A service may see neither of them.
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let read = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
    read.map_or_else(|| "rhumb".into(), |name| name.trim().to_string())
}

fn worker_maker(
    current: &Arc<ArcSwap<Snapshot>>,
    stats: &AllStats,
    query_log: &QueryLog,
) -> impl Fn(usize, Transport) -> Worker + Clone + Send + 'static {
    let (current, stats, query_log) = (current.clone(), stats.clone(), query_log.clone());
    move |_, _| {
        // Each worker starts its random numbers from another place.
        let worker = Worker::new(current.clone(), stats.new_worker(), fastrand::u64(..));
        worker.with_log(query_log.sampler())
    }
}

/// A process that serves.
struct Server {
    config: Config,
    /// How often files were loaded and served.
    loads: u64,
    state: State,
    watcher: Option<Watcher>,
    /// What the state being served was read from.
    files: Vec<PathBuf>,
    /// What the counters of answers stand for, through every reload.
    slots: Arc<Slots>,
    stats: AllStats,
    listeners: Counters,
    observed: Observed,
    query_log: QueryLog,
    api: api::Running,
    pilot: Pilot,
    notices: Arc<Notices>,
}

impl Server {
    fn wait(&mut self, wake: &Receiver<Event>) {
        let every = Duration::from_secs(self.config.log.counters_every_s);
        let mut reload_at: Option<Instant> = None;
        let mut changed_at: Option<Instant> = None;
        let mut counters_at = (!every.is_zero()).then(|| Instant::now() + every);
        let mut look_at = Instant::now();
        loop {
            let due = reload_at.into_iter().chain(counters_at).fold(look_at, Instant::min);
            let event = wake.recv_timeout(due.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            match event {
                Ok(Event::FilesChanged) => {
                    let first = *changed_at.get_or_insert(now);
                    reload_at = Some((now + FILES_REST).min(first + FILES_REST_MOST));
                }
                Ok(Event::Signal(SIGHUP)) => {
                    (reload_at, changed_at) = (None, None);
                    // What is wrong with it is logged and kept for whoever asks.
                    let _ = self.reload(self.note("local", "SIGHUP", ""));
                }
                Ok(Event::Reload(note, reply)) => {
                    (reload_at, changed_at) = (None, None);
                    // Who asked may have gone.
                    let _ = reply.send(self.reload(note));
                }
                Ok(Event::FirstRound) => {}
                Ok(Event::Signal(SIGUSR1)) => self.log_counters("asked for counters"),
                Ok(Event::Signal(_)) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if reload_at.is_some_and(|at| at <= now) {
                (reload_at, changed_at) = (None, None);
                let _ = self.reload(self.note("rhumb", "", "files changed"));
            }
            if look_at <= now {
                look_at = now + control::LOOK_EVERY;
                self.observed.look(now);
            }
            if counters_at.is_some_and(|at| at <= now) {
                counters_at = Some(now + every);
                self.log_counters("counters");
            }
        }
    }

    /// The line of the audit log that says that the files were loaded anew.
    fn note(&self, name: &str, from: &str, reason: &str) -> Note {
        Note {
            actor: Actor { name: name.into(), from: from.into() },
            action: "reloaded".into(),
            object: format!("the files of {}", node_name(&self.config)),
            reason: reason.into(),
        }
    }

    /// Compiles the files aside and swaps; what does not compile changes nothing.
    fn reload(&mut self, note: Note) -> Result<(), Vec<Problem>> {
        // Whoever rotates logs renames first, and then asks for this.
        self.query_log.reopen();
        // A file that trips over a mistake of ours must not end what is being served.
        let guarded = |read: &mut dyn FnMut() -> Result<Loaded, Vec<Problem>>| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_else(|_| {
                let message = "reading the change ran into a bug of rhumb; please report it with the files";
                Err(vec![Problem::error(&self.config.file, None, message)])
            })
        };
        let (config, problems) = Config::read_partly(&self.config.file);
        // What changes while it is being read is read once more.
        watch(&mut self.watcher, config.as_ref().unwrap_or(&self.config), &self.files);
        let loaded = load_as_read(config.as_ref(), problems, |config| {
            guarded(&mut || load_counted(config, self.loads + 1, &self.slots, &|_, _| {}))
        });
        match (loaded, config) {
            (Ok(loaded), Some(config)) => {
                for (part, changed) in [
                    ("listen", config.listen != self.config.listen),
                    ("log", config.log != self.config.log),
                    ("query_log", config.query_log != self.config.query_log),
                    ("api", config.api != self.config.api),
                ] {
                    if changed {
                        warn!("what is under [{part}] has changed; it takes a restart");
                    }
                }
                self.loads += 1;
                log_loaded(&loaded);
                self.files = loaded.files.clone();
                self.state.load(loaded);
                self.pilot.settle();
                self.notices.update(config.notify.clone());
                self.config = config;
                self.api.reload_tls();
                watch(&mut self.watcher, &self.config, &self.files);
                self.state.note_blocking(note);
                Ok(())
            }
            (loaded, config) => {
                let mut problems = loaded.err().unwrap_or_default();
                problems.retain(|problem| problem.severity == Severity::Error);
                for problem in &problems {
                    error!("{problem}");
                }
                self.state.rejected(problems.clone());
                error!(load = self.loads, "the change is not served; the old state keeps serving");
                // What mends it may come to the old places or to the new ones.
                watch(&mut self.watcher, config.as_ref().unwrap_or(&self.config), &self.files);
                self.state.note_blocking(refused(note, &problems));
                Err(problems)
            }
        }
    }

    fn log_counters(&self, why: &str) {
        let json = |totals: Result<String, serde_json::Error>| totals.expect("numbers are JSON");
        info!(
            counters = %json(serde_json::to_string(&self.stats.totals())),
            udp = %json(serde_json::to_string(&self.listeners.udp_totals())),
            tcp = %json(serde_json::to_string(&self.listeners.tcp_totals())),
            "{why}"
        );
        let notices = self.notices.status();
        if !notices.is_empty() {
            info!(notices = %json(serde_json::to_string(&notices)), "{why}");
        }
    }
}

/// The line of the audit log where a load was refused: the first that is wrong stands for all.
fn refused(note: Note, problems: &[Problem]) -> Note {
    let more = match problems.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let first = problems.first().map_or_else(String::new, ToString::to_string);
    Note { action: "reload refused".into(), object: format!("{}: {first}{more}", note.object), ..note }
}

/// Watches what a state was read from, and the folders and files its configuration names.
fn watch(watcher: &mut Option<Watcher>, config: &Config, files: &[PathBuf]) {
    if let Some(watcher) = watcher {
        let named = config.geo.networks.iter().chain(&config.geo.databases);
        let files: Vec<PathBuf> = files.iter().chain(named).cloned().collect();
        for (folder, error) in watcher.watch(&files, &[config.zones.clone(), config.filter_chains.clone()]) {
            warn!("changes in {} will not be noticed, send SIGHUP instead: {error}", folder.display());
        }
    }
}

impl Answer for Worker {
    #[inline]
    fn answer(&mut self, message: &mut [u8], query: usize, peer: Peer) -> Reply {
        self.answer_in_place(message, query, peer)
    }

    #[inline]
    fn look_ahead<'q>(&mut self, queries: impl Iterator<Item = &'q [u8]>) {
        Worker::look_ahead(self, queries);
    }
}

fn log_loaded(loaded: &Loaded) {
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let report = &loaded.report;
    info!(
        load = loaded.snapshot.revision,
        zones = report.zones,
        static_records = report.static_records,
        steered_records = report.steered_records,
        questions = report.questions.len(),
        ms = report.total_time.as_millis() as u64,
        "loaded"
    );
}

fn watch_files(events: &Sender<Event>) -> Option<Watcher> {
    let events = events.clone();
    let watcher = Watcher::new(move || {
        // The receiver is gone only when the process is stopping.
        let _ = events.send(Event::FilesChanged);
    });
    watcher.inspect_err(|error| warn!("changed files will not be noticed, send SIGHUP instead: {error}")).ok()
}

fn watch_signals(events: Sender<Event>) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1]).context("cannot take signals")?;
    let take = move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(take).context("cannot start a thread")?;
    Ok(())
}
