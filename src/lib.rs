//! rhumb: an authoritative GeoDNS server with failover filter chains.

pub mod chain;
pub mod cli;
pub mod config;
pub mod engine;
pub mod files;
pub mod geo;
pub mod listeners;
pub mod state;
pub mod wire;
