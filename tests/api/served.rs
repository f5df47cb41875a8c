//! The control plane over real sockets: TCP, TLS that follows its files, and the Unix socket.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rhumb::api::{Api, Hooks, Running, StartError, start};
use rhumb::config::{ApiConfig, Config, Socket, Tls};
use rhumb::listeners::Listen;
use rhumb::state::keeper::State;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Socket as Socket2, Type};

use crate::support::Folder;
use crate::support::control::{Hands, config, keep};
use crate::support::entries::new_disk;
use crate::support::process::PATIENCE;

/// Nowhere, until a test says where.
fn nowhere() -> ApiConfig {
    ApiConfig { listen: Vec::new(), socket: None, ..config() }
}

fn on(address: &str) -> Vec<Listen> {
    vec![Listen { address: address.parse().unwrap(), written: true }]
}

fn at(path: &Path) -> Option<Socket> {
    Some(Socket { path: path.into(), written: true })
}

/// A state that ends with its test, and its folder.
struct Kept(State, Folder);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn kept() -> Kept {
    let folder = Folder::example();
    Kept(keep(&folder, &new_disk(), &Hands::default()), folder)
}

fn serve(kept: &Kept, config: ApiConfig) -> Result<Running, StartError> {
    start(Api { config, node: "test".into(), state: kept.0.clone(), hooks: Hooks::default() })
}

#[track_caller]
fn refused(kept: &Kept, config: ApiConfig, words: &str) {
    let error = serve(kept, config).err().expect("it is refused").to_string();
    assert!(error.contains(words), "{error}");
}

/// Gets a path; the whole response.
fn get(mut stream: impl Read + Write, path: &str) -> std::io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    match stream.read_to_string(&mut text) {
        // Who closes a connection of TLS without a word has said everything all the same.
        Err(error) if text.is_empty() => Err(error),
        _ => Ok(text),
    }
}

