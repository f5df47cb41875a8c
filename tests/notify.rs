//! Notices, to a receiver on loopback: what comes, how it is signed, and what becomes of what is not taken.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rhumb::config::{Event, Hook, Secret};
use rhumb::health::notify::{About, HookStatus, Notice, Notices, WAITING_MOST, sign};
use rhumb::state::model::{Actor, Drain, Entry, Row, RowChange, Scope, Time};
use support::Folder;
use support::process::{PATIENCE, Server};
use tokio::sync::broadcast;

const KEY: &[u8] = b"a key of the test";

/// A request as it came.
struct Came {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Came {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// As the manual shows it to receivers.
    fn is_signed(&self) -> bool {
        let signature = &self.headers["x-rhumb-signature"];
        let unix: i64 = signature.split(',').next().unwrap().strip_prefix("t=").unwrap().parse().unwrap();
        (Time::now().as_second() - unix).abs() < 60 && *signature == sign(KEY, unix, &self.body)
    }
}

/// Answers requests with these statuses, the last again and again; with none of them it never answers.
fn receiver(statuses: &'static [&'static str]) -> (SocketAddr, Receiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (came, inbox) = channel();
    std::thread::spawn(move || {
        let (mut quiet, mut served) = (Vec::new(), 0);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(request) = read(&mut stream) else { continue };
            let _ = came.send(request);
            match statuses.get(served).or(statuses.last()) {
                Some(status) => {
                    let answer =
                        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes());
                }
                None => quiet.push(stream),
            }
            served += 1;
        }
    });
    (address, inbox)
}

fn read(stream: &mut TcpStream) -> Option<Came> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_string());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(Came { headers, body })
}

fn hook(address: SocketAddr, events: &[Event]) -> Hook {
    Hook {
        url: format!("http://{address}/hooks/t0ken").parse().unwrap(),
        secret: Secret::new(KEY),
        events: events.to_vec(),
        timeout: Duration::from_secs(5),
    }
}

fn start(hooks: Vec<Hook>) -> (Arc<Notices>, broadcast::Sender<Arc<Entry>>) {
    let (entries, of_entries) = broadcast::channel(16);
    (Notices::start("ns1".into(), hooks, of_entries).unwrap(), entries)
}

fn alarm(words: &str) -> Notice {
    Notice::of_alarm(words, false, "2027-01-15T08:00:00Z".parse().unwrap())
}

/// Waits until the status of the only receiver is so.
fn comes_to(notices: &Notices, expect: HookStatus) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = notices.status().pop().unwrap();
        if status == expect {
            return;
        }
        assert!(Instant::now() < deadline, "{status:?}, expected {expect:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn status(address: SocketAddr) -> HookStatus {
    let to = format!("http://{address}");
    HookStatus { to, delivered: 0, failed: 0, dropped: 0, waiting: 0, error: String::new() }
}

#[test]
fn a_notice_is_json_and_signed() {
    let (address, came) = receiver(&["204 No Content"]);
    let (notices, _entries) = start(vec![hook(address, &[Event::Alarm])]);
    notices.tell(Notice::of_alarm("not asked for", true, Time::now()));
    notices.tell(alarm("both PoPs of pool app fail"));
    let request = came.recv_timeout(PATIENCE).unwrap();
    assert!(request.is_signed(), "{:?}", request.headers);
    let id = &request.headers["x-rhumb-delivery"];
    assert_eq!(
        request.json(),
        serde_json::json!({
            "id": id, "node": "ns1", "event": "alarm", "at": "2027-01-15T08:00:00Z",
            "text": "both PoPs of pool app fail", "alarm": "both PoPs of pool app fail",
        })
    );
    assert_eq!(request.headers["x-rhumb-event"], "alarm");
    assert_eq!(request.headers["content-type"], "application/json");
    comes_to(&notices, HookStatus { delivered: 1, ..status(address) });
}

#[test]
fn what_is_not_taken_comes_again() {
    for first in ["500 Internal Server Error", "404 Not Found", "302 Found\r\nLocation: /elsewhere"] {
        let statuses: &'static [&'static str] = Vec::leak(vec![first, "200 OK"]);
        let (address, came) = receiver(statuses);
        let (notices, _entries) = start(vec![hook(address, &[Event::Alarm])]);
        notices.tell(alarm("x"));
        let first = came.recv_timeout(PATIENCE).unwrap();
        let again = came.recv_timeout(PATIENCE).unwrap();
        assert_eq!(first.headers["x-rhumb-delivery"], again.headers["x-rhumb-delivery"]);
        assert_eq!(first.body, again.body);
        assert!(first.is_signed() && again.is_signed());
        comes_to(&notices, HookStatus { delivered: 1, ..status(address) });
    }
}

