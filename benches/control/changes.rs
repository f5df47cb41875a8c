//! Changes that the keeper is asked for by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhumb::engine::{Stats, Worker};
use rhumb::state::model::Scope;

use crate::ground::address;
use crate::node::{Node, drain};
use crate::print;

/// A change at a time: from its decision to the packet that sees it.
pub fn alone(label: &str, node: &Node, times: usize) {
    let before = node.publishing();
    let mut worker = Worker::new(node.current.clone(), Arc::new(Stats::default()), 0);
    let mut took = Vec::new();
    for time in 0..times.max(4) {
        let begun = Instant::now();
        node.wish(0, time.is_multiple_of(2));
        let served = address(&mut worker, "r0");
        took.push(begun.elapsed());
        let expected = if time.is_multiple_of(2) { 1 } else { 0 };
        assert_eq!(served.octets()[2], expected, "the next packet sees the change");
    }
    let all: Duration = took.iter().sum();
    print(&format!("{label}: a change, decided to served"), took.clone());
    let after = node.publishing();
    let published = (after.0 - before.0) / (after.1 - before.1).max(1) as f64;
    println!(
        "  {:.0} changes a second alone; publishing takes {:.0} us of it",
        took.len() as f64 / all.as_secs_f64(),
        published * 1e6
    );
}

/// Writers at once: the keeper commits what has come meanwhile together.
pub fn together(node: &Node, writers: usize, each: usize) {
    let begun = Instant::now();
    let took: Vec<Duration> = std::thread::scope(|scope| {
        let run = |writer: usize| {
            move || {
                let one = |time: usize| {
                    let begun = Instant::now();
                    node.wish(writer, time.is_multiple_of(2));
                    begun.elapsed()
                };
                (0..each).map(one).collect::<Vec<_>>()
            }
        };
        let runs: Vec<_> = (0..writers).map(|writer| scope.spawn(run(writer))).collect();
        runs.into_iter().flat_map(|run| run.join().expect("a writer")).collect()
    });
    let a_second = took.len() as f64 / begun.elapsed().as_secs_f64();
    print(&format!("{writers} writers at once: a change"), took);
    println!("  {a_second:.0} changes a second");
}

/// A change beside many that are in force.
pub fn beside_drains(node: &Node, records: usize, times: usize) {
    let drains = (records / 10).max(1);
    for record in 0..drains {
        let scope = Scope { answer: Some(format!("r{record}.bench.test/spare")), ..Scope::default() };
        node.ask(&format!("owner-{record}"), drain(scope, 50));
    }
    alone(&format!("beside {drains} drains"), node, times);
}
