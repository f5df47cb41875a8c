//! Any packet: the server never panics, what it sends is a message, and never more than it may.

#![no_main]

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType};
use libfuzzer_sys::fuzz_target;
use rhumb::config::Config;
use rhumb::engine::steering::Live;
use rhumb::engine::{Peer, Reply, Snapshot, Stats, Transport, Worker};
use rhumb::state;

thread_local! {
    static WORKERS: RefCell<Vec<Worker>> = RefCell::new(workers());
}

/// The world of the tests as it stands, and with coins in force everywhere.
fn workers() -> Vec<Worker> {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/world/rhumb.toml");
    let read = Config::read(&config).and_then(|config| state::load(&config, 1, &|_, _| {}));
    let snapshot = read.unwrap_or_else(|problems| panic!("{problems:#?}")).snapshot;
    let live = |drained: u8, split: f64| {
        let of_one = |(steering, live): (&_, &Arc<Live>)| {
            let count = live.meta.len();
            Live::new(steering, live.meta.clone(), vec![drained; count], vec![split; count])
        };
        snapshot.steerings.iter().zip(&snapshot.live).map(of_one).collect()
    };
    let lives = [snapshot.live.clone(), live(50, 1.0), live(100, 1.0)];
    let worker = |live| {
        let snapshot = Snapshot {
            revision: 1,
            zones: snapshot.zones.clone(),
            records: snapshot.records.clone(),
            steerings: snapshot.steerings.clone(),
            live,
            identity: snapshot.identity.clone(),
        };
        Worker::new(Arc::new(ArcSwap::from_pointee(snapshot)), Arc::new(Stats::default()), 7)
    };
    lives.map(worker).into()
}

fuzz_target!(|packet: &[u8]| {
    let peers = ["192.0.2.1:53", "[2a00::1]:4053"].map(|peer| peer.parse().expect("an address"));
    let mut out = [0; 65_535];
    WORKERS.with_borrow_mut(|workers| {
        for worker in workers {
            for (transport, address) in [(Transport::Udp, peers[0]), (Transport::Tcp, peers[1])] {
                if let Reply::Send(len) = worker.answer(packet, Peer { address, transport }, &mut out) {
                    check(packet, transport, &out[..len]);
                }
            }
        }
    });
});

fn check(packet: &[u8], transport: Transport, response: &[u8]) {
    let message = Message::from_vec(response).unwrap_or_else(|error| panic!("{error}: {response:02x?}"));
    assert_eq!(message.metadata.message_type, MessageType::Response);
    assert_eq!(response[..2], packet[..2], "the ID is echoed");
    let limit = match transport {
        Transport::Udp => 1232,
        Transport::Tcp => 65_535,
    };
    assert!(response.len() <= limit, "{} octets", response.len());
    // FORMERR, NOTIMP and BADVERS answer what cannot be read: they must not be worth a forged sender.
    let rcode = u16::from(message.metadata.response_code);
    if [1, 4, 16].contains(&rcode) {
        assert!(response.len() <= packet.len(), "{} octets for {}", response.len(), packet.len());
        assert!(message.answers.is_empty() && message.authorities.is_empty());
    }
    // An OPT record is answered by one, and nobody else gets one.
    assert!(message.edns.is_none() || packet.windows(2).any(|pair| pair == [0, 41]));
}
