//! The operator's commands against a server that says what was written down: what they ask, what they print,
//! and how they end.
//!
//! `tests/data/cli/*/*.txt` hold scenarios. `-- GET /status` and the lines under it are what the server says,
//! with a status if it is not 200; `-- b: GET /status` is of a second server. Before the first `== title` they
//! hold for the whole file. `$ rhumb ...` is a command, and under it stand what it asked for beside GET (`>`),
//! what it printed, and its exit status if that is not 0. `{a}` and `{b}` are the servers' URLs, `{dead}`
//! is one where nobody is. `UPDATE=1 cargo test --test client` writes what is printed into the files.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use socket2::{Domain, Socket, Type};
use support::fake::{Fake, Script};
use support::process::{Server, rhumb};
use support::{Folder, project};

/// A folder with a configuration, a server on its socket, and two more over TCP.
struct Ground {
    folder: Folder,
    local: Fake,
    others: BTreeMap<&'static str, Fake>,
    /// What the servers are called, and where they are.
    urls: BTreeMap<&'static str, String>,
    /// The port at which nobody is.
    _dead: Socket,
}

impl Ground {
    fn new() -> Ground {
        let folder = Folder::new();
        folder.write("rhumb.toml", "");
        let local = Fake::default();
        local.serve_unix(&folder.path().join("rhumb.sock"));
        // Whoever has a port and does not listen refuses, and nobody else gets it meanwhile.
        let dead = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        dead.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let nowhere = dead.local_addr().unwrap().as_socket().unwrap();
        let mut ground =
            Ground { folder, local, others: BTreeMap::new(), urls: BTreeMap::new(), _dead: dead };
        for name in ["a", "b"] {
            let fake = Fake::default();
            ground.urls.insert(name, format!("http://{}", fake.serve_tcp()));
            ground.others.insert(name, fake);
        }
        ground.urls.insert("dead", format!("http://{nowhere}"));
        ground
    }

    /// A command as the scenarios write it, ready to run. Words before `rhumb` are its environment.
    fn command(&self, line: &str) -> Command {
        let mut line = line.to_string();
        for (name, url) in &self.urls {
            line = line.replace(&format!("{{{name}}}"), url);
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        for name in ["RUST_LOG", "RHUMB_SERVER", "RHUMB_TOKEN", "RHUMB_TOKEN_FILE", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.env("COLUMNS", "100").env("XDG_CONFIG_HOME", self.folder.path());
        let words = words(&line);
        let at = words.iter().position(|word| word == "rhumb").expect(&line);
        for (name, value) in words[..at].iter().map(|word| word.split_once('=').unwrap()) {
            command.env(name, value);
        }
        command.args(&words[at + 1..]);
        command
    }

    /// What is printed, without what is different each time. Tables stay as wide as they are.
    fn printed(&self, bytes: &[u8]) -> String {
        let mut text = String::from_utf8(bytes.to_vec()).unwrap();
        for (name, url) in &self.urls {
            let (_, port) = url.rsplit_once(':').unwrap();
            let called: String = name.chars().cycle().take(port.len()).collect();
            text = text.replace(url, &format!("http://127.0.0.1:{called}"));
        }
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// Runs a command: what it asked for beside GET, what it printed, how it ended.
    fn run(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.command(line).output().unwrap();
        let mut got = String::new();
        let others = self
            .others
            .iter()
            .flat_map(|(name, fake)| fake.asked().into_iter().map(move |asked| format!("{name}: {asked}")));
        for asked in self.local.asked().into_iter().chain(others) {
            if !asked.contains("GET ") || asked.contains('[') {
                got += &format!("> {asked}\n");
            }
        }
        got += &self.printed(&stdout);
        got += &self.printed(&stderr);
        if !status.success() {
            got += &format!("exit {}\n", status.code().unwrap());
        }
        got
    }

    /// Has the servers say what a scenario wrote down.
    fn say(&self, said: &BTreeMap<String, Script>) {
        let of = |name: &str| said.get(name).cloned().unwrap_or_default();
        self.local.say(of(""));
        self.others.iter().for_each(|(name, fake)| fake.say(of(name)));
    }
}

/// The words of a line; quotes keep words together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_string());
        } else {
            words.extend(part.split_whitespace().map(String::from));
        }
    }
    words
}

