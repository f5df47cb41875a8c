//! What is wanted, and how it becomes what is served.
//!
//! ```text
//! rhumb.toml, zones/, filter-chains/, geoip/ -> read, every mistake at once -> compile -> Loaded
//!                                                              Loaded -> publisher -> Snapshot
//! ```
//!
//! All or nothing: what cannot be compiled changes nothing, and the old state keeps serving.
//! Deliberately absent so far: the store and the road of writes; everything comes from files.

pub mod chains;
pub mod compile;

pub mod meta;
pub mod model;
pub mod monitors;

pub mod publisher;
pub mod store;
pub mod watch;
pub mod zones;

pub use compile::{Loaded, load};

pub use publisher::Publisher;
