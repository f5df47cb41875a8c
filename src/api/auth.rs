//! Who asks, and whether they may.
//!
//! ```text
//! Origin (which socket) + Authorization -> Caller -> Rule of the route -> handler, or 401, 403, 429
//! ```
//!
//! A token is 256 random bits, so its hash needs no salt and no slow function: whoever has the hashes cannot
//! guess what was hashed. Over TCP a token is always needed, on loopback too: a browser of the same machine
//! reaches that. The Unix socket needs none: whoever may write the file may do everything.
//!
//! Deliberately absent: sessions, passwords, and blocking an address after wrong tokens. Nobody guesses 256
//! bits; a limit there would only let one client behind a shared address lock out the others. What is limited
//! is how often wrong tokens are answered and logged.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use rustls::crypto::ring::default_provider;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tracing::warn;

use super::App;
use super::problem::Problem;
use crate::state::model::{Actor, Role, Token};
use crate::state::view::View;

/// What the secret of a token begins with, so that people and scanners know one when they see it.
pub const SECRET_PREFIX: &str = "rhumb_";
/// Wrong tokens of one address that are answered and logged in a minute.
const FAILURES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
/// Addresses and tokens remembered before those that have been quiet are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// The name of whoever comes over the Unix socket.
const LOCAL: &str = "local";

/// Which way a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From an address.
    Address(SocketAddr),
    /// Over the Unix socket.
    Socket,
}

impl Connected<SocketAddr> for Origin {
    fn connect_info(peer: SocketAddr) -> Origin {
        Origin::Address(peer)
    }
}

impl Connected<std::os::unix::net::SocketAddr> for Origin {
    fn connect_info(_: std::os::unix::net::SocketAddr) -> Origin {
        Origin::Socket
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Their name, and where they come from.
    pub actor: Actor,
    /// What they may do.
    pub role: Role,
    /// The pool they are confined to.
    pub pool: Option<String>,
}

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing.
    Open,
    /// A role.
    Needs(Role),
    /// A role, of a token that is not confined to a pool: what the route does concerns all of them.
    NeedsAll(Role),
}

