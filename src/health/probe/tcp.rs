//! tcp: a connection is made, and ended.

use std::net::SocketAddr;

use super::connect::connect;
use super::{Ask, Clock, ProbeError};

/// Connects. What we send is nothing but the end, so a server that logs sees an ordinary close.
pub async fn probe(ask: &Ask, target: SocketAddr, clock: Clock) -> Result<String, ProbeError> {
    connect(&ask.check, target, clock).await?;
    Ok(String::new())
}
