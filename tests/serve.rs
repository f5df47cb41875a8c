//! `rhumb serve` as a process: real sockets, real signals, files that change while it serves.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::sync::Arc;

use arc_swap::ArcSwap;
use libc::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use rhumb::engine::{Peer, Reply, Stats, Worker};
use serde_json::{Value, json};
use support::http::Api;
use support::process::{Server, listen, rhumb};
use support::query::Query;
use support::{Folder, copy, response, scenario};

const PRIMARY: &str = "wss-primary.example.com A subnet=81.2.69.0/24";
const ZONE: &str = "zones/example.com.zone";
const CHAINS: &str = "filter-chains/wss.toml";

/// The queries of the example's scenarios whose answers no number is drawn for, as the worker answers them.
#[test]
fn it_answers_as_the_worker_does() {
    let folder = Folder::example();
    let server = Server::start(&folder);
    let snapshot = Arc::new(ArcSwap::from_pointee(folder.load().unwrap().snapshot));
    let file = scenario::files().into_iter().find(|file| file.ends_with("wss.txt")).unwrap();
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("? "));
    let mut asked = 0;
    for line in lines.filter(|line| !line.contains("wss-backup") && !line.contains("as-sent")) {
        for address in server.addresses.clone() {
            let mut query = Query::parse(&format!("{line} tcp"));
            query.resolver = address.ip();
            let mut worker = Worker::new(snapshot.clone(), Arc::new(Stats::default()), 0);
            let (mut out, packet) = (vec![0; 65_535], query.packet(8));
            let Reply::Send(len) = worker.answer(&packet, query.peer(), &mut out) else { panic!("{line}") };
            let expected = response::show(&response::read(&query, &packet, &out[..len]), false);
            assert_eq!(server.ask_over_tcp(address, line), expected, "{line}");
            if address == server.addresses[0] {
                let peer = Peer { transport: rhumb::engine::Transport::Udp, ..query.peer() };
                let Reply::Send(len) = worker.answer(&packet, peer, &mut out) else { panic!("{line}") };
                let query = Query::parse(line);
                let expected = response::show(&response::read(&query, &packet, &out[..len]), false);
                assert_eq!(server.ask(line), expected, "{line}");
            }
            asked += 1;
        }
    }
    assert!(asked > 60, "only {asked}");
}

#[test]
fn the_readme_query_gets_london() {
    let folder = Folder::example();
    let server = Server::start(&folder);
    let reply = server.ask(PRIMARY);
    let (head, answer) = reply.split_once('\n').unwrap();
    let scope: u8 = head.strip_prefix("NOERROR aa scope=").unwrap().parse().unwrap();
    assert!((1..=24).contains(&scope), "{head}");
    assert_eq!(answer, "wss-primary.example.com. 10 A 203.0.113.90, 203.0.113.91, 203.0.113.92");
}

/// The example, and a site that takes the request of its probe and says nothing before the test does. DNS waits for it
/// so long.
fn with_a_slow_site(first_round: &str) -> (Folder, TcpListener) {
    let folder = Folder::example();
    let site = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = site.local_addr().unwrap().port();
    let chains = r#"
[[record]]
name = "slow.example.com"
filters = ["up"]
[[record.answer]]
name = "one"
a = "127.0.0.1"
[monitor.slow]
kind = "http"
port = PORT
interval = "1m"
timeout = "1m"
target = { answer = "slow.example.com/one" }
[monitor.heart]
kind = "push"
target = { answer = "slow.example.com/one" }
[health]
first_round = "FIRST_ROUND"
"#;
    folder.write(
        "filter-chains/slow.toml",
        chains.replace("PORT", &port.to_string()).replace("FIRST_ROUND", first_round),
    );
    (folder, site)
}