fn files() -> Vec<PathBuf> {
    let folder = project().join("tests/data/cli/server");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_is_printed_is_as_it_was() {
    let files = files();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = files.iter().map(|file| scope.spawn(move || check_file(file))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(files.len() >= 8, "the scenarios are found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Runs every command of a file; what is wrong, in words.
fn check_file(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let ground = Ground::new();
    let (mut shared, mut own, mut in_scenario) = (BTreeMap::<String, Script>::new(), BTreeMap::new(), false);
    let (mut wrong, mut updated) = (Vec::new(), String::new());
    let lines: Vec<&str> = text.lines().collect();
    let is_head = |line: &str| ["-- ", "== ", "$ "].iter().any(|head| line.starts_with(head));
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let end = (at + 1..lines.len()).find(|&end| is_head(lines[end])).unwrap_or(lines.len());
        let below = lines[at + 1..end].join("\n");
        at = end;
        updated += line;
        updated.push('\n');
        if line.starts_with("== ") {
            (own, in_scenario) = (shared.clone(), true);
            updated += &format!("{}\n", below.trim_end());
        } else if let Some(head) = line.strip_prefix("-- ") {
            let said = if in_scenario { &mut own } else { &mut shared };
            hear(said, head, &below, &ground);
            updated += &format!("{}\n\n", below.trim_end());
        } else if let Some(command) = line.strip_prefix("$ ") {
            ground.say(if in_scenario { &own } else { &shared });
            let got = ground.run(command);
            updated += &format!("{}\n\n", got.trim_end());
            if got.trim_end() != below.trim_end() {
                let name = file.file_name().unwrap().display();
                wrong.push(format!("{name}: $ {command}\n--- expected\n{below}\n--- got\n{got}"));
            }
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "what is this? {line}");
            updated += &format!("{}\n", below.trim_end());
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, format!("{}\n", updated.trim_end())).unwrap();
        return Vec::new();
    }
    wrong
}

/// `GET /status`, `b: POST /drains 409`, `POST /drains dry`, `file plan.toml`.
fn hear(said: &mut BTreeMap<String, Script>, head: &str, body: &str, ground: &Ground) {
    if let Some(path) = head.strip_prefix("file ") {
        let mut text = body.to_string();
        for (name, url) in &ground.urls {
            text = text.replace(&format!("{{{name}}}"), url);
        }
        ground.folder.write(path, format!("{}\n", text.trim_end()));
        return;
    }
    let (server, head) = head.split_once(": ").unwrap_or(("", head));
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (mut status, mut dry) = (200, "");
    for word in words {
        match word {
            "dry" => dry = " dry",
            number => status = number.parse().unwrap(),
        }
    }
    let key = format!("{method} /api/v1{path}{dry}");
    said.entry(server.into()).or_default().insert(key, (status, body.trim_end().to_string()));
}

/// Runs a command on a terminal of 100 columns, where somebody types something.
fn on_terminal(ground: &Ground, environment: &str, arguments: &str, typed: &str) -> String {
    let rhumb = env!("CARGO_BIN_EXE_rhumb");
    let line = format!("stty cols 100 rows 40; env -u COLUMNS {environment} {rhumb} {arguments}");
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(ground.folder.path()).env("TERM", "xterm");
    script.env_remove("NO_COLOR").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("{}exit {}", ground.printed(&output.stdout), output.status.code().unwrap())
}

const DONE: &str = r#"{"revision":42,"id":"1","action":"drain","object":"eu-west-1 by 100 %","notes":[],
    "changed":true,"durable":true,"dry_run":false,"guards":[],"ttl_s":60}"#;

/// A terminal on which a drain would be, or is guarded.
fn drain_ground(guards: &str) -> Ground {
    let ground = Ground::new();
    let mut script = Script::new();
    let dry = DONE.replace("\"dry_run\":false", "\"dry_run\":true").replace("\"guards\":[]", guards);
    script.insert("POST /api/v1/drains dry".into(), (200, dry));
    script.insert("POST /api/v1/drains".into(), (200, DONE.into()));
    ground.local.say(script);
    ground
}

#[test]
fn a_terminal_is_asked_first() {
    let drain = "drain eu-west-1 --reason failing";
    let check = |guards: &str, arguments: &str, typed: &str, writes: usize, said: &[&str]| {
        let ground = drain_ground(guards);
        let told = on_terminal(&ground, "NO_COLOR=1", arguments, typed);
        for words in said {
            assert!(told.contains(words), "{arguments} {typed}: `{words}` is not in\n{told}");
        }
        let asked = ground.local.asked();
        let written = asked.iter().filter(|a| a.contains("POST") && a.contains("\"dry_run\":false")).count();
        assert_eq!(written, writes, "{arguments} {typed}: {asked:?}");
        assert!(!told.contains("\x1b["), "no colour was asked for\n{told}");
    };
    let none = "\"guards\":[]";
    check(none, drain, "y\n", 1, &["This would happen: drain", "Do it? [y/N]", "Done: drain", "exit 0"]);
    check(none, drain, "n\n", 0, &["Do it? [y/N]", "nothing was changed", "exit 1"]);
    check(none, drain, "\n", 0, &["nothing was changed", "exit 1"]);
    check(none, &format!("{drain} --yes"), "", 1, &["Done: drain", "exit 0"]);
    check(none, &format!("{drain} --dry-run"), "", 0, &["This would happen: drain", "exit 0"]);
    let some = "\"guards\":[\"nothing would be left\"]";
    check(some, drain, "y\n", 0, &["guard: nothing would be left", "add --force", "exit 1"]);
    check(some, &format!("{drain} --force"), "y\n", 1, &["guard: nothing would be left", "Done: drain"]);
}

/// A store that cannot be written: a person is asked, and whoever is none is told what to write.
#[test]
fn a_full_disk_is_asked_about() {
    let drain = "drain eu-west-1 --reason failing";
    let check = |typed: &str, volatile: usize, said: &[&str]| {
        let ground = drain_ground("\"guards\":[]");
        let full = r#"{"type":"urn:rhumb:problem:unavailable","title":"The state cannot be written or read",
            "status":503,"detail":"the disk is full"}"#;
        ground.local.say_also("POST /api/v1/drains", 503, full);
        let told = on_terminal(&ground, "NO_COLOR=1", drain, typed);
        for words in said {
            assert!(told.contains(words), "{typed}: `{words}` is not in\n{told}");
        }
        let asked = ground.local.asked();
        assert_eq!(asked.iter().filter(|a| a.contains("\"volatile\":true")).count(), volatile, "{asked:?}");
    };
    let question = "Serve it from memory until the store can be written?";
    check("y\ny\n", 1, &["the disk is full", question]);
    check("y\nn\n", 0, &[question, "--volatile serves it from memory", "exit 1"]);
}

