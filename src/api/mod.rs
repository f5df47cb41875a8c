//! What is told and taken over HTTP.
//!
//! ```text
//! counters of the workers and listeners, gauges of the state -> metrics::render -> OpenMetrics text
//! ```

pub mod metrics;