/// Before DNS is served the API is: it says what is waited for, and takes heartbeats.
#[test]
fn the_api_is_there_before_the_first_round_is_over() {
    let (folder, site) = with_a_slow_site("10m");
    let mut server = Server::begin(&folder);
    let (mut probe, _) = site.accept().unwrap();
    assert_ne!(probe.read(&mut [0; 1024]).unwrap(), 0);
    server.said("rhumb.sock");
    let api = Api::local(&folder);
    assert_eq!(api.send("GET", "/healthz", &Value::Null).unwrap().status, 200);
    let why = "DNS is served when the first round of probes is over, or has taken 10m";
    api.refused("GET", "/readyz", Value::Null, 503, why);
    assert_eq!(api.get("/api/v1/status")["not_ready"], why);
    api.ok("POST", "/api/v1/monitors/heart/heartbeat", json!({ "answer": "slow.example.com/one" }));
    assert_eq!(api.send("GET", "/metrics", &Value::Null).unwrap().status, 200);
    assert!(!server.has_said("serving DNS"));
    probe.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    server.serves();
    assert_eq!(api.send("GET", "/readyz", &Value::Null).unwrap().status, 200);
    assert_eq!(server.ask("slow.example.com A"), "NOERROR aa\nslow.example.com. 10 A 127.0.0.1");
}

/// What has not reported in time counts as up: everything is better than nothing. When it does, that counts.
#[test]
fn the_first_round_is_bounded() {
    let (folder, site) = with_a_slow_site("1s");
    let mut server = Server::begin(&folder);
    let (mut probe, _) = site.accept().unwrap();
    server.serves();
    assert!(server.has_said("not every monitor has reported in time"));
    assert_eq!(server.ask("slow.example.com A"), "NOERROR aa\nslow.example.com. 10 A 127.0.0.1");
    let api = Api::local(&folder);
    assert_eq!(api.send("GET", "/readyz", &Value::Null).unwrap().status, 200);
    let is_up = |shown: &Value| shown["items"][0]["up"].as_bool();
    assert_eq!(is_up(&api.get("/api/v1/monitors?monitor=slow")), None);
    probe.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").unwrap();
    api.comes_to("/api/v1/monitors?monitor=slow", |shown| is_up(shown) == Some(false));
}

/// It does not wait for a round that nobody needs any more.
#[test]
fn a_signal_ends_it_before_the_first_round_is_over() {
    let (folder, site) = with_a_slow_site("10m");
    let server = Server::begin(&folder);
    let _probe = site.accept().unwrap();
    server.signal(SIGTERM);
    assert!(server.wait().success());
}

