//! The failover, to be watched: `deploy/demo/run`. What it is made of is in `tests/support/swarm`.

#[path = "../tests/support/swarm/mod.rs"]
mod swarm;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use swarm::clients::Met;
use swarm::node::of_health;
use swarm::pops::Behaviour;
use swarm::resolver::Given;
use swarm::{BACKUP, DETECT_FOR, PLACES, PRIMARY, World, number_of, pop_of, watermarks};
use tokio::time::{interval, sleep};

const CLIENTS_OF_EACH: usize = 40;
/// How long everybody settles before the script begins.
const SETTLES: Duration = Duration::from_secs(5);

/// The script: in which second what becomes of whom, and the words for it.
const SCRIPT: [(u64, &str, Behaviour, &str); 4] = [
    (10, "dublin", Behaviour::Dead, "Dublin is killed: its servers refuse, and every connection is gone"),
    (30, "dublin", Behaviour::Well, "Dublin's servers answer again"),
    (
        46,
        "tokyo",
        Behaviour::HalfDead,
        "In Tokyo half of the addresses fail: they leave the answers, Tokyo stays",
    ),
    (54, "tokyo", Behaviour::Well, "Tokyo is whole again"),
];
const ENDS: u64 = 60;

fn main() {
    let folder = std::env::temp_dir().join(format!("rhumb-demo-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads can be started").block_on(show(&folder));
    // What is left of it disturbs nobody.
    let _ = std::fs::remove_dir_all(&folder);
}

/// rhumb, built beside us.
fn binary() -> PathBuf {
    let ours = std::env::current_exe().expect("we run");
    let binary = ours.ancestors().nth(2).expect("examples lie in a folder").join("rhumb");
    if !binary.exists() {
        eprintln!("{} is not there; start this with deploy/demo/run, which builds both", binary.display());
        std::process::exit(1);
    }
    binary
}

async fn show(folder: &Path) {
    println!(
        "Twelve PoPs, {} chat clients, one resolver that keeps answers for a second, and rhumb, which probes\n\
         every PoP once a second. A client asks for wss-primary; where it cannot connect, for wss-backup.\n\
         It takes {} seconds. Starting ...\n",
        CLIENTS_OF_EACH * PLACES.len(),
        SETTLES.as_secs() + ENDS
    );
    // Ctrl-C ends it as its own end does.
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, stop.clone()).expect("signals can be taken");
    let world = World::start(&binary(), folder, CLIENTS_OF_EACH).await;
    sleep(SETTLES).await;
    let mut story = Story::new();
    let mut second = interval(Duration::from_secs(1));
    for now in 0..=ENDS {
        second.tick().await;
        if stop.load(Ordering::Relaxed) {
            return;
        }
        for (_, pop, behaviour, words) in SCRIPT.iter().filter(|(at, ..)| *at == now) {
            world.pop(pop).behave(*behaviour);
            story.happens(now, (*words).into());
        }
        world.report_load();
        story.look(now, &world);
        story.print(now, &world);
    }
    story.sum_up(&world);
}

/// What happened so far.
struct Story {
    begun: Instant,
    events: Vec<String>,
    heard: usize,
    /// Every answer that a client got.
    given: Vec<Given>,
    /// By PoP, the most connections it had while Dublin was down, and since.
    most: [Vec<usize>; 2],
    is_terminal: bool,
}

impl Story {
    fn new() -> Story {
        Story {
            begun: Instant::now(),
            events: Vec::new(),
            heard: 0,
            given: Vec::new(),
            most: [vec![0; PLACES.len()], vec![0; PLACES.len()]],
            is_terminal: std::io::stdout().is_terminal(),
        }
    }

    fn happens(&mut self, second: u64, words: String) {
        if !self.is_terminal {
            println!("{second:>3} s  * {words}");
        }
        self.events.push(format!("{second:>3} s  {words}"));
    }

    /// What rhumb has said since the last look, and how the PoPs are.
    fn look(&mut self, second: u64, world: &World) {
        let lines = world.node.lines();
        for line in &lines[self.heard..] {
            if let Some(words) = of_health(line) {
                self.happens(second, format!("rhumb: {words}"));
            }
        }
        self.heard = lines.len();
        self.given.extend(world.resolver.take_given());
        let [killed, revived] = [SCRIPT[0].0, SCRIPT[1].0];
        if second >= killed {
            let most = &mut self.most[usize::from(second >= revived)];
            most.iter_mut().zip(world.open()).for_each(|(most, open)| *most = open.max(*most));
        }
    }

