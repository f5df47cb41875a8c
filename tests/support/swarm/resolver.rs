//! A caching resolver that knows Client Subnet (RFC 7871), and one question over UDP as it and its clients ask
//! it.
//!
//! What it keeps holds for the scope of the answer, never for more than was asked (section 7.3.1), and for
//! the TTL of its records, which count down.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// An address and the bits of it that count.
pub type Network = (Ipv4Addr, u8);

/// How long an answer may take before the question is sent again, and how often that is done.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const TRIES: usize = 3;

/// What an answer says.
#[derive(Clone, Debug)]
pub struct Answer {
    pub addresses: Vec<Ipv4Addr>,
    pub ttl: Duration,
    pub scope: u8,
}

/// Asks a server for the IPv4 addresses of a name, as a client of a network.
pub async fn ask(server: SocketAddr, name: &str, client: Network) -> io::Result<Answer> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(server).await?;
    let id = fastrand::u16(..);
    let mut query = Message::new(id, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(name).map_err(io::Error::other)?;
    query.add_query(Query::query(name, RecordType::A));
    query.set_edns(edns(client, 0));
    let packet = query.to_vec().map_err(io::Error::other)?;
    let mut buffer = [0; 4096];
    for _ in 0..TRIES {
        socket.send(&packet).await?;
        let Ok(got) = timeout(ANSWER_TIMEOUT, socket.recv(&mut buffer)).await else { continue };
        let response = Message::from_vec(&buffer[..got?]).map_err(io::Error::other)?;
        if response.metadata.id != id || response.metadata.response_code != ResponseCode::NoError {
            return Err(io::Error::other(format!("{:?}", response.metadata)));
        }
        let address = |record: &Record| match &record.data {
            RData::A(a) => Some(a.0),
            _ => None,
        };
        let ttl = response.answers.iter().map(|record| record.ttl).min().unwrap_or(0);
        return Ok(Answer {
            addresses: response.answers.iter().filter_map(address).collect(),
            ttl: Duration::from_secs(ttl.into()),
            // Without the option the answer holds for everybody (section 7.2.1).
            scope: subnet(&response).map_or(0, |subnet| subnet.scope_prefix()),
        });
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn edns(client: Network, scope: u8) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(client.0.into(), client.1, scope)));
    edns
}

fn subnet(message: &Message) -> Option<ClientSubnet> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(*subnet),
        _ => None,
    }
}

/// An answer that was given to a client.
#[derive(Clone, Debug)]
pub struct Given {
    pub at: Instant,
    pub name: String,
    pub client: Ipv4Addr,
    pub addresses: Vec<Ipv4Addr>,
    pub from_cache: bool,
}

/// The resolver, serving. Dropping it ends it.
pub struct Resolver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    upstream: SocketAddr,
    cache: Mutex<HashMap<String, Vec<Cached>>>,
    given: Mutex<Vec<Given>>,
}

struct Cached {
    network: Network,
    until: Instant,
    addresses: Vec<Ipv4Addr>,
}

impl Resolver {
    pub async fn start(upstream: SocketAddr) -> Resolver {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback is there"));
        let address = socket.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { upstream, cache: Mutex::default(), given: Mutex::default() });
        let theirs = shared.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
                let Ok(query) = Message::from_vec(&buffer[..len]) else { continue };
                let (shared, socket) = (theirs.clone(), socket.clone());
                tokio::spawn(async move {
                    if let Some(response) = shared.respond(query).await.and_then(|r| r.to_vec().ok()) {
                        // Who asked may have gone.
                        let _ = socket.send_to(&response, peer).await;
                    }
                });
            }
        });
        Resolver { address, shared, task: task.abort_handle() }
    }

    /// What was given since the last time this was asked.
    pub fn take_given(&self) -> Vec<Given> {
        std::mem::take(&mut self.shared.given.lock().expect("nobody panics with it"))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn respond(&self, query: Message) -> Option<Message> {
        let question = query.queries.first()?.clone();
        let name = question.name().to_string();
        let client = subnet(&query).map_or((Ipv4Addr::UNSPECIFIED, 0), |subnet| match subnet.addr() {
            IpAddr::V4(address) => (address, subnet.source_prefix()),
            IpAddr::V6(_) => (Ipv4Addr::UNSPECIFIED, 0),
        });
        let mut response = Message::response(query.metadata.id, OpCode::Query);
        response.add_query(question.clone());
        let kept = self.kept(&name, client);
        let from_cache = kept.is_some();
        let (addresses, left, scope) = match kept {
            Some(kept) => kept,
            None => {
                let Ok(answer) = ask(self.upstream, &name, client).await else {
                    response.metadata.response_code = ResponseCode::ServFail;
                    return Some(response);
                };
                let scope = answer.scope.min(client.1);
                self.keep(&name, (client.0, scope), &answer);
                (answer.addresses, answer.ttl, scope)
            }
        };
        for address in &addresses {
            let data = RData::A((*address).into());
            response.add_answer(Record::from_rdata(question.name().clone(), left.as_secs() as u32, data));
        }
        response.set_edns(edns(client, scope));
        let given = Given { at: Instant::now(), name, client: client.0, addresses, from_cache };
        self.given.lock().expect("nobody panics with it").push(given);
        Some(response)
    }

    /// What is kept for the client: of several networks it lies in, the longest.
    fn kept(&self, name: &str, client: Network) -> Option<(Vec<Ipv4Addr>, Duration, u8)> {
        let (now, mut cache) = (Instant::now(), self.cache.lock().expect("nobody panics with it"));
        let kept = cache.get_mut(name)?;
        kept.retain(|cached| cached.until > now);
        let holds =
            kept.iter().filter(|cached| cached.network.1 <= client.1 && is_in(client.0, cached.network));
        let best = holds.max_by_key(|cached| cached.network.1)?;
        Some((best.addresses.clone(), best.until - now, best.network.1))
    }

    fn keep(&self, name: &str, network: Network, answer: &Answer) {
        let mut cache = self.cache.lock().expect("nobody panics with it");
        let kept = cache.entry(name.into()).or_default();
        let until = Instant::now() + answer.ttl;
        kept.push(Cached { network, until, addresses: answer.addresses.clone() });
    }
}

fn is_in(address: Ipv4Addr, (network, bits): Network) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
    u32::from(address) & mask == u32::from(network) & mask
}
