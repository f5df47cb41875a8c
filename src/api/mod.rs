//! The control plane over HTTP.
//!
//! ```text
//! counters of the workers and listeners, gauges of the state -> metrics::render -> OpenMetrics text
//! ```

pub mod bodies;
pub mod metrics;
