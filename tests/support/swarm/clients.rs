//! Chat clients: wss-primary first; where that fails, wss-backup with backoff and jitter; and again when the
//! connection is lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::pops::CHAT;
use super::resolver::{Network, ask};
use super::{BACKUP, PLACES, PRIMARY, network};

/// How long a connection may take to be open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The first wait after a failure, which doubles, and the longest; each is cut at random, so that those who
/// lost their connection together do not come together.
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MOST: Duration = Duration::from_secs(3);
/// How long a client stays, at the least and at the most: in this world people change trains often.
const STAYS_MS: std::ops::Range<u64> = 3_000..9_000;

/// What the clients have met.
#[derive(Debug, Default)]
pub struct Met {
    /// Connections that opened.
    pub opened: AtomicUsize,
    /// Those that the other side ended.
    pub lost: AtomicUsize,
    /// Tries that failed at wss-primary's address.
    pub failed_on_primary: AtomicUsize,
    /// And at wss-backup's.
    pub failed_on_backup: AtomicUsize,
}

impl Met {
    /// A number of it.
    pub fn read(number: &AtomicUsize) -> usize {
        number.load(Ordering::Relaxed)
    }
}

/// Clients of every PoP. Dropping it ends them.
pub struct Swarm {
    pub met: Arc<Met>,
    _clients: JoinSet<()>,
}

impl Swarm {
    pub fn start(resolver: SocketAddr, port: u16, clients_of_each: usize) -> Swarm {
        let (met, mut clients) = (Arc::new(Met::default()), JoinSet::new());
        for number in 0..clients_of_each {
            for pop in 0..PLACES.len() {
                let client = Client { resolver, port, network: network(pop, number % 256), met: met.clone() };
                clients.spawn(client.live());
            }
        }
        Swarm { met, _clients: clients }
    }
}

struct Client {
    resolver: SocketAddr,
    port: u16,
    network: Network,
    met: Arc<Met>,
}

impl Client {
    async fn live(self) {
        // Not all in the same second.
        sleep(Duration::from_millis(fastrand::u64(..2_000))).await;
        let mut failures = 0;
        loop {
            let name = if failures == 0 { PRIMARY } else { BACKUP };
            let Some(mut socket) = self.connect(name).await else {
                let number =
                    if failures == 0 { &self.met.failed_on_primary } else { &self.met.failed_on_backup };
                number.fetch_add(1, Ordering::Relaxed);
                sleep(backoff(failures)).await;
                failures += 1;
                continue;
            };
            self.met.opened.fetch_add(1, Ordering::Relaxed);
            failures = 0;
            let stays = Duration::from_millis(fastrand::u64(STAYS_MS));
            let until_it_ends = async { while let Some(Ok(_)) = socket.next().await {} };
            match timeout(stays, until_it_ends).await {
                Ok(()) => {
                    self.met.lost.fetch_add(1, Ordering::Relaxed);
                    sleep(backoff(0)).await;
                }
                // It goes by itself, and says so.
                Err(_) => drop(timeout(CONNECT_TIMEOUT, socket.close(None)).await),
            }
        }
    }

    async fn connect(&self, name: &str) -> Option<WebSocketStream<TcpStream>> {
        let answer = ask(self.resolver, name, self.network).await.ok()?;
        let address: Ipv4Addr = *answer.addresses.first()?;
        let open = async {
            let stream = TcpStream::connect((address, self.port)).await.ok()?;
            let url = format!("ws://{}{CHAT}", name.trim_end_matches('.'));
            client_async(url, stream).await.ok()
        };
        Some(timeout(CONNECT_TIMEOUT, open).await.ok()??.0)
    }
}

/// How long to wait after so many failures in a row: at random up to a bound that doubles.
fn backoff(failures: u32) -> Duration {
    let most = (BACKOFF * 2u32.saturating_pow(failures.min(10))).min(BACKOFF_MOST);
    most.mul_f64(0.2 + 0.8 * fastrand::f64())
}
