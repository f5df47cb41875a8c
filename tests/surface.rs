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
