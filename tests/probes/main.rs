//! Every kind of probe against real sockets on loopback: servers that are well, and each way of not being so.
//!
//! Servers answer at once or never; a test waits for a timeout only where the timeout is what it shows. What a
//! kind needs of a server of its own stands with its tests; what several need is in `servers`.

mod dns;
mod http;
mod servers;
mod tls;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dns::{name_server_at, response};
use hickory_proto::op::ResponseCode;
use rhumb::health::probe::{Ask, Passed, ProbeError, probe};
use rhumb::state::monitors::{Check, Kind};
use servers::{nobody, respond, serve, serve_at};
use tls::tls;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;
use websocket::good_websocket;

/// Longer than any machine is busy: reached only when the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where a timeout is what is shown.
const SHORT: Duration = Duration::from_millis(500);

fn check(kind: Kind) -> Check {
    Check { timeout: PATIENCE, ..Check::new(kind, 0) }
}

async fn ask(check: &Check, target: SocketAddr) -> Result<Passed, ProbeError> {
    tokio::time::timeout(PATIENCE, probe(&Ask::new(Arc::new(check.clone())), target)).await.expect("an end")
}

/// What is said of a target: nothing when it is well, else words.
async fn said(check: &Check, target: SocketAddr) -> String {
    match ask(check, target).await {
        Ok(passed) => passed.warning,
        Err(error) => error.words,
    }
}

#[tokio::test]
async fn tcp() {
    let target = serve(|_| async {}).await;
    let passed = ask(&check(Kind::Tcp), target).await.unwrap();
    assert!(passed.latency > Duration::ZERO);
    assert_eq!(said(&check(Kind::Tcp), nobody().await).await, "connection refused");
    // From an address that is none of ours.
    let from = |source: &str| Check { source: vec![source.parse().unwrap()], ..check(Kind::Tcp) };
    let words = "no local address to probe from; look at `source` and at the free ports";
    assert_eq!(said(&from("192.0.2.1"), target).await, words);
    // A source of the other family says nothing of this one.
    assert_eq!(said(&from("2001:db8::1"), target).await, "");
}

/// Connections that are taken, and then nothing: half open, or slow.
#[tokio::test]
async fn silence() {
    let target = serve(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let wanted = |kind| Check { timeout: SHORT, ..check(kind) };
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let asked = [
        (Kind::Http, target),
        (Kind::Https, target),
        (Kind::Tls, target),
        (Kind::WebSocket, target),
        (Kind::Dns, silent),
    ];
    let asked = asked.map(|(kind, target)| async move { said(&wanted(kind), target).await });
    let said = futures_util::future::join_all(asked);
    let expected = ["response", "TLS handshake", "TLS handshake", "response to the upgrade", "response"];
    assert_eq!(said.await, expected.map(|what| format!("no {what} within 500ms")));
}

/// Whom a server of each kind sees: the address that is written as the source, of the target's family.
#[tokio::test]
async fn from_the_source() {
    let name = "probe.example.com";
    for (source, host) in [("127.0.0.2", "127.0.0.1"), ("::1", "::1")] {
        // A machine may have no IPv6.
        if host == "::1" && TcpListener::bind((host, 0)).await.is_err() {
            continue;
        }
        for kind in [Kind::Tcp, Kind::Tls, Kind::Http, Kind::Https, Kind::WebSocket, Kind::Dns] {
            let (sender, mut peers) = tokio::sync::mpsc::unbounded_channel();
            let server = tls(&[name], -1, 90);
            let acceptor = server.acceptor;
            let target = match kind {
                Kind::Dns => {
                    name_server_at(host, move |query, peer| {
                        sender.send(peer).unwrap();
                        vec![response(&query, ResponseCode::NoError, 1)]
                    })
                    .await
                }
                _ => {
                    serve_at(host, move |stream| {
                        sender.send(stream.peer_addr().unwrap().ip()).unwrap();
                        well(kind, stream, acceptor.clone())
                    })
                    .await
                }
            };
            let mut wanted = check(kind);
            wanted.source = ["127.0.0.2", "::1"].map(|source| source.parse().unwrap()).to_vec();
            wanted.secure = kind == Kind::WebSocket;
            wanted.tls.name = Some(name.into());
            wanted.tls.authorities = Some(vec![server.authority]);
            assert_eq!(said(&wanted, target).await, "", "{kind:?} from {source}");
            assert_eq!(peers.recv().await.unwrap().to_string(), source, "{kind:?}");
        }
    }
}

/// Does over a connection what a server of this kind does that is well; WebSocket is wss.
async fn well(kind: Kind, stream: TcpStream, acceptor: TlsAcceptor) {
    let ok = || "HTTP/1.1 200 OK\r\n\r\n".to_string();
    match kind {
        Kind::Tcp => {}
        Kind::Http => respond(stream, ok()).await,
        Kind::Https => respond(acceptor.accept(stream).await.unwrap(), ok()).await,
        Kind::WebSocket => {
            let (ends, _) = tokio::sync::mpsc::unbounded_channel();
            good_websocket(acceptor.accept(stream).await.unwrap(), ends).await;
        }
        _ => drop(acceptor.accept(stream).await.unwrap()),
    }
}

#[tokio::test]
async fn ipv6() {
    // A machine may have none.
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    assert_eq!(said(&check(Kind::Tcp), listener.local_addr().unwrap()).await, "");
}
