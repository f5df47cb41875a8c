//! What is wanted, and how it becomes what is served.
//!
//! ```text
//! rhumb.toml, zones/, filter-chains/, geoip/ -> read, every mistake at once -> compile -> Loaded
//!                                                              Loaded -> keeper
//! a wish -> keeper: decide (change, guards) -> store -> watch -> live values -> publisher -> Snapshot
//! ```
//!
//! Beside that walk: what two sets of files say otherwise ([`edits`]), what that does to clients ([`impact`]),
//! what would be served if ([`whatif`]), and what the operator expects of it ([`expectations`]).
//!
//! All or nothing: what cannot be compiled changes nothing, and the old state keeps serving.
//! What is in files is owned by files, and everything else by the store: nothing is in both (DESIGN, decision 13).

pub mod base;
pub mod chains;
pub mod change;
pub mod circles;
pub mod clock;
pub mod compile;
pub mod edits;
pub mod expectations;
pub mod guards;
pub mod handle;
pub mod identity;
pub mod impact;
pub mod keeper;
pub mod live;
pub mod load;
pub mod meta;
pub mod migration;
pub mod model;
pub mod monitors;
pub mod policy;
pub mod publisher;
pub mod store;
pub mod text;
pub mod traffic;
pub mod ttl;
pub mod view;
pub mod watch;
pub mod whatif;
pub mod zones;

pub use compile::{Loaded, load, load_as_read, load_counted};
pub use publisher::Publisher;
pub use traffic::Traffic;
