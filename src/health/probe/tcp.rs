//! tcp: a connection is made, and ended.

use std::net::SocketAddr;

use super::connect::connect;
use super::{Ask, Clock, Passed, ProbeError};

/// Connects. What we send is nothing but the end, so a server that logs sees an ordinary close.
pub async fn probe(ask: &Ask, target: SocketAddr, clock: Clock) -> Result<Passed, ProbeError> {
    connect(&ask.check, target, clock).await?;
    Ok(Passed::default())
}
