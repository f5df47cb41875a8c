//! Address to place.
//!
//! ```text
//! networks.toml --> networks --+
//! *.mmdb ---------> mmdb ------+-> World: per family sorted ranges of locations and of ASNs
//!                                    |
//! a question (a chain's filter) -> Questions -> Table: prefix -> outcome, equal neighbours merged
//!                                                 |
//! query: address -> Table::lookup -> outcome and the length of the prefix it holds for
//! ```
//!
//! At load each source is walked once and folded; a question is asked once per distinct place. Per query
//! there is no decode and no allocation. `World::lookup` is for people, and takes its time.
//!
//! What is known without any source is in `countries` (the countries' own file), `regions` (NS1's
//! georegions), `distance`, `special` (addresses that are nobody's) and `embedded` (IPv6 addresses that
//! carry an IPv4 address). `text` writes a small database of one's own.
//!
//! Deliberately absent: the filters' rules (what is near enough is `chain`'s to say), names of cities and
//! countries, where a network is registered (as opposed to used), and memory-mapped files.

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
pub mod written;

pub use catalogue::Facts;
pub use distance::distance_km;
pub use mmdb::{Database, DatabaseError};
pub use place::{Continent, Coordinates, Country, Georegion, Location, Subdivision};
pub use questions::{Compiled, Questions};
pub use special::special_purpose;
pub use table::{Found, Table, prefetch};
pub use text::build_file;
pub use world::{Place, Progress, Said, Source, World};