#[test]
fn colour_is_for_terminals() {
    let ground = drain_ground("\"guards\":[]");
    let told = on_terminal(&ground, "", "drain eu-west-1 --reason failing --yes", "");
    assert!(told.contains("\x1b[1mdrain eu-west-1 by 100 %\x1b[0m"), "{told}");
}

/// What is watched is drawn over itself on a terminal, and printed when it changes elsewhere.
#[test]
fn what_is_watched_is_seen_to_change() {
    let ground = Ground::new();
    let share = |answers: u64| {
        let body = format!(
            r#"{{"items":[{{"answer":"wss/eu-west-1/envoy","pool":"wss","pop":"eu-west-1","stack":"envoy",
            "with_ecs_1m":{answers},"without_ecs_1m":0,"with_ecs_10m":900,"without_ecs_10m":0,"percent_10m":100}}]}}"#
        );
        ground.local.say(Script::from([("GET /api/v1/share".into(), (200, body))]));
    };
    share(111);
    let mut child = Killed(ground.command("rhumb share --watch").stdout(Stdio::piped()).spawn().unwrap());
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.0.stdout.take().unwrap()));
    let mut rows = lines.map(Result::unwrap).filter(|line| line.starts_with("wss/"));
    let first = rows.next().unwrap();
    assert!(first.contains(" 111 "), "{first}");
    share(222);
    let second = rows.next().unwrap();
    assert!(second.contains(" 222 "), "what does not change is not printed again: {second}");
    drop(child);
    let told = on_terminal(&ground, "", "share --watch & sleep 2.5; kill $!", "");
    assert!(told.contains("\x1b[3A\r"), "drawn over itself:\n{told:?}");
}

