//! A state compiled from files and asked with packets: what the property tests share.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::opt::EdnsOption;
use rhumb::chain::{Answer, LiveMeta};
use rhumb::config::Config;
use rhumb::engine::explain::{Question, explain};
use rhumb::engine::steering::Live;
use rhumb::engine::{Peer, Reply, Snapshot, Stats, Transport, Worker};
use rhumb::files::{Problem, Severity};
use rhumb::geo::World;
use rhumb::state;

pub const A: u16 = 1;
pub const CNAME: u16 = 5;
pub const AAAA: u16 = 28;

/// The resolver every packet comes from: documentation space, which no test places.
pub const RESOLVER: &str = "192.0.2.53";

/// A client's network as ECS gives it: an address cut to so many bits.
pub type Client = (IpAddr, u8);

pub struct Served {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub world: Arc<World>,
    pub stats: Arc<Stats>,
    pub worker: Worker,
    /// What the files say, which every change starts from.
    loaded: Arc<Snapshot>,
    out: Vec<u8>,
}

/// What a response says.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub rcode: ResponseCode,
    /// Of the ECS option, where there is one.
    pub scope: Option<u8>,
    /// Addresses in the order they stand.
    pub addresses: Vec<IpAddr>,
    pub cname: Option<String>,
}

impl Said {
    pub fn set(&self) -> BTreeSet<IpAddr> {
        self.addresses.iter().copied().collect()
    }
}

/// What changes while serving, of one answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    pub meta: LiveMeta,
    pub drained: u8,
    pub split: f64,
}

impl Served {
    /// Writes the files into a folder of their own and loads `rhumb.toml` there.
    pub fn new(test: &str, files: &[(&str, &[u8])]) -> Served {
        let folder = Folder::new(test);
        for (name, bytes) in files {
            let path = folder.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Served::load(&folder.0.join("rhumb.toml"))
    }

    /// Loads a configuration as it stands.
    pub fn load(config: &Path) -> Served {
        let refused = |problems: Vec<Problem>| -> ! {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            panic!("{}", errors.map(|problem| format!("{problem}\n")).collect::<String>())
        };
        let config = Config::read(config).unwrap_or_else(|problems| refused(problems));
        let loaded = state::load(&config, 1, &|_, _| {}).unwrap_or_else(|problems| refused(problems));
        let snapshot = Arc::new(ArcSwap::from_pointee(loaded.snapshot));
        let stats = Arc::new(Stats::default());
        let worker = Worker::new(snapshot.clone(), stats.clone(), 7);
        let as_loaded = snapshot.load_full();
        Served { snapshot, world: loaded.world, stats, worker, loaded: as_loaded, out: vec![0; 65_535] }
    }

    /// Changes what is true of some answers of every record, from what the files say; the next packet sees
    /// it.
    pub fn change(&self, change: impl Fn(&Answer, &mut State)) {
        let old = &self.loaded;
        let live = old.steerings.iter().zip(&old.live).map(|(steering, live)| {
            let (mut meta, mut drained, mut split) = (Vec::new(), Vec::new(), Vec::new());
            for (index, answer) in steering.answers.iter().enumerate() {
                let mut state =
                    State { meta: live.meta[index], drained: live.drained[index], split: live.split[index] };
                change(answer, &mut state);
                meta.push(state.meta);
                drained.push(state.drained);
                split.push(state.split);
            }
            Live::new(steering, meta, drained, split)
        });
        self.snapshot.store(Arc::new(Snapshot {
            revision: old.revision + 1,
            zones: old.zones.clone(),
            records: old.records.clone(),
            steerings: old.steerings.clone(),
            live: live.collect(),
            identity: old.identity.clone(),
        }));
    }

    /// A record's answers, and what is true of them.
    pub fn answers(&self, name: &str) -> (Arc<Snapshot>, usize, Vec<State>) {
        let snapshot = self.snapshot.load_full();
        let name = name.parse().unwrap();
        let record = snapshot.records.iter().find(|record| record.name == name).unwrap();
        let index = record.steering as usize;
        let live = &snapshot.live[index];
        let states = (0..live.meta.len()).map(|at| State {
            meta: live.meta[at],
            drained: live.drained[at],
            split: live.split[at],
        });
        let states = states.collect();
        (snapshot, index, states)
    }

    pub fn ask(&mut self, name: &str, qtype: u16, client: Option<Client>) -> Said {
        self.ask_from(RESOLVER.parse().unwrap(), name, qtype, client)
    }

    pub fn ask_from(&mut self, resolver: IpAddr, name: &str, qtype: u16, client: Option<Client>) -> Said {
        let packet = packet(name, qtype, client);
        let peer = Peer { address: SocketAddr::new(resolver, 4053), transport: Transport::Tcp };
        let Reply::Send(len) = self.worker.answer(&packet, peer, &mut self.out) else {
            panic!("{name} {qtype} {client:?}: dropped");
        };
        read(&self.out[..len])
    }

    /// The walk in words, for the message of a failure.
    pub fn explain(&self, name: &str, qtype: u16, client: Option<Client>) -> String {
        let question = Question {
            name: name.parse().unwrap(),
            qtype: qtype.into(),
            client,
            resolver: RESOLVER.parse().unwrap(),
            seed: 7,
        };
        explain(&self.snapshot, &self.world, &question).to_string()
    }
}

/// A query of class IN with RD clear; with a client subnet, EDNS with 1232 octets.
pub fn packet(name: &str, qtype: u16, client: Option<Client>) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(client.is_some())];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&qtype.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    if let Some((address, source)) = client {
        let (family, address) = match address {
            IpAddr::V4(v4) => (1, v4.octets().to_vec()),
            IpAddr::V6(v6) => (2, v6.octets().to_vec()),
        };
        let octets = usize::from(source).div_ceil(8);
        let option = 4 + octets as u8;
        packet.extend_from_slice(&[0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, option + 4]);
        packet.extend_from_slice(&[0, 8, 0, option, 0, family, source, 0]);
        packet.extend_from_slice(&address[..octets]);
    }
    packet
}

fn read(response: &[u8]) -> Said {
    let message = Message::from_vec(response).unwrap_or_else(|error| panic!("{error}: {response:02x?}"));
    let mut said =
        Said { rcode: message.metadata.response_code, scope: None, addresses: Vec::new(), cname: None };
    for record in &message.answers {
        match &record.data {
            RData::A(a) => said.addresses.push(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => said.addresses.push(IpAddr::V6(aaaa.0)),
            RData::CNAME(cname) => said.cname = Some(cname.0.to_string()),
            other => panic!("nothing that was asked for: {other}"),
        }
    }
    if let Some(edns) = &message.edns {
        said.scope = edns.options().as_ref().iter().find_map(|(_, option)| match option {
            EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
            _ => None,
        });
    }
    said
}

/// An address cut to so many bits.
pub fn cut(address: IpAddr, bits: u8) -> IpAddr {
    ipnet::IpNet::new(address, bits).unwrap().network()
}

/// A folder of one test, gone with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(test: &str) -> Folder {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
