//! The documents say what is so: their commands run, their files compile, their tables name every field,
//! filter and counter there is, with the defaults there are, and their links lead somewhere.
//!
//! What follows the language of a fenced block says what it is: `file=PATH` is a file of the folder the
//! document tells of, and `output=WORD` what a command prints there. `UPDATE=1 cargo test --test readme`
//! writes the outputs anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use rhumb::chain::filters::KINDS;
use rhumb::config::{Config, Event, Geo, MAX_CONNECTIONS};
use rhumb::engine::Totals;
use rhumb::files::Problem;
use rhumb::geo::World;
use rhumb::listeners::{TCP_CONNECTIONS, TcpTotals, UdpTotals};
use rhumb::state::chains::Chains;
use rhumb::state::monitors::{KINDS as KINDS_OF_MONITORS, Kind};
use rhumb::state::{expectations, load};

const DOCUMENTS: [&str; 10] = [
    "README.md",
    "CHANGELOG.md",
    "docs/api.md",
    "docs/configuration.md",
    "docs/filters.md",
    "docs/operations.md",
    "docs/semantics.md",
    "deploy/README.md",
    "deploy/demo/README.md",
    "benches/lab/README.md",
];

#[test]
fn the_first_hour() {
    let folder = Folder::new("first-hour");
    folder.write_files("README.md");
    folder.write_databases();
    let mut ran = 0;
    for line in blocks("README.md").iter().filter(|block| block.language == "sh").flat_map(Block::lines) {
        let (at, command) = match (line.strip_prefix("cargo run --release -- "), line.strip_prefix("rhumb "))
        {
            (Some(command), _) => (root(), command),
            (_, Some(command)) => (folder.0.clone(), command),
            _ => continue,
        };
        // That one would serve until it is stopped.
        if command != "serve" {
            let output = rhumb(&at, command);
            assert!(output.status.success(), "{line}\n{}", text(&output.stderr));
            ran += 1;
        }
    }
    assert!(ran >= 5, "the commands are found: {ran}");
    check_output("explain", &rhumb(&folder.0, "explain chat.example.org A --client 81.2.69.0/24").stdout);
    check_output("diff", &diff_without_tokyo(&folder));
}

/// What is said of a change that takes a PoP out.
fn diff_without_tokyo(folder: &Folder) -> Vec<u8> {
    let new = folder.0.join("new");
    for part in ["zones", "filter-chains", "geoip", "GeoIP"] {
        copy(&folder.0.join(part), &new.join(part));
    }
    fs::copy(folder.0.join("rhumb.toml"), new.join("rhumb.toml")).unwrap();
    let chains = fs::read_to_string(new.join("filter-chains/chat.toml")).unwrap();
    let (head, rest) = chains.split_once("[pop.tokyo]").unwrap();
    let (_, middle) = rest.split_once("\n\n").unwrap();
    let (answers, rest) = middle.split_once("[[pool.chat.answer]]\npop = \"tokyo\"").unwrap();
    let (_, tail) = rest.split_once("\n\n").unwrap();
    fs::write(new.join("filter-chains/chat.toml"), [head, answers, tail].concat()).unwrap();
    let output = rhumb(&folder.0, "diff . new");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    output.stdout
}

#[test]
fn mistakes_look_as_the_readme_shows() {
    let folder = Folder::new("mistakes");
    folder.write_files("README.md");
    let broken = folder.0.join("broken");
    fs::rename(folder.0.join("zones"), broken.join("zones")).unwrap();
    fs::write(broken.join("rhumb.toml"), "").unwrap();
    let output = rhumb(&broken, "check");
    assert_eq!(output.status.code(), Some(1));
    check_output("broken", &output.stderr);
}