    /// The table, over the one before where this is a terminal; a line a second otherwise.
    fn print(&self, second: u64, world: &World) {
        let (pops, open) = (world.node.pops(), world.open());
        let all = open.iter().sum::<usize>().max(1);
        let state = |name: &str| match pops.iter().find(|(pop, ..)| pop == name) {
            Some((_, state, percent)) if state == "draining" => format!("{percent:.0} % out"),
            Some((_, state, _)) => state.clone(),
            None => "?".into(),
        };
        if !self.is_terminal {
            // Those that are as usual are not worth a word each.
            let usual = CLIENTS_OF_EACH * 9 / 10..=CLIENTS_OF_EACH * 11 / 10;
            let (mut line, mut others) = (Vec::new(), 0);
            for (place, open) in PLACES.iter().zip(&open) {
                match state(place.name).as_str() {
                    "serving" if usual.contains(open) => others += 1,
                    state => line.push(format!("{} {open} ({state})", place.name)),
                }
            }
            line.push(format!("{others} PoPs with about {CLIENTS_OF_EACH} each"));
            println!("{second:>3} s  {}", line.join(", "));
            return;
        }
        let mut screen = format!("\x1b[2J\x1b[H{second:>3} s of {ENDS}\n\n");
        screen += &format!("{:<12}{:<12}{:>12}{:>8}\n", "PoP", "state", "connections", "share");
        for (place, open) in PLACES.iter().zip(&open) {
            let share = 100 * open / all;
            let bar = "#".repeat(open / 4);
            screen += &format!("{:<12}{:<12}{open:>12}{share:>6} %  {bar}\n", place.name, state(place.name));
        }
        screen += "\n";
        let unseen = self.events.len().saturating_sub(12);
        screen += &self.events[unseen..].join("\n");
        println!("{screen}");
        // A screen that cannot be written is nobody's.
        let _ = std::io::stdout().flush();
    }

    /// What was measured.
    fn sum_up(&self, world: &World) {
        let dublin = number_of("dublin");
        let killed = self.begun + Duration::from_secs(SCRIPT[0].0);
        let revived = self.begun + Duration::from_secs(SCRIPT[1].0);
        let is_dublin = |given: &Given| given.addresses.first().is_some_and(|a| pop_of(*a) == "dublin");
        let named = |name: &'static str| {
            self.given.iter().filter(move |given| given.name.eq_ignore_ascii_case(name) && given.at > killed)
        };
        let at_dead = |given: &&Given| is_dublin(given) && given.at < revived;
        let seconds = |at: Option<Instant>, since: Instant| {
            at.map_or("never".into(), |at| {
                format!("{:.1} s", at.saturating_duration_since(since).as_secs_f64())
            })
        };
        let logged = |words, since| world.node.logged(words, since).map(|(at, _)| at);
        let drained = logged("drain: dublin", killed);
        let last = named(PRIMARY).filter(at_dead).map(|given| given.at).max();
        let detected = drained.map_or(revived, |drained| drained - DETECT_FOR);
        let backup: Vec<&Given> = named(BACKUP)
            .filter(|given| given.at <= detected && given.client.octets()[1] == 64 + dublin as u8)
            .collect();
        let hit = |draws_alone: bool| {
            let counted: Vec<_> = backup.iter().filter(|given| !(draws_alone && given.from_cache)).collect();
            format!("{} of {}", counted.iter().filter(|given| is_dublin(given)).count(), counted.len())
        };
        let (_, high) = watermarks(CLIENTS_OF_EACH);
        let most = |which: usize| {
            let (most, place) =
                self.most[which].iter().zip(&PLACES).max_by_key(|(most, _)| **most).expect("PoPs");
            format!("{most} in {} (usual: {CLIENTS_OF_EACH}, high watermark: {high})", place.name)
        };
        let met = &world.swarm.met;
        println!("\nMeasured, from the second Dublin was killed:\n");
        println!("  last client sent to Dublin by wss-primary   {}", seconds(last, killed));
        println!("  Dublin drained                              {}", seconds(drained, killed));
        println!("  until it was found down, wss-backup said Dublin to its clients:");
        println!("      by rhumb                                {}", hit(true));
        println!("      with what the resolver kept of it       {}", hit(false));
        println!("  most connections while it was away          {}", most(0));
        println!("  most connections since it is back           {}", most(1));
        println!(
            "  its return began                            {} after its recovery",
            seconds(logged("undrain: dublin", revived), revived)
        );
        println!(
            "  connections                                 {} opened, {} lost, {} tries failed",
            Met::read(&met.opened),
            Met::read(&met.lost),
            Met::read(&met.failed_on_primary) + Met::read(&met.failed_on_backup)
        );
    }
}
