//! The README's commands for operators, letter by letter, against a server of the example.

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use support::fake::Fake;
use support::http::Node;
use support::process::{PATIENCE, Server, rhumb};
use support::{Folder, project};

#[test]
fn the_operators_commands() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let folder = Folder::example();
    folder.write("plan.toml", block(&readme, "```toml file=plan.toml\n"));
    let config = folder.read("rhumb.toml");
    assert!(!config.contains("\n[api]\nlisten"), "the example leaves the API's address to the default");
    folder.write("rhumb.toml", config.replace("[api]\n", "[api]\nlisten = []\n"));
    let _server = Server::start(&folder);
    let program = Path::new(env!("CARGO_BIN_EXE_rhumb")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut ran = 0;
    for line in consoles(&readme) {
        // That one would look on until it is interrupted.
        if line.ends_with("--watch") {
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env_remove("RHUMB_SERVER")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{line}\n{}{said}", String::from_utf8(output.stdout).unwrap());
        ran += 1;
    }
    assert!(ran >= 10, "the commands are found: {ran}");
    let token = folder.read("token");
    assert!(
        token.starts_with("rhumb_") && token.lines().count() == 1,
        "the secret alone is printed: {token}"
    );
}

/// The calls of automation, each made twice: a retry is safe.
#[test]
fn the_calls_of_automation() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let (_, calls) = readme.split_once("The same three calls as automation makes them").unwrap();
    let calls = block(calls, "```sh\n").replace("\\\n", " ");
    let folder = Folder::example();
    let node = Node::start(&folder);
    let command = "token create edge-pop-drain --role drain";
    let made = rhumb(folder.path(), &command.split(' ').collect::<Vec<_>>());
    folder.write("token", String::from_utf8(made.stdout).unwrap());
    let own = "127.0.0.1:8053";
    let mut said = Vec::new();
    for call in calls.lines() {
        assert!(call.contains(own), "{call}");
        let call = call.replace(own, &node.address.to_string());
        for _ in 0..2 {
            let output = Command::new("sh").args(["-c", &call]).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{call}\n{}", String::from_utf8_lossy(&output.stderr));
            said.push(serde_json::from_slice::<Value>(&output.stdout).unwrap());
        }
    }
    let [drained, again, list, _, lifted, lifted_again] = &said[..] else { panic!("{said:?}") };
    assert_eq!((&drained["changed"], &again["changed"]), (&true.into(), &false.into()), "{said:?}");
    assert_eq!(
        (&list["items"][0]["id"], &list["items"][0]["owner"]),
        (&drained["id"], &"edge-pop-drain".into())
    );
    assert_eq!((&lifted["changed"], &lifted_again["changed"]), (&true.into(), &false.into()), "{said:?}");
    assert_eq!(node.api.get("/api/v1/drains")["items"], Value::Array(Vec::new()));
}

#[test]
fn a_site_that_fills_up_is_told_with_who_would_take_its_clients() {
    let folder = Folder::example();
    let chains = folder.read("filter-chains/wss.toml");
    let meta = "[feed.load]\n\n[pool.wss]\n\
                meta = { low_watermark = 80, high_watermark = 100, connections = { feed = \"load\" } }\n";
    folder.write("filter-chains/wss.toml", chains.replace("[pool.wss]\n", meta));
    folder.write("rhumb.toml", folder.read("rhumb.toml").replace("[api]\n", "[api]\nlisten = []\n"));
    let _server = Server::start(&folder);
    let run = |arguments: &[&str]| {
        let output = rhumb(folder.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!run(&["status"]).contains("fills up"));
    run(&["feed", "push", "load", "--pool", "wss", "--pop", "eu-west-2", "connections=85"]);
    let said = run(&["status"]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("eu-west-2 of pool wss fills up: wss/eu-west-2/haproxy has connections 85"),
        "{said}"
    );
    assert!(said.contains("without it, its clients would go to"), "{said}");
    // Of one that is drained nobody's clients would go anywhere: they have gone.
    run(&["drain", "eu-west-2", "--reason", "too much"]);
    let drained = run(&["status"]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        drained.contains("eu-west-2 of pool wss is drained, and has load all the same:")
            && drained.contains("nobody new is sent there"),
        "{drained}"
    );
    run(&["undrain", "eu-west-2", "--now"]);
    run(&["feed", "push", "load", "--pool", "wss", "--pop", "eu-west-2", "connections=79"]);
    assert!(!run(&["status"]).contains("fills up"));
}

/// What responses say of load is added up over an answer's addresses: clients are shed by it, and it is told; and what
/// is missing is told, and forgotten after a while.
#[test]
fn a_monitor_reads_load_from_responses() {
    let folder = Folder::example();
    // The same port at three addresses.
    let (port, listeners) = loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let bound = [1, 2, 3].map(|host| TcpListener::bind((format!("127.0.0.{host}"), port)));
        if let Ok(listeners) = bound.into_iter().collect::<Result<Vec<_>, _>>() {
            break (port, listeners);
        }
    };
    let fakes = [(); 3].map(|()| Fake::default());
    let say = |at: usize, load: &str| fakes[at].say_also("GET /load", 200, load);
    for (fake, listener) in fakes.iter().zip(listeners) {
        fake.serve(listener);
    }
    (0..3).zip([40, 45, 10]).for_each(|(at, load)| say(at, &format!("{{\"sessions\": [{load}]}}")));
    let chains = r#"
[pool.app]
meta = { low_watermark = 80, high_watermark = 100 }
answer = [{ pop = "eu-west-1", a = ["127.0.0.1", "127.0.0.2"] }, { pop = "eu-west-2", a = "127.0.0.3" }]
[[record]]
name = "app.example.com"
pool = "app"
filters = ["up", { filter = "shed_load", config = { metric = "connections" } }, "select_first_n"]
[monitor.app]
kind = "http"
port = PORT
path = "/load"
interval = "1s"
target = { pool = "app" }
load = { connections = "/sessions/0" }
"#;
    folder.write("filter-chains/app.toml", chains.replace("PORT", &port.to_string()));
    let server = Server::start(&folder);
    let begun = Instant::now();
    let comes_to = |arguments: &[&str], expect: &str| {
        loop {
            let output = String::from_utf8(rhumb(folder.path(), arguments).stdout).unwrap();
            let words = output.split_whitespace().collect::<Vec<_>>().join(" ");
            if words.contains(expect) {
                return words;
            }
            assert!(begun.elapsed() < PATIENCE, "{expect} is not in {words}");
        }
    };
    let status = comes_to(&["status"], "eu-west-1 of pool app fills up: app/eu-west-1 has connections 85");
    assert!(status.contains("without it, its clients would go to eu-west-2"), "{status}");
    let app = "app.example.com A";
    say(1, r#"{"sessions": [65]}"#);
    server.comes_to(app, "NOERROR aa\napp.example.com. 10 A 127.0.0.3");
    say(1, "all is well");
    server.comes_to(app, "NOERROR aa\napp.example.com. 10 A 127.0.0.1, 127.0.0.2");
    comes_to(&["health", "--pool", "app"], "no load: body without JSON in its first 11 octets");
}

/// The lines of all console blocks.
fn consoles(readme: &str) -> impl Iterator<Item = &str> {
    let blocks = readme.split("```console\n").skip(1);
    blocks.flat_map(|block| block.split("```").next().unwrap().lines())
}

fn block<'r>(readme: &'r str, head: &str) -> &'r str {
    readme.split_once(head).unwrap().1.split("```").next().unwrap()
}
