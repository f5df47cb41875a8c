//! TCP (RFC 7766): all connections of all addresses on one thread, with one worker.
//!
//! ```text
//! accept -> Crowd (who has to make room) -> a task per connection:
//!   read -> whole frames -> Answer::answer, in order -> frames of answers -> write
//! ```
//!
//! One thread, apart from UDP's: TCP is the few per cent that were truncated, and a flood of it may use
//! up its own thread but no packet's. A connection borrows the worker and its out buffer for one answer;
//! while idle it holds only a small read buffer. It is read no further while its answers wait to be
//! written, so a client that does not read is limited to [`PENDING_BYTES`], one answer and the kernel's
//! buffer, until the write timeout cuts it off.
//!
//! Deliberately absent: edns-tcp-keepalive (RFC 7828), TLS, and answers out of order, which need slow
//! answers to pay.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::crowd::Crowd;
use super::{Answer, TCP_CONNECTIONS, TCP_CONNECTIONS_PER_CLIENT, TcpConfig, TcpCounters, frames};
use crate::engine::{Peer, Reply, Transport};

/// Connections the kernel completes ahead of us; it takes the smaller of this and `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Bytes asked of the kernel per read, and kept by an idle connection: some thirty queries.
const READ_BYTES: usize = 2048;

/// Answers are written when they reach this, so that pipelined queries cannot make us hold many.
const PENDING_BYTES: usize = 16 << 10;

/// The kernel's send buffer per connection. Left alone it grows to megabytes for each client that asks
/// and does not read; answers need no more than this.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// The shortest thing that is a query: a header (RFC 1035, 4.1.1).
const HEADER_BYTES: usize = 12;

/// How long accepting rests when the machine is out of descriptors or memory.
const REST: Duration = Duration::from_millis(50);

/// How long answers on their way may take when we stop.
const DRAIN: Duration = Duration::from_secs(1);

/// The one listening socket of an address. No SO_REUSEPORT: a second server on the same address, which
/// UDP's would let in by stealth, fails here.
pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Serves until `stop` says so; then writes the answers that are on their way, and closes.
pub(super) async fn serve<A: Answer>(
    listeners: Vec<TcpListener>,
    make_worker: impl Fn() -> A + 'static,
    config: TcpConfig,
    counters: Arc<TcpCounters>,
    stop: watch::Receiver<bool>,
) {
    let crowd = Crowd::new(
        TCP_CONNECTIONS.clamp(config.connections),
        TCP_CONNECTIONS_PER_CLIENT.clamp(config.connections_per_client),
    );
    let desk = Rc::new(Desk {
        worker: RefCell::new(make_worker()),
        make_worker,
        out: RefCell::new(vec![0; frames::MESSAGE_BYTES_MAX]),
        crowd: RefCell::new(crowd),
        config,
        counters,
    });
    let local = LocalSet::new();
    for listener in listeners {
        local.spawn_local(accept(listener, desk.clone(), stop.clone()));
    }
    local.await;
}

/// What the connections share. Each cell is borrowed between two awaits, never across one.
struct Desk<A, M> {
    worker: RefCell<A>,
    make_worker: M,
    out: RefCell<Vec<u8>>,
    crowd: RefCell<Crowd<oneshot::Sender<()>>>,
    config: TcpConfig,
    counters: Arc<TcpCounters>,
}

/// Accepts until told to stop, and then sees its connections out.
async fn accept<A: Answer, M: Fn() -> A + 'static>(
    listener: TcpListener,
    desk: Rc<Desk<A, M>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                desk.counters.accepted.add();
                connections.spawn_local(attend(desk.clone(), stream, address, stop.clone()));
            }
            // The client thought better of it while it waited to be accepted.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            // Out of descriptors or memory: the next try would fail at once, and so on for ever. One of
            // ours makes room.
            Err(_) => {
                desk.counters.accept_errors.add();
                if desk.crowd.borrow_mut().displace().is_some() {
                    desk.counters.displaced.add();
                }
                sleep(REST).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
}

