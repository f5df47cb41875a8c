//! PoPs: small websocket servers on loopback addresses, that can be made to fail in many ways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::{PLACES, addresses};

/// Where chat clients connect to; monitors ask for another path, and are not counted.
pub const CHAT: &str = "/chat";

/// How a PoP is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Behaviour {
    Well,
    /// The upgrade takes so long.
    Slow(Duration),
    /// Of the connections to each address every second is closed at once.
    DropsHalf,
    /// The second address of each stack refuses, and its connections are gone.
    HalfDead,
    /// Every address refuses, and every connection is gone.
    Dead,
}

impl Behaviour {
    fn is_dead(self, is_second: bool) -> bool {
        self == Behaviour::Dead || (self == Behaviour::HalfDead && is_second)
    }
}

/// A PoP, serving.
pub struct Pop {
    /// The same everywhere.
    pub port: u16,
    behaviour: watch::Sender<Behaviour>,
    open: Arc<AtomicUsize>,
}

impl Pop {
    pub fn behave(&self, behaviour: Behaviour) {
        // Without receivers the world is ending.
        let _ = self.behaviour.send(behaviour);
    }

    /// Connections that chat clients have open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// Starts every PoP, on one port that is free at all their addresses.
pub async fn start_all() -> Vec<Pop> {
    for _ in 0..20 {
        if let Ok(listeners) = bind_all().await {
            let port = listeners[0][0].local_addr().expect("it is bound").port();
            return listeners.into_iter().map(|listeners| start(port, listeners)).collect();
        }
    }
    panic!("no port is free at all loopback addresses");
}

async fn bind_all() -> std::io::Result<Vec<Vec<TcpListener>>> {
    let (mut all, mut port) = (Vec::new(), 0);
    for pop in 0..PLACES.len() {
        let mut listeners = Vec::new();
        for address in [addresses(pop, 0), addresses(pop, 1)].concat() {
            let listener = TcpListener::bind((address, port)).await?;
            port = listener.local_addr()?.port();
            listeners.push(listener);
        }
        all.push(listeners);
    }
    Ok(all)
}

fn start(port: u16, listeners: Vec<TcpListener>) -> Pop {
    let (behaviour, _) = watch::channel(Behaviour::Well);
    let open = Arc::new(AtomicUsize::new(0));
    for (number, listener) in listeners.into_iter().enumerate() {
        tokio::spawn(serve(listener, number % 2 == 1, behaviour.subscribe(), open.clone()));
    }
    Pop { port, behaviour, open }
}

/// One address, until the PoP is dropped.
async fn serve(
    listener: TcpListener,
    is_second: bool,
    mut behaviour: watch::Receiver<Behaviour>,
    open: Arc<AtomicUsize>,
) {
    let address: SocketAddr = listener.local_addr().expect("it is bound");
    let (mut listener, mut taken) = (Some(listener), 0);
    loop {
        let now = *behaviour.borrow_and_update();
        if now.is_dead(is_second) {
            listener = None;
            if behaviour.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(bound) = &listener else {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                sleep(Duration::from_millis(50)).await;
            }
            continue;
        };
        tokio::select! {
            changed = behaviour.changed() => if changed.is_err() { return },
            Ok((stream, _)) = bound.accept() => {
                taken += 1;
                if now != Behaviour::DropsHalf || taken % 2 == 0 {
                    tokio::spawn(talk(stream, is_second, behaviour.clone(), open.clone()));
                }
            }
        }
    }
}

/// One connection, until the client goes or the PoP dies.
async fn talk(
    stream: TcpStream,
    is_second: bool,
    mut behaviour: watch::Receiver<Behaviour>,
    open: Arc<AtomicUsize>,
) {
    let now = *behaviour.borrow_and_update();
    if let Behaviour::Slow(span) = now {
        sleep(span).await;
    }
    let mut is_chat = false;
    let look = |request: &Request, response: Response| {
        is_chat = request.uri().path() == CHAT;
        Ok(response)
    };
    let Ok(Ok(mut socket)) = timeout(Duration::from_secs(5), accept_hdr_async(stream, look)).await else {
        return;
    };
    let _counted = is_chat.then(|| Counted::new(open));
    tokio::select! {
        _ = behaviour.wait_for(|now| now.is_dead(is_second)) => {}
        // Reading answers pings; what is said does not matter.
        () = async { while let Some(Ok(_)) = socket.next().await {} } => {}
    }
}

/// A connection that is open.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: Arc<AtomicUsize>) -> Counted {
        open.fetch_add(1, Ordering::Relaxed);
        Counted(open)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
