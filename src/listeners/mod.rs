//! The socket side of the protocols: bytes in from whom, bytes back.
//!
//! ```text
//! ListenerConfig -> bind -> Bound -> start -> Running -> stop
//!                                      |
//!     udp: a thread per core and address, each with its worker     } every query goes to
//!     tcp: one thread with one worker for all connections          } Answer::answer
//! ```
//!
//! Everything is bound before anything serves, so every mistake shows before the first answer. What is
//! asked and what is answered is the engine's: a listener looks into no message. Linux only, for
//! `recvmmsg`, `IP_PKTINFO` and what `shutdown` does to a UDP socket.

pub mod config;
pub mod counters;
mod crowd;
mod frames;
mod mmsg;
mod sender;
mod system;
mod tcp;
mod udp;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use socket2::Socket;
use tokio::sync::watch;

pub use config::*;
pub use counters::{Counters, TcpCounters, TcpTotals, UdpCounters, UdpTotals};

use crate::engine::{Peer, Reply, Transport};

/// Answers queries, one at a time; each thread has its own.
pub trait Answer: Send + 'static {
    /// Answers the query that the first `query` octets of `message` are: writes the answer over it and gives
    /// its length, which is at most `message`'s. Over UDP `message` has at least 4,096 octets, over TCP
    /// 65,535.
    fn answer(&mut self, message: &mut [u8], query: usize, peer: Peer) -> Reply;

    /// Shows the queries that will be answered next. Nothing needs to come of it.
    fn look_ahead<'q>(&mut self, _queries: impl Iterator<Item = &'q [u8]>) {}
}

/// How often a port that the kernel chose for TCP is given back because UDP has it in use.
const PORT_TRIES: usize = 16;

/// Descriptors left to the rest of the process: databases, the API, the store, logs.
const OTHER_FILES: usize = 256;

