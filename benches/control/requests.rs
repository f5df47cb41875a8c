//! Changes over the API.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rhumb::engine::{Stats, Worker};

use crate::caller::Caller;
use crate::ground::{address, chains, pooled, zone};
use crate::node::{Node, Threads};
use crate::print;

/// Pools that the records share, where they share any.
const POOLS: usize = 50;

/// Requests over the socket: from the last byte of one to an answer that is another, and what of that is neither
/// a sync of the disk.
pub fn run(folder: &Path, records: usize, times: usize) {
    let pop = r#"{ "pop": "pop0" }"#;
    for pools in [1, POOLS.min(records)] {
        let node = Node::start(folder, &zone(0), &pooled(records, pools));
        let touched = node.touched_by_a_drain();
        let label = format!("{records} records of {pools} pools, {touched} pools touched");
        ask_for_changes(&label, &node, ("r0", pop), times);
    }
    let node = Node::start(folder, &zone(0), &chains(records));
    let touched = node.touched_by_a_drain();
    let one = r#"{ "answer": "r0.bench.test/first" }"#;
    ask_for_changes(&format!("{records} records that share nothing, 1 touched"), &node, ("r0", one), times);
    ask_for_changes(
        &format!("{records} records that share nothing, {touched} touched"),
        &node,
        ("r0", pop),
        times,
    );
}

/// Drains and lifts by turns: a scope, and a name whose answer is another one then.
pub fn ask_for_changes(label: &str, node: &Node, (name, scope): (&str, &str), times: usize) {
    let mut worker = Worker::new(node.current.clone(), Arc::new(Stats::default()), 0);
    let mut caller = Caller::new(node);
    let (mut all, mut without, mut waited) = (Vec::new(), Vec::new(), Vec::new());
    let mut ran = [Vec::new(), Vec::new()];
    let threads = || ["keeper", "api"].map(Threads::named);
    // What is drained is brought back at the end.
    let times = times.max(4).next_multiple_of(2);
    for time in 0..times {
        let (path, expected) = match time % 2 {
            0 => ("/api/v1/drains", 1),
            _ => ("/api/v1/drains/lift", 0),
        };
        let before = threads();
        caller.begin(path, &format!(r#"{{ "scope": {scope}, "reason": "a bench", "force": true }}"#));
        let begins = threads();
        let synced = node.synced.load(Ordering::Relaxed);
        let begun = Instant::now();
        caller.end();
        while address(&mut worker, name).octets()[2] != expected {
            assert!(begun.elapsed() < Duration::from_secs(10), "the change is served");
            // Not at every moment: that would take a processor from those who are measured.
            std::thread::sleep(Duration::from_micros(20));
        }
        let took = begun.elapsed();
        let synced = Duration::from_nanos(node.synced.load(Ordering::Relaxed) - synced);
        let seen = threads();
        all.push(took);
        without.push(took.saturating_sub(synced));
        waited.push((0..2).map(|of| seen[of].since(begins[of]).waited).sum());
        caller.reply();
        // What is done after the reply counts too.
        std::thread::sleep(Duration::from_millis(1));
        let after = threads();
        (0..2).for_each(|of| ran[of].push(after[of].since(before[of]).ran));
    }
    print(&format!("{label}: last byte to changed answer"), all);
    print("  beside the syncs of the disk", without);
    print("  its threads waited for a processor that others had", waited);
    let [keeper, api] = ran;
    print("  processor time of the keeper", keeper);
    print("  processor time of the API", api);
}
