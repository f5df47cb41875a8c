//! The listeners with nothing behind them: every message comes back with QR set. Beside `echo`, it shows
//! what the listeners cost. See benches/lab/README.md.

use rhumb::engine::{Peer, Reply};
use rhumb::listeners::{self, Answer, Listen, ListenerConfig, UdpConfig};

struct Flip;

impl Answer for Flip {
    fn answer(&mut self, message: &mut [u8], query: usize, _peer: Peer) -> Reply {
        if query <= 2 {
            return Reply::Drop;
        }
        message[2] |= 0x80;
        Reply::Send(query)
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).and_then(|address| address.parse().ok());
    let Some(address) = address else {
        eprintln!("usage: flip ADDRESS:PORT [BATCH]");
        std::process::exit(2);
    };
    let batch = std::env::args().nth(2).and_then(|batch| batch.parse().ok());
    let mut udp = UdpConfig { threads: 1, ..UdpConfig::default() };
    udp.batch = batch.unwrap_or(udp.batch);
    let listen = vec![Listen { address, written: true }];
    match listeners::bind(&ListenerConfig { listen, udp, ..ListenerConfig::default() }) {
        Ok(bound) => {
            let _running = bound.start(|_, _| Flip)?;
            loop {
                std::thread::park();
            }
        }
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("{error}"));
            std::process::exit(1);
        }
    }
}
