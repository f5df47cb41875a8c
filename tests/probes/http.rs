//! Probes over HTTP: what is asked, which status and body are well, and the load that is read.

use rhumb::state::monitors::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::servers::{head, nobody, responding, serve};
use super::{SHORT, ask, check, said};

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