/// What `dig` is shown to get is what `explain` gets of the server.
#[test]
fn the_answer_of_the_first_page() {
    let blocks = blocks("README.md");
    let shown = blocks.iter().find(|block| block.body.contains("ANSWER SECTION")).expect("dig's output");
    let explained = rhumb(&root(), "explain wss-primary.example.com A --client 81.2.69.0/24 --json");
    let explained: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    let shown_answer: BTreeSet<_> =
        shown.lines().skip_while(|line| !line.contains("ANSWER SECTION")).skip(1).map(words).collect();
    let answer: BTreeSet<_> =
        explained["answer"].as_array().unwrap().iter().map(|line| words(line.as_str().unwrap())).collect();
    assert_eq!(shown_answer, answer);
    assert!(shown.body.contains(&format!("CLIENT-SUBNET: 81.2.69.0/24/{}", explained["scope"])));
}

#[test]
fn configurations_compile() {
    for document in ["docs/configuration.md", "docs/semantics.md"] {
        let folder = Folder::new(&document.replace('/', "-"));
        for part in ["zones", "filter-chains", "geoip"] {
            copy(&root().join(part), &folder.0.join(part));
        }
        fs::copy(root().join("rhumb.toml"), folder.0.join("rhumb.toml")).unwrap();
        folder.write_files(document);
        for command in ["check", "test"] {
            let output = rhumb(&folder.0, command);
            assert!(output.status.success(), "{document}\n{}{}", text(&output.stdout), text(&output.stderr));
        }
    }
    for document in DOCUMENTS {
        let rest =
            blocks(document).into_iter().filter(|block| block.language == "toml" && block.kind.is_none());
        for block in rest {
            let config = Config::parse(Path::new(document), &block.body);
            assert!(config.is_ok(), "{document}: {config:?}");
        }
    }
}

/// The tables name every field there is and no other, and say its default.
#[test]
fn tables_of_fields() {
    let tables = tables("docs/configuration.md");
    let fields = |heading: &str| -> Vec<String> {
        let rows = tables.get(heading).unwrap_or_else(|| panic!("no table under {heading}"));
        rows.iter().flat_map(|row| names(&row[0])).collect()
    };
    let known = |problems: Vec<Problem>| -> Vec<String> {
        let listed =
            problems.iter().find_map(|problem| problem.message.strip_prefix("unknown field; known are "));
        let listed = listed.unwrap_or_else(|| panic!("no list of fields in {problems:?}"));
        listed.split(", ").map(String::from).collect()
    };
    let check = |heading: &str, known: Vec<String>| {
        assert_eq!(sorted(fields(heading)), sorted(known), "{heading}");
    };
    let file = Path::new("x.toml");
    let of_config =
        |table: &str| known(Config::parse(file, &format!("{table}\nunknown_field = 1")).unwrap_err());
    let mut top = of_config("");
    let tables = ["listen", "identity", "geo", "log", "query_log", "metrics", "api", "notify"];
    top.retain(|name| !tables.contains(&name.as_str()));
    check("Top of the file", top);
    for table in ["[listen]", "[identity]", "[geo]", "[log]", "[query_log]", "[metrics]", "[api]"] {
        check(table, of_config(table));
    }
    check("[[notify]]", of_config("[[notify]]\nurl = 'http://x'\nsecret_file = '/dev/null'"));
    check("networks.toml", known(World::from_networks_text("[[network]]\nunknown_field = 1").err().unwrap()));
    let of_chains = |table: &str| {
        let mut problems = Vec::new();
        Chains::default().read_file(file, &format!("{table}\nunknown_field = 1"), &mut problems);
        known(problems)
    };
    check("PoPs", of_chains("[pop.x]"));
    check("Pools", of_chains("[pool.x]"));
    check("Failover", of_chains("[pool.x.failover]"));
    check("Answers", of_chains("[[pool.x.answer]]"));
    check("Records", of_chains("[[record]]"));
    check("Meta", of_chains("[pool.x.meta]"));
    let example = load(&Config::read(&root().join("rhumb.toml")).unwrap(), 0, &|_, _| {});
    let example = example.unwrap_or_else(|problems| panic!("{problems:?}")).snapshot;
    let of_tests = |field: &str| {
        let mut problems = Vec::new();
        let text = "[[test]]\nname = 'x'\nrecord = 'wss.example.net'\nclient = '192.0.2.0/24'\n";
        expectations::read(file, &format!("{text}{field}"), &example, &mut problems);
        known(problems)
    };
    check("Tests", of_tests("expect = { pops = [] }\nunknown_field = 1"));
    check("Drains of a test", of_tests("drains = { unknown_field = 1 }"));
    check("Values of a test", of_tests("values = { unknown_field = 1 }"));
    check("Expectations", of_tests("expect = { unknown_field = 1 }"));
    check("Monitors", of_chains("[monitor.x]"));
    check("TLS", of_chains("[monitor.x.tls]"));
    check("Flapping", of_chains("[monitor.x.flap]"));
    check("Our own failure", of_chains("[health]"));
}

