//! Notices: people and programs are told what health did, by webhooks.
//!
//! ```text
//! pilot: verdicts, alarms ------> tell -> a Queue for each receiver -> deliver: POST, signed -> 2xx?
//! audit log: drains, changes --/                    ^---------- no: again, after a pause ---------'
//! ```
//!
//! One thread, named `notify`, that waits for sockets. Telling is putting into a queue: nothing that steers
//! waits for a receiver. One try at a time for each receiver, and no receiver waits for another.
//!
//! Deliberately absent: keeping what was not yet taken over a restart. The audit log has what was done, and
//! alarms that are still true are raised anew.

mod notice;
mod queue;
mod signature;

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, redirect};
use rustls::ClientConfig;
use rustls::crypto::ring;
use serde::Serialize;
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;
use tracing::{debug, error, info, warn};

use super::probe::system_authorities;
use crate::config::Hook;
use crate::state::model::{Entry, Time};
use queue::{Delivery, Outcome, Queue};

pub use notice::{About, Notice};
pub use queue::WAITING_MOST;
pub use signature::sign;

/// How long a receiver's loop sleeps when nothing waits.
const IDLE: Duration = Duration::from_secs(60);

/// The way to the receivers.
pub struct Notices {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How a receiver is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookStatus {
    /// Where it is.
    pub to: String,
    /// Notices it has taken.
    pub delivered: u64,
    /// Notices that were given up.
    pub failed: u64,
    /// Notices that were dropped, because too many waited.
    pub dropped: u64,
    /// Notices that wait.
    pub waiting: usize,
    /// What is wrong with it; empty when nothing is.
    pub error: String,
}

struct Shared {
    node: String,
    receivers: Mutex<Vec<Arc<Receiver>>>,
    /// The receivers have changed, or we stop.
    changed: Notify,
    stop: AtomicBool,
    begun: Instant,
}

struct Receiver {
    hook: Hook,
    queue: Mutex<Queue>,
    /// Something waits.
    wake: Notify,
}

impl Notices {
    /// Starts to tell these receivers: what [`Notices::tell`] is given, and what is committed.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptors for its loop.
    pub fn start(
        node: String,
        hooks: Vec<Hook>,
        entries: broadcast::Receiver<Arc<Entry>>,
    ) -> io::Result<Arc<Notices>> {
        let shared = Arc::new(Shared {
            node,
            receivers: Mutex::default(),
            changed: Notify::new(),
            stop: false.into(),
            begun: Instant::now(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (client, theirs) = (client().map_err(io::Error::other)?, shared.clone());
        let thread = std::thread::Builder::new().name("notify".into()).spawn(move || {
            runtime.block_on(run(theirs, client, entries));
            // A name that is being looked up does not keep us.
            runtime.shutdown_background();
        })?;
        let notices = Notices { shared, thread: Mutex::new(Some(thread)) };
        notices.update(hooks);
        Ok(Arc::new(notices))
    }

    /// Other receivers, after a reload: what waits for those that stay goes on waiting.
    pub fn update(&self, hooks: Vec<Hook>) {
        let mut receivers = lock(&self.shared.receivers);
        let next = hooks.into_iter().map(|hook| {
            let stays = receivers.iter().find(|receiver| receiver.hook == hook).cloned();
            stays.unwrap_or_else(|| Arc::new(Receiver { hook, queue: Mutex::default(), wake: Notify::new() }))
        });
        *receivers = next.collect();
        self.shared.changed.notify_one();
    }

    /// Tells every receiver that wants to know. It waits for nobody.
    pub fn tell(&self, notice: Notice) {
        self.shared.tell(notice);
    }

    /// How each receiver is.
    pub fn status(&self) -> Vec<HookStatus> {
        let of = |receiver: &Arc<Receiver>| {
            let queue = lock(&receiver.queue);
            HookStatus {
                to: receiver.hook.to(),
                delivered: queue.counts.delivered,
                failed: queue.counts.failed,
                dropped: queue.counts.dropped,
                waiting: queue.waiting(),
                error: queue.error.clone(),
            }
        };
        lock(&self.shared.receivers).iter().map(of).collect()
    }

    /// Stops at once; what has not been taken is named in the log.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.changed.notify_one();
        let Some(thread) = lock(&self.thread).take() else { return };
        if thread.join().is_err() {
            error!("the thread of the notices has panicked");
        }
        for status in self.status().into_iter().filter(|status| status.waiting > 0) {
            warn!("{} notices were not taken by {} before the end", status.waiting, status.to);
        }
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn tell(&self, notice: Notice) {
        let notice = Arc::new(notice);
        // The receivers of one notice can know it for the same.
        let id = format!("{:032x}", fastrand::u128(..));
        for receiver in lock(&self.receivers).iter() {
            if !receiver.hook.events.contains(&notice.event) {
                continue;
            }
            let delivery = Delivery { id: id.clone(), notice: notice.clone() };
            let mut queue = lock(&receiver.queue);
            if queue.push(delivery, self.begun.elapsed()) && queue.counts.dropped % WAITING_MOST as u64 == 1 {
                let to = receiver.hook.to();
                warn!("{WAITING_MOST} notices wait for {to}; the oldest are dropped: {}", queue.error);
            }
            drop(queue);
            receiver.wake.notify_one();
        }
    }
}

/// The data is plain, and whole between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What posts: it follows no redirects, which could lead anywhere, and asks no proxy.
fn client() -> Result<Client, Box<dyn Error + Send + Sync>> {
    let provider = Arc::new(ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = tls.with_root_certificates(system_authorities()).with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls).redirect(redirect::Policy::none());
    Ok(client.no_proxy().user_agent(concat!("rhumb/", env!("CARGO_PKG_VERSION"))).build()?)
}

/// A loop for each receiver, and one for what is committed.
async fn run(shared: Arc<Shared>, client: Client, mut entries: broadcast::Receiver<Arc<Entry>>) {
    let mut running: Vec<(Arc<Receiver>, AbortHandle)> = Vec::new();
    let mut is_kept = true;
    while !shared.stop.load(Ordering::Acquire) {
        tokio::select! {
            () = shared.changed.notified() => {
                let receivers = lock(&shared.receivers).clone();
                running.retain(|(receiver, task)| {
                    let stays = receivers.iter().any(|other| Arc::ptr_eq(other, receiver));
                    if !stays {
                        task.abort();
                    }
                    stays
                });
                for receiver in receivers {
                    if !running.iter().any(|(other, _)| Arc::ptr_eq(other, &receiver)) {
                        let serve = serve(shared.clone(), receiver.clone(), client.clone());
                        running.push((receiver, tokio::spawn(serve).abort_handle()));
                    }
                }
            }
            came = entries.recv(), if is_kept => match came {
                Ok(entry) => Notice::of_entry(&entry).into_iter().for_each(|notice| shared.tell(notice)),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    warn!("{missed} changes came faster than they could be told of; see the audit log");
                }
                Err(broadcast::error::RecvError::Closed) => is_kept = false,
            }
        }
    }
}

/// One receiver: what is due is tried, one after the other.
async fn serve(shared: Arc<Shared>, receiver: Arc<Receiver>, client: Client) {
    loop {
        let (due, next) = {
            let queue = lock(&receiver.queue);
            (queue.take(shared.begun.elapsed()), queue.next())
        };
        let Some(delivery) = due else {
            let next = shared.begun + next.unwrap_or_else(|| shared.begun.elapsed() + IDLE);
            tokio::select! {
                () = receiver.wake.notified() => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
            continue;
        };
        let outcome = deliver(&client, &shared.node, &receiver.hook, &delivery).await;
        let to = receiver.hook.to();
        let mut queue = lock(&receiver.queue);
        match &outcome {
            Outcome::Taken if !queue.error.is_empty() => info!("{to} takes notices again"),
            Outcome::Taken => debug!("{to} has taken {}", delivery.id),
            Outcome::Refused(error) | Outcome::Failed(error) if queue.error.is_empty() => {
                warn!("{to} does not take a notice: {error}; it is sent again for an hour");
            }
            Outcome::Refused(error) | Outcome::Failed(error) => debug!("{to} still: {error}"),
        }
        let given_up = queue.ended(&delivery.id, outcome, shared.begun.elapsed());
        if given_up > 0 {
            warn!("{given_up} notices to {to} are given up: {}", queue.error);
        }
    }
}

/// The body of a request.
#[derive(Serialize)]
struct Body<'n> {
    id: &'n str,
    node: &'n str,
    #[serde(flatten)]
    notice: &'n Notice,
}

/// One try.
async fn deliver(client: &Client, node: &str, hook: &Hook, delivery: &Delivery) -> Outcome {
    let Delivery { id, notice } = delivery;
    let body = serde_json::to_vec(&Body { id, node, notice }).expect("notices are JSON");
    let signature = sign(hook.secret.bytes(), Time::now().as_second(), &body);
    let request = client
        .post(hook.url.clone())
        .timeout(hook.timeout)
        .header(CONTENT_TYPE, "application/json")
        .header("X-Rhumb-Event", notice.event.name())
        .header("X-Rhumb-Delivery", id)
        .header("X-Rhumb-Signature", signature)
        .body(body);
    match request.send().await.map(|response| response.status()) {
        Ok(status) if status.is_success() => Outcome::Taken,
        Ok(status) if is_refusal(status) => Outcome::Refused(status.to_string()),
        Ok(status) if status.is_redirection() => {
            Outcome::Failed(format!("{status}, and redirects are not followed"))
        }
        Ok(status) => Outcome::Failed(status.to_string()),
        Err(error) => Outcome::Failed(words(&error.without_url())),
    }
}

/// The request was read, and is not wanted; the receiver itself is well.
fn is_refusal(status: StatusCode) -> bool {
    let is_busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !is_busy.contains(&status)
}

/// The innermost cause, which is what helps.
fn words(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
