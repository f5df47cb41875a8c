//! What the house is like: who uses whom, one filter one file, and how long a file is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rhumb::chain::filters::KINDS;

/// The drawing: a room, and the rooms it uses.
const ARROWS: [(&str, &str); 12] = [
    ("wire", ""),
    ("files", ""),
    ("geo", "files"),
    ("chain", "geo wire"),
    ("engine", "chain geo wire"),
    ("listeners", "engine"),
    ("config", "files geo listeners"),
    ("state", "engine chain geo wire files config"),
    ("api", "state health engine wire files config listeners"),
    ("health", "state config"),
    ("cli", "api health state engine geo wire files config listeners"),
    ("main", ""),
];

/// Where a packet is answered: nothing here may stop the server.
const QUERY_PATH: [&str; 35] = [
    "wire/edns.rs",
    "wire/name.rs",
    "wire/query.rs",
    "wire/writer.rs",
    "chain/mod.rs",
    "chain/picks.rs",
    "chain/draw.rs",
    "chain/settled.rs",
    "chain/reach.rs",
    "geo/table.rs",
    "geo/ranges.rs",
    "chain/filters/up.rs",
    "chain/filters/shed_load.rs",
    "chain/filters/shuffle.rs",
    "chain/filters/weighted_shuffle.rs",
    "chain/filters/select_first_n.rs",
    "chain/filters/select_first_region.rs",
    "chain/filters/priority.rs",
    "chain/filters/cost.rs",
    "chain/filters/placing.rs",
    "chain/filters/fencing.rs",
    "chain/filters/ranking.rs",
    "chain/filters/sticking.rs",
    "chain/filters/sticky.rs",
    "chain/filters/weighted_sticky.rs",
    "engine/peer.rs",
    "engine/worker.rs",
    "engine/zones.rs",
    "engine/steering.rs",
    "engine/steering/addresses.rs",
    "engine/steering/chances.rs",
    "engine/counting.rs",
    "engine/queries.rs",
    "engine/query_log.rs",
    "engine/sample.rs",
];

/// A source file: its path under `src`, and its code without comments and without its tests.
struct File {
    path: String,
    text: String,
    code: String,
}

impl File {
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The modules it is in, from the crate down: `geo/table.rs` is `geo`, `table`.
    fn module(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = self.path.trim_end_matches(".rs").split('/').collect();
        if ["mod", "lib", "main"].contains(parts.last().unwrap()) {
            parts.pop();
        }
        parts
    }
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
                files.push(File { path, code: code_of(&text), text });
            }
        }
    }
    assert!(files.len() > 60, "the sources are found");
    files
}

