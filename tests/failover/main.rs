//! What health does about what the monitors say, as transcripts: `tests/failover/*.txt`.
//!
//! A case begins with `== ` and the fields of its pool `wss`, each behind `-- `; a line that begins with `> `
//! is done, and the lines behind it are what came of it, with the second in which it did. Everything is looked
//! at once a second, and time is what the transcript says: nothing waits. `UPDATE=1` writes what comes of it
//! into the files.
//!
//! Monitors are what the transcript says of them (`down`, `up`), or, in a case with `-- probed`, those of the
//! server (`-- stale`, `-- interval` and `-- fall` are theirs, `-- references` what is asked beside them), whose probes
//! take no time; then what a client in Ireland is answered is told as well. A case with `-- foresees` tells also when
//! health will do something by itself, which shortens TTLs.

mod node;
mod probed;
#[path = "../support/mod.rs"]
mod support;

use node::Node;

#[test]
fn transcripts() {
    support::transcript::run("tests/failover", 4, |_, fields| Node::new(fields), Node::perform);
}
