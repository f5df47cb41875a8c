//! The query log of the real binary: lines that say what was asked and answered, and a file that moves away,
//! or cannot be written.

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use libc::{SIGHUP, SIGTERM};
use serde_json::{Value, json};
use support::Folder;
use support::process::{PATIENCE, Server};

const PRIMARY: &str = "wss-primary.example.com A subnet=81.2.69.0/24";
const LOG: &str = "queries.json";

/// The example, with a query log of every query.
fn example(table: &str) -> Folder {
    let folder = Folder::example();
    let config = folder.read("rhumb.toml");
    let (head, rest) = config.split_once("[query_log]").unwrap();
    let (_, tail) = rest.split_once("[metrics]").unwrap();
    folder.write("rhumb.toml", format!("{head}[query_log]\none_in = 1\n{table}\n[metrics]{tail}"));
    folder
}

/// The lines of a file, as soon as it has so many.
fn lines(file: &Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.lines().count() >= count && text.ends_with('\n') {
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            return lines.collect();
        }
        assert!(Instant::now() < deadline, "{}: {text}", file.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Takes out what is never the same twice.
fn without_time(mut line: Value) -> Value {
    let time = line.as_object_mut().unwrap().remove("time").unwrap();
    let time = time.as_str().unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 24 && time.ends_with('Z'), "{time}");
    line
}

#[test]
fn a_line_says_what_was_asked_and_answered() {
    let folder = example(&format!("file = {LOG:?}"));
    let server = Server::start(&folder);
    let scope = |reply: &str| -> u8 {
        let (_, rest) = reply.split_once("scope=").unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    let steered = scope(&server.ask(PRIMARY));
    server.ask("ns1.EXAMPLE.com A");
    server.ask("nothing.example.com TYPE65280 subnet=2a00:1450:4000:1234::/64");
    server.ask("wss-primary.example.com A subnet=0.0.0.0/0");
    // Another thread's lines may come first, where they come together.
    lines(&folder.path().join(LOG), 4);
    server.ask_over_tcp(server.addresses[1], "www.example.net A");
    let lines: Vec<Value> = lines(&folder.path().join(LOG), 5).into_iter().map(without_time).collect();
    let name = "wss-primary.example.com.";
    let octets = |line: usize| lines[line]["octets"].as_u64().unwrap();
    assert_eq!(
        lines[0],
        json!({
            "transport": "udp", "client": "81.2.69.0/24", "resolver": "127.0.0.0/24", "name": name, "type": "A",
            "rcode": "NOERROR", "scope": steered, "record": name, "answers": lines[0]["answers"],
            "pool": "wss", "pop": "eu-west-2", "stack": lines[0]["stack"], "octets": octets(0),
        })
    );
    let first = lines[0]["answers"][0].as_str().unwrap();
    assert_eq!(first, format!("wss/eu-west-2/{}", lines[0]["stack"].as_str().unwrap()));
    assert!((80..512).contains(&octets(0)), "{}", octets(0));
    assert_eq!(
        lines[1],
        json!({
            "transport": "udp", "client": "127.0.0.0/24", "resolver": "127.0.0.0/24", "name": "ns1.example.com.",
            "type": "A", "rcode": "NOERROR", "octets": octets(1),
        })
    );
    // What is longer than it may be is cut.
    assert_eq!(
        lines[2],
        json!({
            "transport": "udp", "client": "2a00:1450:4000:1200::/56", "resolver": "127.0.0.0/24",
            "name": "nothing.example.com.", "type": "TYPE65280", "rcode": "NXDOMAIN", "scope": 0,
            "octets": octets(2),
        })
    );
    assert_eq!(
        lines[4],
        json!({
            "transport": "tcp", "client": "::/56", "resolver": "::/56", "name": "www.example.net.", "type": "A",
            "rcode": lines[4]["rcode"], "octets": octets(4),
        })
    );
    // Who asks not to be looked at is not.
    assert_eq!((&lines[3]["client"], &lines[3]["scope"]), (&json!("127.0.0.0/24"), &json!(0)));
}

#[test]
fn whole_addresses_where_they_are_asked_for() {
    let folder = example(&format!("file = {LOG:?}\nwhole_addresses = true"));
    let server = Server::start(&folder);
    server.ask("wss-primary.example.com A subnet=81.2.69.142/32");
    let lines = lines(&folder.path().join(LOG), 1);
    assert_eq!(
        (&lines[0]["client"], &lines[0]["resolver"]),
        (&json!("81.2.69.142/32"), &json!("127.0.0.1/32"))
    );
}

/// A renamed file is left behind at SIGHUP, also when what is read then is broken; the last lines are written
/// when it stops.
#[test]
fn a_renamed_file_is_left_behind() {
    let folder = example(&format!("file = {LOG:?}"));
    let mut server = Server::start(&folder);
    let (new, old) = (folder.path().join(LOG), folder.path().join("queries.json.1"));
    server.ask(PRIMARY);
    lines(&new, 1);
    fs::rename(&new, &old).unwrap();
    server.ask(PRIMARY);
    assert_eq!(lines(&old, 2).len(), 2);
    folder.write("zones/example.com.zone", "nonsense");
    server.signal(SIGHUP);
    server.line("the change is not served");
    server.ask(PRIMARY);
    server.signal(SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!((lines(&new, 1).len(), lines(&old, 2).len()), (1, 2));
}

/// A file that cannot be written is told once, and stops nothing; when it can be, it is.
#[test]
fn a_file_that_cannot_be_written_stops_nothing() {
    let folder = example("file = \"logs/queries.json\"");
    let mut server = Server::start(&folder);
    let expected = server.ask(PRIMARY);
    let told = server.line("the query log cannot be written");
    assert!(told.contains("logs/queries.json: No such file or directory"), "{told}");
    assert_eq!(server.ask(PRIMARY), expected);
    fs::create_dir(folder.path().join("logs")).unwrap();
    // Those of the second query may have been lost, too.
    let log = folder.path().join("logs/queries.json");
    let deadline = Instant::now() + PATIENCE;
    while !log.exists() {
        assert_eq!(server.ask(PRIMARY), expected);
        assert!(Instant::now() < deadline, "it is not tried again");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.line("the query log is written again");
    assert!(!lines(&log, 1).is_empty());
    server.signal(SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// Without a name there is no log.
#[test]
fn left_out_there_is_none() {
    let folder = example("");
    let server = Server::start(&folder);
    server.ask(PRIMARY);
    std::thread::sleep(Duration::from_millis(200));
    assert!(!folder.path().join(LOG).exists());
}
