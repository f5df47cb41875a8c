//! What loading costs: a geo database, static records, steered records; times, bytes and shares, printed.
//!
//! With `RHUMB_TEST_MMDB=FILE` that file is the geo database instead of the sample. With `--test` the
//! numbers of records are small, to see that it runs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rhumb::config::Config;
use rhumb::state::load;

/// Records of every size class of the static measurement.
const STATIC_RECORDS: usize = 100_000;
/// Steered records over [`POOLS`] pools.
const STEERED_RECORDS: usize = 10_000;
const POOLS: usize = 50;
/// Countries the PoPs of the pools stand in; every pool takes eight, so that the pools ask different
/// questions.
const COUNTRIES: [&str; 16] =
    ["US", "CA", "BR", "AR", "IE", "GB", "DE", "FR", "ES", "ZA", "KE", "IN", "JP", "SG", "KR", "AU"];

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let scale = if small { 100 } else { 1 };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-load");
    geo(&folder);
    static_records(&folder, STATIC_RECORDS / scale);
    steered_records(&folder, STEERED_RECORDS / scale);
}

/// One geo question over a whole database, then seven more.
fn geo(folder: &Path) {
    let one = prepare(&folder.join("geo-1"), &zone(0), &chains(1, 1), true);
    let report = measured("geo database and one question", &one);
    println!("  folding the database: {} ms", report.geo_time.as_millis());
    let eight = prepare(&folder.join("geo-8"), &zone(0), &chains(8, 8), true);
    for question in &measured("geo database and eight questions", &eight).questions {
        let (ms, octets) = (question.time.as_millis(), question.octets);
        println!("  a question: {ms} ms, {octets} bytes, {} outcomes", question.outcomes);
    }
}

fn static_records(folder: &Path, records: usize) {
    // One name is steered, as in any zone of this server: it must not cost the memory of all the others.
    let report = measured(
        &format!("{records} static records"),
        &prepare(&folder.join("static"), &zone(records), &chains(1, 1), false),
    );
    // An A record of such a name is its name, ten octets of head and four of address.
    let octets = report.static_octets / report.static_records.max(1);
    println!("  {octets} bytes a record, names and data included");
}

fn steered_records(folder: &Path, records: usize) {
    let config = prepare(&folder.join("steered"), &zone(0), &chains(records, POOLS), true);
    let report = measured(&format!("{records} steered records over {POOLS} pools"), &config);
    let octets: usize = report.questions.iter().map(|question| question.octets).sum();
    println!(
        "  {} compiled chains, {} questions, {octets} bytes of tables",
        report.steerings,
        report.questions.len()
    );
}

/// Loads, and prints how long it took.
fn measured(label: &str, config: &Config) -> rhumb::state::compile::Report {
    let begun = Instant::now();
    let loaded = load(config, 1, &|_, _| {}).unwrap_or_else(|problems| panic!("{label}: {}", problems[0]));
    println!("{label}: {} ms", begun.elapsed().as_millis());
    loaded.report
}

/// A zone with this many hosts.
fn zone(records: usize) -> String {
    let mut text = "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\n".to_string();
    for host in 0..records {
        let [_, a, b, c] = (host as u32).to_be_bytes();
        let _ = writeln!(text, "host-{host} A 10.{a}.{b}.{c}");
    }
    text
}

/// Pools over eight of the countries each, and records over the pools in turn.
fn chains(records: usize, pools: usize) -> String {
    let mut text = String::new();
    for country in COUNTRIES {
        let _ = writeln!(text, "[pop.{country}]\ncountry = \"{country}\"");
    }
    for pool in 0..pools {
        let _ = writeln!(text, "[pool.p{pool}]");
        for (number, country) in
            COUNTRIES.iter().cycle().skip(pool % 16).step_by(1 + pool / 16 % 3).take(8).enumerate()
        {
            for (stack, weight) in [("haproxy", 100), ("envoy", 0)] {
                let _ = writeln!(
                    text,
                    "[[pool.p{pool}.answer]]\npop = \"{country}\"\nstack = \"{stack}\"\nweight = {weight}\n\
                     a = [\"10.{pool}.{number}.1\"]"
                );
            }
        }
    }
    for record in 0..records {
        let _ = writeln!(
            text,
            "[[record]]\nname = \"r{record}.bench.test\"\npool = \"p{}\"\n\
             filters = [\"up\", \"geotarget_country\", {{ filter = \"select_first_n\" }}]",
            record % pools
        );
    }
    text
}

fn prepare(folder: &Path, zone: &str, chains: &str, geo: bool) -> Config {
    for name in ["zones", "filter-chains"] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    fs::write(folder.join("zones/bench.test.zone"), zone).expect("a zone");
    fs::write(folder.join("filter-chains/bench.toml"), chains).expect("chains");
    let sample = || Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/sample.mmdb");
    let database = std::env::var_os("RHUMB_TEST_MMDB").map_or_else(sample, PathBuf::from);
    let text = match geo {
        true => format!("[geo]\ndatabases = [{:?}]\n", database.display().to_string()),
        false => String::new(),
    };
    Config::parse(&folder.join("rhumb.toml"), &text).expect("a configuration")
}
