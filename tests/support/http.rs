//! The control plane as its callers have it: HTTP over the Unix socket, or over TCP with a token.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use super::Folder;
use super::process::{PATIENCE, Server};

/// A way to the control plane. A request has a connection of its own.
#[derive(Clone)]
pub struct Api {
    way: Way,
    token: Option<String>,
}

#[derive(Clone)]
enum Way {
    Socket(PathBuf),
    Address(SocketAddr),
}

/// A response that came whole; a body that is no JSON is a string.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

impl Api {
    /// As whoever sits at the Unix socket.
    pub fn local(folder: &Folder) -> Api {
        Api { way: Way::Socket(folder.path().join("rhumb.sock")), token: None }
    }

    /// Over TCP, with a new token of this name and role.
    pub fn of(&self, address: SocketAddr, name: &str, role: &str) -> Api {
        let made = self.ok(
            "POST",
            "/api/v1/tokens",
            serde_json::json!({ "name": name, "role": role, "pool": null }),
        );
        Api { way: Way::Address(address), token: Some(made["token"].as_str().unwrap().into()) }
    }

    /// Sends a request. An error is a connection that broke.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> io::Result<Reply> {
        match &self.way {
            Way::Socket(path_of_socket) => {
                let stream = UnixStream::connect(path_of_socket)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                self.exchange(stream, method, path, body)
            }
            Way::Address(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                self.exchange(stream, method, path, body)
            }
        }
    }

    fn exchange(
        &self,
        mut stream: impl Read + Write,
        method: &str,
        path: &str,
        body: &Value,
    ) -> io::Result<Reply> {
        let token =
            self.token.as_ref().map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: rhumb\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{token}\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        read(&String::from_utf8_lossy(&reply)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends a request that must be done.
    #[track_caller]
    pub fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let reply = self.send(method, path, &body).unwrap();
        assert!((200..300).contains(&reply.status), "{method} {path} {body}: {reply:?}");
        reply.body
    }

    /// Sends a request that must be refused with this status, saying these words.
    #[track_caller]
    pub fn refused(&self, method: &str, path: &str, body: Value, status: u16, words: &str) -> Value {
        let reply = self.send(method, path, &body).unwrap();
        assert_eq!(reply.status, status, "{method} {path} {body}: {reply:?}");
        let detail = reply.body["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(words), "`{words}` is not in {reply:?}");
        reply.body
    }

    /// What is so, at a path whose body is text.
    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        let reply = self.send("GET", path, &Value::Null).unwrap();
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.body.as_str().unwrap_or_default().into()
    }

    /// What is so, at a path.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.ok("GET", path, Value::Null)
    }

    /// Asks until it is as it should be.
    #[track_caller]
    pub fn comes_to(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let got = self.send("GET", path, &Value::Null).unwrap().body;
            if is_so(&got) {
                return got;
            }
            assert!(std::time::Instant::now() < deadline, "{path} stays {got}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// A response, if all of it is there.
fn read(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if length.is_some_and(|length: usize| length != body.len()) {
        return None;
    }
    let body = serde_json::from_str(body).unwrap_or_else(|_| body.into());
    Some(Reply { status, body })
}

/// A server with its control plane: over the socket, and at an address of its own.
pub struct Node {
    pub server: Server,
    pub api: Api,
    pub address: SocketAddr,
}

impl Node {
    /// Starts to serve what is in the folder.
    pub fn start(folder: &Folder) -> Node {
        configure(folder);
        Node::with(folder, Server::start_as_it_is(folder))
    }

    /// Of a server that has just started over a folder that was configured for it.
    pub fn with(folder: &Folder, mut server: Server) -> Node {
        let line = server.said("serving the API on 127.0.0.1");
        let address = line.split_whitespace().find_map(|word| word.parse().ok()).expect(&line);
        server.said("rhumb.sock");
        Node { server, api: Api::local(folder), address }
    }

    /// Whoever has a new token of this role.
    pub fn token(&self, name: &str, role: &str) -> Api {
        self.api.of(self.address, name, role)
    }
}

/// Ports that the kernel chooses, for DNS and for the control plane.
pub fn configure(folder: &Folder) {
    super::process::listen(folder, &["127.0.0.1:0"]);
    let config = folder.read("rhumb.toml");
    let anywhere = "[api]\nlisten = [\"127.0.0.1:0\"]\n";
    let section = config.split("[api]\n").nth(1).unwrap_or_default();
    if section.lines().take_while(|line| !line.starts_with('[')).any(|line| line.starts_with("listen = ")) {
        return;
    }
    let config = match config.contains("[api]\n") {
        true => config.replace("[api]\n", anywhere),
        false => format!("{config}\n{anywhere}"),
    };
    folder.write("rhumb.toml", config);
}
