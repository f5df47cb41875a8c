//! http and https: a request, the status of its response, a text in its body, and the load that it tells.
//!
//! A redirect is its status: what it leads to is another monitor's.

use std::net::SocketAddr;
use std::pin::pin;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect::{connect, in_words};
use super::{Ask, Clock, Passed, ProbeError, tls};
use crate::state::load::METRICS;
use crate::state::monitors::{Check, HttpAsk};

/// How much of a body is looked at: a page that says it is well says so early.
const BODY_OCTETS_MAX: usize = 64 << 10;
/// The longest head of a response, as most servers have it for requests; the least hyper takes.
const HEAD_OCTETS_MAX: usize = 8 << 10;
/// Who asks.
const AGENT: &str = concat!("rhumb/", env!("CARGO_PKG_VERSION"));

/// Asks over HTTP.
pub async fn probe(ask: &Ask, target: SocketAddr, clock: Clock) -> Result<Passed, ProbeError> {
    let stream = connect(&ask.check, target, clock).await?;
    exchange(&ask.check, target, stream, clock, Passed::default()).await
}

/// Asks over HTTPS.
pub async fn probe_tls(ask: &Ask, target: SocketAddr, clock: Clock) -> Result<Passed, ProbeError> {
    let stream = connect(&ask.check, target, clock).await?;
    let stream = tls::handshake(ask, target, stream, clock).await?;
    let passed = tls::certificate(ask, &stream);
    exchange(&ask.check, target, stream, clock, passed).await
}

/// Adds to what has been found until here.
async fn exchange<S>(
    check: &Check,
    target: SocketAddr,
    stream: S,
    clock: Clock,
    mut passed: Passed,
) -> Result<Passed, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = request(check, target)?;
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) =
        client().handshake(TokioIo::new(stream)).await.map_err(|error| hyper_in_words(&error))?;
    alongside(connection, async {
        let response = clock.within("response", sender.send_request(request)).await?;
        let response = response.map_err(|error| hyper_in_words(&error))?;
        expect_status(response.status(), &check.http)?;
        let mut body = Body { rest: response.into_body(), seen: Vec::new() };
        if let Some(text) = &check.http.body {
            clock.within("response", body.expect(text)).await??;
        }
        if check.http.asks_for_load() {
            // It is well, whatever it says of load.
            let read = clock.within("body", body.read_load(&check.http, &mut passed)).await;
            read.and_then(|read| read).unwrap_or_else(|error| passed.warn(&format!("no load: {error}")));
        }
        Ok(passed)
    })
    .await
}

/// The client side of a connection, with little memory.
pub fn client() -> http1::Builder {
    let mut client = http1::Builder::new();
    client.max_buf_size(HEAD_OCTETS_MAX);
    client
}

/// The request, but for what makes a plain one or an upgrade of it.
pub fn request(check: &Check, target: SocketAddr) -> Result<Request<Empty<Bytes>>, ProbeError> {
    let bad = |_| ProbeError::new("the request cannot be made; look at path and host");
    let mut request = Request::builder().method(&check.http.method).uri(check.http.path.as_str());
    if let Some(headers) = request.headers_mut() {
        *headers = check.http.headers.clone();
        let host = check.http.host.clone().unwrap_or_else(|| target.to_string());
        headers.insert(HOST, HeaderValue::try_from(host).map_err(|_| bad(()))?);
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    }
    request.body(Empty::new()).map_err(|_| bad(()))
}

/// Moves a connection's octets while something is done over it. Its own error is the other's too.
pub async fn alongside<T>(
    connection: impl Future<Output = Result<(), hyper::Error>>,
    what: impl Future<Output = T>,
) -> T {
    let mut what = pin!(what);
    tokio::select! {
        done = &mut what => return done,
        _ = connection => {}
    }
    what.await
}

fn expect_status(status: StatusCode, ask: &HttpAsk) -> Result<(), ProbeError> {
    if ask.status.iter().any(|range| range.contains(&status.as_u16())) {
        return Ok(());
    }
    let ranges = ask.status.iter().map(|range| match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    });
    let ranges = ranges.collect::<Vec<_>>().join(", ");
    Err(ProbeError::new(format!("HTTP {}, expected {ranges}", status.as_u16())))
}

/// A body, as far as it has been read.
struct Body {
    rest: Incoming,
    seen: Vec<u8>,
}

impl Body {
    /// Reads on; false at its end, or when enough has been read.
    async fn more(&mut self) -> Result<bool, ProbeError> {
        if self.seen.len() == BODY_OCTETS_MAX {
            return Ok(false);
        }
        let Some(frame) = self.rest.frame().await else { return Ok(false) };
        let frame = frame.map_err(|error| hyper_in_words(&error))?;
        self.seen.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        self.seen.truncate(BODY_OCTETS_MAX);
        Ok(true)
    }

    async fn expect(&mut self, text: &str) -> Result<(), ProbeError> {
        loop {
            // The text may lie across two frames: only what is older than its length need not be seen again.
            let from = self.seen.len().saturating_sub(text.len());
            if !self.more().await? {
                let octets = self.seen.len();
                return Err(ProbeError::new(format!("body without `{text}` in its first {octets} octets")));
            }
            let mut windows = self.seen[from..].windows(text.len().max(1));
            if text.is_empty() || windows.any(|window| window == text.as_bytes()) {
                return Ok(());
            }
        }
    }

    async fn read_load(&mut self, ask: &HttpAsk, passed: &mut Passed) -> Result<(), ProbeError> {
        while self.more().await? {}
        let json: Json = serde_json::from_slice(&self.seen).map_err(|_| {
            ProbeError::new(format!("body without JSON in its first {} octets", self.seen.len()))
        })?;
        for (at, pointer) in ask.load.iter().enumerate() {
            let Some(pointer) = pointer else { continue };
            let place = if pointer.is_empty() { "the body" } else { pointer };
            match json.pointer(pointer).map(Json::as_f64) {
                Some(Some(load)) if load >= 0.0 => passed.load[at] = Some(load),
                Some(_) => passed.warn(&format!("no {}: {place} is no number from 0", METRICS[at])),
                None => passed.warn(&format!("no {}: nothing at {place}", METRICS[at])),
            }
        }
        Ok(())
    }
}

/// An error of HTTP, as an operator says it.
pub fn hyper_in_words(error: &hyper::Error) -> ProbeError {
    if error.is_incomplete_message() {
        return ProbeError::new("connection closed before the response was whole");
    }
    if error.is_parse() {
        return ProbeError::new("no HTTP in what came back");
    }
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(error) => in_words(error),
        None => ProbeError::new(error.to_string()),
    }
}