#[test]
fn defaults() {
    let tables = tables("docs/configuration.md");
    let written = |heading: &str| -> String {
        let of_row = |row: &Vec<String>| {
            let default = names(&row[1]).into_iter().next()?;
            Some(format!("{} = {default}\n", names(&row[0])[0]))
        };
        tables[heading].iter().filter_map(of_row).collect()
    };
    let file = Path::new("rhumb.toml");
    // Where a default is written makes no difference.
    let parse = |text: &str| Config { paths: Vec::new(), ..Config::parse(file, text).unwrap() };
    let nothing = parse("");
    let mut text = written("Top of the file");
    for table in ["[listen]", "[identity]", "[geo]", "[log]", "[query_log]", "[metrics]", "[api]"] {
        text += &format!("{table}\n{}", written(table));
    }
    assert!(text.lines().count() > 15, "{text}");
    assert_eq!(parse(&text), nothing);
    // The example says the same, and names every field.
    let example = fs::read_to_string(root().join("rhumb.toml")).unwrap();
    let config = parse(&example);
    assert_eq!(Config { geo: Geo::default(), ..config }, nothing);
    for table in
        ["Top of the file", "[listen]", "[identity]", "[geo]", "[log]", "[query_log]", "[metrics]", "[api]"]
    {
        for name in tables[table].iter().flat_map(|row| names(&row[0])) {
            let is_it = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{name} = "));
            assert!(example.lines().any(is_it), "rhumb.toml does not name {name}");
        }
    }
    let record = |fields: &str| {
        let text = "[[record]]\nname = 'x.example'\nfilters = []\nanswer = [{ a = '192.0.2.1' }]\n";
        let (mut chains, mut problems) = (Chains::default(), Vec::new());
        chains.read_file(file, &format!("{text}{fields}"), &mut problems);
        assert_eq!(problems, []);
        format!("{:?}", chains.records)
    };
    assert!(written("Records").lines().count() >= 6);
    assert_eq!(record(&written("Records")), record(""));
    // What does nothing for a kind may not be written: each kind takes its own of the defaults.
    let monitor = |kind: Kind, text: String| {
        let fields = kind.line().fields;
        let special: Vec<&str> = KINDS_OF_MONITORS.iter().flat_map(|line| line.fields).copied().collect();
        let takes = |line: &&str| {
            let name = line.split(" = ").next().unwrap();
            fields.contains(&name) || !special.contains(&name)
        };
        let fields = text.lines().filter(takes).fold(String::new(), |all, line| all + line + "\n");
        let needed = if kind == Kind::Dns { "name = 'x.example'\n" } else { "" };
        let text = format!(
            "[health]\n{}[monitor.x]\nkind = '{}'\nport = 99\ntarget = {{ pool = 'x' }}\n{needed}{fields}",
            if text.is_empty() { String::new() } else { written("Our own failure") },
            kind.line().name
        );
        let (mut chains, mut problems) = (Chains::default(), Vec::new());
        chains.read_file(file, &text, &mut problems);
        assert_eq!(problems, []);
        (chains.monitors.remove("x").unwrap().spec.check, chains.health.unwrap().1)
    };
    let tables = ["TLS", "Flapping"].map(|table| format!("[monitor.x.{table}]\n{}", written(table)));
    let inside = tables.join("").replace("TLS", "tls").replace("Flapping", "flap");
    assert!(inside.lines().count() >= 8 && written("Monitors").lines().count() >= 13);
    for kind in [Kind::Http, Kind::Tcp, Kind::WebSocket, Kind::Dns] {
        assert_eq!(monitor(kind, written("Monitors")), monitor(kind, String::new()), "{kind:?}");
    }
    assert_eq!(monitor(Kind::Https, written("Monitors") + &inside), monitor(Kind::Https, String::new()));
}