#[test]
fn signals() {
    let folder = Folder::example();
    for signal in [SIGTERM, SIGINT] {
        let mut server = Server::start(&folder);
        // A connection that is open, and idle, does not keep it.
        let idle = TcpStream::connect(server.addresses[0]).unwrap();
        server.ask(PRIMARY);
        server.signal(SIGUSR1);
        let counters = server.line("asked for counters");
        assert!(counters.contains(r#""udp":1"#) && counters.contains(r#""steered":1"#), "{counters}");
        server.signal(SIGHUP);
        server.line("load=2");
        server.ask(PRIMARY);
        server.signal(signal);
        server.line("stopped");
        assert_eq!(server.wait().code(), Some(0));
        drop(idle);
    }
}

#[test]
fn changed_files_are_served() {
    let folder = Folder::example();
    let server = Server::start(&folder);
    let zone = folder.read(ZONE);
    let soa = "2025010101 7200 900 1209600 300";
    server.comes_to(
        "new.example.com A",
        &format!(
            "NXDOMAIN aa\nauthority example.com. 300 SOA ns1.example.com. hostmaster.example.com. {soa}"
        ),
    );
    // A zone, written in place.
    folder.write(ZONE, format!("{zone}\nnew 60 A 192.0.2.77\n"));
    server.comes_to("new.example.com A", "NOERROR aa\nnew.example.com. 60 A 192.0.2.77");
    // One put in its place, as editors do.
    folder.write("zones/.next", format!("{zone}\nnew 60 A 192.0.2.78\n"));
    fs::rename(folder.path().join("zones/.next"), folder.path().join(ZONE)).unwrap();
    server.comes_to("new.example.com A", "NOERROR aa\nnew.example.com. 60 A 192.0.2.78");
    // What a zone includes counts as the zone does, wherever it lies.
    folder.write("zones/parts/hosts.inc", "inc 60 A 192.0.2.79\n");
    folder.write(ZONE, format!("{zone}\n$INCLUDE parts/hosts.inc\n"));
    server.comes_to("inc.example.com A", "NOERROR aa\ninc.example.com. 60 A 192.0.2.79");
    folder.write("zones/parts/hosts.inc", "inc 60 A 192.0.2.80\n");
    server.comes_to("inc.example.com A", "NOERROR aa\ninc.example.com. 60 A 192.0.2.80");
    // A zone that was not there, and is gone again.
    server.comes_to("www.example.org A", "REFUSED");
    folder.write(
        "zones/example.org.zone",
        "$TTL 1h\n@ SOA ns a 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\n",
    );
    server.comes_to("www.example.org A", "NOERROR aa\nwww.example.org. 3600 A 192.0.2.2");
    fs::remove_file(folder.path().join("zones/example.org.zone")).unwrap();
    server.comes_to("www.example.org A", "REFUSED");
}

#[test]
fn changed_chains_and_places_are_served() {
    let folder = Folder::example();
    let server = Server::start(&folder);
    // Nobody knows this network, so the record's order stands: Ashburn.
    let here = "wss-primary.example.com A subnet=100.64.7.0/24";
    let answer = |reply: &str| reply.split_once('\n').unwrap().1.to_string();
    let ashburn = "wss-primary.example.com. 10 A 203.0.113.10, 203.0.113.11, 203.0.113.12";
    assert_eq!(answer(&server.ask(here)), ashburn);
    let mut networks = folder.read("geoip/networks.toml");
    networks += "\n[[network]]\nprefixes = [\"100.64.7.0/24\"]\ncountry = \"JP\"\n";
    folder.write("geoip/networks.toml", networks);
    server.comes_to(
        here,
        "NOERROR aa scope=24\nwss-primary.example.com. 10 A 203.0.113.186, 203.0.113.187, 203.0.113.188",
    );
    let chains =
        folder.read(CHAINS).replace("203.0.113.186", "203.0.113.222").replace("ttl = 10", "ttl = 20");
    folder.write(CHAINS, chains);
    server.comes_to(
        here,
        "NOERROR aa scope=24\nwss-primary.example.com. 20 A 203.0.113.187, 203.0.113.188, 203.0.113.222",
    );
    // A file of chains that was not there.
    folder.write(
        "filter-chains/more.toml",
        "[[record]]\nname = \"more.example.com\"\npool = \"wss\"\nttl = 5\n\
         filters = [\"geotarget_country\", \"select_first_n\"]\n",
    );
    server.comes_to(
        "more.example.com AAAA subnet=100.64.7.0/24",
        "NOERROR aa scope=24\nmore.example.com. 5 AAAA 2001:db8:c:1::1, 2001:db8:c:1::2, 2001:db8:c:1::3",
    );
}

#[test]
fn a_changed_database_is_served() {
    let folder = Folder::example();
    let server = Server::start(&folder);
    let here = "wss-primary.example.com A subnet=100.64.7.0/24";
    let before = server.ask(here);
    folder.write("places.txt", "100.64.7.0/24 JP\n");
    let built = rhumb(folder.path(), &["geoip", "build", "places.txt", "geoip/sample.mmdb"]);
    assert!(built.status.success(), "{built:?}");
    let tokyo = "wss-primary.example.com. 10 A 203.0.113.186, 203.0.113.187, 203.0.113.188";
    server.comes_to(here, &format!("NOERROR aa scope=24\n{tokyo}"));
    assert!(!before.contains(tokyo));
}

/// A deployment puts a whole folder in another's place; what changes in the new one is noticed too.
#[test]
fn changes_are_noticed_after_folders_are_replaced() {
    let folder = Folder::example();
    let server = Server::start(&folder);
    let path = |name: &str| folder.path().join(name);
    let put = |name: &str| {
        let (new, old) = (path(&format!("{name}.new")), path(&format!("{name}.old")));
        copy(&path(name), &new);
        let _ = fs::remove_dir_all(&old);
        fs::rename(path(name), old).unwrap();
        fs::rename(new, path(name)).unwrap();
    };
    let zone = folder.read(ZONE);
    let networks = folder.read("geoip/networks.toml");
    let here = "wss-primary.example.com A subnet=100.64.7.0/24";
    let tokyo = "wss-primary.example.com. 10 A 203.0.113.186, 203.0.113.187, 203.0.113.188";
    let london = "wss-primary.example.com. 10 A 203.0.113.90, 203.0.113.91, 203.0.113.92";
    for (round, country, answer) in [(1, "JP", tokyo), (2, "GB", london)] {
        put("zones");
        put("geoip");
        folder.write(ZONE, format!("{zone}\nnew 60 A 192.0.2.{round}\n"));
        server.comes_to("new.example.com A", &format!("NOERROR aa\nnew.example.com. 60 A 192.0.2.{round}"));
        let network = format!("\n[[network]]\nprefixes = [\"100.64.7.0/24\"]\ncountry = \"{country}\"\n");
        folder.write("geoip/networks.toml", networks.clone() + &network);
        server.comes_to(here, &format!("NOERROR aa scope=24\n{answer}"));
    }
    // Made anew in the place of one that is gone.
    fs::rename(path("zones"), path("zones.away")).unwrap();
    copy(&path("zones.away"), &path("zones"));
    for round in [3, 4] {
        folder.write(ZONE, format!("{zone}\nnew 60 A 192.0.2.{round}\n"));
        server.comes_to("new.example.com A", &format!("NOERROR aa\nnew.example.com. 60 A 192.0.2.{round}"));
    }
}

/// Links on the way to a file count as the file does: a release that is linked, a database that is, and
/// mounts of Kubernetes, where `..data` is turned.
#[test]
fn turned_links_are_noticed() {
    let folder = Folder::example();
    let path = |name: &str| folder.path().join(name);
    let turn = |link: &str, target: &str| {
        symlink(target, path("next")).unwrap();
        fs::rename(path("next"), path(link)).unwrap();
    };
    fs::create_dir_all(path("zones/..1")).unwrap();
    fs::rename(path(ZONE), path("zones/..1/example.com.zone")).unwrap();
    turn("zones/..data", "..1");
    symlink("..data/example.com.zone", path(ZONE)).unwrap();
    fs::rename(path("geoip"), path("one")).unwrap();
    copy(&path("one"), &path("two"));
    turn("geoip", "one");
    let server = Server::start(&folder);
    server.ask(PRIMARY);

    let zone = folder.read(ZONE);
    folder.write("zones/..2/example.com.zone", format!("{zone}\nnew 60 A 192.0.2.1\n"));
    turn("zones/..data", "..2");
    server.comes_to("new.example.com A", "NOERROR aa\nnew.example.com. 60 A 192.0.2.1");
    // What the links lead to counts, wherever it lies.
    folder.write("zones/..2/example.com.zone", format!("{zone}\nnew 60 A 192.0.2.2\n"));
    server.comes_to("new.example.com A", "NOERROR aa\nnew.example.com. 60 A 192.0.2.2");

    let here = "wss-primary.example.com A subnet=100.64.7.0/24";
    let tokyo = "wss-primary.example.com. 10 A 203.0.113.186, 203.0.113.187, 203.0.113.188";
    let london = "wss-primary.example.com. 10 A 203.0.113.90, 203.0.113.91, 203.0.113.92";
    let networks = folder.read("geoip/networks.toml");
    let network = |country| {
        format!("{networks}\n[[network]]\nprefixes = [\"100.64.7.0/24\"]\ncountry = \"{country}\"\n")
    };
    folder.write("two/networks.toml", network("JP"));
    turn("geoip", "two");
    server.comes_to(here, &format!("NOERROR aa scope=24\n{tokyo}"));
    folder.write("two/networks.toml", network("GB"));
    server.comes_to(here, &format!("NOERROR aa scope=24\n{london}"));
}

/// A mistake in any file changes nothing, and is told with its line; mended, it is served.
#[test]
fn what_is_broken_leaves_the_old_state_serving() {
    let folder = Folder::example();
    let mut server = Server::start(&folder);
    let before = server.ask(PRIMARY);
    let www = server.ask("www.example.com A");
    for (file, broken, told) in [
        (
            ZONE,
            "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 14d 5m\n@ NS ns1\nns1 A 192.0.2.256\n",
            "example.com.zone:4",
        ),
        (
            CHAINS,
            "[[record]]\nname = \"wss-primary.example.com\"\npool = \"none\"\nfilters = []\n",
            "wss.toml:3",
        ),
        (CHAINS, "[[record]\n", "wss.toml:1"),
        (
            "geoip/networks.toml",
            "[[network]]\nprefixes = \"10.0.0.0/33\"\ncountry = \"IE\"\n",
            "networks.toml:2",
        ),
        ("rhumb.toml", "[listen\n", "rhumb.toml:1"),
        ("rhumb.toml", "[api]\nlisten = \"0.0.0.0:0\"\n", "rhumb.toml:2"),
        ("geoip/sample.mmdb", "not a database", "sample.mmdb"),
    ] {
        let whole = fs::read(folder.path().join(file)).unwrap();
        folder.write(file, broken);
        let line = server.line("ERROR");
        assert!(line.contains(told), "{line}");
        server.line("the old state keeps serving");
        assert_eq!(server.ask(PRIMARY), before, "{file}");
        assert_eq!(server.ask("www.example.com A"), www, "{file}");
        folder.write(file, whole);
        server.line("loaded");
        assert_eq!(server.ask(PRIMARY), before, "{file}");
    }
}

/// A database that is cut short or overwritten in place, as by a copy that is not done: the old one serves on, and
/// the status says why.
#[test]
fn a_damaged_database_leaves_the_old_one_serving() {
    const DATABASE: &str = "geoip/sample.mmdb";
    let folder = Folder::example();
    let mut server = Server::start(&folder);
    server.said("rhumb.sock");
    let api = Api::local(&folder);
    let errors = |status: &Value| status["files"]["errors"].as_array().unwrap().len();
    let before = server.ask(PRIMARY);
    let whole = fs::read(folder.path().join(DATABASE)).unwrap();
    // The tree leads back to its root, and what says how large it is stands behind it, whole.
    let tree = [&vec![0; whole.len() / 2], &whole[whole.len() / 2..]].concat();
    for damaged in [&whole[..whole.len() / 2], &whole[..whole.len() - 1], &vec![0; whole.len()], &tree] {
        folder.write(DATABASE, damaged);
        let status = api.comes_to("/api/v1/status", |status| errors(status) > 0);
        let told = status["files"]["errors"][0].as_str().unwrap();
        assert!(told.contains("sample.mmdb") && told.contains("no whole MaxMind DB file"), "{told}");
        assert_eq!(server.ask(PRIMARY), before);
        folder.write(DATABASE, &whole);
        api.comes_to("/api/v1/status", |status| errors(status) == 0);
        assert_eq!(server.ask(PRIMARY), before);
    }
}

/// What only a start needs is told by `check` in the same words, and neither has begun anything.
#[test]
fn check_says_what_serve_would() {
    let folder = Folder::new();
    folder.write("zones/example.com.zone", "$TTL 1h\n@ SOA ns a 1 1 1 1 1\n@ NS ns\nns A 192.0.2.9\n");
    folder.write("filter-chains/none.toml", "");
    for (api, told) in [
        ("listen = \"0.0.0.0:0\"", "rhumb.toml:4: error: api: listen: 0.0.0.0:0 can be reached by others"),
        (
            "tls = { certificate = \"cert.pem\", key = \"key.pem\" }",
            "rhumb.toml:4: error: api tls: certificate: ",
        ),
        ("socket = \"rhumb.toml\"", "rhumb.toml:4: error: api: socket: "),
    ] {
        folder.write("rhumb.toml", format!("[listen]\naddresses = \"127.0.0.1:0\"\n[api]\n{api}\n"));
        let [checked, served] = ["check", "serve"].map(|command| {
            let output = rhumb(folder.path(), &[command]);
            assert_eq!(output.status.code(), Some(1), "{api}: {output:?}");
            let said = String::from_utf8(output.stderr).unwrap();
            said.lines().find(|line| line.contains(told)).expect(&said).to_string()
        });
        assert_eq!(checked, served);
        assert!(!folder.path().join("state").exists(), "{api}");
    }
}

/// Makes a mistake in each file, the configuration among them; what is told of each.
fn several_mistakes(folder: &Folder) -> [&'static str; 4] {
    folder.write("rhumb.toml", folder.read("rhumb.toml").replace("by_record", "by_recrod"));
    folder.write(ZONE, "nonsense\n");
    folder.write(CHAINS, folder.read(CHAINS).replace("\"geotarget_country\"", "\"geotarget_land\""));
    folder.write("geoip/networks.toml", "[[network]]\nprefixes = \"10.0.0.0/33\"\ncountry = \"IE\"\n");
    ["by_recrod", "example.com.zone:1", "geotarget_land", "networks.toml:2"]
}

/// All of them are told, and none hides another.
#[test]
fn a_reload_tells_every_mistake_in_every_file() {
    let folder = Folder::example();
    let mut server = Server::start(&folder);
    let before = server.ask(PRIMARY);
    let told = several_mistakes(&folder);
    let reply = Api::local(&folder).send("POST", "/api/v1/reload", &json!({})).unwrap();
    assert_eq!(reply.status, 422, "{reply:?}");
    server.line("the old state keeps serving");
    for told in told {
        assert!(reply.body["detail"].as_str().unwrap().contains(told), "{told} is not in {reply:?}");
        server.said(told);
    }
    assert_eq!(server.ask(PRIMARY), before);
}

#[test]
fn a_change_of_addresses_is_said_to_take_a_restart() {
    let folder = Folder::example();
    let mut server = Server::start(&folder);
    listen(&folder, &["127.0.0.1:0"]);
    server.line("it takes a restart");
    server.ask(PRIMARY);
}

/// Nothing is left behind that a new process would stumble over, with connections open or not.
#[test]
fn killed_it_starts_again_on_the_same_port() {
    let folder = Folder::example();
    // Below the ports the kernel chooses from, and not where another run looks, so that nobody takes it in
    // between.
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let address = (first..).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let is_free =
        |address: &SocketAddr| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    let address = { address }.find(is_free).unwrap();
    listen(&folder, &[&address.to_string()]);
    let server = Server::start_as_it_is(&folder);
    let before = server.ask(PRIMARY);
    server.ask_over_tcp(address, PRIMARY);
    let open = TcpStream::connect(address).unwrap();
    server.kill();
    drop(open);
    let server = Server::start_as_it_is(&folder);
    assert_eq!(server.addresses, [address]);
    assert_eq!(server.ask(PRIMARY), before);
}

#[test]
fn what_cannot_be_served_is_not_started() {
    let check = |folder: &Folder, told: &[&str]| {
        let output = rhumb(folder.path(), &["serve"]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        for told in told {
            assert!(errors.contains(told), "{told} is not in\n{errors}");
        }
    };
    let folder = Folder::example();
    // An address the machine does not have, written by the operator; two of them are told at once.
    listen(&folder, &["192.0.2.1:5300", "127.0.0.1:0", "198.51.100.1:5300"]);
    check(&folder, &["192.0.2.1:5300", "198.51.100.1:5300", "not every address could be bound"]);
    // An address somebody else has.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    listen(&folder, &[&address]);
    check(&folder, &[&address]);
    // Files that do not compile, as `rhumb check` tells of them.
    let told = several_mistakes(&folder);
    let checked = String::from_utf8(rhumb(folder.path(), &["check"]).stderr).unwrap();
    let list: Vec<&str> = checked.lines().filter(|line| !line.starts_with("rhumb: ")).collect();
    assert!(list.len() >= told.len(), "{checked}");
    check(&folder, &[&told[..], &[&list.join("\n"), "nothing is served"]].concat());
    fs::remove_file(folder.path().join("rhumb.toml")).unwrap();
    check(&folder, &["rhumb.toml", "--config"]);
}

#[test]
fn the_log_can_be_json() {
    let folder = Folder::example();
    listen(&folder, &["127.0.0.1:0"]);
    let config = folder.read("rhumb.toml").replace("format = \"text\"", "format = \"json\"");
    folder.write("rhumb.toml", config);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rhumb"))
        .args(["--config", folder.path().join("rhumb.toml").to_str().unwrap(), "serve"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let errors = std::io::BufReader::new(child.stderr.take().unwrap());
    let lines = std::io::BufRead::lines(errors)
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).expect("every line is JSON"));
    let words = |value: &serde_json::Value| value["message"].as_str().unwrap_or_default().to_string();
    let lines: Vec<_> = lines
        .map(|line| (words(&line), line))
        .take_while(|(words, _)| !words.starts_with("serving"))
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let (_, loaded) = lines.iter().find(|(words, _)| words == "loaded").expect("it says what it loaded");
    assert_eq!((&loaded["zones"], &loaded["steered_records"]), (&2.into(), &3.into()), "{loaded}");
}
