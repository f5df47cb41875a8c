//! What an impact costs: the example's records over as many clients as are looked at before a change, and over
//! the whole address space; times, printed.
//!
//! With `RHUMB_TEST_MMDB=FILE` that file is the geo database instead of the sample. With `--test` everything
//! runs once, to see that it runs.

use std::path::Path;
use std::time::Instant;

use rhumb::config::Config;
use rhumb::state::impact::{address_space, compare, compare_space};
use rhumb::state::load;
use rhumb::state::model::Scope;
use rhumb::state::whatif::{WhatIf, suppose};

const CLIENTS: usize = 4096;

fn main() {
    let runs = if std::env::args().any(|argument| argument == "--test") { 1 } else { 20 };
    let mut config = Config::read(Path::new("rhumb.toml")).expect("the example");
    if let Some(database) = std::env::var_os("RHUMB_TEST_MMDB") {
        config.geo.databases = vec![database.into()];
    }
    let loaded = load(&config, 1, &|_, _| {}).unwrap_or_else(|problems| panic!("{problems:?}"));
    let (before, world) = (&loaded.snapshot, &loaded.world);
    let clients = measured("a sample of clients", 1, || address_space(world, CLIENTS));
    for percent in [100, 30] {
        let scope = Scope { pop: Some("eu-west-1".into()), ..Scope::default() };
        let what_if = WhatIf { drains: vec![(scope, percent)], ..WhatIf::default() };
        let after = suppose(before, &what_if);
        let title = format!("Dublin drained by {percent} %, {CLIENTS} clients");
        measured(&title, runs, || compare(before, &after, &clients));
        let title = format!("Dublin drained by {percent} %, the address space");
        measured(&title, 1, || compare_space(before, &after, world, 65_536));
    }
}

/// Prints the least time of some runs.
fn measured<T>(what: &str, runs: usize, run: impl Fn() -> T) -> T {
    let mut best = None;
    let mut result = None;
    for _ in 0..runs {
        let start = Instant::now();
        result = Some(run());
        let took = start.elapsed();
        best = Some(best.map_or(took, |best: std::time::Duration| best.min(took)));
    }
    println!("{what}: {:.1} ms", best.unwrap_or_default().as_secs_f64() * 1e3);
    result.expect("it runs at least once")
}
