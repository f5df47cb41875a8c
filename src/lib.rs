//! rhumb: an authoritative GeoDNS server with failover filter chains.

pub mod chain;
pub mod geo;
