//! Every kind of probe against real sockets on loopback: servers that are well, and each way of not being so.
//!
//! Servers answer at once or never; a test waits for a timeout only where the timeout is what it shows.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rhumb::health::probe::{Ask, Passed, ProbeError, probe};
use rhumb::state::monitors::{Check, DnsAsk, Kind};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Longer than any machine is busy: reached only when the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where a timeout is what is shown.
const SHORT: Duration = Duration::from_millis(500);

/// A server that does the same with every connection.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    serve_at("127.0.0.1", each).await
}

/// The same, at an address.
async fn serve_at<F: Future<Output = ()> + Send + 'static>(
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
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
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
async fn respond(mut stream: impl AsyncRead + AsyncWrite + Unpin, response: String) {
    let head = head(&mut stream).await;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let response = response.replace("KEY", &derive_accept_key(key.unwrap_or_default().as_bytes()));
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
    // Until they are done too: a reset would take our response with it.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn responding(response: &str) -> SocketAddr {
    let response = response.replace('\n', "\r\n");
    serve(move |stream| respond(stream, response.clone())).await
}

/// Nobody listens here.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

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

#[tokio::test]
async fn http() {
    let mut wanted = check(Kind::Http);
    for (response, words) in [
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", ""),
        ("HTTP/1.0 204 No Content\n\n", ""),
        ("HTTP/1.1 503 Busy\nContent-Length: 0\n\n", "HTTP 503, expected 200-299"),
        ("HTTP/1.1 302 Found\nLocation: http://127.0.0.1/\n\n", "HTTP 302, expected 200-299"),
        ("SSH-2.0-OpenSSH_9.9\n", "no HTTP in what came back"),
        ("HTTP/1.1 200 OK\n", "connection closed before the response was whole"),
        ("", "connection closed before the response was whole"),
    ] {
        assert_eq!(said(&wanted, responding(response).await).await, words, "{response}");
    }
    assert_eq!(said(&wanted, nobody().await).await, "connection refused");
    wanted.http.status = vec![301..=308, 204..=204];
    assert_eq!(said(&wanted, responding("HTTP/1.1 302 Found\n\n").await).await, "");
    assert_eq!(
        said(&wanted, responding("HTTP/1.1 200 OK\n\n").await).await,
        "HTTP 200, expected 301-308, 204"
    );
}

#[tokio::test]
async fn http_body() {
    let mut wanted = check(Kind::Http);
    wanted.http.body = Some("all is well".into());
    let far = format!("HTTP/1.1 200 OK\n\n{}all is well", "x".repeat(70_000));
    for (response, words) in [
        ("HTTP/1.1 200 OK\nContent-Length: 15\n\n- all is well -", ""),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n6\nall is\n5\n well\n0\n\n", ""),
        ("HTTP/1.1 200 OK\n\nall is lost", "body without `all is well` in its first 11 octets"),
        ("HTTP/1.1 200 OK\nContent-Length: 50\n\nall", "connection closed by the other side"),
    ] {
        assert_eq!(said(&wanted, responding(response).await).await, words, "{response}");
    }
    let words = said(&wanted, responding(&far).await).await;
    assert_eq!(words, "body without `all is well` in its first 65536 octets");
}