#[test]
fn the_socket_is_for_its_owner_and_group() {
    let (folder, kept) = (Folder::new(), kept());
    let path = folder.path().join("rhumb.sock");
    let here = || ApiConfig { socket: at(&path), ..nowhere() };
    let running = serve(&kept, here()).unwrap();
    assert_eq!(running.socket(), Some(path.as_path()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    // Whoever may write the file may do everything, without a token.
    let text = get(UnixStream::connect(&path).unwrap(), "/api/v1/tokens").unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    refused(&kept, here(), "another process serves it");
    assert!(
        get(UnixStream::connect(&path).unwrap(), "/healthz").unwrap().ends_with("ok\n"),
        "that one goes on"
    );
    running.stop();
    assert!(!path.exists());
    // One that a killed process left over.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    serve(&kept, here()).unwrap().stop();
    fs::write(&path, "a file of somebody's").unwrap();
    refused(&kept, here(), "a file of that name that is no socket");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file of somebody's");
    let missing = folder.path().join("none/rhumb.sock");
    refused(&kept, ApiConfig { socket: at(&missing), ..nowhere() }, "it cannot be made");
}

#[test]
fn nothing_is_served_to_others_in_the_clear() {
    let kept = kept();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8053", "[::ffff:192.0.2.1]:8053"] {
        let text = format!("[api]\nlisten = [\"127.0.0.1:0\",\n\"{address}\"]\n");
        let problems = Config::parse(Path::new("rhumb.toml"), &text).unwrap_err();
        let told = format!("rhumb.toml:3: error: api: listen: {address} can be reached by others");
        assert!(problems.len() == 1 && problems[0].to_string().starts_with(&told), "{problems:?}");
        for more in ["insecure = true", "tls = { certificate = \"cert.pem\", key = \"key.pem\" }"] {
            Config::parse(Path::new("rhumb.toml"), &(text.clone() + more)).unwrap();
        }
    }
    let insecure = ApiConfig { listen: on("0.0.0.0:0"), insecure: true, ..nowhere() };
    serve(&kept, insecure).unwrap().stop();
    let running = serve(&kept, ApiConfig { listen: on("127.0.0.1:0"), ..nowhere() }).unwrap();
    let address = running.addresses()[0];
    // Over TCP a token is needed, on loopback too.
    let text = get(TcpStream::connect(address).unwrap(), "/api/v1/status").unwrap();
    assert!(text.starts_with("HTTP/1.1 401 ") && text.contains("rhumb token create"), "{text}");
    running.stop();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_default_address_that_is_taken_is_no_error() {
    let kept = kept();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    refused(&kept, ApiConfig { listen: on(&address.to_string()), ..nowhere() }, "cannot listen on");
    let listen = vec![Listen { address, written: false }];
    let socket = Some(Socket { path: "/nonexistent/rhumb.sock".into(), written: false });
    let running = serve(&kept, ApiConfig { listen, socket, ..nowhere() }).unwrap();
    assert!(running.addresses().is_empty() && running.socket().is_none());
    running.stop();
}

/// Connections that do nothing take no more than their share: others get in, and the Unix socket is apart.
#[test]
fn a_crowd_does_not_lock_others_out() {
    let kept = kept();
    let socket = kept.1.path().join("api.sock");
    let config =
        ApiConfig { listen: on("127.0.0.1:0"), socket: at(&socket), max_connections: 8, ..nowhere() };
    let running = serve(&kept, config).unwrap();
    let address = running.addresses()[0];
    let connect = |from: &str| {
        let connection = Socket2::new(Domain::IPV4, Type::STREAM, None).unwrap();
        connection.bind(&format!("{from}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.connect(&address.into()).unwrap();
        TcpStream::from(connection)
    };
    let mut crowd: Vec<TcpStream> = (0..40).map(|_| connect("127.0.0.1")).collect();
    // All but six are closed, and it is a clean end: nothing was sent.
    let deadline = Instant::now() + PATIENCE;
    while crowd.len() > 6 {
        assert!(Instant::now() < deadline, "{} are open", crowd.len());
        crowd.retain_mut(|stream| {
            stream.set_nonblocking(true).unwrap();
            stream.read(&mut [0; 1]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        });
    }
    assert!(get(connect("127.0.0.2"), "/healthz").unwrap().ends_with("ok\n"));
    let local: Vec<UnixStream> = (0..7).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    assert!(get(UnixStream::connect(&socket).unwrap(), "/healthz").unwrap().ends_with("ok\n"));
    drop((crowd, local));
    // Their places are free once the server has seen that they went.
    let deadline = Instant::now() + PATIENCE;
    while !get(connect("127.0.0.1"), "/healthz").is_ok_and(|text| text.ends_with("ok\n")) {
        assert!(Instant::now() < deadline, "nobody gets in");
    }
    running.stop();
}

#[test]
fn a_stream_does_not_keep_the_process() {
    let (folder, kept) = (Folder::new(), kept());
    let path = folder.path().join("rhumb.sock");
    let running = serve(&kept, ApiConfig { socket: at(&path), ..nowhere() }).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    let begun = Instant::now();
    running.stop();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// Who signs, and what they sign.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key.
    fn sign(&self, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Signs a server's certificate, and puts it where it is read.
    fn write(&self, folder: &Folder) {
        let (certificate, key) = self.sign(ExtendedKeyUsagePurpose::ServerAuth);
        folder.write("cert.pem", certificate);
        folder.write("key.pem", key);
    }

    /// Gets a path from a server whose certificate it has signed.
    fn get(&self, address: SocketAddr, own: Option<&(String, String)>) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let config = match own {
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        get(StreamOwned::new(connection, TcpStream::connect(address)?), "/healthz")
    }
}

fn tls(folder: &Folder, client_ca: bool) -> ApiConfig {
    let path = |name: &str| folder.path().join(name);
    let client_ca = client_ca.then(|| path("clients.pem"));
    let tls = Tls { certificate: path("cert.pem"), key: path("key.pem"), client_ca };
    // Behind TLS it may be reached from everywhere.
    ApiConfig { listen: on("0.0.0.0:0"), tls: Some(tls), ..nowhere() }
}

#[test]
fn tls_follows_its_files() {
    let (folder, kept) = (Folder::new(), kept());
    refused(&kept, tls(&folder, false), "cert.pem: No such file");
    let (old, new) = (Authority::new(), Authority::new());
    old.write(&folder);
    folder.write("key.pem", "no key");
    refused(&kept, tls(&folder, false), "key.pem: ");
    old.write(&folder);
    let running = serve(&kept, tls(&folder, false)).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], running.addresses()[0].port()));
    assert!(old.get(address, None).unwrap().ends_with("ok\n"));
    assert!(new.get(address, None).is_err(), "it is not theirs yet");
    let plain = get(TcpStream::connect(address).unwrap(), "/healthz");
    assert!(!plain.is_ok_and(|text| text.contains("ok")), "no plain HTTP");
    // What is half there changes nothing.
    folder.write("cert.pem", "-----BEGIN CERTIFICATE-----\n");
    running.reload_tls();
    assert!(old.get(address, None).unwrap().ends_with("ok\n"));
    new.write(&folder);
    running.reload_tls();
    assert!(new.get(address, None).unwrap().ends_with("ok\n"));
    assert!(old.get(address, None).is_err());
    // Nobody needs to say so.
    old.write(&folder);
    let begun = Instant::now();
    while old.get(address, None).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "a changed file is noticed");
        std::thread::sleep(Duration::from_millis(200));
    }
    running.stop();
}

#[test]
fn clients_may_need_a_certificate() {
    let (folder, kept) = (Folder::new(), kept());
    let (servers, clients) = (Authority::new(), Authority::new());
    servers.write(&folder);
    folder.write("clients.pem", &clients.pem);
    let running = serve(&kept, tls(&folder, true)).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], running.addresses()[0].port()));
    assert!(servers.get(address, None).is_err());
    let own = clients.sign(ExtendedKeyUsagePurpose::ClientAuth);
    assert!(servers.get(address, Some(&own)).unwrap().ends_with("ok\n"));
    // The command line has one, too: with it, the server asks for a token; without, it does not talk.
    let write = |name: &str, text: &str| folder.write(name, text);
    write("authority.pem", &servers.pem);
    write("own.pem", &own.0);
    write("own.key", &own.1);
    write(
        "cli.toml",
        &format!(
            "[group.edge]\nservers = [\"https://localhost:{0}\"]\nca = \"authority.pem\"\nclient_cert = \"own.pem\"\nclient_key = \"own.key\"\n",
            address.port()
        ),
    );
    let url = format!("https://localhost:{}", address.port());
    let status = |to: &str| {
        let mut rhumb = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        let words = format!("status --server {to} --cli-config cli.toml");
        let output = rhumb.args(words.split(' ')).current_dir(folder.path()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for (to, code, words) in [
        ("edge".to_string(), 1, "401"),
        (format!("{url} --ca authority.pem --client-cert own.pem --client-key own.key"), 1, "401"),
        (format!("{url} --ca authority.pem"), 3, "is not reachable"),
        (format!("{url} --ca authority.pem --client-key own.key"), 2, "name that with --client-cert"),
        (
            format!("{url} --ca authority.pem --client-cert own.pem"),
            1,
            "name the key's file with --client-key",
        ),
    ] {
        let (ended, said) = status(&to);
        assert!(ended == code && said.contains(words), "{to}: {ended} {said}");
    }
    let stranger = Authority::new().sign(ExtendedKeyUsagePurpose::ClientAuth);
    assert!(servers.get(address, Some(&stranger)).is_err());
    running.stop();
}
