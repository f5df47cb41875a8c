//! Binding and serving: TCP with or without TLS, and a Unix socket.
//!
//! ```text
//! bind all -> serve on two threads of its own -> (TLS files change) -> stop
//! ```

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::auth::Origin;
use super::crowd::Doorman;
use super::routes::router;
use super::{Api, App, tls};
use crate::config::{ApiConfig, Socket, Tls};

/// Threads of the control plane: one request that computes does not stop the others.
const THREADS: usize = 2;
/// How long a client may take until the head of its next request is here, the first one too: who holds a
/// connection and says nothing takes a file descriptor from those who ask for DNS.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the files of TLS are read to see whether they changed.
const TLS_READ_EVERY: Duration = Duration::from_secs(5);
/// How long requests in progress may take when the process stops.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// Who may use the Unix socket: its owner and its group.
const SOCKET_MODE: u32 = 0o660;

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of TLS cannot be used.
    #[error("api.tls: {0}")]
    Tls(Unusable),
    /// An address cannot be bound.
    #[error("api.listen: cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The Unix socket cannot be bound.
    #[error("api.socket: {}: {why}", path.display())]
    Socket {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot.
        why: String,
    },
    /// There are no threads to be had.
    #[error("cannot start the threads of the API: {0}")]
    Threads(io::Error),
}

/// A control plane that serves. Dropped without [`Running::stop`], it ends at once.
pub struct Running {
    runtime: Runtime,
    app: Arc<App>,
    servers: Vec<JoinHandle<()>>,
    controls: Vec<axum_server::Control>,
    addresses: Vec<SocketAddr>,
    socket: Option<PathBuf>,
    tls: Option<Arc<Reloading>>,
    /// Before everything that listens over TCP.
    doorman: Doorman,
}

/// Binds everything and begins to serve.
///
/// # Errors
/// See [`StartError`]; nothing is served then. A default address that is taken is only worth a warning.
pub fn start(api: Api) -> Result<Running, StartError> {
    let tls = api.config.tls.clone().map(Reloading::new).transpose().map_err(StartError::Tls)?.map(Arc::new);
    let app = Arc::new(App::new(api));
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).thread_name("api").enable_all().build();
    let mut running = Running {
        runtime: runtime.map_err(StartError::Threads)?,
        app: app.clone(),
        servers: Vec::new(),
        controls: Vec::new(),
        addresses: Vec::new(),
        socket: None,
        tls,
        doorman: Doorman::new(app.config.max_connections),
    };
    for listen in &app.config.listen {
        match running.listen(listen.address) {
            Err(error) if !listen.written => warn!("the API is not served on its default address: {error}"),
            other => other?,
        }
    }
    if let Some(socket) = &app.config.socket {
        match running.listen_local(socket) {
            Err(error) if !socket.written => warn!("the API is not served on its default socket: {error}"),
            other => other?,
        }
    }
    if let Some(tls) = running.tls.clone() {
        running.runtime.spawn(async move {
            loop {
                tokio::time::sleep(TLS_READ_EVERY).await;
                tls.read_again();
            }
        });
    }
    if app.state.view().model.tokens.is_empty() && !running.addresses.is_empty() {
        info!(
            "there is no token for the API yet; make the first with `rhumb token create NAME --role admin` here"
        );
    }
    Ok(running)
}

impl Running {
    /// Where it listens over TCP, with the ports the kernel chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where its Unix socket is.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Reads the files of TLS again, if there are any; what cannot be used changes nothing, and is logged.
    pub fn reload_tls(&self) {
        if let Some(tls) = &self.tls {
            tls.read_again();
        }
    }

    /// Takes no more requests, lets those in progress end, and ends.
    pub fn stop(self) {
        self.app.stopping.send_replace(true);
        for control in &self.controls {
            control.graceful_shutdown(Some(STOP_PATIENCE));
        }
        self.runtime.block_on(async {
            for server in self.servers {
                // A server that panicked has ended too.
                let _ = server.await;
            }
        });
        self.runtime.shutdown_timeout(STOP_PATIENCE);
        if let Some(socket) = &self.socket {
            // Whoever starts next removes it, if we cannot.
            let _ = fs::remove_file(socket);
        }
    }

