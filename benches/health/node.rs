//! A whole node: the real binary with ten thousand addresses in forty pools, each with a failover. `target/tmp` keeps the
//! files it was started with.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const POOLS: usize = 40;
/// What the kernel counts processor time in: a hundredth of a second, on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// rhumb, serving. Dropping it kills it.
pub struct Node {
    child: Child,
}

impl Node {
    /// Starts it over so many answers with an address each, and waits until the first round is over. Of some of each
    /// pool a second monitor asks a port at which nobody is.
    pub fn start(folder: &Path, answers: usize, failing: usize, interval: Duration, port: u16) -> Node {
        write_files(folder, answers / POOLS, failing / POOLS, interval, port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.arg("serve").current_dir(folder).env_remove("RUST_LOG").stderr(Stdio::piped());
        let mut child = command.spawn().expect("rhumb starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("serving DNS over UDP and TCP") {
            line.clear();
            assert!(log.read_line(&mut line).expect("its log") > 0, "rhumb has ended");
        }
        // Nobody must wait for us to read.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Node { child }
    }

    /// Processor time of all its threads.
    pub fn cpu(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, fields) = text.rsplit_once(')').expect("a name in brackets");
        // User and system time are the fields 14 and 15, and what is left begins with the third (proc(5)).
        let ticks =
            fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().expect("ticks"));
        TICK * ticks.sum::<u32>()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it for a while, and prints what it took.
pub fn measure(word: &str, answers: usize, failing: usize, interval: Duration, time: Duration, port: u16) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{word}"));
    let _ = fs::remove_dir_all(&folder);
    let node = Node::start(&folder, answers, failing, interval, port);
    // What fails is down by then, and drained as far as it may be.
    std::thread::sleep(interval.min(time) * 5);
    let (begun, cpu) = (Instant::now(), node.cpu());
    std::thread::sleep(time);
    let share = (node.cpu() - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!(
        "{word}: {answers} addresses at {interval:?} in {POOLS} pools with failover, {failing} failing: {:.1} % of a \
         core for all threads, {:.1} MB resident",
        share * 100.0,
        super::resident_kib(node.id()) as f64 / 1024.0,
    );
}

fn write_files(folder: &Path, answers: usize, failing: usize, interval: Duration, port: u16) {
    let write = |file: &str, text: &str| {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    };
    write(
        "rhumb.toml",
        "[listen]\naddresses = [\"127.0.0.1:0\"]\nudp_threads = 1\n[api]\nlisten = []\nsocket = \"rhumb.sock\"\n",
    );
    write(
        "zones/example.com.zone",
        "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 14d 5m\n@ NS ns1\nns1 A 127.0.0.1\n",
    );
    let rhythm = format!("kind = \"tcp\"\ninterval = \"{}ms\"\n", interval.as_millis());
    let timeout = format!("timeout = \"{}ms\"\n", interval.as_millis().min(2000));
    let mut text = String::new();
    for pop in 0..answers {
        writeln!(text, "[pop.pop-{pop}]\ncountry = \"IE\"").expect("memory");
    }
    for pool in 0..POOLS {
        writeln!(text, "[pool.pool-{pool}]\nfailover = {{ for = \"5s\" }}").expect("memory");
        for pop in 0..answers {
            let [high, low] = ((pool * answers + pop) as u16).to_be_bytes();
            writeln!(text, "[[pool.pool-{pool}.answer]]\npop = \"pop-{pop}\"\na = \"127.1.{high}.{low}\"")
                .expect("memory");
        }
        writeln!(text, "[[record]]\nname = \"pool-{pool}.example.com\"\npool = \"pool-{pool}\"\nfilters = [\"up\", \"select_first_n\"]")
            .expect("memory");
        let target = format!("pool = \"pool-{pool}\"");
        writeln!(text, "[monitor.pool-{pool}]\n{rhythm}{timeout}port = {port}\ntarget = {{ {target} }}")
            .expect("memory");
        for pop in 0..failing {
            writeln!(
                text,
                "[monitor.dead-{pool}-{pop}]\n{rhythm}{timeout}port = 9\ntarget = {{ {target}, pop = \"pop-{pop}\" }}"
            )
            .expect("memory");
        }
    }
    write("filter-chains/pools.toml", &text);
}
