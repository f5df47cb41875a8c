//! Which servers a command talks to, and with which token.
//!
//! ```text
//! --server URL | unix:PATH | GROUP (of the command line's own file)  -> servers
//! nothing                                                            -> rhumb.sock beside the configuration
//! ```

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::blocking::Client;
use reqwest::{Certificate, Identity, Url};

use super::client::Server;
use super::outcome::Wrong;
use super::print_problems;
use crate::config::Config;
use crate::files::{Document, parse_duration};

/// Until a connection stands. A node on another continent takes less than a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The socket beside the configuration, where that cannot be read.
const SOCKET: &str = "rhumb.sock";

// Where to send what is asked. A doc comment would take the place of the help of what this is flattened into.
#[derive(clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// A server's URL, `unix:PATH`, or the name of a group in the command line's own file.
    ///
    /// May be repeated: a write then goes to every server, and each result is shown. Left out, it is the
    /// socket that the configuration names (rhumb.sock beside it), where no token is needed.
    #[arg(long, global = true, env = "RHUMB_SERVER", value_delimiter = ',', value_name = "URL|GROUP")]
    server: Vec<String>,
    /// A file with the token: one secret, or a line `SERVER SECRET` for each server. RHUMB_TOKEN may hold
    /// the secret itself.
    #[arg(long, global = true, env = "RHUMB_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Trust the certificates in this PEM file alone, instead of the system's.
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A PEM file with a certificate of one's own, where the server asks for one.
    #[arg(long, global = true, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// A PEM file with its key; left out, the key is in the same file.
    #[arg(long, global = true, value_name = "FILE")]
    client_key: Option<PathBuf>,
    /// How long a server may take to answer.
    #[arg(long, global = true, default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    timeout: Duration,
    /// The command line's own file, with groups of servers [default: ~/.config/rhumb/cli.toml].
    #[arg(long, global = true, env = "RHUMB_CLI_CONFIG", value_name = "FILE")]
    cli_config: Option<PathBuf>,
    /// Print JSON: what the server says, as it says it.
    #[arg(long, global = true)]
    pub json: bool,
}

/// A secret, and it is not shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The secret itself.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl ServerArgs {
    /// The servers that are meant.
    pub fn servers(&self, config: &Path) -> anyhow::Result<Vec<Server>> {
        self.patient_servers(config, self.timeout)
    }

    /// The same, with another time for each answer, and for each part of one that comes in parts.
    pub fn patient_servers(&self, config: &Path, timeout: Duration) -> anyhow::Result<Vec<Server>> {
        let ServerArgs { token_file, ca, client_cert, client_key, .. } = self;
        let own = Means {
            token_file: token_file.clone(),
            ca: ca.clone(),
            client_cert: client_cert.clone(),
            client_key: client_key.clone(),
        };
        let mut servers = Vec::new();
        for name in &self.server {
            let name = name.trim();
            if is_address(name) {
                servers.push(connect(name, &own, timeout)?);
                continue;
            }
            let group = self.group(name)?;
            let means = own.clone().or(group.means);
            for server in &group.servers {
                servers.push(connect(server, &means, timeout)?);
            }
        }
        if servers.is_empty() {
            let socket = socket(config)?;
            servers.push(connect(&format!("unix:{}", socket.display()), &Means::default(), timeout)?);
        }
        Ok(servers)
    }

    /// Whether the server is the one beside the configuration.
    pub fn is_local(&self) -> bool {
        self.server.is_empty()
    }

    fn group(&self, name: &str) -> anyhow::Result<Group> {
        let file = match &self.cli_config {
            Some(file) => file.clone(),
            None => default_file().context("there is no home folder; name the file with --cli-config")?,
        };
        let text = std::fs::read_to_string(&file);
        let text = text.map_err(|error| {
            Wrong(format!(
                "`{name}` is no URL, and no group: {} cannot be read ({error}); write a server as \
                 https://ns1.example.com:8053",
                file.display()
            ))
        })?;
        let mut groups = read_groups(&file, &text)?;
        match groups.iter().position(|(known, _)| known == name) {
            Some(at) => Ok(groups.swap_remove(at).1),
            None => {
                let known: Vec<_> = groups.iter().map(|(name, _)| name.as_str()).collect();
                let file = file.display();
                bail!(Wrong(format!(
                    "`{name}` is no URL, and no group of {file}: it has {}",
                    known.join(", ")
                )))
            }
        }
    }
}

/// The way to a server.
fn connect(name: &str, means: &Means, timeout: Duration) -> anyhow::Result<Server> {
    static CRYPTOGRAPHY: Once = Once::new();
    CRYPTOGRAPHY.call_once(|| {
        // An error says that one is installed already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    // A proxy is for the web, not for the machines one operates.
    let mut http = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).timeout(timeout);
    if let Some(file) = &means.ca {
        let pem = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            bail!("{}: it has no certificate in PEM", file.display());
        }
        http = http.tls_certs_only(certificates);
    }
    if let Some(identity) = means.identity()? {
        http = http.identity(identity);
    }
    let (name, url) = match name.strip_prefix("unix:") {
        Some(path) => {
            http = http.unix_socket(Path::new(path));
            (path, Url::parse("http://localhost")?)
        }
        None => (name, parse_url(name)?),
    };
    let token = read_token(name, means.token_file.as_deref())?;
    let http = http.build().with_context(|| format!("{name}: no connection can be prepared"))?;
    Ok(Server { name: name.into(), url, http, token })
}

