//! Servers of the tests, each in a task of its own on a port of its own.

use std::future::Future;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A server that does the same with every connection.
pub async fn serve<F: Future<Output = ()> + Send + 'static>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    serve_at("127.0.0.1", each).await
}

/// The same, at an address.
pub async fn serve_at<F: Future<Output = ()> + Send + 'static>(
    host: &str,
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    address
}

/// The head of a request.
pub async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Answers a request with these octets, `KEY` being the right accept key, and closes.
pub async fn respond(mut stream: impl AsyncRead + AsyncWrite + Unpin, response: String) {
    let head = head(&mut stream).await;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let response = response.replace("KEY", &derive_accept_key(key.unwrap_or_default().as_bytes()));
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
    // Until they are done too: a reset would take our response with it.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

pub async fn responding(response: &str) -> SocketAddr {
    let response = response.replace('\n', "\r\n");
    serve(move |stream| respond(stream, response.clone())).await
}

/// Nobody listens here.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