/// Binds every address, UDP and TCP.
///
/// # Errors
/// All addresses that could not be bound, not only the first.
pub fn bind(config: &ListenerConfig) -> Result<Bound, Vec<BindError>> {
    let (mut places, mut errors, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for listen in &config.listen {
        match bind_address(listen.address, &config.udp) {
            Ok(place) => places.push(place),
            Err(error) if !listen.written && error.is_not_here() => warnings.push(error.to_string()),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut tcp = config.tcp;
    tcp.connections = tcp.connections.min(room_for_connections(tcp.connections, &mut warnings));
    Ok(Bound { places, udp: config.udp, tcp, warnings })
}

/// Sockets that are bound, and do not serve yet.
pub struct Bound {
    places: Vec<BoundAddress>,
    udp: UdpConfig,
    tcp: TcpConfig,
    warnings: Vec<String>,
}

struct BoundAddress {
    address: SocketAddr,
    udp: Vec<Socket>,
    tcp: Socket,
}

impl Bound {
    /// Where we listen, with the ports the kernel chose. Empty if the machine lacks every default address.
    pub fn local_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.places.iter().map(|place| place.address)
    }

    /// What the operator should know although we can serve.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Starts to serve. `make_worker` is called once for each thread, on that thread, and again should
    /// its worker panic; the threads of each transport are numbered from 0.
    ///
    /// # Errors
    /// The system cannot give us a thread or an event queue. What had started is stopped.
    pub fn start<A: Answer>(
        self,
        make_worker: impl Fn(usize, Transport) -> A + Clone + Send + 'static,
    ) -> io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let mut running = Running { udp: Vec::new(), tcp: None, stop, counters: Counters::default() };
        match self.start_all(&mut running, stopped, make_worker) {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop();
                Err(error)
            }
        }
    }

    fn start_all<A: Answer>(
        self,
        running: &mut Running,
        stopped: watch::Receiver<bool>,
        make_worker: impl Fn(usize, Transport) -> A + Clone + Send + 'static,
    ) -> io::Result<()> {
        let mut streams = Vec::new();
        for BoundAddress { address, udp, tcp } in self.places {
            streams.push(tcp);
            for (core, socket) in udp.into_iter().enumerate() {
                let number = running.udp.len();
                let counters = Arc::new(UdpCounters::default());
                running.counters.udp.push(counters.clone());
                let (make_worker, place) =
                    (make_worker.clone(), udp::Place { number, core, address, socket, counters });
                let worker = move || make_worker(number, Transport::Udp);
                running.udp.push(udp::Thread::start(place, self.udp, worker)?);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listeners = {
            let _inside = runtime.enter();
            let listener = |socket: Socket| tokio::net::TcpListener::from_std(socket.into());
            streams.into_iter().map(listener).collect::<io::Result<_>>()?
        };
        let (config, counters) = (self.tcp, running.counters.tcp.clone());
        let serve = move || {
            let worker = move || make_worker(0, Transport::Tcp);
            runtime.block_on(tcp::serve(listeners, worker, config, counters, stopped));
        };
        running.tcp = Some(thread::Builder::new().name("tcp".into()).spawn(serve)?);
        Ok(())
    }
}

/// Listeners that serve.
pub struct Running {
    udp: Vec<udp::Thread>,
    tcp: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    counters: Counters,
}

impl Running {
    /// What has been counted, and goes on being counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Stops all threads and waits for them: UDP after the batch they are at, TCP after the answers on
    /// their way have been written, at most a second later.
    pub fn stop(self) {
        self.stop.send_replace(true);
        self.udp.iter().for_each(udp::Thread::stop);
        self.udp.into_iter().for_each(udp::Thread::join);
        if let Some(tcp) = self.tcp {
            // A panic would have been reported where it happened.
            let _ = tcp.join();
        }
    }
}

/// Binds TCP, then UDP to the same port. TCP goes first because its port is surely ours alone: for
/// UDP with SO_REUSEPORT, the kernel may choose one that a sibling process serves.
fn bind_address(wanted: SocketAddr, config: &UdpConfig) -> Result<BoundAddress, BindError> {
    let mut tries = if wanted.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let failed = |transport| move |reason| BindError { address: wanted, transport, reason };
        let tcp = tcp::bind(wanted).map_err(failed(Transport::Tcp))?;
        let local = tcp.local_addr().map_err(failed(Transport::Tcp))?;
        let mut address = wanted;
        address.set_port(local.as_socket().map_or(wanted.port(), |local| local.port()));
        let threads = UDP_THREADS.clamp(config.threads);
        match (0..threads).map(|_| udp::bind(address, config)).collect() {
            Ok(udp) => return Ok(BoundAddress { address, udp, tcp }),
            Err(reason) => {
                tries -= 1;
                if tries == 0 || reason.kind() != ErrorKind::AddrInUse {
                    return Err(failed(Transport::Udp)(reason));
                }
            }
        }
    }
}

/// How many of the connections wanted there are descriptors for; raises the limit as far as we may.
fn room_for_connections(wanted: usize, warnings: &mut Vec<String>) -> usize {
    // Where the limit cannot be read, accept meets it.
    let Ok(files) = system::raise_open_files((wanted + OTHER_FILES) as u64) else { return wanted };
    let room = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES).max(1);
    if room < wanted {
        warnings.push(format!(
            "{wanted} TCP connections are configured, but the limit of {files} open files leaves room for {room}: \
             raise it (ulimit -n, LimitNOFILE= of systemd) or lower tcp connections"
        ));
    }
    room
}

/// An address that could not be bound.
#[derive(Debug)]
pub struct BindError {
    /// The address as configured.
    pub address: SocketAddr,
    /// The protocol that failed.
    pub transport: Transport,
    /// What the system says.
    pub reason: io::Error,
}

impl BindError {
    /// The machine has no such address, or not even its family.
    fn is_not_here(&self) -> bool {
        self.reason.kind() == ErrorKind::AddrNotAvailable
            || self.reason.raw_os_error() == Some(libc::EAFNOSUPPORT)
    }

    fn advice(&self) -> &'static str {
        if self.is_not_here() {
            return "this machine has no such address; `ip address` lists those it has";
        }
        match self.reason.kind() {
            ErrorKind::PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE: run it as a systemd service with \
                 AmbientCapabilities=CAP_NET_BIND_SERVICE, or choose a higher port"
            }
            ErrorKind::AddrInUse => {
                "another process has it, often systemd-resolved or another rhumb: `ss -lntup` shows which; stop it, \
                 or listen on one address instead of all"
            }
            _ => "choose another address",
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let protocol = match self.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        };
        write!(out, "cannot listen on {} ({protocol}): {}; {}", self.address, self.reason, self.advice())
    }
}
