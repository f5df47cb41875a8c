//! The real thing: threads that probe loopback, and what becomes of one that trips.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rhumb::health::notify::Notices;
use rhumb::health::pilot::Pilot;
use rhumb::health::{Health, News};
use rhumb::state::change::Change;
use rhumb::state::keeper::{State, Wish};
use rhumb::state::load::Load;
use rhumb::state::model::Time;
use rhumb::state::monitors::Plan;
use serde_json::json;

use crate::plan;
use crate::support::Folder;
use crate::support::control::{Hands, keep};
use crate::support::entries::new_disk;

/// Longer than any machine is busy: reached only when the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The real thing: a server that answers, a port that refuses, and the thread that probes them.
#[test]
fn on_loopback() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(
        "[pop.x]\ncountry = 'IE'\n[[pool.p.answer]]\na = ['127.0.0.1', '127.0.0.2']\n\
         [[pool.q.answer]]\na = '127.0.0.1'\n\
         [monitor.tcp]\nkind = 'tcp'\nport = {port}\ntarget = {{ pool = 'p' }}\ninterval = '1s'\n\
         [monitor.heart]\nkind = 'push'\ntarget = {{ pool = 'q' }}\n"
    );
    let (told, news) = mpsc::channel();
    let health =
        Health::start(plan(&text), move |news: News| told.send(news.verdicts).unwrap(), vec![], Time::now)
            .unwrap();
    assert!(health.wait_first_round(PATIENCE) && health.first_round());
    let next = || news.recv_timeout(PATIENCE).unwrap().remove(0);
    let mut verdict = next();
    while verdict.failing.is_empty() {
        verdict = next();
    }
    assert!(verdict.up);
    assert_eq!(verdict.error, "127.0.0.2: connection refused");
    assert!(
        health.push("heart", "q/answer 1", Load::default()).is_some()
            && health.push("tcp", "p/answer 1", Load::default()).is_none()
    );
    while verdict.answer != "q/answer 1" {
        verdict = next();
    }
    assert!(verdict.up);
    let status = health.status();
    assert_eq!(status.iter().map(|status| status.kind).collect::<Vec<_>>(), ["push", "tcp"]);
    assert!(status[1].verdict.as_ref().unwrap().latency_ms.is_some());
    assert_eq!(health.alarms(), []);
    assert!(health.totals().probes >= 2 && health.totals().failures >= 1);
    health.update(Plan::default());
    assert_eq!(health.status(), []);
    health.stop();
    assert!(news.iter().flatten().all(|verdict| verdict.up), "and then no more");
}

/// Probes that are answered by nobody end one after the other when only one may run: that takes longer than
/// the second over which the first round is spread.
#[test]
fn no_more_at_once_than_may_be() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let (count, timeout) = (30, Duration::from_millis(50));
    // Connections wait in the listener's queue, where nothing answers them.
    let monitors: String = (0..count)
        .map(|number| {
            format!(
                "[monitor.m{number}]\nkind = 'http'\nport = {port}\ntimeout = '50ms'\ninterval = '1s'\n\
                 target = {{ pool = 'p' }}\n"
            )
        })
        .collect();
    let text = format!("[[pool.p.answer]]\na = '127.0.0.1'\n{monitors}[health]\nprobes_at_once = 1\n");
    let begun = Instant::now();
    let health = Health::start(plan(&text), |_| {}, vec![], Time::now).unwrap();
    assert!(health.wait_first_round(PATIENCE));
    assert!(begun.elapsed() >= timeout * count, "{:?}", begun.elapsed());
    let status = health.status();
    assert_eq!(status[0].verdict.as_ref().unwrap().error, "no response within 50ms");
    drop(health);
}

/// Who is told of verdicts trips: the room has ended, does not hide it, and can be started again with what it said.
#[test]
fn a_room_that_has_ended_is_started_again() {
    let text =
        "[[pool.p.answer]]\na = '127.0.0.1'\n[monitor.m]\nkind = 'tcp'\nport = 9\ntarget = { pool = 'p' }\n";
    let (told, news) = mpsc::channel();
    let trips = AtomicBool::new(true);
    let tell = move |news: News| {
        news.verdicts.into_iter().for_each(|verdict| told.send(verdict).unwrap());
        assert!(!trips.swap(false, SeqCst), "a mistake that is meant");
    };
    let health = Health::start(plan(text), tell, vec![], Time::now).unwrap();
    let first = news.recv_timeout(PATIENCE).unwrap();
    comes_to(|| !health.is_running());
    // Whoever still asks is answered.
    assert_eq!((health.status().len(), health.first_round()), (1, true));
    let probes = health.totals().probes;
    health.start_anew(plan(text), vec![first.clone()]).unwrap();
    assert!(health.is_running() && health.first_round(), "no first round is needed");
    let again = news.recv_timeout(PATIENCE).unwrap();
    assert_eq!((again.up, again.since), (first.up, first.since));
    comes_to(|| health.totals().probes > probes);
    health.stop();
}

