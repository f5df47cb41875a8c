//! What people type wrong and what others write badly, on the real binary: it is told, and harms nobody.

mod support;

use std::process::Output;

use support::Folder;
use support::process::{Server, rhumb};

/// The example, served without the API's TCP address, which tests would share.
fn start() -> (Folder, Server) {
    let folder = Folder::example();
    folder.write("rhumb.toml", folder.read("rhumb.toml").replace("[api]\n", "[api]\nlisten = []\n"));
    let server = Server::start(&folder);
    (folder, server)
}

/// What a command printed, both ways, after its exit status has been looked at.
fn run(folder: &Folder, status: i32, arguments: &[&str]) -> String {
    let Output { status: ended, stdout, stderr } = rhumb(folder.path(), arguments);
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert_eq!(ended.code(), Some(status), "{arguments:?}: {said}");
    said
}

#[test]
fn a_typing_error_does_not_silence_the_log() {
    let (folder, mut server) = start();
    for wrong in ["nonsense", "", "rhumb::listeners=debug", "info,rhumb::listner=debug"] {
        let said = run(&folder, 1, &["log-level", wrong]);
        assert!(said.contains("(422)") && said.contains("level: "), "{wrong}: {said}");
    }
    run(&folder, 0, &["log-level", "info,rhumb::listeners=debug"]);
    run(&folder, 0, &["drain", "eu-west-1", "--reason", "the log is heard"]);
    server.line("the log is heard");
}

#[test]
fn a_reason_does_not_drive_the_terminal() {
    let (folder, server) = start();
    let said = run(&folder, 1, &["drain", "eu-west-1", "--reason", "a\u{1b}[31mred\nb"]);
    assert!(
        said.contains("(422)") && said.contains("reason: it has the control character \\u{1b}"),
        "{said}"
    );
    run(&folder, 0, &["drain", "eu-west-1", "--reason", "a mark"]);
    server.kill();
    // One that came by another road: an older version wrote it.
    run(&folder, 0, &["state", "export", "export.json"]);
    let export = folder.read("export.json").replace("a mark", "a\\u001b[31mred\\nb");
    folder.write("export.json", export);
    run(&folder, 0, &["state", "import", "export.json", "--yes"]);
    let _server = Server::start_as_it_is(&folder);
    let said = run(&folder, 0, &["drains"]);
    assert!(said.contains("a\\u{1b}[31mred\\nb") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn servers_are_named_before_the_command_or_after_it() {
    let (folder, _server) = start();
    let socket = format!("unix:{}", folder.path().join("rhumb.sock").display());
    let before = run(&folder, 0, &["--server", &socket, "--json", "drains"]);
    assert_eq!(before, run(&folder, 0, &["drains", "--server", &socket, "--json"]));
    assert_eq!(before.trim(), "[]");
    let said = run(&folder, 2, &["--server", &socket, "check"]);
    assert!(said.contains("`rhumb check` talks to no server: leave out --server"), "{said}");
    assert!(run(&folder, 0, &["--help"]).contains("--token-file"));
    assert!(!run(&folder, 0, &["serve", "--help"]).contains("--token-file"));
}

#[test]
fn a_look_at_the_files_says_what_check_says() {
    let (folder, _server) = start();
    let chains = folder.read("filter-chains/wss.toml");
    folder.write("filter-chains/wss.toml", chains.replacen("[pool.wss]", "[pool.wss]\nanswr = 1", 1));
    let said = run(&folder, 1, &["reload", "--dry-run"]);
    assert!(said.contains("(422)") && said.contains("pool wss: answr: unknown field"), "{said}");
    let checked = run(&folder, 1, &["check"]);
    let first = checked.lines().next().unwrap();
    assert!(said.contains(first.trim_start_matches("filter-chains/")), "{said} does not say {first}");
}
