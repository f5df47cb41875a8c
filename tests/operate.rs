//! The README's commands for operators, letter by letter, against a server of the example.

mod support;

use std::path::Path;
use std::process::Command;

use support::process::{Server, rhumb};
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

/// The lines of all console blocks.
fn consoles(readme: &str) -> impl Iterator<Item = &str> {
    let blocks = readme.split("```console\n").skip(1);
    blocks.flat_map(|block| block.split("```").next().unwrap().lines())
}

fn block<'r>(readme: &'r str, head: &str) -> &'r str {
    readme.split_once(head).unwrap().1.split("```").next().unwrap()
}