/// What a response says of load is read; what is missing is told, and it is well all the same.
#[tokio::test]
async fn http_load() {
    let mut wanted = check(Kind::Http);
    wanted.http.load = [None, Some("/backend/se~1ssions".into()), Some("/pools/1".into())];
    let json = r#"{"backend": {"se/ssions": 812}, "pools": [1.5, 2.5]}"#;
    let whole = format!("HTTP/1.1 200 OK\nContent-Length: {}\n\n{json}", json.len());
    let cut = format!("HTTP/1.1 200 OK\n\n{{\"x\": \"{}\"}}", "x".repeat(70_000));
    for (response, load, words) in [
        (whole.as_str(), [None, Some(812.0), Some(2.5)], ""),
        (
            "HTTP/1.1 200 OK\n\n{\"backend\": {}, \"pools\": [0, 0]}",
            [None, None, Some(0.0)],
            "no connections: nothing at /backend/se~1ssions",
        ),
        (
            "HTTP/1.1 200 OK\n\n{\"backend\": {\"se/ssions\": \"7\"}, \"pools\": [0, -1]}",
            [None; 3],
            "no connections: /backend/se~1ssions is no number from 0; no requests: /pools/1 is no number from 0",
        ),
        ("HTTP/1.1 200 OK\n\nall is well", [None; 3], "no load: body without JSON in its first 11 octets"),
        ("HTTP/1.1 204 No Content\n\n", [None; 3], "no load: body without JSON in its first 0 octets"),
        (&cut, [None; 3], "no load: body without JSON in its first 65536 octets"),
        (
            "HTTP/1.1 200 OK\nContent-Length: 50\n\n{}",
            [None; 3],
            "no load: connection closed by the other side",
        ),
    ] {
        let passed = ask(&wanted, responding(response).await).await.unwrap();
        assert_eq!((passed.load, passed.warning.as_str()), (load, words), "{response}");
    }
    // One that is not well says nothing of load.
    let busy = format!("HTTP/1.1 503 Busy\n\n{json}");
    assert_eq!(said(&wanted, responding(&busy).await).await, "HTTP 503, expected 200-299");
    // A body that is a number and nothing else, beside a text that must be in it.
    wanted.http.load = [Some(String::new()), None, None];
    wanted.http.body = Some("0.7".into());
    let passed = ask(&wanted, responding("HTTP/1.1 200 OK\n\n0.75\n").await).await.unwrap();
    assert_eq!((passed.load, passed.warning.as_str()), ([Some(0.75), None, None], ""));
    // A body that does not come in time.
    wanted.timeout = SHORT;
    wanted.http.body = None;
    let target = serve(|mut stream| async move {
        let _ = head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n0.7").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(said(&wanted, target).await, "no load: no body within 500ms");
}

#[tokio::test]
async fn http_request() {
    let (sender, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let target = serve(move |mut stream| {
        let sender = sender.clone();
        async move {
            sender.send(head(&mut stream).await).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        }
    })
    .await;
    let mut wanted = check(Kind::Http);
    assert_eq!(said(&wanted, target).await, "");
    let agent = concat!("user-agent: rhumb/", env!("CARGO_PKG_VERSION"));
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    for line in [&format!("host: {target}"), agent, "connection: close"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} is not in {head}");
    }
    wanted.http.method = "HEAD".parse().unwrap();
    wanted.http.path = "/health?deep=1".into();
    wanted.http.host = Some("www.example.com".into());
    wanted.http.headers.insert("x-probe", "yes".parse().unwrap());
    assert_eq!(said(&wanted, target).await, "");
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("HEAD /health?deep=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: www.example.com\r\n") && head.contains("x-probe: yes\r\n"), "{head}");
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

/// An authority, and a server with a certificate of it.
struct Tls {
    authority: CertificateDer<'static>,
    acceptor: TlsAcceptor,
}

/// A certificate for names, with days from now between which it is good.
fn tls(names: &[&str], from_days: i64, to_days: i64) -> Tls {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut own = CertificateParams::new(vec![]).unwrap();
    own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(own, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    // An hour further away, so that a second more or less is the same number of days.
    let day = |days: i64| {
        let seconds = days * 86_400 + days.signum() * 3600;
        let since_1970 = Duration::from_secs(now_s().checked_add_signed(seconds).unwrap());
        rcgen::date_time_ymd(1970, 1, 1) + since_1970
    };
    (params.not_before, params.not_after) = (day(from_days), day(to_days));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Tls { authority: authority.der().clone(), acceptor: TlsAcceptor::from(Arc::new(server)) }
}

fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

async fn responding_over_tls(acceptor: TlsAcceptor, response: &str) -> SocketAddr {
    let response = response.replace('\n', "\r\n");
    serve(move |stream| {
        let (acceptor, response) = (acceptor.clone(), response.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                respond(stream, response).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn certificates() {
    let good = "HTTP/1.1 200 OK\n\n";
    for (names, from, to, asked, words) in [
        (&["www.example.com"][..], -1, 90, "www.example.com", ""),
        (&["*.example.com"], -1, 90, "www.example.com", ""),
        (&["127.0.0.1"], -1, 90, "", ""),
        (&["www.example.com"], -1, 7, "www.example.com", "certificate ends in 7 days"),
        (&["www.example.com"], -30, -3, "www.example.com", "TLS: certificate expired 3 days ago"),
        (&["www.example.com"], 2, 90, "www.example.com", "TLS: certificate is valid only in 2 days"),
        (
            &["a.example.com", "b.example.com"],
            -1,
            90,
            "www.example.com",
            "TLS: certificate is not for www.example.com, but for a.example.com, b.example.com",
        ),
    ] {
        let server = tls(names, from, to);
        let target = responding_over_tls(server.acceptor, good).await;
        for kind in [Kind::Https, Kind::Tls] {
            let mut wanted = check(kind);
            wanted.tls.name = Some(asked.to_string()).filter(|name| !name.is_empty());
            wanted.tls.authorities = Some(vec![server.authority.clone()]);
            assert_eq!(said(&wanted, target).await, words, "{names:?} {from} {to}");
            // The system's authorities do not know it.
            wanted.tls.authorities = None;
            if words.is_empty() {
                let unknown = "TLS: certificate of an unknown authority; name one of your own with tls.ca";
                assert_eq!(said(&wanted, target).await, unknown);
            }
            // Nobody looks.
            wanted.tls.verify = false;
            wanted.tls.expiry_warning_days = 0;
            assert_eq!(said(&wanted, target).await, "");
        }
        // The host is the name when no other is written.
        if asked == "www.example.com" && words.is_empty() {
            let mut wanted = check(Kind::Https);
            wanted.http.host = Some("www.example.com:443".into());
            wanted.tls.authorities = Some(vec![server.authority.clone()]);
            assert_eq!(said(&wanted, target).await, "");
            wanted.http.status = vec![404..=404];
            assert_eq!(said(&wanted, target).await, "HTTP 200, expected 404");
        }
    }
    let plain = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let words = said(&check(Kind::Tls), plain).await;
    assert!(words.starts_with("TLS: "), "{words}");
}

/// Takes the upgrade, answers pings by itself, and tells how it ended.
async fn good_websocket<S>(stream: S, ends: tokio::sync::mpsc::UnboundedSender<Option<Frame>>)
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

/// A name server that answers each query with what is made of it.
async fn name_server(answer: impl Fn(Message) -> Vec<Message> + Send + 'static) -> SocketAddr {
    name_server_at("127.0.0.1", move |query, _| answer(query)).await
}

/// The same, at an address, and by who asks.
async fn name_server_at(
    host: &str,
    answer: impl Fn(Message, IpAddr) -> Vec<Message> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind((host, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            for response in answer(Message::from_vec(&buffer[..length]).unwrap(), peer.ip()) {
                let _ = socket.send_to(&response.to_vec().unwrap(), peer).await;
            }
        }
    });
    address
}

fn response(query: &Message, code: ResponseCode, answers: usize) -> Message {
    let mut response = query.clone();
    response.metadata.message_type = MessageType::Response;
    response.metadata.response_code = code;
    let data = RData::A("192.0.2.1".parse().unwrap());
    let name = query.queries[0].name().clone();
    response.add_answers((0..answers).map(|_| Record::from_rdata(name.clone(), 60, data.clone())));
    response
}

#[tokio::test]
async fn dns() {
    let name = "www.example.com.".parse().unwrap();
    let wanted = Check { dns: DnsAsk { name, ..DnsAsk::default() }, ..check(Kind::Dns) };
    for (code, answers, words) in [
        (ResponseCode::NoError, 1, ""),
        (ResponseCode::NoError, 0, "NOERROR without an answer"),
        (ResponseCode::NXDomain, 0, "NXDOMAIN, expected an answer"),
        (ResponseCode::ServFail, 0, "SERVFAIL, expected an answer"),
        (ResponseCode::Refused, 0, "REFUSED, expected an answer"),
    ] {
        let target = name_server(move |query| vec![response(&query, code, answers)]).await;
        assert_eq!(said(&wanted, target).await, words);
    }
    // What is not to our question is passed over: another number, another name, a query.
    let target = name_server(|query| {
        let good = response(&query, ResponseCode::NoError, 1);
        let refused = response(&query, ResponseCode::Refused, 0);
        let (mut number, mut named) = (refused.clone(), refused.clone());
        number.metadata.id = number.metadata.id.wrapping_add(1);
        named.queries[0].set_name("other.example.com.".parse().unwrap());
        vec![number, named, query, good]
    })
    .await;
    assert_eq!(said(&wanted, target).await, "");
    // One without room is asked again over TCP; nobody there, something else there, and the answer.
    let truncated = |query: Message| {
        let mut empty = response(&query, ResponseCode::NoError, 0);
        empty.metadata.truncation = true;
        vec![empty]
    };
    let target = name_server(truncated).await;
    assert_eq!(said(&wanted, target).await, "truncated over UDP, and over TCP: connection refused");
    for (number, words) in [(0, ""), (1, "over TCP the response is to another question")] {
        // The kernel chose the port for UDP; over TCP it may be somebody else's.
        let (target, listener) = loop {
            let target = name_server(truncated).await;
            if let Ok(listener) = TcpListener::bind(target).await {
                break (target, listener);
            }
        };
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut query).await.unwrap();
            let mut whole = response(&Message::from_vec(&query).unwrap(), ResponseCode::NoError, 1);
            whole.metadata.id = whole.metadata.id.wrapping_add(number);
            let octets = whole.to_vec().unwrap();
            stream.write_u16(octets.len() as u16).await.unwrap();
            stream.write_all(&octets).await.unwrap();
        });
        assert_eq!(said(&wanted, target).await, words);
    }
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(said(&wanted, gone).await, "connection refused");
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
