//! What monitors cost: 10,000 addresses at the default interval, against servers on loopback in a process of
//! their own. Printed are probes a second, the processor time of the thread `health` as a share of one core and
//! for each probe, and the resident memory of the process with all monitors in it.
//!
//! `node` and `node-failing` are the whole server, with a failover in each of forty pools: the processor time of all its
//! threads, while everything is well, and while a tenth fails.
//!
//! `cargo bench --bench health -- tcp http` measures some of them; `--test` runs each with few addresses for a
//! moment, to see that it runs. The kernel's work for the other end of a loopback connection is charged to
//! whoever sends, so a probe over a real network costs less than is printed here.

mod node;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rhumb::health::Health;
use rhumb::state::model::Time;
use rhumb::state::monitors::{Check, HealthSpec, Kind, Monitored, Plan};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is measured: the word for it, and how many addresses.
const RUNS: [(&str, usize); 5] =
    [("tcp", 10_000), ("http", 10_000), ("ws", 10_000), ("https", 1_000), ("wss", 1_000)];
/// The same with a whole node: so many addresses, of which so many fail.
const NODES: [(&str, usize, usize); 2] = [("node", 10_000, 0), ("node-failing", 10_000, 1_000)];
/// How long each is measured, after its first round and an interval.
const MEASURED: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [serve, word] = &arguments[..]
        && serve == "--serve"
    {
        return serve_forever(word);
    }
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |word: &str| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == word);
    for (word, addresses) in RUNS.into_iter().filter(|(word, _)| is_wanted(word)) {
        match is_test {
            true => measure(word, 50, Duration::from_secs(1), Duration::from_millis(500)),
            false => measure(word, addresses, Duration::from_secs(10), MEASURED),
        }
    }
    for (word, addresses, failing) in NODES.into_iter().filter(|(word, ..)| is_wanted(word)) {
        let server = Server::start("tcp");
        match is_test {
            true => {
                node::measure(
                    word,
                    400,
                    failing / 25,
                    Duration::from_secs(1),
                    Duration::from_millis(500),
                    server.port,
                );
            }
            false => node::measure(word, addresses, failing, Duration::from_secs(10), MEASURED, server.port),
        }
    }
}

fn measure(word: &str, addresses: usize, interval: Duration, time: Duration) {
    let server = Server::start(word);
    let mut check = match word {
        "tcp" => Check::new(Kind::Tcp, server.port),
        "http" => Check::new(Kind::Http, server.port),
        "https" => Check::new(Kind::Https, server.port),
        _ => Check { secure: word == "wss", ping: true, ..Check::new(Kind::WebSocket, server.port) },
    };
    (check.interval, check.tls.verify) = (interval, false);
    let check = Arc::new(check);
    let before = resident_kib(std::process::id());
    let health = Health::start(plan(addresses, &check), |_| {}, Vec::new(), Time::now).expect("a thread");
    assert!(health.wait_first_round(Duration::from_secs(60)), "{word}: the first round ends");
    // The round after the first is thinner: what was probed early is not probed again at once.
    std::thread::sleep(interval.min(time));
    let (begun, cpu, totals) = (Instant::now(), thread_cpu(), health.totals());
    std::thread::sleep(time);
    let (elapsed, cpu) = (begun.elapsed(), thread_cpu() - cpu);
    let ended = health.totals();
    let probes = ended.probes - totals.probes;
    println!(
        "{word}: {addresses} addresses at {interval:?}: {:.0} probes/s, {:.1} % of a core, {:.0} us a probe, \
         {:.1} MB resident ({:.1} MB before), {} failed, {} late",
        probes as f64 / elapsed.as_secs_f64(),
        cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0,
        cpu.as_secs_f64() * 1e6 / probes.max(1) as f64,
        resident_kib(std::process::id()) as f64 / 1024.0,
        before as f64 / 1024.0,
        ended.failures,
        ended.late,
    );
    assert_eq!(ended.failures, 0, "{word}: every server is well");
    health.stop();
}

/// One monitor of each of so many answers in pools of a hundred, each with an address of its own.
fn plan(addresses: usize, check: &Arc<Check>) -> Plan {
    let monitored = (0..addresses).map(|number| {
        let [_, _, high, low] = (number as u32).to_be_bytes();
        Monitored {
            monitor: format!("monitor-{}", number / 100),
            answer: format!("pool-{}/pop-{}", number / 100, number % 100),
            pool: format!("pool-{}", number / 100),
            site: format!("pop-{}", number % 100),
            addresses: vec![IpAddr::V4(Ipv4Addr::new(127, 1, high, low))],
            check: check.clone(),
        }
    });
    Plan { monitored: monitored.collect(), health: HealthSpec::default() }
}

/// Processor time of the thread that probes, as the kernel counts it.
fn thread_cpu() -> Duration {
    let threads =
        fs::read_dir("/proc/self/task").expect("Linux").map(|entry| entry.expect("a thread").path());
    let is_ours = |path: &std::path::PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "health")
    };
    let path = threads.into_iter().find(is_ours).expect("the thread `health`");
    let statistics = fs::read_to_string(path.join("schedstat")).expect("schedstat");
    Duration::from_nanos(statistics.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number"))
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// This program again, serving.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(word: &str) -> Server {
        let this = std::env::current_exe().expect("this program");
        let mut child =
            Command::new(this).args(["--serve", word]).stdout(Stdio::piped()).spawn().expect("a server");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("its port");
        Server { child, port: line.trim().parse().expect("a port") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve_forever(word: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let acceptor = matches!(word, "https" | "wss").then(acceptor);
    runtime.block_on(async {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address").port());
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (acceptor, word) = (acceptor.clone(), word.to_string());
            tokio::spawn(async move {
                match acceptor {
                    None => serve(stream, &word).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, &word).await;
                        }
                    }
                }
            });
        }
    });
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, word: &str) {
    match word {
        "tcp" => drop(stream.read(&mut [0]).await),
        "http" | "https" => {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
        _ => {
            if let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await {
                while let Some(Ok(_)) = socket.next().await {}
            }
        }
    }
}

fn acceptor() -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has both")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a key that fits");
    TlsAcceptor::from(Arc::new(config))
}
