//! How many connections there may be at once, and how long one may wait for its client.
//!
//! ```text
//! accepted -> Doorman: is there a place? -> Held (gives the place back at its end) -> TLS -> requests
//!                      | no
//!                      v
//!                      closed at once
//! ```
//!
//! A connection is a file descriptor, and DNS over TCP takes its own from the same process. The last quarter of
//! the places is for addresses that hold none, so that a flood from few of them leaves a way in for the others.
//! The Unix socket has places of its own: whoever sits at the machine gets in while TCP is flooded.
//!
//! Deliberately absent: showing somebody out for a newcomer. A connection may be a stream of events that is
//! meant to last; those that do nothing are let go by their time-outs.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};
use tracing::warn;

use super::auth::network;

/// How long a client may leave what it is sent unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is logged that connections are refused.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Shows connections in as long as there are places. A copy is another door to the same room.
#[derive(Clone)]
pub struct Doorman {
    room: Arc<Room>,
    write_timeout: Duration,
}

struct Room {
    places: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// By the network of the client, where it has one.
    by_network: HashMap<IpAddr, usize>,
    refused: u64,
    told: Option<Instant>,
}

/// A place that a connection has, until it is dropped.
struct Place {
    room: Arc<Room>,
    network: Option<IpAddr>,
}

impl Doorman {
    /// Of a room with so many places.
    pub fn new(places: usize) -> Doorman {
        let room = Room { places, taken: Mutex::default() };
        Doorman { room: Arc::new(room), write_timeout: WRITE_TIMEOUT }
    }

    fn show_in<I>(&self, stream: I, from: Option<IpAddr>) -> io::Result<Held<I>> {
        let place = self.room.take(from.map(network));
        let place = place.ok_or_else(|| io::Error::from(io::ErrorKind::QuotaExceeded))?;
        Ok(Held { stream, write_timeout: self.write_timeout, waits: None, _place: place })
    }
}

impl Room {
    fn take(self: &Arc<Room>, network: Option<IpAddr>) -> Option<Place> {
        let mut taken = self.taken();
        let is_there = network.is_some_and(|network| taken.by_network.contains_key(&network));
        let kept_free = if is_there { self.places / 4 } else { 0 };
        if taken.all + kept_free >= self.places {
            taken.refuse(self.places);
            return None;
        }
        taken.all += 1;
        if let Some(network) = network {
            *taken.by_network.entry(network).or_default() += 1;
        }
        Some(Place { room: self.clone(), network })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Tells of it once in a while: a flood must not fill the log too.
    fn refuse(&mut self, places: usize) {
        self.refused += 1;
        if self.told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        warn!(
            refused = self.refused,
            open = self.all,
            "connections to the API are closed at once: api.max_connections is {places}"
        );
        self.told = Some(Instant::now());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all -= 1;
        let Some(network) = self.network else { return };
        if let Some(count) = taken.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                taken.by_network.remove(&network);
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Doorman {
    type Stream = Held<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Held<TcpStream>, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let from = stream.peer_addr();
        let shown_in = from.and_then(|from| self.show_in(stream, Some(from.ip())));
        ready(shown_in.map(|held| (held, service)))
    }
}

impl<S> Accept<UnixStream, S> for Doorman {
    type Stream = Held<UnixStream>;
    type Service = S;
    type Future = Ready<io::Result<(Held<UnixStream>, S)>>;

    fn accept(&self, stream: UnixStream, service: S) -> Self::Future {
        ready(self.show_in(stream, None).map(|held| (held, service)))
    }
}

/// A connection that has a place. It breaks when its client reads nothing for too long.
pub struct Held<I> {
    stream: I,
    write_timeout: Duration,
    /// There while something waits for the client to read.
    waits: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl<I> Held<I> {
    /// What became of writing, unless it has waited for too long.
    fn in_time<T>(&mut self, cx: &mut Context, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        waits.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Held<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Held<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
        bufs: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn from(text: &str) -> Option<IpAddr> {
        Some(network(text.parse().unwrap()))
    }

    #[test]
    fn the_last_places_are_for_those_who_have_none() {
        let room = Arc::new(Room { places: 8, taken: Mutex::default() });
        let of_one: Vec<_> = (0..8).map_while(|_| room.take(from("192.0.2.1"))).collect();
        assert_eq!(of_one.len(), 6);
        let others = ["2001:db8::1", "2001:db8:0:0:1::"].map(|address| room.take(from(address)));
        assert!(others[0].is_some(), "a newcomer gets in");
        assert!(others[1].is_none(), "its network has a place already");
        let last = room.take(from("192.0.2.2"));
        assert!(last.is_some() && room.take(from("192.0.2.3")).is_none(), "then it is full");
        drop(of_one);
        assert_eq!(room.taken().by_network.len(), 2, "who has gone is forgotten");
        assert!(room.take(from("192.0.2.2")).is_some());
        drop((others, last));
        let taken = room.taken();
        assert_eq!((taken.all, taken.by_network.len()), (0, 0));
    }

    #[test]
    fn places_without_addresses_are_all_alike() {
        let room = Arc::new(Room { places: 8, taken: Mutex::default() });
        let places: Vec<Place> = (0..10).map_while(|_| room.take(None)).collect();
        assert_eq!(places.len(), 8);
    }

    /// Who reads, however slowly, is waited for; who does not is let go.
    #[test]
    fn a_client_that_reads_nothing_is_let_go() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let doorman = Doorman { write_timeout: Duration::from_millis(20), ..Doorman::new(8) };
            let (ours, mut theirs) = duplex(16);
            let mut held = doorman.show_in(ours, from("192.0.2.1")).unwrap();
            held.write_all(&[7; 16]).await.unwrap();
            theirs.read_exact(&mut [0; 16]).await.unwrap();
            held.write_all(&[7; 16]).await.unwrap();
            let error = held.write_all(&[7; 16]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            drop(held);
            assert_eq!(doorman.room.taken().all, 0);
        });
    }
}
