//! `[api]`: where the control plane listens, and what it takes from its callers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{NamedPath, limited};
use crate::files::{At, Fields};
use crate::listeners::{Limit, Listen};

/// The port of the address we listen on when none is written: none is assigned to such a thing.
const DEFAULT_PORT: u16 = 8053;
/// Octets of the longest body of a request. A thousand values of a feed take a fifth of it.
pub const BODY_BYTES_MAX: Limit<usize> = Limit { default: 1 << 20, least: 1 << 10, most: 256 << 20 };
/// Changes a token may make in a minute: two a second is more than people and their automation need, and
/// automation that runs away stands still before it has done much.
pub const MAX_CHANGES_PER_MINUTE: Limit<u32> = Limit { default: 120, least: 1, most: 1_000_000 };

/// Connections to the API at once, those of the Unix socket apart. Each takes a file descriptor and some tens of
/// kilobytes; this many leave most of the usual 1024 descriptors to DNS.
pub const MAX_CONNECTIONS: Limit<usize> = Limit { default: 256, least: 8, most: 8_192 };

/// What `[api]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    /// Where to listen over TCP; nowhere, if empty. Port 0 lets the kernel choose.
    pub listen: Vec<Listen>,
    /// The Unix socket for whoever may write the file; none, if the path is empty.
    pub socket: Option<Socket>,
    /// TLS for every TCP address; none serves plain HTTP.
    pub tls: Option<Tls>,
    /// Serve plain HTTP on addresses that others can reach: tokens go over the wire in the clear.
    pub insecure: bool,
    /// `/metrics` needs no token.
    pub metrics_public: bool,
    /// See [`BODY_BYTES_MAX`].
    pub body_bytes_max: usize,
    /// See [`MAX_CHANGES_PER_MINUTE`].
    pub max_changes_per_minute: u32,
    /// See [`MAX_CONNECTIONS`].
    pub max_connections: usize,
}

/// A Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Where it is.
    pub path: PathBuf,
    /// The operator wrote it: a folder that cannot be written is an error. For the default one it is only
    /// worth a warning.
    pub written: bool,
}

/// Files of TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, with those between it and its root.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Clients must have a certificate from one of these; none asks for no certificates.
    pub client_ca: Option<PathBuf>,
}

/// Reads `[api]`. Paths begin in the folder.
pub(super) fn read(folder: &Path, mut fields: Option<Fields>, paths: &mut Vec<NamedPath>) -> ApiConfig {
    let mut config = ApiConfig {
        listen: vec![Listen { address: (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into(), written: false }],
        socket: Some(Socket { path: folder.join("rhumb.sock"), written: false }),
        tls: None,
        insecure: false,
        metrics_public: false,
        body_bytes_max: BODY_BYTES_MAX.default,
        max_changes_per_minute: MAX_CHANGES_PER_MINUTE.default,
        max_connections: MAX_CONNECTIONS.default,
    };
    if let Some(fields) = &mut fields {
        fields.object = "api".into();
        let (is_written, is_covered) = (fields.has("listen"), fields.has("tls"));
        let addresses = fields.parsed_list_like::<SocketAddr>("listen", "127.0.0.1:8053 or [::1]:8053");
        if is_written {
            let listen = |address: &At<SocketAddr>| Listen { address: address.value, written: true };
            config.listen = addresses.iter().map(listen).collect();
        }
        if let Some(socket) = fields.text("socket") {
            let path = folder.join(&socket.value);
            paths.push(NamedPath { field: ("api", "socket"), line: Some(socket.line), path: path.clone() });
            config.socket = (!socket.value.is_empty()).then_some(Socket { path, written: true });
        }
        config.tls = fields.table("tls").and_then(|tls| read_tls(folder, tls, paths));
        config.insecure = fields.flag("insecure").is_some_and(|flag| flag.value);
        if !is_covered && !config.insecure {
            check_open(fields, &addresses);
        }
        config.metrics_public = fields.flag("metrics_public").is_some_and(|flag| flag.value);
    }
    config.body_bytes_max = limited(&mut fields, "body_bytes_max", BODY_BYTES_MAX);
    config.max_connections = limited(&mut fields, "max_connections", MAX_CONNECTIONS);
    config.max_changes_per_minute = limited(&mut fields, "max_changes_per_minute", MAX_CHANGES_PER_MINUTE);
    if let Some(fields) = fields {
        fields.finish();
    }
    config
}

/// That nothing is served to others in the clear: they would read tokens on their way.
fn check_open(fields: &Fields, addresses: &[At<SocketAddr>]) {
    for At { value, line } in addresses.iter().filter(|at| !at.value.ip().to_canonical().is_loopback()) {
        let message = format!(
            "{value} can be reached by others, and would be served without TLS, so that tokens could be read on their \
             way; write `tls = {{ certificate = \"...\", key = \"...\" }}` under [api], listen on 127.0.0.1, or \
             write `insecure = true` if the network in between is trusted"
        );
        fields.error("listen", *line, message);
    }
}

fn read_tls(folder: &Path, mut fields: Fields, paths: &mut Vec<NamedPath>) -> Option<Tls> {
    fields.object = "api tls".into();
    fields.require(&["certificate", "key"]);
    let mut path = |name| {
        let written = fields.text(name)?;
        let path = folder.join(written.value);
        paths.push(NamedPath { field: ("api tls", name), line: Some(written.line), path: path.clone() });
        Some(path)
    };
    let (certificate, key, client_ca) = (path("certificate"), path("key"), path("client_ca"));
    fields.finish();
    Some(Tls { certificate: certificate?, key: key?, client_ca })
}
