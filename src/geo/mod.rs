//! Address to place.
//!
//! ```text
//! *.mmdb, networks.toml -> World (sorted ranges of places, IPv4 and IPv6 apart)
//! World + a question    -> Table (prefix -> outcome, equal neighbours merged)
//! query: address -> Table::lookup -> outcome and the length of the prefix it holds for
//! ```
//!
//! At load each source is walked once and folded; per query there is no decode and no allocation.

mod catalogue;
pub mod countries;
mod distance;
mod embedded;
mod mmdb;
mod networks;
pub mod place;
mod questions;
mod ranges;
mod regions;
mod special;
pub mod table;
pub mod text;
pub mod world;

pub use catalogue::Facts;
pub use distance::distance_km;
pub use mmdb::{Database, DatabaseError};
pub use place::{Continent, Coordinates, Country, Georegion, Location, Subdivision};
pub use questions::{Compiled, Questions};
pub use special::special_purpose;
pub use table::{Found, Table};
pub use text::build_file;
pub use world::{Place, Progress, Said, Source, World};