/// The socket of the server that serves this configuration.
fn socket(file: &Path) -> anyhow::Result<PathBuf> {
    match Config::read(file) {
        Ok(config) => match config.api.socket {
            Some(socket) => Ok(socket.path),
            None => bail!(Wrong(format!(
                "{} has no socket under [api]; name a server with --server URL",
                file.display()
            ))),
        },
        // The server may serve what it read before the file was broken.
        Err(_) => Ok(file.with_file_name(SOCKET)),
    }
}

fn is_address(name: &str) -> bool {
    name.contains("://") || name.starts_with("unix:")
}

fn parse_url(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    Ok(url.ok_or_else(|| Wrong(format!("`{text}` is no URL; write one as https://ns1.example.com:8053")))?)
}

/// Servers that are operated together.
struct Group {
    servers: Vec<String>,
    means: Means,
}

/// What opens a server's doors, and tells that it is the right one.
#[derive(Clone, Default)]
struct Means {
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

impl Means {
    /// What stands on the command line is nearer than what stands in a file. A certificate and its key come
    /// from one place.
    fn or(self, group: Means) -> Means {
        let (client_cert, client_key) = match self.client_cert {
            Some(own) => (Some(own), self.client_key),
            None => (group.client_cert, self.client_key.or(group.client_key)),
        };
        Means {
            token_file: self.token_file.or(group.token_file),
            ca: self.ca.or(group.ca),
            client_cert,
            client_key,
        }
    }

    /// The certificate of one's own, with its key.
    fn identity(&self) -> anyhow::Result<Option<Identity>> {
        let read =
            |file: &Path| std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()));
        let Some(certificate) = &self.client_cert else {
            if let Some(key) = &self.client_key {
                bail!(Wrong(format!(
                    "{} is a key without a certificate; name that with --client-cert",
                    key.display()
                )));
            }
            return Ok(None);
        };
        let mut pem = read(certificate)?;
        if let Some(key) = &self.client_key {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        let file = certificate.display();
        let identity = Identity::from_pem(&pem);
        Ok(Some(identity.with_context(|| {
            format!(
                "{file}: a certificate and its key in PEM are needed; name the key's file with --client-key"
            )
        })?))
    }
}

fn default_file() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))?;
    Some(folder.join("rhumb/cli.toml"))
}

fn read_groups(file: &Path, text: &str) -> anyhow::Result<Vec<(String, Group)>> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let document = Document::new(file, text);
    let mut groups = Vec::new();
    if let Some(mut root) = document.read() {
        for (name, mut fields) in root.named_tables("group") {
            fields.object = format!("group {}", name.value);
            fields.require(&["servers"]);
            let mut servers = Vec::new();
            for server in fields.texts("servers") {
                if !is_address(&server.value) {
                    let message =
                        format!("`{}` is no URL; write one as https://ns1.example.com:8053", server.value);
                    fields.error("servers", server.line, message);
                }
                servers.push(server.value);
            }
            let mut path = |name| fields.text(name).map(|path| folder.join(path.value));
            let means = Means {
                token_file: path("token_file"),
                ca: path("ca"),
                client_cert: path("client_cert"),
                client_key: path("client_key"),
            };
            let group = Group { servers, means };
            fields.finish();
            groups.push((name.value, group));
        }
        root.finish();
    }
    let problems = document.into_problems();
    if !problems.is_empty() {
        print_problems(&problems);
        bail!(Wrong(format!("{} cannot be used", file.display())));
    }
    Ok(groups)
}

/// The token for a server, from a file or from the environment.
fn read_token(server: &str, file: Option<&Path>) -> anyhow::Result<Option<Token>> {
    let Some(file) = file else {
        let secret = std::env::var("RHUMB_TOKEN").ok().filter(|secret| !secret.is_empty());
        return Ok(secret.map(Token));
    };
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("{}: the token cannot be read", file.display()))?;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|words: &Vec<_>| !words.is_empty())
        .collect();
    let for_all = lines.iter().find_map(|words| <[&str; 1]>::try_from(&words[..]).ok());
    let own =
        lines.iter().find_map(|words| <[&str; 2]>::try_from(&words[..]).ok().filter(|w| w[0] == server));
    let secret = own.map(|[_, secret]| secret).or(for_all.map(|[secret]| secret));
    match secret {
        Some(secret) => Ok(Some(Token(secret.into()))),
        None => bail!(
            "{}: it has no token for {server}; write the secret alone, or lines of SERVER SECRET",
            file.display()
        ),
    }
}
