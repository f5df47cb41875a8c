//! websocket: the opening handshake of RFC 6455 over ws or wss, a ping where one is wanted, and a close.
//!
//! The upgrade is made by the HTTP client we have, so that each part of the response that is missing or
//! wrong has its own words; frames are tungstenite's.

use std::net::SocketAddr;

use data_encoding::BASE64;
use futures_util::{SinkExt, StreamExt};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{self, Message};

use super::connect::{connect, in_words};
use super::http::{alongside, client, hyper_in_words, request};
use super::{Ask, Clock, Passed, ProbeError, tls};
use crate::state::monitors::Check;

/// What our ping carries, and the pong must.
const PING: &[u8] = b"rhumb";
/// How long the other side may take to answer our close. It has shown that it is well; this is manners.
const CLOSE_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(500);

/// Upgrades, pings, closes.
pub async fn probe(ask: &Ask, target: SocketAddr, clock: Clock) -> Result<Passed, ProbeError> {
    let stream = connect(&ask.check, target, clock).await?;
    if !ask.check.secure {
        talk(&ask.check, target, stream, clock).await?;
        return Ok(Passed::default());
    }
    let stream = tls::handshake(ask, target, stream, clock).await?;
    let passed = tls::certificate(ask, &stream);
    talk(&ask.check, target, stream, clock).await?;
    Ok(passed)
}

async fn talk<S>(check: &Check, target: SocketAddr, stream: S, clock: Clock) -> Result<(), ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = request(check, target)?;
    let key = BASE64.encode(&fastrand::u128(..).to_be_bytes());
    let headers = request.headers_mut();
    let asked = headers.get(SEC_WEBSOCKET_PROTOCOL).cloned();
    for (name, value) in [(UPGRADE, "websocket"), (CONNECTION, "Upgrade"), (SEC_WEBSOCKET_VERSION, "13")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::try_from(&key).map_err(|_| ProbeError::new("no key"))?);
    let handshake = client().handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| hyper_in_words(&error))?;
    let upgrade = async {
        let response = sender.send_request(request).await.map_err(|error| hyper_in_words(&error))?;
        expect_upgrade(&response, &key, asked.as_ref())?;
        hyper::upgrade::on(response).await.map_err(|error| hyper_in_words(&error))
    };
    let upgraded = clock.within("response to the upgrade", alongside(connection.with_upgrades(), upgrade));
    let upgraded = TokioIo::new(upgraded.await??);
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    if check.ping {
        clock.within("pong", ping(&mut socket)).await??;
    }
    close(&mut socket, clock).await;
    Ok(())
}

/// RFC 6455 section 4.1, what a client must check of the response.
fn expect_upgrade<B>(
    response: &Response<B>,
    key: &str,
    asked: Option<&HeaderValue>,
) -> Result<(), ProbeError> {
    let fail = |words: &str| Err(ProbeError::new(words));
    let headers = response.headers();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return fail(&format!("HTTP {}, expected 101", response.status().as_u16()));
    }
    if !has_token(headers, &UPGRADE, "websocket") {
        return fail("no Upgrade: websocket");
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return fail("no Connection: Upgrade");
    }
    match headers.get(SEC_WEBSOCKET_ACCEPT) {
        None => return fail("no Sec-WebSocket-Accept"),
        Some(accept) if accept.as_bytes().trim_ascii() != derive_accept_key(key.as_bytes()).as_bytes() => {
            return fail("wrong Sec-WebSocket-Accept");
        }
        Some(_) => {}
    }
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return fail("Sec-WebSocket-Extensions that nobody asked for");
    }
    if let Some(chosen) = headers.get(SEC_WEBSOCKET_PROTOCOL) {
        let asked = asked.and_then(|asked| asked.to_str().ok()).unwrap_or_default();
        if !asked.split(',').any(|asked| asked.trim().as_bytes() == chosen.as_bytes()) {
            return fail("a Sec-WebSocket-Protocol that nobody asked for");
        }
    }
    Ok(())
}

/// Whether a list of tokens has one, in whatever case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

async fn ping<S>(socket: &mut WebSocketStream<S>) -> Result<(), ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.send(Message::Ping(PING.into())).await.map_err(|error| frames_in_words(&error))?;
    // A server may speak first; what it says is not for us.
    loop {
        match socket.next().await {
            Some(Ok(Message::Pong(payload))) if payload == PING => return Ok(()),
            Some(Ok(Message::Close(_))) | None => return Err(ProbeError::new("closed instead of a pong")),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(frames_in_words(&error)),
        }
    }
}

/// A clean close: ours is sent, theirs awaited for a moment.
async fn close<S>(socket: &mut WebSocketStream<S>, clock: Clock)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = CloseFrame { code: CloseCode::Normal, reason: "probe".into() };
    let closing = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout_at(clock.deadline.min(Instant::now() + CLOSE_TIMEOUT), closing).await;
}

fn frames_in_words(error: &tungstenite::Error) -> ProbeError {
    match error {
        tungstenite::Error::Io(error) => in_words(error),
        other => ProbeError::new(format!("WebSocket: {other}")),
    }
}
