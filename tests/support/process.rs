//! The real binary as a child: its log, its sockets, its signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use ipnet::Ipv4Net;

use super::query::Query;
use super::{Folder, response};

/// Longer than any machine is busy: reached only when the test has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a command of rhumb to its end, in a folder.
pub fn rhumb(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    command.current_dir(folder).env_remove("RUST_LOG");
    command
}

/// A serving rhumb, killed when dropped.
pub struct Server {
    child: Child,
    log: Receiver<String>,
    read: Vec<String>,
    /// Where it serves, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts to serve what is in the folder, on addresses with ports the kernel chooses.
    pub fn start(folder: &Folder) -> Server {
        listen(folder, &["127.0.0.1:0", "[::1]:0"]);
        Server::start_as_it_is(folder)
    }

    /// Starts to serve what is in the folder.
    pub fn start_as_it_is(folder: &Folder) -> Server {
        Server::start_by(command(folder.path()).arg("serve"))
    }

    /// Starts to serve what is in the folder, so that a write past [`Server::limit_files`] is an error, as on
    /// a full disk, and not the end.
    pub fn start_that_can_be_limited(folder: &Folder) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" serve", env!("CARGO_BIN_EXE_rhumb")]);
        Server::start_by(command.current_dir(folder.path()).env_remove("RUST_LOG"))
    }

    fn start_by(command: &mut Command) -> Server {
        let mut server = Server::begin_by(command);
        server.serves();
        server
    }

    /// Starts, and does not wait until it serves.
    pub fn begin(folder: &Folder) -> Server {
        listen(folder, &["127.0.0.1:0"]);
        Server::begin_by(command(folder.path()).arg("serve"))
    }

    fn begin_by(command: &mut Command) -> Server {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (line, log) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            errors.lines().try_for_each(|text| line.send(text.unwrap()).map_err(drop))
        });
        Server { child, log, read: Vec::new(), addresses: Vec::new() }
    }

    /// Waits until it serves.
    pub fn serves(&mut self) {
        let serving = self.line("serving DNS over UDP and TCP on ");
        let (_, addresses) = serving.split_once(" on ").unwrap();
        self.addresses = addresses.split(", ").map(|address| address.parse().unwrap()).collect();
    }

    /// The next line of the log that has these words.
    pub fn line(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.log.recv_timeout(left) else {
                panic!("no line with `{words}` in the log:\n{}", self.read.join("\n"));
            };
            self.read.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// The first line of the log that has these words, which may have been read already.
    pub fn said(&mut self, words: &str) -> String {
        let read = self.read.iter().find(|line| line.contains(words)).cloned();
        read.unwrap_or_else(|| self.line(words))
    }

    /// Whether the log has had these words so far.
    pub fn has_said(&mut self, words: &str) -> bool {
        self.read.extend(self.log.try_iter());
        self.read.iter().any(|line| line.contains(words))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a system call without memory; the child has not been waited for, so its number is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Lets files grow no further than this; `unlimited` for as far as they like.
    pub fn limit_files(&self, octets: &str) {
        let (limit, child) = (format!("--fsize={octets}:unlimited"), self.child.id().to_string());
        assert!(Command::new("prlimit").args([&limit, "--pid", &child]).status().unwrap().success());
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same, while others still use what it serves; it is gone when it is dropped.
    pub fn kill_now(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks over UDP at the first address; the response as [`response::show`] has it.
    pub fn ask(&self, line: &str) -> String {
        let query = Query::parse(line);
        let packet = query.packet(7);
        let socket = UdpSocket::bind((self.addresses[0].ip(), 0)).unwrap();
        socket.connect(self.addresses[0]).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(&packet).unwrap();
        let mut reply = [0; 4096];
        let len = socket.recv(&mut reply).unwrap();
        show(&query, &packet, &reply[..len])
    }

    /// Asks over TCP at an address.
    pub fn ask_over_tcp(&self, address: SocketAddr, line: &str) -> String {
        let query = Query::parse(&format!("{line} tcp"));
        let packet = query.packet(8);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut frame = (packet.len() as u16).to_be_bytes().to_vec();
        frame.extend_from_slice(&packet);
        stream.write_all(&frame).unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut reply).unwrap();
        show(&query, &packet, &reply)
    }

    /// Asks until the response is the one that is waited for.
    pub fn comes_to(&self, line: &str, expect: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let got = self.ask(line);
            if got == expect {
                return;
            }
            assert!(Instant::now() < deadline, "{line}\n--- expected\n{expect}\n--- got\n{got}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first address each of these networks gets for a name, over UDP.
pub fn first_addresses(server: SocketAddr, name: &str, networks: &[Ipv4Net]) -> Vec<Ipv4Addr> {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = |network: &Ipv4Net| {
        let query = Query::parse(&format!("{name} A subnet={network}"));
        let packet = query.packet(9);
        socket.send(&packet).unwrap();
        let mut reply = [0; 4096];
        let len = socket.recv(&mut reply).unwrap();
        let message = response::read(&query, &packet, &reply[..len]);
        let addresses = message.answers.iter().filter_map(|record| match &record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        });
        addresses.min().expect("a steered name is never without an answer")
    };
    networks.iter().map(ask).collect()
}

/// Writes into the configuration where to listen.
pub fn listen(folder: &Folder, addresses: &[&str]) {
    let config = folder.read("rhumb.toml");
    let is_ours = |line: &&str| !line.starts_with("addresses = ") && !line.starts_with("udp_threads = ");
    let rest: Vec<&str> = config.lines().filter(is_ours).collect();
    let listen = format!("[listen]\naddresses = {addresses:?}\nudp_threads = 1");
    folder.write("rhumb.toml", rest.join("\n").replace("[listen]", &listen));
}

fn show(query: &Query, packet: &[u8], reply: &[u8]) -> String {
    let message: Message = response::read(query, packet, reply);
    response::show(&message, query.as_sent)
}
