//! Address to place.
//!
//! ```text
//! *.mmdb, networks.toml -> World (sorted ranges of places, IPv4 and IPv6 apart)
//! World + a question    -> Table (prefix -> outcome, equal neighbours merged)
//! query: address -> Table::lookup -> outcome and the length of the prefix it holds for
//! ```
//!
//! At load each source is walked once and folded; per query there is no decode and no allocation.

pub mod place;
pub mod table;
pub mod world;

pub use place::{Coordinates, Country, Georegion, Location, Subdivision};
pub use table::{Found, Table};
pub use world::{Questions, World};
