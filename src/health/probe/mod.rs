//! One probe: an address is asked, and what it does is told in words.
//!
//! ```text
//! Ask (a check, and what was made of it once) + address -> a kind, a file each -> Passed | ProbeError
//! ```
//!
//! Every probe opens its own connection and ends it: what is asked is whether a client would get in now.

mod connect;
mod dns;
mod http;
mod tcp;
mod tls;
mod websocket;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use crate::state::load::Load;
use crate::state::model::Time;
use crate::state::monitors::{Check, Kind};

pub use tls::system_authorities;

/// It is as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passed {
    /// How long it took.
    pub latency: Duration,
    /// What should be looked at all the same; empty when nothing should.
    pub warning: String,
    /// When the certificate ends, where it showed one.
    pub certificate_ends: Option<Time>,
    /// What it says of its load.
    pub load: Load,
}

impl Passed {
    /// Also has this to say.
    fn warn(&mut self, words: &str) {
        self.warning += if self.warning.is_empty() { "" } else { "; " };
        self.warning += words;
    }
}

/// It is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError {
    /// In words: `connection refused`, `HTTP 503, expected 200-299`.
    pub words: String,
}

impl ProbeError {
    /// From words.
    pub fn new(words: impl Into<String>) -> ProbeError {
        ProbeError { words: words.into() }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// A check, ready to be asked of any address.
#[derive(Clone)]
pub struct Ask {
    /// The check.
    pub check: Arc<Check>,
    /// What TLS is done with, where it is; made once, since it holds the authorities.
    tls: Option<Arc<ClientConfig>>,
}

impl Ask {
    /// Prepares a check.
    pub fn new(check: Arc<Check>) -> Ask {
        let tls = check.is_tls().then(|| tls::client(&check));
        Ask { check, tls }
    }
}

/// Probes one address. It ends within the check's timeout, whatever the other side does.
pub async fn probe(ask: &Ask, target: SocketAddr) -> Result<Passed, ProbeError> {
    let begun = Instant::now();
    let clock = Clock { deadline: begun + ask.check.timeout, timeout: ask.check.timeout };
    let passed = match ask.check.kind {
        Kind::Http => http::probe(ask, target, clock).await,
        Kind::Https => http::probe_tls(ask, target, clock).await,
        Kind::Tcp => tcp::probe(ask, target, clock).await,
        Kind::Tls => tls::probe(ask, target, clock).await,
        Kind::WebSocket => websocket::probe(ask, target, clock).await,
        Kind::Dns => dns::probe(ask, target, clock).await,
        Kind::Push => Err(ProbeError::new("a heartbeat comes by itself")),
    }?;
    Ok(Passed { latency: begun.elapsed(), ..passed })
}

/// How long a probe may still take.
#[derive(Clone, Copy)]
struct Clock {
    deadline: Instant,
    timeout: Duration,
}

impl Clock {
    /// A step of a probe, which must end before the probe does.
    async fn within<T>(self, what: &str, step: impl Future<Output = T>) -> Result<T, ProbeError> {
        timeout_at(self.deadline, step).await.map_err(|_| {
            let timeout = jiff::SignedDuration::try_from(self.timeout).unwrap_or_default();
            ProbeError::new(format!("no {what} within {timeout:#}"))
        })
    }
}