    fn listen(&mut self, address: SocketAddr) -> Result<(), StartError> {
        let failed = |error| StartError::Bind { address, error };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let entered = self.runtime.enter();
        let server = axum_server::from_tcp(listener).map_err(failed)?;
        drop(entered);
        let handle = Handle::new();
        self.controls.push(handle.control());
        let service = router(&self.app).into_make_service_with_connect_info::<Origin>();
        let mut server = server.http1_only().first_request_timeout(REQUEST_TIMEOUT).handle(handle);
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT);
        let served = match &self.tls {
            Some(tls) => {
                let tls = RustlsAcceptor::new(tls.served.clone()).acceptor(self.doorman.clone());
                let server = server.acceptor(tls);
                self.runtime.spawn(async move { said(&local, server.serve(service).await) })
            }
            None => {
                let server = server.acceptor(self.doorman.clone());
                self.runtime.spawn(async move { said(&local, server.serve(service).await) })
            }
        };
        self.servers.push(served);
        self.addresses.push(local);
        info!(tls = self.tls.is_some(), "serving the API on {local}");
        Ok(())
    }

    fn listen_local(&mut self, socket: &Socket) -> Result<(), StartError> {
        let path = &socket.path;
        let failed = |why: String| StartError::Socket { path: path.clone(), why };
        let listener = bind_socket(path).map_err(failed)?;
        let entered = self.runtime.enter();
        let server = axum_server::from_unix(listener).map_err(|error| failed(error.to_string()))?;
        drop(entered);
        let handle = Handle::new();
        self.controls.push(handle.control());
        let service = router(&self.app).into_make_service_with_connect_info::<Origin>();
        let mut server = server.http1_only().first_request_timeout(REQUEST_TIMEOUT).handle(handle);
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT);
        let server = server.acceptor(Doorman::new(self.app.config.max_connections));
        let name = path.display().to_string();
        self.servers.push(self.runtime.spawn(async move { said(&name, server.serve(service).await) }));
        self.socket = Some(path.clone());
        info!("serving the API on {}", path.display());
        Ok(())
    }
}

fn said(place: &impl std::fmt::Display, ended: io::Result<()>) {
    if let Err(error) = ended {
        error!("the API is no longer served on {place}: {error}");
    }
}

/// A file that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct Unusable {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub why: String,
}

/// The files that [`start`] would stumble over, as far as looking at them shows it.
pub fn unusable(config: &ApiConfig) -> Vec<Unusable> {
    let tls =
        config.tls.as_ref().and_then(|tls| tls::read(tls).and_then(|read| tls::compile(tls, &read)).err());
    let socket =
        config.socket.as_ref().filter(|socket| socket.written).and_then(|Socket { path, .. }| {
            check_socket(path).err().map(|why| Unusable { file: path.clone(), why })
        });
    tls.into_iter().chain(socket).collect()
}

/// That a socket can be where it should; who serves it now does not matter.
fn check_socket(path: &Path) -> Result<(), String> {
    let address = std::os::unix::net::SocketAddr::from_pathname(path);
    address.map_err(|error| format!("it cannot be made: {error}"))?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err("there is a file of that name that is no socket; name another, or remove it".into())
        }
        _ => Ok(()),
    }
}

/// Binds the socket. One that is left over is removed; one that somebody serves is theirs.
fn bind_socket(path: &Path) -> Result<UnixListener, String> {
    check_socket(path)?;
    match fs::symlink_metadata(path) {
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err("another process serves it; stop that one, or name another socket".into());
        }
        Ok(_) => fs::remove_file(path)
            .map_err(|error| format!("it is left over and cannot be removed: {error}"))?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(|error| format!("it cannot be made: {error}"))?;
    let mode = fs::Permissions::from_mode(SOCKET_MODE);
    fs::set_permissions(path, mode).map_err(|error| format!("its mode cannot be set: {error}"))?;
    Ok(listener)
}

/// TLS that follows its files.
struct Reloading {
    tls: Tls,
    served: RustlsConfig,
    held: Mutex<Held>,
}

/// What was read last, and what was wrong with it: neither is worth a second line of the log.
struct Held {
    bytes: tls::Bytes,
    error: Option<Unusable>,
}

impl Reloading {
    fn new(tls: Tls) -> Result<Reloading, Unusable> {
        let bytes = tls::read(&tls)?;
        let served = RustlsConfig::from_config(tls::compile(&tls, &bytes)?);
        Ok(Reloading { tls, served, held: Mutex::new(Held { bytes, error: None }) })
    }

    fn read_again(&self) {
        let mut held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let read = tls::read(&self.tls);
        if read.as_ref().is_ok_and(|read| *read == held.bytes) {
            return;
        }
        match read.and_then(|read| Ok((tls::compile(&self.tls, &read)?, read))) {
            Ok((config, bytes)) => {
                self.served.reload_from_config(config);
                *held = Held { bytes, error: None };
                info!("the API serves with the changed files of TLS");
            }
            Err(error) if held.error.as_ref() == Some(&error) => {}
            Err(error) => {
                warn!("the API goes on with its old certificate: {error}");
                held.error = Some(error);
            }
        }
    }
}
