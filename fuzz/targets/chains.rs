//! Any text of PoPs, pools and chains: it is compiled or told, and what is compiled answers.

#![no_main]

use std::cell::OnceCell;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use libfuzzer_sys::fuzz_target;
use rhumb::config::Config;
use rhumb::engine::explain::{Question, explain};
use rhumb::files::Severity;
use rhumb::state;

thread_local! {
    static CONFIG: OnceCell<Config> = const { OnceCell::new() };
}

/// The world of the tests, with a folder of our own for the chains.
fn config() -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/world/rhumb.toml");
    let mut config = Config::read(&file).unwrap_or_else(|problems| panic!("{problems:#?}"));
    config.filter_chains = std::env::temp_dir().join(format!("rhumb-fuzz-{}", std::process::id()));
    fs::create_dir_all(&config.filter_chains).expect("a folder can be made");
    config
}

fuzz_target!(|text: &str| {
    CONFIG.with(|cell| {
        let config = cell.get_or_init(config);
        let file: PathBuf = config.filter_chains.join("all.toml");
        fs::write(file, text).expect("a file can be written");
        match state::load(config, 1, &|_, _| {}) {
            Err(problems) => {
                assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
                assert!(problems.iter().all(|problem| !problem.message.is_empty()));
            }
            Ok(loaded) => {
                let names: Vec<_> =
                    loaded.snapshot.records.iter().map(|record| record.name.clone()).collect();
                let snapshot = Arc::new(ArcSwap::from_pointee(loaded.snapshot));
                let client = |text: &str| -> IpAddr { text.parse().expect("an address") };
                let clients = [None, Some((client("81.2.69.0"), 24)), Some((client("2a00::"), 32))];
                for (name, client) in
                    names.iter().take(8).flat_map(|n| clients.map(|client| (n.clone(), client)))
                {
                    for qtype in [1, 28, 16] {
                        let resolver = [192, 0, 2, 1].into();
                        let question =
                            Question { name: name.clone(), qtype: qtype.into(), client, resolver, seed: 7 };
                        let explained = explain(&snapshot, &loaded.world, &question);
                        // Whatever is left of a record, its name is there.
                        assert_eq!(explained.rcode, "NOERROR", "{explained}");
                    }
                }
            }
        }
    });
});