/// Drops comments, and what stands behind `#[cfg(test)]` on a module: tests are the end of a file.
fn code_of(text: &str) -> String {
    let lines = text.lines().collect::<Vec<_>>();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{'));
    let lines = &lines[..tests.unwrap_or(lines.len())];
    lines.iter().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The rooms some code uses, by `crate::` paths and by `super::` paths that leave the room.
fn uses(file: &File) -> BTreeSet<String> {
    let rooms: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    let mut used = BTreeSet::new();
    // What stands behind `crate::`: one path, or several in braces.
    let mut take = |rest: &str| {
        let paths: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap().split(',').collect(),
            None => vec![rest],
        };
        for path in paths {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let name = path.trim().split(|c| !is_name(c)).next().unwrap();
            used.extend(rooms.get(name).map(|room| room.to_string()));
        }
    };
    for (at, path) in file.code.match_indices("crate::") {
        take(&file.code[at + path.len()..]);
    }
    for (at, path) in file.code.match_indices("super::") {
        let rest = &file.code[at..];
        let ups = rest.split(path).take_while(|part| part.is_empty()).count();
        if ups == file.module().len() && !file.code[..at].ends_with(path) {
            take(&rest[ups * path.len()..]);
        }
    }
    used
}

#[test]
fn arrows_are_as_drawn() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(room, uses)| (*room, uses.split_whitespace().collect())).collect();
    let mut wrong = Vec::new();
    let mut drawn = BTreeSet::new();
    for file in sources().iter().filter(|file| file.path != "lib.rs") {
        let room = file.room();
        let Some(allowed) = allowed.get(room) else {
            wrong.push(format!("src/{}: `{room}` is not in the drawing", file.path));
            continue;
        };
        for used in uses(file).into_iter().filter(|used| used != room) {
            if !allowed.contains(used.as_str()) {
                wrong.push(format!("src/{}: {room} may not use {used}", file.path));
            }
            drawn.insert((room.to_string(), used));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for (room, uses) in allowed {
        for used in uses {
            assert!(
                drawn.contains(&(room.into(), used.into())),
                "nothing in {room} uses {used}: take it out"
            );
        }
    }
}

/// Arrows only lead down: no two rooms need each other.
#[test]
fn the_drawing_has_no_circle() {
    let mut below: BTreeSet<&str> = BTreeSet::new();
    let mut rest: Vec<_> = ARROWS.to_vec();
    while !rest.is_empty() {
        let before = rest.len();
        rest.retain(|(room, uses)| {
            let is_next = uses.split_whitespace().all(|used| below.contains(used));
            if is_next {
                below.insert(room);
            }
            !is_next
        });
        assert!(rest.len() < before, "a circle among {rest:?}");
    }
}

#[test]
fn the_reader_of_arrows_reads() {
    let check = |path: &str, code: &str, expect: &[&str]| {
        let file = File { path: path.into(), text: code.into(), code: code_of(code) };
        assert_eq!(uses(&file).into_iter().collect::<Vec<_>>(), expect, "{code}");
    };
    check("geo/table.rs", "use crate::wire::Name;\nlet x = crate::chain::draw::mix(1);", &["chain", "wire"]);
    check("geo/table.rs", "use crate::{wire::Name, files};", &["files", "wire"]);
    check("geo/table.rs", "use super::super::engine::Worker;", &["engine"]);
    check("geo/table.rs", "use super::wire; // crate::chain", &[]);
    check("geo/mod.rs", "use super::engine;", &["engine"]);
    check("chain/filters/up.rs", "use super::super::super::state;\nuse super::super::wire;", &["state"]);
    check("geo/table.rs", "#[cfg(test)]\nmod tests {\n    use crate::engine;\n}", &[]);
}

#[test]
fn a_filter_is_a_file_a_line_and_a_manual() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/chain/filters");
    let with = |extension: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let entries = entries.filter(|path| path.extension().is_some_and(|other| other == extension));
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_string()).collect()
    };
    let names: BTreeSet<String> = KINDS.iter().map(|kind| kind.name.to_string()).collect();
    assert_eq!(with("md"), names, "a manual each");
    let shared = ["mod", "placing", "fencing", "ranking", "sticking", "scenario"].map(String::from);
    assert_eq!(with("rs"), names.iter().cloned().chain(shared).collect(), "a file each");
    for kind in KINDS {
        let code = fs::read_to_string(folder.join(format!("{}.rs", kind.name))).unwrap();
        assert!(code.starts_with(&format!("#![doc = include_str!(\"{}.md\")]", kind.name)), "{}", kind.name);
        assert!(!kind.manual.trim().is_empty(), "{}", kind.name);
    }
}

#[test]
fn nothing_is_left_undone() {
    let todo = ["TO", "DO"].concat();
    let undone = [&todo, "FIXME", "XXX", "todo!", "unimplemented!", "dbg!("];
    for file in sources() {
        for word in undone {
            assert!(!file.text.contains(word), "src/{}: {word}", file.path);
        }
    }
}

/// What can fail was refused at load; on the query path a failure is a response.
#[test]
fn the_query_path_does_not_panic_by_itself() {
    let files = sources();
    for path in QUERY_PATH {
        let file = files.iter().find(|file| file.path == path).expect(path);
        for word in [".unwrap()", "panic!(", "unreachable!("] {
            assert!(!file.code.contains(word), "src/{path}: {word}");
        }
    }
}

#[test]
fn files_are_short() {
    let mut lengths: Vec<_> =
        sources().iter().map(|file| (file.text.lines().count(), file.path.clone())).collect();
    lengths.sort();
    let (length, path) = &lengths[lengths.len() * 9 / 10];
    assert!(*length <= 400, "one file in ten is longer than src/{path}, which has {length} lines");
}