/// A new secret, from the random numbers of the system.
pub fn new_secret() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    default_provider().secure_random.fill(&mut bytes).map_err(|_| {
        let detail = "the system gives no random numbers";
        Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    Ok(format!("{SECRET_PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
}

/// What is kept of a secret.
pub fn hash(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}

/// How often things may be tried.
pub struct Limits {
    failures: DefaultKeyedRateLimiter<IpAddr>,
    changes: DefaultKeyedRateLimiter<String>,
    dry_runs: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
}

impl Limits {
    /// With so many changes a minute for each token.
    pub fn new(changes_per_minute: u32) -> Limits {
        let changes = NonZeroU32::new(changes_per_minute).unwrap_or(NonZeroU32::MIN);
        Limits {
            failures: RateLimiter::keyed(Quota::per_minute(FAILURES_PER_MINUTE)),
            changes: RateLimiter::keyed(Quota::per_minute(changes)),
            // A person makes one before each change, and one of many records counts clients for a while.
            dry_runs: RateLimiter::keyed(Quota::per_minute(changes)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a change of a caller; a person at the Unix socket may go on.
    pub fn count(&self, caller: &Caller, dry_run: bool) -> Result<(), Problem> {
        let (limiter, does) =
            if dry_run { (&self.dry_runs, "makes dry runs") } else { (&self.changes, "changes") };
        if caller.actor.name == LOCAL {
            return Ok(());
        }
        if limiter.len() > REMEMBERED_MAX {
            limiter.retain_recent();
        }
        limiter.check_key(&caller.actor.name).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            let detail = format!(
                "{} {does} more often than max_changes_per_minute allows; if that is meant, raise it under [api]",
                caller.actor.name
            );
            Problem::too_many(detail, wait)
        })
    }

    /// Counts a wrong token.
    fn count_failure(&self, from: IpAddr, why: &str) -> Problem {
        if self.failures.len() > REMEMBERED_MAX {
            self.failures.retain_recent();
        }
        match self.failures.check_key(&network(from)) {
            Ok(()) => {
                warn!(%from, "a request was refused: {why}");
                Problem::unauthorized(why)
            }
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                Problem::too_many("too many requests without a token that is good", wait)
            }
        }
    }
}

/// What counts as one client: an IPv4 address, an IPv6 /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

/// Lets a request through to its handler, with the [`Caller`], if the rule of its route allows.
pub async fn check(
    State((app, rule)): State<(Arc<App>, Rule)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (role, all_pools) = match rule {
        Rule::Open => return Ok(next.run(request).await),
        Rule::Needs(role) => (role, false),
        Rule::NeedsAll(role) => (role, true),
    };
    let caller = identify(&app, &request)?;
    if !caller.role.includes(role) {
        return Err(Problem::forbidden(format!(
            "the token {} has the role {}; this needs the role {}",
            caller.actor.name,
            name_of(caller.role),
            name_of(role)
        )));
    }
    if let Some(pool) = caller.pool.as_ref().filter(|_| all_pools) {
        return Err(Problem::forbidden(format!(
            "the token {} is confined to pool {pool}, and this concerns every pool",
            caller.actor.name
        )));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Who sends a request, whatever it is.
pub(super) fn identify(app: &App, request: &Request) -> Result<Caller, Problem> {
    let origin = request.extensions().get::<ConnectInfo<Origin>>();
    let from = match origin.map(|ConnectInfo(origin)| *origin) {
        Some(Origin::Socket) => {
            let actor = Actor { name: LOCAL.into(), from: "unix socket".into() };
            return Ok(Caller { actor, role: Role::Admin, pool: None });
        }
        Some(Origin::Address(address)) => address.ip(),
        // Each way in says which one it is; a request that came by none is nobody's.
        None => return Err(Problem::unauthorized("it is not known which way the request came")),
    };
    let view = app.state.view();
    let Some(secret) = bearer(request) else {
        let why = match view.model.tokens.is_empty() {
            true => {
                "there is no token yet; make the first with `rhumb token create NAME --role admin` on the server"
            }
            false => "send `Authorization: Bearer TOKEN`",
        };
        return Err(app.limits.count_failure(from, why));
    };
    match find(&view, secret) {
        None => Err(app.limits.count_failure(from, "the token is not known; it may have been revoked")),
        Some(token) if token.expires_at.is_some_and(|at| at <= app.now(&view)) => {
            let why = format!("the token {} has expired; make another", token.name);
            Err(app.limits.count_failure(from, &why))
        }
        Some(token) => Ok(Caller {
            actor: Actor { name: token.name.clone(), from: from.to_canonical().to_string() },
            role: token.role,
            pool: token.pool.clone(),
        }),
    }
}

/// RFC 6750, section 2.1; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

/// Every token is compared, each in constant time: how long it takes says nothing about any of them.
fn find<'v>(view: &'v View, secret: &str) -> Option<&'v Token> {
    let hash = hash(secret);
    let mut found = None;
    for token in view.model.tokens.values() {
        if bool::from(token.hash.as_bytes().ct_eq(hash.as_bytes())) {
            found = Some(token);
        }
    }
    found
}

/// A role as it is written.
pub fn name_of(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Feed => "feed",
        Role::Drain => "drain",
        Role::Operate => "operate",
        Role::Admin => "admin",
    }
}

/// A role by its name.
pub fn role_of(name: &str) -> Result<Role, Problem> {
    let roles = [Role::Read, Role::Feed, Role::Drain, Role::Operate, Role::Admin];
    let role = roles.into_iter().find(|role| name_of(*role) == name);
    let wrong = || {
        Problem::invalid("role", format!("`{name}` is unknown; write read, feed, drain, operate or admin"))
    };
    role.ok_or_else(wrong)
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        // The rules put it there; a route that is open has none, and must not ask.
        parts
            .extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| Problem::unauthorized("nobody is known to ask"))
    }
}
