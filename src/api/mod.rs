//! The control plane over HTTP: what is wanted goes in, what is so comes out.
//!
//! ```text
//! TCP (TLS or not), Unix socket -> server (crowd: how many) -> routes: one table of (method, path, rule, handler)
//!     -> auth: who asks, and may they -> take: body, query, If-Match -> a resource, one file each
//!     -> write -> State::change -> Changed           reads: View -> bodies
//!     -> problem: whatever was wrong, as RFC 9457
//! counters of the workers and listeners, gauges of the state -> metrics::render -> OpenMetrics text
//! ```
//!
//! It decides nothing: what may become of a wish is [`crate::state::change`]'s, and a read shows one
//! [`View`] that holds still. What goes over the wire is in [`bodies`], and the OpenAPI document is made of
//! the handlers themselves ([`routes`]).
//!
//! Its threads are its own: whatever callers do, the threads that answer DNS do not wait for them.
//!
//! Deliberately absent: editing what stands in files (git owns it), and a cache of any kind.

pub mod auth;
pub mod bodies;
pub mod metrics;
pub mod problem;
pub mod routes;
pub mod server;
pub mod take;

mod audit;
mod crowd;
mod drains;
mod events;
mod explain;
mod feeds;
mod health;
mod methods;
mod migrations;
mod monitors;
mod policies;
mod pools;
mod pops;
mod process;
mod records;
mod sent;
mod shown;
mod splits;
mod status;
mod store;
mod tls;
mod tokens;
mod write;

use std::time::Instant;

use tokio::sync::watch;

use self::auth::Limits;
use crate::config::ApiConfig;
use crate::files::Problem;
use crate::health::MonitorStatus;
use crate::health::notify::HookStatus;
use crate::state::keeper::{Note, State};
use crate::state::load::{Load, MonitorLoad};
use crate::state::model::{Model, Time};
use crate::state::view::View;

pub use server::{Running, StartError, Unusable, start, unusable};

/// What the control plane is made of.
pub struct Api {
    /// What `[api]` says.
    pub config: ApiConfig,
    /// What the node calls itself.
    pub node: String,
    /// The state it shows and changes.
    pub state: State,
    /// What other rooms give it.
    pub hooks: Hooks,
}

/// See [`Hooks::wanted`].
pub type Wanted = dyn Fn(&View, &str, &str, &str) -> Option<f64> + Send + Sync;
/// See [`Hooks::impact`].
pub type Impact = dyn Fn(&View, &Model) -> Option<serde_json::Value> + Send + Sync;
/// See [`Hooks::reload`].
pub type Reload = dyn Fn(Note) -> Result<(), Vec<Problem>> + Send + Sync;
/// See [`Hooks::check_files`].
pub type CheckFiles = dyn Fn() -> Result<Vec<Problem>, Vec<Problem>> + Send + Sync;
/// See [`Hooks::set_log_level`].
pub type SetLogLevel = dyn Fn(&str) -> Result<(), String> + Send + Sync;
/// See [`Hooks::served`].
pub type Served = dyn Fn(&str, Option<&str>, u16) + Send + Sync;

/// See [`Hooks::health_alarms`].
pub type Alarms = dyn Fn(&View) -> Vec<String> + Send + Sync;
/// See [`Hooks::heartbeat`].
pub type TakeHeartbeat = dyn Fn(&str, &str, Load) -> Option<MonitorLoad> + Send + Sync;

/// What other rooms give: what the control plane shows without knowing how it comes about.
pub struct Hooks {
    /// The text of `/metrics`.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Answers given, by answer.
    pub shares: Box<dyn Fn() -> Vec<bodies::ShareBody> + Send + Sync>,
    /// By pool, PoP and stack: percent of the PoP's clients that should get the stack, by the networks that
    /// asked in the last hour; none before anybody has.
    pub wanted: Box<Wanted>,
    /// Whom a change moves: from what is served to the model as it would be. It may take its time.
    pub impact: Box<Impact>,
    /// Loads the files anew; what is wrong with them, and then nothing has changed. It may take its time.
    pub reload: Box<Reload>,
    /// Reads the files as a load would, and serves nothing of it: what is suspicious about them, or wrong. It may take
    /// its time.
    pub check_files: Box<CheckFiles>,
    /// Sets the level of the log; what is wrong with it.
    pub set_log_level: Box<SetLogLevel>,
    /// Counts a request: its method, the path of its route where there is one, and the status of the response.
    pub served: Box<Served>,
    /// What the monitors say.
    pub monitors: Box<dyn Fn() -> Vec<MonitorStatus> + Send + Sync>,
    /// Takes a heartbeat of a push monitor for an answer, with its load: what is to be said of that; none when there is
    /// no such monitor.
    pub heartbeat: Box<TakeHeartbeat>,
    /// How the receivers of notices are.
    pub notices: Box<dyn Fn() -> Vec<HookStatus> + Send + Sync>,
    /// Waits until health probes and decides by what is wanted now. It may take some milliseconds.
    pub settle: Box<dyn Fn() + Send + Sync>,
    /// What health and load ask a person to look at. It may take some milliseconds.
    pub health_alarms: Box<Alarms>,
    /// The wall clock.
    pub clock: Box<dyn Fn() -> Time + Send + Sync>,
}

impl Default for Hooks {
    /// Of a process that counts nothing and can reload nothing.
    fn default() -> Hooks {
        Hooks {
            metrics: Box::new(String::new),
            shares: Box::new(Vec::new),
            wanted: Box::new(|_, _, _, _| None),
            impact: Box::new(|_, _| None),
            reload: Box::new(|_| Ok(())),
            check_files: Box::new(|| Ok(Vec::new())),
            set_log_level: Box::new(|_| Ok(())),
            served: Box::new(|_, _, _| {}),
            monitors: Box::new(Vec::new),
            heartbeat: Box::new(|_, _, _| None),
            notices: Box::new(Vec::new),
            settle: Box::new(|| {}),
            health_alarms: Box::new(|_| Vec::new()),
            clock: Box::new(Time::now),
        }
    }
}

/// What every handler may use.
pub struct App {
    config: ApiConfig,
    node: String,
    state: State,
    hooks: Hooks,
    limits: Limits,
    begun: Instant,
    /// Becomes true when the process stops: streams end then.
    stopping: watch::Sender<bool>,
}

impl App {
    /// What handlers use, made of what the process gives.
    pub fn new(api: Api) -> App {
        let Api { config, node, state, hooks } = api;
        App {
            limits: Limits::new(config.max_changes_per_minute),
            begun: Instant::now(),
            stopping: watch::Sender::new(false),
            config,
            node,
            state,
            hooks,
        }
    }

    /// The time that is believed: the view's stands still between two changes, and on purpose while the
    /// clock is not plausible.
    fn now(&self, view: &View) -> Time {
        view.believed((self.hooks.clock)())
    }
}
