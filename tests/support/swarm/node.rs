//! rhumb itself: the real binary as a child, its log with times, and its control plane over the socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than any machine is busy: reached only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// What health says in a line of the log, or does: its alarms, and its drains, which are logged as anybody's.
pub fn of_health(line: &str) -> Option<&str> {
    let said = ["ERROR ", "WARN ", "INFO "].iter().find_map(|level| line.split_once(level))?.1;
    if let Some(words) = said.strip_prefix("health: ") {
        return Some(words);
    }
    let (words, fields) = said.split_once(" revision=")?;
    fields.contains(" by=health ").then_some(words)
}

/// rhumb, serving. Dropping it kills it.
pub struct Node {
    pub dns: SocketAddr,
    child: Child,
    log: Arc<Mutex<Vec<(Instant, String)>>>,
    socket: PathBuf,
    binary: PathBuf,
    folder: PathBuf,
}

impl Node {
    /// Starts to serve what is in the folder, and waits until it does.
    pub fn start(binary: &Path, folder: &Path) -> Node {
        let (begun, words) = (Instant::now(), "serving DNS over UDP and TCP on ");
        let mut command = Command::new(binary);
        command.arg("serve").current_dir(folder).env_remove("RUST_LOG").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let log: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
        let (lines, ours) = (BufReader::new(child.stderr.take().expect("it is piped")).lines(), log.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                ours.lock().expect("nobody panics with it").push((Instant::now(), line));
            }
        });
        let dns = SocketAddr::from(([0; 4], 0));
        let mut node = Node {
            dns,
            child,
            log,
            socket: folder.join("rhumb.sock"),
            binary: binary.into(),
            folder: folder.into(),
        };
        while begun.elapsed() < PATIENCE {
            if let Some((_, line)) = node.logged(words, begun) {
                let (_, address) = line.split_once(words).expect("it has the words");
                node.dns = address.trim().parse().expect("one address");
                return node;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("rhumb does not serve:\n{}", node.lines().join("\n"));
    }

    /// Ends it at once, as `kill -9` does, and starts it again. It serves elsewhere then.
    pub fn restart(&mut self) {
        self.kill();
        *self = Node::start(&self.binary, &self.folder);
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The first line of the log since then that has these words, and when it came.
    pub fn logged(&self, words: &str, since: Instant) -> Option<(Instant, String)> {
        let log = self.log.lock().expect("nobody panics with it");
        log.iter().find(|(at, line)| *at >= since && line.contains(words)).cloned()
    }

    /// The whole log.
    pub fn lines(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics with it").iter().map(|(_, line)| line.clone()).collect()
    }

    /// One call of the control plane. Null where it cannot be reached.
    pub fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.try_call(method, path, body).unwrap_or_default()
    }

    fn try_call(&self, method: &str, path: &str, body: Option<Value>) -> Option<Value> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let body = body.map_or_else(String::new, |body| body.to_string());
        let head = format!("{method} {path} HTTP/1.1\r\nhost: rhumb\r\nconnection: close\r\n");
        let about = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &about + &body).as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        serde_json::from_str(response.split_once("\r\n\r\n")?.1).ok()
    }

    /// How the PoPs stand in the pool, by name: `serving`, `draining`, `drained`, `down`, and for how many of a
    /// hundred clients they are out.
    pub fn pops(&self) -> Vec<(String, String, f64)> {
        let list = self.call("GET", "/api/v1/pops?limit=100", None);
        let of = |pop: &Value| {
            let here = pop["pools"].get(0)?;
            let text = |value: &Value| value.as_str().map(String::from);
            Some((text(&pop["pop"])?, text(&here["state"])?, here["drained_percent"].as_f64()?))
        };
        list["items"].as_array().map_or_else(Vec::new, |pops| pops.iter().filter_map(of).collect())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