/// Reference targets over real sockets, of both kinds: while they answer, what fails is theirs; when they do not, ours.
#[test]
fn references_on_loopback() {
    let [tcp, http] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [of_tcp, of_http] = [&tcp, &http].map(|listener| listener.local_addr().unwrap().port());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "[[pool.p.answer]]\na = '127.0.0.1'\n\
         [monitor.m]\nkind = 'tcp'\nport = {nobody}\ninterval = '1s'\nrise = 1\nfall = 1\ntarget = {{ pool = 'p' }}\n\
         [health]\nreferences = ['tcp://127.0.0.1:{of_tcp}', 'http://localhost:{of_http}/any']\n"
    );
    let ends = Arc::new(AtomicBool::new(false));
    let ended = ends.clone();
    // Any response is good.
    let site = std::thread::spawn(move || {
        while let Ok((mut stream, _)) = http.accept()
            && !ended.load(SeqCst)
        {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let health = Health::start(plan(&text), |_| {}, vec![], Time::now).unwrap();
    let verdict = || health.status()[0].verdict.clone();
    comes_to(|| verdict().is_some_and(|verdict| !verdict.up));
    // Both have been asked more than once.
    comes_to(|| health.totals().probes >= 8);
    assert_eq!(health.alarms(), []);
    // One of two may be its own failure.
    drop(tcp);
    let probes = health.totals().probes;
    comes_to(|| health.totals().probes >= probes + 8);
    assert_eq!(health.alarms(), []);
    ends.store(true, SeqCst);
    let _ = TcpStream::connect(("127.0.0.1", of_http));
    site.join().unwrap();
    comes_to(|| !health.alarms().is_empty());
    let alarms = health.alarms();
    assert_eq!((alarms[0].family, alarms[0].why.as_str()), ("IPv4", "2 of 2 reference targets fail"));
    assert!(
        verdict().is_some_and(|verdict| verdict.frozen && verdict.hidden.is_some_and(|hidden| hidden.wholly))
    );
    health.stop();
}

/// A pilot over a monitor of a port, whose clock trips once over the thread that is named; the folder is its files'.
struct Piloted {
    _folder: Folder,
    state: State,
    pilot: Pilot,
    trips: Arc<Mutex<Option<&'static str>>>,
}

impl Piloted {
    fn new(port: u16) -> Piloted {
        let folder = Folder::example();
        let chains = "[[record]]\nname = 'app.example.com'\nfilters = ['up']\n\
                      answer = { name = 'one', a = '127.0.0.1' }\n\
                      [monitor.m]\nkind = 'tcp'\ninterval = '1s'\ntarget = { answer = 'app.example.com/one' }\n";
        folder.write("filter-chains/app.toml", format!("{chains}port = {port}\n"));
        let state = keep(&folder, &new_disk(), &Hands::default());
        let notices = Notices::start("test".into(), vec![], state.entries()).unwrap();
        let trips = Arc::new(Mutex::new(None));
        let theirs = trips.clone();
        let wall = move || {
            let tripped = theirs.lock().unwrap().take_if(|name| std::thread::current().name() == Some(*name));
            assert!(tripped.is_none(), "a mistake that is meant");
            Time::now()
        };
        let pilot = Pilot::start(state.clone(), &BTreeMap::new(), notices, wall).unwrap();
        assert!(pilot.health().wait_first_round(PATIENCE));
        pilot.begin();
        Piloted { _folder: folder, state, pilot, trips }
    }

    fn is_up(&self) -> Option<bool> {
        let view = self.state.view();
        view.values.verdicts().get("app.example.com/one").map(|verdict| verdict.up)
    }

    fn since(&self) -> Option<Time> {
        self.pilot.health().status()[0].verdict.as_ref().map(|verdict| verdict.since)
    }

    fn is_told(&self, words: &str) -> bool {
        self.pilot.alarms().lock().unwrap().iter().any(|alarm| alarm.contains(words))
    }
}

/// The same through the pilot, by itself: the verdict stays, the next is seen, and an alarm tells of it.
#[test]
fn monitors_that_trip_are_started_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let piloted = Piloted::new(listener.local_addr().unwrap().port());
    let is_told = || piloted.is_told("the monitors of this node ran into a bug of rhumb");
    comes_to(|| piloted.is_up() == Some(true));
    let before = piloted.since();
    *piloted.trips.lock().unwrap() = Some("health");
    comes_to(|| is_told() && piloted.pilot.health().is_running());
    assert_eq!((piloted.is_up(), piloted.since()), (Some(true), before));
    drop(listener);
    comes_to(|| piloted.is_up() == Some(false));
    assert!(is_told(), "they have not run well for long");
    piloted.pilot.stop();
}

/// A look that trips while it takes another plan over takes it over again, and is told after it went well, too.
#[test]
fn a_failover_that_trips_looks_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let piloted = Piloted::new(listener.local_addr().unwrap().port());
    *piloted.trips.lock().unwrap() = Some("failover");
    let fields = json!({ "kind": "push", "target": { "answer": "app.example.com/one" } });
    let change = Change::SetMonitor { name: "heart".into(), fields: fields.as_object().unwrap().clone() };
    piloted.state.change_blocking(Wish::of_ours("anna", change, "")).unwrap();
    comes_to(|| piloted.pilot.health().status().len() == 2);
    piloted.pilot.settle();
    assert!(
        piloted.trips.lock().unwrap().is_none()
            && piloted.is_told("the failover of this node ran into a bug")
    );
    piloted.pilot.stop();
}

/// Waits until it is so.
fn comes_to(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}