#[test]
fn defaults_of_failover() {
    let tables = tables("docs/configuration.md");
    let of_row = |row: &Vec<String>| {
        let default = names(&row[1]).into_iter().next()?;
        Some(format!("{} = {default}\n", names(&row[0])[0]))
    };
    let written: String = tables["Failover"].iter().filter_map(of_row).collect();
    assert!(written.lines().count() >= 6, "{written}");
    let failover = |fields: &str| {
        let (mut chains, mut problems) = (Chains::default(), Vec::new());
        let text = format!("[[pool.x.answer]]\na = '192.0.2.1'\n[pool.x.failover]\n{fields}");
        chains.read_file(Path::new("x.toml"), &text, &mut problems);
        assert_eq!(problems, []);
        chains.pools.remove("x").unwrap().policy.failover.unwrap()
    };
    assert_eq!(failover(&written), failover(""));
}

#[test]
fn tables_of_filters_and_counters() {
    let of = |document, heading: &str| -> Vec<String> {
        tables(document)[heading].iter().flat_map(|row| names(&row[0])).collect()
    };
    let monitors: Vec<_> = KINDS_OF_MONITORS.iter().map(|line| line.name).collect();
    assert_eq!(of("docs/configuration.md", "Kinds"), monitors);
    let filters: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(of("README.md", "Records and filters"), filters);
    for (heading, totals) in [
        ("Counters", serde_json::to_value(Totals::default())),
        ("Counters of UDP", serde_json::to_value(UdpTotals::default())),
        ("Counters of TCP", serde_json::to_value(TcpTotals::default())),
    ] {
        let counters = totals.unwrap().as_object().unwrap().keys().cloned().collect();
        assert_eq!(sorted(of("docs/operations.md", heading)), sorted(counters), "{heading}");
    }
    assert_eq!(of("docs/operations.md", "Events"), Event::ALL.map(Event::name));
    let metrics: Vec<_> = rhumb::api::metrics::TABLE.iter().map(|metric| metric.full_name()).collect();
    assert_eq!(of("docs/operations.md", "Metrics"), metrics);
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(filters.iter().all(|name| changelog.contains(&format!("`{name}`"))));
}

/// Links to files of the project, and to headings in them.
#[test]
fn links() {
    let mut seen = 0;
    for document in DOCUMENTS {
        let folder = root().join(document).parent().unwrap().to_path_buf();
        let prose = prose(document);
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            seen += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { root().join(document) } else { folder.join(path) };
            assert!(target.exists(), "{document}: {link}");
            if !anchor.is_empty() {
                let headings = fs::read_to_string(target).unwrap();
                let headings = headings.lines().filter(|line| line.starts_with('#'));
                assert!(headings.map(slug).any(|slug| slug == anchor), "{document}: {link}");
            }
        }
    }
    assert!(seen > 60, "the links are found: {seen}");
}