/// A child that does not outlive its test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Events are followed over the end of a connection, from the last one that was seen.
#[test]
fn events_are_followed() {
    let ground = Ground::new();
    let event = |revision: u64| {
        let line = format!(
            r#"{{"revision":{revision},"time":"2026-11-24T02:12:30Z","who":"ops","from":"","action":"drain",
            "object":"eu-west-1 by 100 %","reason":"failing","forced":true,"keys":[]}}"#
        );
        format!("id: {revision}\nevent: change\ndata: {}\n\n", line.replace('\n', " "))
    };
    let stream = format!("{}: still here\n\n{}", event(41), event(42));
    ground.local.say(Script::from([("GET /api/v1/events".into(), (200, stream))]));
    let mut child =
        Killed(ground.command("rhumb events --follow --since 40").stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.0.stdout.take().unwrap()));
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "2026-11-24 02:12:30Z  41  ops  drain eu-west-1 by 100 % (forced): failing");
    assert!(next().contains("  42  "));
    assert!(next().contains("  41  "), "it asks again");
    let asked = ground.local.asked();
    assert_eq!(asked[0], "GET /api/v1/events [last-event-id: 40]");
    assert_eq!(asked[1], "GET /api/v1/events [last-event-id: 42]");
}

/// Whoever reads no further (`| head`) has read enough: no command makes a fuss about it.
#[test]
fn a_closed_pipe_is_no_panic() {
    let (folder, other) = (Folder::example(), Folder::example());
    other.write("filter-chains/wss.toml", other.read("filter-chains/wss.toml").replacen("envoy", "nginx", 1));
    let changed = other.path().display().to_string();
    let commands: [&[&str]; 8] = [
        &["diff", ".", &changed],
        &["check"],
        &["test"],
        &["geoip", "lookup", "81.2.69.1"],
        &["explain", "wss-primary.example.com", "A"],
        &["completions", "bash"],
        &["man"],
        &["state", "check", "nothing.json"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.current_dir(folder.path()).args(arguments);
        let status = command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
        assert!(matches!(status.code(), Some(0..=2)), "{arguments:?}: {status}");
    }
}

/// The same commands and the real server: what they say goes over the wire as both understand it.
#[test]
fn a_night_with_the_real_server() {
    let folder = Folder::example();
    let mut server = Server::start(&folder);
    let run = |arguments: &str, status: i32| {
        let output = rhumb(folder.path(), &words(arguments).iter().map(String::as_str).collect::<Vec<_>>());
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(status), "rhumb {arguments}\n{said}");
        said
    };
    let check = |arguments: &str, status: i32, expect: &[&str]| {
        let said = run(arguments, status);
        for words in expect {
            assert!(said.contains(words), "rhumb {arguments}: `{words}` is not in\n{said}");
        }
    };
    check("status", 0, &[" is ready, at revision 0", "13 PoPs"]);
    check("drains", 0, &["Nothing is drained."]);
    check("drain eu-west-1 --reason failing --dry-run", 0, &["This would happen: drain eu-west-1 by 100 %"]);
    check(
        "drain eu-west-1 --reason failing",
        0,
        &["Done: drain eu-west-1", "Revision 1", "rhumb undrain eu-west-1"],
    );
    check("drain eu-west-1 --reason failing", 0, &["Nothing changed"]);
    check("drain --pool wss --reason all", 1, &["would be left undrained", "add --force"]);
    check("drain nowhere --reason typo", 1, &["nowhere", "eu-west-1"]);
    check("drains", 0, &["eu-west-1", "100 %", "failing"]);
    check("pops", 0, &["drained"]);
    check("pools", 0, &["wss/eu-west-1/haproxy"]);
    check("records wss-primary.example.com", 0, &["drain by local"]);
    check(
        "explain wss-primary.example.com A --client 81.2.69.0/24 --live --drain eu-west-2:30",
        0,
        &["NOERROR"],
    );
    check("undrain eu-west-1", 0, &["Done: undrain eu-west-1"]);
    check("undrain eu-west-1", 0, &["Nothing changed", "nothing drains eu-west-1"]);
    folder.write("nothing.json", run("state export", 0).split_once("Exported").unwrap().0);
    check("drain eu-west-1 --reason again", 0, &["Done"]);
    check(
        "state import nothing.json --dry-run",
        0,
        &["drains: 1 gone", "clients of wss-primary.example.com"],
    );
    check("undrain eu-west-1", 0, &["Done"]);
    check("undrain nowhere", 1, &["there is no PoP called nowhere"]);
    check("drains --history", 0, &["undrain eu-west-1", "drain eu-west-1 by 100 %"]);
    check("split wss eu-west-1 haproxy=75 envoy=25", 0, &["Done: split wss at eu-west-1"]);
    check("splits wss", 0, &["haproxy 75, envoy 25"]);
    check("split wss eu-west-1 --files", 0, &["Done: split cleared"]);
    let plan = "pool = 'wss'\nfrom = 'haproxy'\nto = 'envoy'\npops = ['eu-west-2']\nsteps = [50, 100]\n";
    folder.write("plan.toml", plan);
    check("migrate start plan.toml", 0, &["eu-west-2 to 50 % envoy"]);
    check("migrate start plan.toml", 0, &["Nothing changed", "it runs, step 1 of 2"]);
    check("migrate advance", 0, &["eu-west-2 to 100 % envoy"]);
    check("migrate list", 0, &["wss-1"]);
    check("migrate status wss-1", 0, &["eu-west-2 to 50 % envoy"]);
    check("migrate rollback wss-1", 0, &["rolled back"]);
    check("rollback 1 --reason earlier", 0, &["to revision 1"]);
    check("state rollback 1 --reason earlier", 0, &["to revision 1"]);
    check("state check", 0, &["The store: ", "nothing is wrong"]);
    check("feeds", 0, &["There are no feeds"]);
    check("health", 0, &["There are no monitors", "none was set"]);
    let monitor = "[monitor.beat]\nkind = 'push'\ntarget = { pop = 'eu-west-2' }\n";
    folder.write("m.toml", format!("{monitor}[pool.wss]\nfailover = {{ for = '20s' }}\n"));
    check(
        "health set beat m.toml --dry-run",
        0,
        &["This would happen: monitor set beat", "watches 2 answers"],
    );
    check("health set beat m.toml", 0, &["Done: monitor set beat", "it watches 2 answers"]);
    check("health", 0, &["wss/eu-west-2/envoy", "beat (by local)"]);
    folder.write("shown.toml", run("health show beat", 0));
    check("health set beat shown.toml", 0, &["Nothing changed"]);
    let bin = env!("CARGO_BIN_EXE_rhumb");
    let piped = format!("'{bin}' health show beat | '{bin}' health set beat -");
    let piped = Command::new("sh").args(["-c", &piped]).current_dir(folder.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&piped.stdout).contains("Nothing changed"), "{piped:?}");
    check("health show beats", 1, &["there is only beat"]);
    check("health set beats m.toml", 1, &["m.toml has no table [monitor.beats]; it has [monitor.beat]"]);
    check("health reset beat --reason quiet", 0, &["Done: monitor deleted beat"]);
    check("policy set wss m.toml --reason sale", 0, &["Done: policy set wss", "is in force"]);
    folder.write("shown.toml", run("policy show wss", 0));
    check("policy set wss shown.toml", 0, &["Done: policy set wss"]);
    check("policy show wss", 0, &["as local set it", "for = \"20s\"", "return_after_max = \"30m\""]);
    check("policy set wss filter-chains/wss.toml", 1, &["pool wss: answer: unknown field"]);
    check("policy set www m.toml", 1, &["no table [pool.www]"]);
    check("policy reset wss", 0, &["Done: policy reset wss"]);
    check("policy suspend wss --for 1h --reason night", 0, &["Done: automation suspended wss"]);
    check("pools", 0, &["its automation is suspended:", "night"]);
    check("policy suspend wss --for 1s --reason night", 0, &["Done: automation suspended wss"]);
    server.line("automation resumed: wss (its time is over)");
    check("audit --who rhumb --action \"automation resumed\"", 0, &["its time is over"]);
    check("audit --action \"monitor set\"", 0, &["monitor set beat"]);
    check("share", 0, &["Nothing steered"]);
    check("token create ops --role operate --expires \"90d 1h\"", 0, &["rhumb_"]);
    check("token list", 0, &["operate", "in 90 d"]);
    check("token revoke ops", 0, &["token revoked ops"]);
    check("audit --who local --action drain", 0, &["failing"]);
    check("reload --dry-run", 0, &["The files can be served, with no warnings; served is load 1 as before"]);
    check("reload", 0, &["The files were read"]);
    check("log-level debug", 0, &["debug"]);
    check("clock accept", 0, &["Done"]);
    check("state accept", 1, &["not damaged"]);
    check("state export of-server.json", 0, &["from the server"]);
    check(
        "state import of-server.json --dry-run",
        0,
        &["This would happen: imported", "every row is as it is"],
    );
    server.kill();
    check("status", 3, &["no server answers"]);
    check("state export of-file.json", 0, &["from the store's file"]);
    let rows = |file: &str| {
        let export: serde_json::Value = serde_json::from_str(&folder.read(file)).unwrap();
        (export["rows"].clone(), export["revision"].clone())
    };
    assert_eq!(rows("of-server.json"), rows("of-file.json"));
    check("state check of-file.json", 0, &["nothing is wrong"]);
    check("state check", 0, &["No server runs", "state/rhumb.redb", "nothing is wrong"]);
    check("--json state check", 0, &["\"wrong\": []"]);
    let store = folder.path().join("state/rhumb.redb");
    let whole = fs::read(&store).unwrap();
    fs::write(&store, &whole[..whole.len() / 2]).unwrap();
    check("state check", 1, &["state/rhumb.redb", "cannot be used"]);
    check("state import of-server.json", 0, &["is put aside", "into the store's file"]);
    check("state export begun-anew.json", 0, &["from the store's file"]);
    let (kept, revision) = rows("begun-anew.json");
    assert_eq!(kept, rows("of-server.json").0);
    assert!(revision.as_u64() > Some(1_000_000), "past all that the lost store may have given: {revision}");
    fs::write(&store, &whole).unwrap();
    fs::remove_dir_all(folder.path().join("state")).unwrap();
    check("state export", 1, &["there is nothing to export"]);
    check("state import of-server.json --dry-run", 0, &["This would happen", "the store's file"]);
    assert!(!folder.path().join("state").exists());
    check("state import of-server.json", 0, &["into the store's file"]);
    check("state export again.json", 0, &["from the store's file"]);
    assert_eq!(rows("of-server.json").0, rows("again.json").0);
}
