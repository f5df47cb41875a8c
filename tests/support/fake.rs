//! A server that says what a test wrote down, over a Unix socket or over TCP, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Its clock stands still, so that ages are always the same.
pub const DATE: &str = "Tue, 24 Nov 2026 02:14:00 GMT";

/// What it says: a status and a body, by method and path.
pub type Script = BTreeMap<String, (u16, String)>;

/// A server.
#[derive(Clone, Default)]
pub struct Fake {
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Says this from now on.
    pub fn say(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// Says this too, in the place of what it said there.
    pub fn say_also(&self, request: &str, status: u16, body: &str) {
        self.script.lock().unwrap().insert(request.into(), (status, body.into()));
    }

    /// What it was asked since the last time, in order: method, path, what is told of headers, body.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Serves on a socket.
    pub fn serve_unix(&self, path: &Path) {
        let (listener, fake) = (UnixListener::bind(path).unwrap(), self.clone());
        std::thread::spawn(move || {
            listener.incoming().for_each(|stream| {
                let stream = stream.unwrap();
                fake.clone().talk(stream.try_clone().unwrap(), stream);
            });
        });
    }

    /// Serves on a port that the kernel chooses.
    pub fn serve_tcp(&self) -> SocketAddr {
        self.serve(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Serves what comes to a listener.
    pub fn serve(&self, listener: TcpListener) -> SocketAddr {
        let (address, fake) = (listener.local_addr().unwrap(), self.clone());
        std::thread::spawn(move || {
            listener.incoming().for_each(|stream| {
                let stream = stream.unwrap();
                fake.clone().talk(stream.try_clone().unwrap(), stream);
            });
        });
        address
    }

    /// One request on a connection of its own, on a thread of its own.
    fn talk(self, read: impl Read + Send + 'static, mut write: impl Write + Send + 'static) {
        std::thread::spawn(move || {
            let mut read = BufReader::new(read);
            let mut line = || {
                let mut line = String::new();
                read.read_line(&mut line).unwrap();
                line.trim_end().to_string()
            };
            let first = line();
            let Some((request, _)) = first.rsplit_once(' ') else { return };
            let (mut told, mut len) = (String::new(), 0);
            loop {
                let header = line();
                let Some((name, value)) = header.split_once(": ") else { break };
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => len = value.parse().unwrap(),
                    "authorization" | "idempotency-key" | "last-event-id" => told += &format!(" [{header}]"),
                    _ => {}
                }
            }
            let mut body = vec![0; len];
            read.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            let sent = format!("{request}{told} {body}");
            self.asked.lock().unwrap().push(sent.trim_end().to_string());
            let _ = write.write_all(self.answer(request, &body).as_bytes());
        });
    }

    /// Dry runs may have an answer of their own, under `METHOD path dry`.
    fn answer(&self, request: &str, body: &str) -> String {
        let script = self.script.lock().unwrap();
        let path = request.split('?').next().unwrap();
        let is_dry = body.contains("\"dry_run\":true") || request.contains("dry_run=true");
        let dry = is_dry.then(|| script.get(&format!("{path} dry"))).flatten();
        let found = dry.or_else(|| script.get(request)).or_else(|| script.get(path)).cloned();
        let (status, body) = found.unwrap_or((500, format!("nothing is written down for {request}")));
        let kind = match (status, body.starts_with("event") || body.starts_with("id:")) {
            (200..300, true) => "text/event-stream",
            (200..300, false) => "application/json",
            _ => "application/problem+json",
        };
        let len = body.len();
        let wait = if status == 429 { "Retry-After: 12\r\n" } else { "" };
        format!(
            "HTTP/1.1 {status} X\r\nDate: {DATE}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n{wait}\
             Connection: close\r\n\r\n{body}"
        )
    }
}