/// The unit leaves room for every connection that may be configured.
#[test]
fn the_units_descriptors() {
    let unit = fs::read_to_string(root().join("deploy/rhumb.service")).unwrap();
    let limit = unit.lines().find_map(|line| line.strip_prefix("LimitNOFILE=")).unwrap();
    // The API has as many over TCP as over its Unix socket.
    assert!(limit.parse::<usize>().unwrap() > TCP_CONNECTIONS.most + 2 * MAX_CONNECTIONS.most + 1000);
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn rhumb(folder: &Path, command: &str) -> Output {
    let command = command.split(" #").next().unwrap_or_default();
    let mut rhumb = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    rhumb.args(command.split_whitespace()).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("readme-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    /// The files a document shows. Databases are looked for here, and not in the system.
    fn write_files(&self, document: &str) {
        for block in blocks(document) {
            let Some(path) = block.kind.as_deref().and_then(|kind| kind.strip_prefix("file=")) else {
                continue;
            };
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, block.body.replace("\"/var/lib/GeoIP/", "\"GeoIP/")).unwrap();
        }
    }

    /// The sample in two files, as MaxMind has them: cities in one, autonomous systems in the other.
    fn write_databases(&self) {
        let sample = fs::read_to_string(root().join("geoip/sample.txt")).unwrap();
        let (mut cities, mut systems) = (String::new(), String::new());
        for line in sample.lines().map(|line| line.split('#').next().unwrap_or_default()) {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                [] => {}
                [prefix, ref facts @ .., asn] if asn.starts_with("AS") => {
                    systems += &format!("{prefix} - - - {asn}\n");
                    cities += &format!("{prefix} {}\n", facts.join(" "));
                }
                _ => cities += &format!("{line}\n"),
            }
        }
        fs::create_dir(self.0.join("GeoIP")).unwrap();
        for (name, lines) in [("City", cities), ("ASN", systems)] {
            fs::write(self.0.join("lines.txt"), lines).unwrap();
            let output = rhumb(&self.0, &format!("geoip build lines.txt GeoIP/GeoLite2-{name}.mmdb"));
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Holds a command's output against the block the README has of it.
fn check_output(word: &str, output: &[u8]) {
    let output = text(output).replace("(from GeoIP/", "(from /var/lib/GeoIP/");
    let kind = format!("output={word}");
    let shown =
        blocks("README.md").into_iter().find(|block| block.kind.as_ref() == Some(&kind)).expect("a block");
    if std::env::var_os("UPDATE").is_some() {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock();
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        let (head, rest) = readme.split_once(&format!("```text {kind}\n")).unwrap();
        let (_, tail) = rest.split_once("```\n").unwrap();
        fs::write(root().join("README.md"), format!("{head}```text {kind}\n{output}```\n{tail}")).unwrap();
    } else {
        assert_eq!(shown.body, output, "run UPDATE=1 cargo test --test readme");
    }
}

/// A fenced block.
struct Block {
    language: String,
    kind: Option<String>,
    body: String,
}

impl Block {
    fn lines(&self) -> impl Iterator<Item = &str> {
        self.body.lines()
    }
}

fn blocks(document: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let fenced = text.split("\n```").skip(1).step_by(2);
    let block = |fenced: &str| {
        let (head, body) = fenced.split_once('\n').unwrap_or((fenced, ""));
        let (language, kind) =
            head.split_once(' ').map_or((head, None), |(language, kind)| (language, Some(kind)));
        let body = if body.is_empty() { String::new() } else { format!("{body}\n") };
        Block { language: language.into(), kind: kind.map(String::from), body }
    };
    fenced.map(block).collect()
}

fn prose(document: &str) -> String {
    let text = fs::read_to_string(root().join(document)).unwrap();
    text.split("\n```").step_by(2).collect()
}

/// The rows of each table by the heading it stands under, without its head.
fn tables(document: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let (mut tables, mut heading) = (BTreeMap::<_, Vec<_>>::new(), String::new());
    let prose = prose(document);
    for line in prose.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().replace('`', "");
        } else if let Some(row) = line.strip_prefix("| ") {
            let row = row.trim_end_matches('|').split(" |").map(|cell| cell.trim().to_string());
            tables.entry(heading.clone()).or_default().push(row.collect());
        }
    }
    // The head and the line below it.
    tables.values_mut().for_each(|rows| drop(rows.drain(..2)));
    tables
}

/// What stands between backticks.
fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(String::from).collect()
}

/// A heading's anchor.
fn slug(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
