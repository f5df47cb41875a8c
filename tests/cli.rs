//! The commands, as they are typed: what they print, and how they end.
//!
//! `tests/data/broken/*.txt` hold configurations with mistakes, a file for each class of them. A case begins
//! with `== title`; its files come under `-- path` in place of those of [`base`], and what `rhumb check`
//! says of them under `-- exit STATUS`. `tests/data/diff.txt` and `tests/data/routing.txt` are of the same form,
//! for `rhumb diff` and `rhumb test` over [`steered`]. `tests/data/cli/*.txt` hold what other commands print.
//! `UPDATE=1 cargo test --test cli` writes what is printed into the files.

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rhumb::engine::{Reply, Worker};
use support::process::rhumb;
use support::query::Query;
use support::{Folder, project};

/// A small configuration without a mistake.
fn base() -> Folder {
    let folder = Folder::new();
    folder.write("rhumb.toml", "[geo]\nnetworks = \"networks.toml\"\n");
    folder.write("networks.toml", "");
    folder.write(
        "zones/example.com.zone",
        "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 14d 5m\n@ NS ns1\nns1 A 192.0.2.53\n",
    );
    folder.write(
        "filter-chains/app.toml",
        "[[record]]\nname = \"app.example.com\"\nfilters = [\"up\"]\n[[record.answer]]\na = \"192.0.2.1\"\n",
    );
    folder
}

/// Three PoPs, two of them with one stack and one with two, and two names over them.
const STEERED: [(&str, &str); 4] = [
    ("rhumb.toml", "[geo]\nnetworks = \"networks.toml\"\n"),
    (
        "networks.toml",
        "[[network]]\nprefixes = [\"10.0.0.0/8\", \"2a00::/32\"]\ncountry = \"IE\"\n\
         [[network]]\nprefixes = [\"20.0.0.0/8\"]\ncountry = \"GB\"\n\
         [[network]]\nprefixes = [\"30.0.0.0/7\", \"2a01::/32\"]\ncountry = \"JP\"\n",
    ),
    ("zones/example.com.zone", "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 14d 5m\n@ NS ns1\nns1 A 192.0.2.53\n"),
    (
        "filter-chains/app.toml",
        "[pop.dublin]\ncountry = \"IE\"\n[pop.london]\ncountry = \"GB\"\n[pop.tokyo]\ncountry = \"JP\"\n\
         [pool.app]\nanswer = [\n\
           { pop = \"dublin\", stack = \"haproxy\", weight = 100, a = \"192.0.2.1\" },\n\
           { pop = \"dublin\", stack = \"envoy\", weight = 0, a = \"192.0.2.2\" },\n\
           { pop = \"london\", a = \"192.0.2.3\", aaaa = \"2001:db8::3\" },\n\
           { pop = \"tokyo\", a = \"192.0.2.4\", aaaa = \"2001:db8::4\" },\n]\n\
         [[record]]\nname = \"app.example.com\"\npool = \"app\"\n\
         filters = [\"up\", { filter = \"shed_load\", config = { metric = \"connections\" } },\n\
                    \"geotarget_country\", \"select_first_n\"]\n\
         [[record]]\nname = \"any.example.com\"\npool = \"app\"\nfilters = [\"up\", \"shuffle\", \"select_first_n\"]\n",
    ),
];

/// [`STEERED`] in a folder.
fn steered() -> Folder {
    let folder = Folder::new();
    STEERED.iter().for_each(|(path, text)| folder.write(path, text));
    folder
}

/// [`STEERED`] twice, in `old` and in `new`.
fn steered_twice() -> Folder {
    let folder = Folder::new();
    for side in ["old", "new"] {
        STEERED.iter().for_each(|(path, text)| folder.write(&format!("{side}/{path}"), text));
    }
    folder
}

/// What a command printed, without the folder's name.
fn printed(folder: &Folder, bytes: &[u8]) -> String {
    let prefix = format!("{}/", folder.path().display());
    String::from_utf8(bytes.to_vec()).unwrap().replace(&prefix, "")
}

fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

