//! Probes over WebSocket: upgrades, pings and closes.

use futures_util::{SinkExt, StreamExt};
use rhumb::state::monitors::{Check, Kind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::servers::{head, responding, serve};
use super::tls::tls;
use super::{check, said};

/// Takes the upgrade, answers pings by itself, and tells how it ended.
pub async fn good_websocket<S>(stream: S, ends: tokio::sync::mpsc::UnboundedSender<Option<Frame>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let _ = socket.send(Frame::text("a word before the pong")).await;
    let mut last = None;
    while let Some(Ok(frame)) = socket.next().await {
        last = Some(frame);
    }
    let _ = ends.send(last);
}

#[tokio::test]
async fn websocket() {
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let theirs = sender.clone();
    let target = serve(move |stream| good_websocket(stream, theirs.clone())).await;
    let mut wanted = check(Kind::WebSocket);
    for ping in [false, true] {
        wanted.ping = ping;
        assert_eq!(said(&wanted, target).await, "");
        let last = ends.recv().await.unwrap().unwrap();
        let Frame::Close(Some(close)) = last else { panic!("a clean close, not {last:?}") };
        assert_eq!(u16::from(close.code), 1000);
    }
    let server = tls(&["ws.example.com"], -1, 7);
    let acceptor = server.acceptor;
    let target = serve(move |stream| {
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        async move { good_websocket(acceptor.accept(stream).await.unwrap(), sender).await }
    })
    .await;
    wanted.secure = true;
    wanted.tls.name = Some("ws.example.com".into());
    wanted.tls.authorities = Some(vec![server.authority]);
    assert_eq!(said(&wanted, target).await, "certificate ends in 7 days");
}

#[tokio::test]
async fn websocket_upgrades() {
    let wanted = check(Kind::WebSocket);
    let upgrade = "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n";
    for (response, words) in [
        (format!("{upgrade}Sec-WebSocket-Accept: KEY\n\n"), ""),
        (upgrade.replace("Connection: ", "Connection: keep-alive, ") + "Sec-WebSocket-Accept: KEY\n\n", ""),
        (upgrade.to_lowercase().replace("http", "HTTP") + "sec-websocket-accept: KEY\n\n", ""),
        (format!("{upgrade}\n"), "no Sec-WebSocket-Accept"),
        (
            format!("{upgrade}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n\n"),
            "wrong Sec-WebSocket-Accept",
        ),
        (
            upgrade.replace("Upgrade: websocket\n", "") + "Sec-WebSocket-Accept: KEY\n\n",
            "no Upgrade: websocket",
        ),
        (
            upgrade.replace("Connection: Upgrade\n", "") + "Sec-WebSocket-Accept: KEY\n\n",
            "no Connection: Upgrade",
        ),
        (
            format!("{upgrade}Sec-WebSocket-Accept: KEY\nSec-WebSocket-Extensions: permessage-deflate\n\n"),
            "Sec-WebSocket-Extensions that nobody asked for",
        ),
        (
            format!("{upgrade}Sec-WebSocket-Accept: KEY\nSec-WebSocket-Protocol: mqtt\n\n"),
            "a Sec-WebSocket-Protocol that nobody asked for",
        ),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n".into(), "HTTP 200, expected 101"),
        ("HTTP/1.1 403 Forbidden\nContent-Length: 0\n\n".into(), "HTTP 403, expected 101"),
        ("".into(), "connection closed before the response was whole"),
    ] {
        assert_eq!(said(&wanted, responding(&response).await).await, words, "{response}");
    }
    let chosen = format!("{upgrade}Sec-WebSocket-Accept: KEY\nSec-WebSocket-Protocol: mqtt\n\n");
    let mut asked = wanted.clone();
    asked.http.headers.insert("sec-websocket-protocol", "amqp, mqtt".parse().unwrap());
    assert_eq!(said(&asked, responding(&chosen).await).await, "");
    // The upgrade is taken, and the ping is not answered.
    let pinging = Check { ping: true, ..wanted };
    let good = format!("{upgrade}Sec-WebSocket-Accept: KEY\n\n");
    let words = said(&pinging, responding(&good).await).await;
    assert!(words.starts_with("WebSocket: ") || words == "closed instead of a pong", "{words}");
    let target = serve(|mut stream| async move {
        let head = head(&mut stream).await;
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        let _ = stream.write_all(head.as_bytes()).await;
        // A pong of another ping, and then a close.
        let _ = stream.write_all(&[0x8a, 0x01, b'x', 0x88, 0x00]).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(said(&pinging, target).await, "closed instead of a pong");
}
