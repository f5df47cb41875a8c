//! What a change costs: from its decision to its being served, through the keeper and a store on this disk; from
//! the last byte of a request to a changed answer, beside the syncs of the disk in between; and what feeds cost,
//! the DNS path beside them.
//!
//! `cargo bench --bench control -- requests feeds` measures some of it; with `--test` the numbers are small, to see
//! that it runs.

mod caller;
mod changes;
mod feeds;
mod ground;
mod node;
mod requests;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use ground::{chains, zone};
use node::Node;

/// Steered records.
const STEERED: usize = 10_000;
/// Changes measured.
const CHANGES: usize = 500;
/// Answers a feed speaks of.
const FED: usize = 5_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |run: &str| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == run);
    let scale = if arguments.iter().any(|argument| argument == "--test") { 100 } else { 1 };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-control");
    sync(&folder, CHANGES / scale);
    if is_wanted("changes") {
        for records in [100, 100_000 / scale] {
            let node = Node::start(&folder.join("static"), &zone(records), &chains(1));
            changes::alone(&format!("{records} static records"), &node, CHANGES / scale);
        }
        let node = Node::start(&folder.join("steered"), &zone(0), &chains(STEERED / scale));
        changes::alone(&format!("{} steered records", STEERED / scale), &node, CHANGES / scale);
        for writers in [8, 64] {
            changes::together(&node, writers, CHANGES * 8 / scale / writers + 1);
        }
        changes::beside_drains(&node, STEERED / scale, CHANGES / scale);
    }
    if is_wanted("requests") {
        requests::run(&folder.join("requests"), STEERED / scale, CHANGES / scale);
    }
    if is_wanted("feeds") {
        let node = Node::start(&folder.join("fed"), &zone(0), &chains(STEERED / scale));
        feeds::run(&node, FED / scale, scale as u32);
    }
}

/// One sync of this disk: of a file that is written in place, as the store's is.
fn sync(folder: &Path, times: usize) {
    fs::create_dir_all(folder).expect("a folder");
    let mut file = fs::File::create(folder.join("sync")).expect("a file");
    file.write_all(&[0; 1 << 20]).and_then(|()| file.sync_all()).expect("a write");
    let took = (0..times).map(|time| {
        file.seek(SeekFrom::Start((time as u64 * 4096) % (1 << 20))).expect("a seek");
        file.write_all(&[time as u8; 4096]).expect("a write");
        let begun = Instant::now();
        file.sync_data().expect("a sync");
        begun.elapsed()
    });
    print("one sync of the disk", took.collect());
}

fn print(label: &str, mut took: Vec<Duration>) {
    took.sort();
    let at =
        |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)].as_secs_f64() * 1e3;
    println!("{label}: p50 {:.3} ms, p99 {:.3} ms, most {:.3} ms", at(0.5), at(0.99), at(1.0));
}