/// Serves one connection until it is done or has to make room.
async fn attend<A: Answer, M: Fn() -> A>(
    desk: Rc<Desk<A, M>>,
    mut stream: TcpStream,
    address: SocketAddr,
    stop: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let (token, gone) = oneshot::channel();
    let (turn, displaced) = desk.crowd.borrow_mut().join(address.ip(), token);
    if displaced.is_some() {
        desk.counters.displaced.add();
    }
    // Whoever has been displaced learns it by its token being dropped.
    drop(displaced);
    let mut seat = Seat { desk: &desk, peer: Peer { address, transport: Transport::Tcp }, turn };
    let end = tokio::select! {
        biased;
        _ = gone => End::Displaced,
        end = seat.serve(&mut stream, stop) => end,
    };
    match end {
        End::Closed | End::Displaced => {}
        End::TimedOut => desk.counters.timed_out.add(),
        End::Malformed => desk.counters.malformed.add(),
        End::CutOff => {
            desk.counters.cut_off.add();
            // A reset: the kernel need not keep for minutes what nobody reads.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Why a connection ended.
enum End {
    /// The client closed, the network failed, or we stop.
    Closed,
    /// It had to make room.
    Displaced,
    /// No whole query in time.
    TimedOut,
    /// A frame that cannot be a query, or a query that made the worker panic.
    Malformed,
    /// Answers not read in time.
    CutOff,
}

/// A connection's place among the others. It leaves when dropped.
struct Seat<'a, A, M> {
    desk: &'a Desk<A, M>,
    peer: Peer,
    turn: u64,
}

impl<A: Answer, M: Fn() -> A> Seat<'_, A, M> {
    /// The life of a connection.
    async fn serve(&mut self, stream: &mut TcpStream, mut stop: watch::Receiver<bool>) -> End {
        let (mut read, mut answers) = (Vec::new(), Vec::new());
        let mut deadline = Instant::now() + self.desk.config.idle_timeout;
        loop {
            read.reserve(READ_BYTES);
            let got = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return End::Closed,
                got = timeout_at(deadline, stream.read_buf(&mut read)) => got,
            };
            match got {
                Err(_) => return End::TimedOut,
                Ok(Ok(0) | Err(_)) => return End::Closed,
                Ok(Ok(_)) => {}
            }
            let mut rest = &read[..];
            let mut malformed = false;
            while !malformed && let Some((query, after)) = frames::split(rest) {
                rest = after;
                malformed = query.len() < HEADER_BYTES || !self.answer(query, &mut answers);
                if answers.len() >= PENDING_BYTES
                    && let Err(end) = self.write(stream, &mut answers).await
                {
                    return end;
                }
            }
            if let Err(end) = self.write(stream, &mut answers).await {
                return end;
            }
            if malformed {
                return End::Malformed;
            }
            let used = read.len() - rest.len();
            if used > 0 {
                read.drain(..used);
                self.refresh();
                deadline = Instant::now() + self.desk.config.idle_timeout;
            }
            // What one large query or answer took is not kept while the connection is idle.
            read.shrink_to(READ_BYTES);
            answers.shrink_to(READ_BYTES);
        }
    }

    /// Answers one query. False if that made the worker panic, who is replaced.
    fn answer(&self, query: &[u8], answers: &mut Vec<u8>) -> bool {
        let (worker, out) = (&mut *self.desk.worker.borrow_mut(), &mut *self.desk.out.borrow_mut());
        self.desk.counters.received.add();
        out[..query.len()].copy_from_slice(query);
        match catch_unwind(AssertUnwindSafe(|| worker.answer(out, query.len(), self.peer))) {
            Ok(Reply::Send(length)) => {
                frames::push(&out[..length.min(frames::MESSAGE_BYTES_MAX)], answers);
                self.desk.counters.answered.add();
                true
            }
            Ok(Reply::Drop) => true,
            Err(_) => {
                self.desk.counters.panics.add();
                *worker = (self.desk.make_worker)();
                false
            }
        }
    }

    /// Writes the answers that are ready.
    async fn write(&self, stream: &mut TcpStream, answers: &mut Vec<u8>) -> Result<(), End> {
        let written = timeout(self.desk.config.write_timeout, stream.write_all(answers)).await;
        answers.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Closed),
            Err(_) => Err(End::CutOff),
        }
    }

    fn refresh(&mut self) {
        if let Some(turn) = self.desk.crowd.borrow_mut().refresh(self.turn) {
            self.turn = turn;
        }
    }
}

impl<A, M> Drop for Seat<'_, A, M> {
    fn drop(&mut self) {
        self.desk.crowd.borrow_mut().leave(self.turn);
    }
}