#[test]
fn the_base_has_no_mistake() {
    let folder = base();
    let output = rhumb(folder.path(), &["check"]);
    assert_eq!((output.status.code(), printed(&folder, &output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn every_mistake_is_told_at_once() {
    let data = project().join("tests/data/broken");
    let mut files: Vec<_> = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> =
            files.iter().map(|file| scope.spawn(move || check_file(file, base, &["check"]))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(files.len() >= 6, "the cases are found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_change_is_told() {
    let wrong = check_file(&project().join("tests/data/diff.txt"), steered_twice, &["diff", "old", "new"]);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The same configuration in two states.
#[test]
fn a_change_of_the_live_state_is_told() {
    let base = || {
        let folder = steered_twice();
        for side in ["old.json", "new.json"] {
            folder.write(side, state(""));
        }
        folder
    };
    let command = ["diff", "old", "new", "--old-state", "old.json", "--new-state", "new.json"];
    let wrong = check_file(&project().join("tests/data/diff-state.txt"), base, &command);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // One that is left out is of nobody's drains.
    let folder = base();
    folder.write("new.json", state(DRAIN));
    let run = |arguments: &[&str]| rhumb(folder.path(), arguments).status.code();
    assert_eq!(run(&["diff", "old", "new", "--new-state", "new.json"]), Some(1));
    assert_eq!(run(&["diff", "old", "new", "--old-state", "new.json", "--new-state", "new.json"]), Some(0));
}

/// A row that drains Dublin.
const DRAIN: &str = r#"{"key":"drain/d1","kind":"drain","id":"d1","scope":{"pop":"dublin"},"owner":"ops",
    "percent":100,"reason":"x","created_at":"2026-11-24T02:00:00Z","starts_at":"2026-11-24T02:00:00Z",
    "expires_at":null,"return_steps":null,"returning_since":null,"revision":1}"#;

/// An export with these rows.
fn state(rows: &str) -> String {
    format!(
        "{{\"format\":1,\"revision\":1,\"made_at\":\"2026-11-24T02:14:00Z\",\"newest\":null,\"rows\":[{rows}],\"values\":{{}}}}"
    )
}

#[test]
fn routing_is_tested() {
    let wrong = check_file(&project().join("tests/data/routing.txt"), steered, &["test"]);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn differences_and_tests_are_json_for_machines() {
    let run = |folder: &Folder, arguments: &[&str], status: i32| -> serde_json::Value {
        let output = rhumb(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(status), "{}", printed(folder, &output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let folder = steered_twice();
    let nothing = run(&folder, &["diff", "old", "new/rhumb.toml", "--json"], 0);
    assert_eq!(nothing["written"], serde_json::json!([]));
    let chains = folder.read("new/filter-chains/app.toml").replace("weight = 100", "weight = 0");
    folder.write("new/filter-chains/app.toml", chains);
    let told = run(&folder, &["diff", "old", "new", "--json"], 1);
    let first = &told["ipv4"]["records"][0];
    assert_eq!(first["records"], serde_json::json!(["any.example.com"]));
    let first = &told["ipv4"]["records"][1];
    assert_eq!(first["estimated_from"], serde_json::Value::Null);
    assert_eq!(first["moves"], serde_json::json!([{ "from": "dublin", "to": "london", "share": 0.25 }]));
    assert_eq!(first["countries"], serde_json::json!([{ "country": "IE", "share": 0.25, "moved": 1.0 }]));
    let folder = steered();
    folder.write(
        "some.test.toml",
        "[[test]]\nname = 'x'\nrecord = 'app.example.com'\nclient = '10.0.0.1'\nexpect = { pops = 'tokyo' }",
    );
    let told = run(&folder, &["test", "some.test.toml", "--json"], 1);
    assert_eq!((&told[0]["passed"], &told[0]["line"]), (&false.into(), &1.into()));
    assert_eq!(told[0]["differences"][0]["got"], "dublin");
}

/// What fits into no message is an error, and what just fits is answered.
#[test]
fn what_fits_into_no_message_is_told() {
    let zone = "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 14d 5m\n@ NS ns1\nns1 A 192.0.2.53\n";
    let texts = |count: usize| -> String {
        (0..count).map(|n| format!("big TXT \"{n:03}{}\"\n", "x".repeat(200))).collect()
    };
    let chains = |answers: usize, n: usize| {
        let answer = |answer: usize| {
            let addresses: Vec<String> =
                (0..250).map(|n| format!("\"198.{}.{}.{n}\"", 18 + answer / 250, answer % 250)).collect();
            format!("[[record.answer]]\nname = \"{answer}\"\na = [{}]\n", addresses.join(", "))
        };
        let answers: String = (0..answers).map(answer).collect();
        format!(
            "[[record]]\nname = \"app.example.com\"\n\
             filters = [{{ filter = \"select_first_n\", config = {{ n = {n} }} }}]\n{answers}"
        )
    };
    let folder = base();
    folder.write("zones/example.com.zone", zone.to_string() + &texts(300));
    folder.write("filter-chains/app.toml", chains(20, 16));
    let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut worker = Worker::new(Arc::new(ArcSwap::from_pointee(loaded.snapshot)), Default::default(), 0);
    for (line, count) in
        [("big.example.com TXT nsid tcp", 300), ("app.example.com A subnet=10.0.0.0/24 tcp", 4_000)]
    {
        let query = Query::parse(line);
        let (packet, mut out) = (query.packet(1), vec![0; 65_535]);
        let Reply::Send(len) = worker.answer(&packet, query.peer(), &mut out) else { panic!("{line}") };
        assert_eq!(out[2] & 2, 0, "{line}: cut off");
        assert_eq!(u16::from_be_bytes([out[6], out[7]]), count, "{line}: {len} octets");
    }

    folder.write("zones/example.com.zone", zone.to_string() + &texts(600));
    folder.write("filter-chains/app.toml", chains(20, 17));
    let output = rhumb(folder.path(), &["check"]);
    assert_eq!(
        (output.status.code(), printed(&folder, &output.stderr).as_str()),
        (
            Some(1),
            "filter-chains/app.toml:1: error: record app.example.com: filters: 4250 A records may be answered \
             together, 68000 octets, and a message has room for 65025; write fewer addresses, or a smaller \
             select_first_n\n\
             zones/example.com.zone:5: error: big.example.com. TXT: the RRset takes 129600 octets with 600 of its \
             records, and a message has room for 65025, so it can never be told; write fewer records or shorter \
             ones\n\
             rhumb: 2 errors and 0 warnings\n"
        )
    );
}

/// Runs every case of a file; what is wrong, in words.
fn check_file(file: &Path, base: fn() -> Folder, command: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let mut wrong = Vec::new();
    let mut cases = text.split("== ");
    let mut updated = cases.next().unwrap().to_string();
    for case in cases {
        let (title, _) = case.split_once('\n').unwrap();
        let (files, expected) = case.split_once("-- exit ").unwrap_or((case, ""));
        let folder = base();
        for section in files.split("\n-- ").skip(1) {
            let (path, text) = section.split_once('\n').unwrap();
            match path.strip_suffix(" (gone)") {
                Some(path) => fs::remove_file(folder.path().join(path)).unwrap(),
                None => folder.write(path, format!("{}\n", text.trim_end_matches('\n'))),
            }
        }
        let output = rhumb(folder.path(), command);
        // What `check` says when nothing is wrong has times in it.
        let stdout = if command == ["check"] { String::new() } else { printed(&folder, &output.stdout) };
        let said = stdout + &printed(&folder, &output.stderr);
        let got = format!("{}\n{said}", output.status.code().unwrap());
        updated += &format!("== {files}-- exit {got}\n");
        if got.trim_end() != expected.trim_end() {
            let name = file.file_name().unwrap().display();
            wrong.push(format!("{name}: {title}\n--- expected\n{expected}--- got\n{got}"));
        }
    }
    if is_update() {
        fs::write(file, format!("{}\n", updated.trim_end())).unwrap();
        return Vec::new();
    }
    wrong
}

#[test]
fn the_example_has_no_mistake() {
    let folder = Folder::example();
    let output = rhumb(folder.path(), &["check"]);
    assert_eq!((output.status.code(), printed(&folder, &output.stderr).as_str()), (Some(0), ""));
    // What takes how long, and how much, is not for a test.
    let told = printed(&folder, &output.stdout);
    for words in
        ["2 zones with 33 static records", "3 steered records", "1 question about places", "0 warnings"]
    {
        assert!(told.contains(words), "{words} is not in\n{told}");
    }
    // From anywhere, by the configuration's name.
    let config = folder.path().join("rhumb.toml");
    let output = rhumb(Path::new("/"), &["check", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let output = rhumb(Path::new("/"), &["check", "--config", "/nonexistent/rhumb.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&folder, &output.stderr).contains("/nonexistent/rhumb.toml"));
}

/// The summary says how many chains the records share, and how large each question's table is.
#[test]
fn what_is_shared_is_summed_up() {
    let folder = steered();
    let near = |name: &str| {
        format!(
            "[[record]]\nname = \"{name}.example.com\"\npool = \"app\"\n\
             filters = [\"geotarget_country\", \"select_first_n\"]\n"
        )
    };
    folder.write("filter-chains/near.toml", ["a", "b", "c"].map(near).concat());
    let report = folder.load().unwrap().report;
    let told = printed(&folder, &rhumb(folder.path(), &["check"]).stdout);
    let lines: Vec<&str> = told.lines().collect();
    let static_octets = format!("1 zone with 3 static records ({} B)", report.static_octets);
    assert_eq!(lines[..2], [&static_octets, "5 steered records sharing 3 compiled chains"], "{told}");
    assert_eq!(lines[2], "1 question about places:");
    let question = &report.questions[0];
    assert!(question.octets > 100 && question.outcomes > 1, "{told}");
    let size = match question.octets {
        octets @ ..10_000 => format!("{octets} B"),
        octets => format!("{} kB", octets / 1000),
    };
    let told_of = format!("  {}: {} outcomes, {size}, ", question.kind(), question.outcomes);
    assert!(lines[3].starts_with(&told_of) && lines[3].ends_with(" ms"), "{told}");
}

/// On a terminal one sees how far the work has come; when it is done nothing of that is left.
#[test]
fn work_is_shown_on_a_terminal() {
    let folder = Folder::example();
    let (mut terminal, theirs) = terminal();
    let child = Command::new(env!("CARGO_BIN_EXE_rhumb"))
        .arg("check")
        .current_dir(folder.path())
        .env("TERM", "xterm")
        .stdout(Stdio::piped())
        .stderr(theirs)
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    // Linux ends it with an error when nobody has the other side any more.
    let _ = terminal.read_to_end(&mut shown);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8(shown).unwrap();
    for words in ["geoip/sample.mmdb [", "zones [", "100 %"] {
        assert!(shown.contains(words), "{words} is not in {shown:?}");
    }
    let left = shown.rsplit("\x1b[2K").next().unwrap();
    assert_eq!(left.trim(), "", "{shown:?}");
    assert!(printed(&folder, &output.stdout).contains("3 steered records"));
}

/// A terminal of 80 columns: what is shown on it, and the side that a process gets.
fn terminal() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (0, 0);
    let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes the two numbers and reads the size; the descriptors are nobody else's.
    unsafe {
        assert_eq!(libc::openpty(&mut ours, &mut theirs, null_mut(), null(), &size), 0);
        (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    }
}

/// A single name that is steered does not cost the memory of all that are not.
#[test]
fn static_records_take_their_room_and_no_more() {
    let folder = base();
    let hosts: String = (0..2000).map(|host| format!("host-{host} A 192.0.2.1\n")).collect();
    folder.write("zones/example.com.zone", folder.read("zones/example.com.zone") + &hosts);
    let octets = || folder.load().unwrap_or_else(|problems| panic!("{problems:?}")).report.static_octets;
    let steered = octets();
    folder.write("filter-chains/app.toml", "");
    let plain = octets();
    assert!(plain > 2000 * 28 && (plain..plain + 100).contains(&steered), "{plain}, {steered}");
}

/// Commands over the example as it stands, each under `$ rhumb ...` with all it prints.
#[test]
fn what_is_printed_is_as_it_was() {
    let file = project().join("tests/data/cli/example.txt");
    let text = fs::read_to_string(&file).unwrap();
    let folder = Folder::example();
    let mut updated = String::new();
    for session in text.split("$ rhumb ").skip(1) {
        let (command, expected) = session.split_once('\n').unwrap();
        let Output { status, stdout, stderr } =
            rhumb(folder.path(), &command.split_whitespace().collect::<Vec<_>>());
        let mut got = printed(&folder, &stdout) + &printed(&folder, &stderr);
        if !status.success() {
            got += &format!("exit {}\n", status.code().unwrap());
        }
        updated += &format!("$ rhumb {command}\n{got}\n");
        if !is_update() {
            assert_eq!(got.trim_end(), expected.trim_end(), "rhumb {command}");
        }
    }
    if is_update() {
        fs::write(&file, format!("{}\n", updated.trim_end())).unwrap();
    }
}

#[test]
fn an_explanation_is_json_for_machines() {
    let folder = Folder::example();
    let arguments = "explain wss-primary.example.com A --client 81.2.69.0/24 --json";
    let output = rhumb(folder.path(), &arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["question"], "wss-primary.example.com. A");
    assert_eq!(json["rcode"], "NOERROR");
    assert_eq!(json["answer"].as_array().unwrap().len(), 3);
    let filters: Vec<_> = json["steered"]["steps"].as_array().unwrap().iter().map(|s| &s["filter"]).collect();
    assert_eq!(filters, ["up", "shed_load", "geotarget_country", "select_first_n"]);
    assert_eq!(json["steered"]["picks"], serde_json::json!(["wss/eu-west-2/haproxy"]));
}

/// What was written is what is found, by a file of its own and through the configuration.
#[test]
fn a_database_is_built_and_looked_up() {
    let folder = Folder::example();
    let source = "# A comment.\n\
                  100.64.0.0/16  IE  L  53.35,-6.26  64500\n\
                  100.64.9.0/24  JP\n\
                  fd00:1::/32    -   -  -            64501\n";
    folder.write("places.txt", source);
    let run = |arguments: &str| {
        let output = rhumb(folder.path(), &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{}", printed(&folder, &output.stderr));
        printed(&folder, &output.stdout)
    };
    assert_eq!(run("geoip build places.txt places.mmdb"), "places.mmdb: 3 networks\n");
    let config = folder.read("rhumb.toml").replace("\"geoip/sample.mmdb\"", "\"places.mmdb\"");
    folder.write("rhumb.toml", config);
    let place = |address: &str| {
        let told = run(&format!("geoip lookup {address}"));
        told.lines().last().unwrap().to_string()
    };
    assert!(place("100.64.1.1").starts_with("place: IE"), "{}", place("100.64.1.1"));
    assert!(place("100.64.1.1").ends_with("AS64500"), "{}", place("100.64.1.1"));
    assert!(place("100.64.9.1").starts_with("place: JP"), "{}", place("100.64.9.1"));
    assert_eq!(place("fd00:1::1"), "place: AS64501");
    assert_eq!(place("100.65.0.1"), "place: unknown");
    // A mistake writes nothing, and leaves what was there.
    let before = fs::read(folder.path().join("places.mmdb")).unwrap();
    folder.write("places.txt", "100.64.0.0/16 XX\n");
    let output = rhumb(folder.path(), &["geoip", "build", "places.txt", "places.mmdb"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&folder, &output.stderr).contains("places.txt:1"), "{output:?}");
    assert_eq!(fs::read(folder.path().join("places.mmdb")).unwrap(), before);
}

#[test]
fn completions_manual_and_help() {
    let nowhere = Folder::new();
    let run = |arguments: &str, status: i32| {
        let output = rhumb(nowhere.path(), &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(status), "{arguments}");
        printed(&nowhere, &output.stdout) + &printed(&nowhere, &output.stderr)
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(run(&format!("completions {shell}"), 0).contains("explain"), "{shell}");
    }
    assert!(run("man", 0).contains(".TH rhumb"));
    assert_eq!(run("man --dir share/man1", 0), "");
    let page = |name: &str| nowhere.read(&format!("share/man1/{name}.1"));
    // The page of each command is named in the one above it, and is there.
    for (above, name) in
        [("rhumb", "rhumb-drain"), ("rhumb", "rhumb-geoip"), ("rhumb-geoip", "rhumb-geoip-build")]
    {
        assert!(page(above).contains(&name.replace('-', "\\-")), "{above} does not name {name}");
        assert!(page(name).contains(&format!(".TH {name} 1")), "{}", page(name));
    }
    assert!(page("rhumb-drain").contains("\\-\\-percent"));
    assert!(run("man --dir /dev/null/man1", 1).contains("/dev/null/man1: the pages cannot be written"));
    assert_eq!(run("--version", 0).trim(), concat!("rhumb ", env!("CARGO_PKG_VERSION")));
    let help = run("--help", 0);
    assert!(help.starts_with("Authoritative GeoDNS server with failover filter chains"), "{help}");
    for command in ["serve", "check", "diff", "test", "explain", "geoip", "completions", "man"] {
        assert!(help.contains(&format!("\n  {command}")), "{command} is not in\n{help}");
    }
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| line.starts_with("  "));
    // A line that is indented deeper goes on with what a command is for.
    let named =
        commands.filter(|line| !line.starts_with("   ")).filter_map(|line| line.trim().split_once(' '));
    let named = named.filter(|(name, _)| *name != "help");
    let manual = fs::read_to_string(project().join("docs/operations.md")).unwrap();
    let on_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (name, what_for) in named {
        assert!(manual.contains(&format!("`rhumb {name}")), "docs/operations.md does not name {name}");
        let told = run(&format!("{name} --help"), 0);
        assert!(told.contains("Usage: rhumb"), "{told}");
        assert!(on_one_line(&told).starts_with(&on_one_line(what_for)), "{name}: {what_for}\n{told}");
    }
    // The command line is wrong.
    assert!(run("serv", 2).contains("serve"));
    assert!(run("explain www.example.com", 2).contains("<TYPE>"));
    assert!(run("explain www.example.com NONSENSE", 2).contains("NONSENSE"));
    assert!(run("explain www.example.com A --client 1.2.3.4/33", 2).contains("0 to 32"));
    assert!(run("geoip lookup nowhere", 2).contains("nowhere"));
}