#[test]
fn the_queue_is_bounded_and_telling_waits_for_nobody() {
    let (address, came) = receiver(&[]);
    let (notices, _entries) = start(vec![hook(address, &[Event::Alarm])]);
    notices.tell(alarm("0"));
    came.recv_timeout(PATIENCE).unwrap();
    let begun = Instant::now();
    (1..WAITING_MOST + 500).for_each(|n| notices.tell(alarm(&n.to_string())));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    comes_to(&notices, HookStatus { dropped: 500, waiting: WAITING_MOST, ..status(address) });
    // The one that hangs does not keep the process either.
    let begun = Instant::now();
    notices.stop();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn no_receiver_waits_for_another_and_a_reload_keeps_what_waits() {
    let (slow, slow_came) = receiver(&[]);
    let (quick, quick_came) = receiver(&["200 OK"]);
    let (notices, _entries) = start(vec![hook(slow, &[Event::Alarm])]);
    notices.tell(alarm("first"));
    slow_came.recv_timeout(PATIENCE).unwrap();
    notices.update(vec![hook(slow, &[Event::Alarm]), hook(quick, &[Event::Alarm])]);
    (1..=20).for_each(|n| notices.tell(alarm(&n.to_string())));
    let texts = quick_came.iter().take(20).map(|came| came.json()["text"].as_str().unwrap().to_string());
    assert_eq!(texts.collect::<Vec<_>>(), (1..=20).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(notices.status()[0], HookStatus { waiting: 21, ..status(slow) });
    notices.update(vec![hook(quick, &[Event::Alarm])]);
    comes_to(&notices, HookStatus { delivered: 20, ..status(quick) });
}

/// What health's drains come to is read from the audit log, whoever writes it.
#[test]
fn drains_are_told_as_they_are_committed() {
    let at: Time = "2027-01-15T08:00:00Z".parse().unwrap();
    let scope = Scope { pool: Some("wss".into()), pop: Some("eu-west-1".into()), ..Scope::default() };
    let drain = |owner: &str, percent, returning_since| {
        Row::Drain(Drain {
            id: "d1".into(),
            scope: scope.clone(),
            owner: owner.into(),
            percent,
            reason: "it fails".into(),
            starts_at: at,
            expires_at: None,
            return_steps: None,
            returning_since,
            created_at: at,
            revision: 1,
        })
    };
    let told = |before: Option<Row>, after: Option<Row>| -> Vec<String> {
        let entry = Entry {
            revision: 7,
            time: at,
            actor: Actor { name: "health".into(), from: String::new() },
            action: "drain".into(),
            object: "eu-west-1 in pool wss".into(),
            reason: "it fails".into(),
            forced: false,
            rows: vec![RowChange { key: "drain/d1".into(), before, after }],
        };
        let notices = Notice::of_entry(&entry);
        assert!(matches!(notices.last().unwrap().about, About::Change { revision: 7, .. }));
        notices.iter().map(|notice| format!("{} {}", notice.event.name(), notice.text)).collect()
    };
    let change = "change health: drain eu-west-1 in pool wss: it fails";
    let (full, part) = (drain("health", 100, None), drain("health", 40, None));
    let check = |before: Option<&Row>, after: Option<&Row>, expect: &[&str]| {
        assert_eq!(told(before.cloned(), after.cloned()), expect);
    };
    check(None, Some(&part), &["drain health drains eu-west-1 in pool wss by 40 %: it fails", change]);
    check(
        Some(&part),
        Some(&full),
        &["drain health drains eu-west-1 in pool wss by 100 %: it fails", change],
    );
    let back = drain("health", 100, Some(at));
    check(
        Some(&full),
        Some(&back),
        &["undrain clients of eu-west-1 in pool wss come back: it fails", change],
    );
    check(Some(&back), None, &["drain_ended the drain of eu-west-1 in pool wss has ended: it fails", change]);
    check(None, Some(&drain("anna", 100, None)), &[change]);
}

/// A whole server with two receivers, one of which never answers: the verdict steers all the same, and the other
/// hears of it.
#[test]
fn a_slow_receiver_delays_nothing() {
    let (slow, slow_came) = receiver(&[]);
    let (quick, quick_came) = receiver(&["200 OK"]);
    let folder = Folder::example();
    let first = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = first.local_addr().unwrap().port();
    let _second = TcpListener::bind(("127.0.0.3", port)).unwrap();
    folder.write("notify.key", [KEY, b"\n"].concat());
    let notify = |address| format!("[[notify]]\nurl = \"http://{address}/\"\nsecret_file = \"notify.key\"\n");
    let config = folder.read("rhumb.toml");
    folder.write("rhumb.toml", config + &notify(slow) + &notify(quick));
    folder.write(
        "filter-chains/two.toml",
        format!(
            "[pool.two]\nanswer = [{{ name = 'one', a = '127.0.0.2' }}, {{ name = 'two', a = '127.0.0.3' }}]\n\
             [[record]]\nname = 'two.example.com'\npool = 'two'\nfilters = ['up', 'select_first_n']\n\
             [monitor.two]\nkind = 'tcp'\nport = {port}\ntarget = {{ pool = 'two' }}\n\
             interval = '1s'\nfall = 1\nrise = 1\n[health]\nmajority = 1.0\n"
        ),
    );
    let server = Server::start(&folder);
    server.comes_to("two.example.com A", "NOERROR aa\ntwo.example.com. 10 A 127.0.0.2");
    drop(first);
    let begun = Instant::now();
    server.comes_to("two.example.com A", "NOERROR aa\ntwo.example.com. 10 A 127.0.0.3");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    for came in [quick_came, slow_came] {
        let request = came.recv_timeout(PATIENCE).unwrap();
        assert!(request.is_signed());
        let told = request.json();
        assert_eq!((told["event"].as_str(), told["answer"].as_str()), (Some("verdict"), Some("two/one")));
        assert_eq!(told["text"], "two/one is down: two: connection refused");
    }
}
