//! A TCP connection from the right address.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

use super::{Clock, ProbeError};
use crate::state::monitors::{Check, Family};

/// Connects.
pub async fn connect(check: &Check, target: SocketAddr, clock: Clock) -> Result<TcpStream, ProbeError> {
    let socket = open(check, target).map_err(|error| in_words(&error))?;
    clock.within("connection", socket.connect(target)).await?.map_err(|error| in_words(&error))
}

fn open(check: &Check, target: SocketAddr) -> Result<TcpSocket, Error> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = source(check, target) {
        // A port is taken before it is known where the connection goes; without this the ports that wait
        // for their last segments (a minute each) would be missing, and a thousand probes a second use
        // them up.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Our own address to probe a target from, where one is written.
pub fn source(check: &Check, target: SocketAddr) -> Option<IpAddr> {
    check.source.iter().copied().find(|source| Family::of(*source) == Family::of(target.ip()))
}

/// An error of a socket, as an operator says it.
pub fn in_words(error: &Error) -> ProbeError {
    ProbeError::new(match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".into(),
        ErrorKind::ConnectionReset => "connection reset".into(),
        ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            "connection closed by the other side".into()
        }
        ErrorKind::HostUnreachable => "host unreachable".into(),
        ErrorKind::NetworkUnreachable => "network unreachable".into(),
        ErrorKind::AddrNotAvailable => {
            "no local address to probe from; look at `source` and at the free ports".into()
        }
        _ => error.to_string(),
    })
}
