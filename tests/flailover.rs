//! A PoP is killed under a swarm of chat clients, and comes back: the real binary, real sockets, real time.
//!
//! Bounds are those that are promised, plus `SLACK` for a machine that does other things at the same time;
//! what was measured is printed (`--nocapture`). How each kind of gray failure is judged, second by second, is
//! in `tests/failover`, where time is a value.

mod support;
#[path = "support/swarm/mod.rs"]
mod swarm;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use support::Folder;
use swarm::clients::Met;
use swarm::node::of_health;
use swarm::pops::Behaviour;
use swarm::resolver::{Given, ask};
use swarm::{
    BACKUP, DETECT_FOR, FALL, INTERVAL, PLACES, PRIMARY, RETURN, RETURN_AFTER, TIMEOUT, TTL, World, network,
    number_of, pop_of, watermarks,
};
use tokio::time::sleep;

/// What a busy machine may take longer, at each step.
const SLACK: Duration = Duration::from_secs(3);
const CLIENTS_OF_EACH: usize = 12;
/// One world at a time: two would steal each other's time.
static ALONE: Mutex<()> = Mutex::new(());

fn run<F: Future<Output = ()>>(scenario: impl FnOnce(World) -> F) {
    let _alone = ALONE.lock();
    let folder = Folder::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let binary = Path::new(env!("CARGO_BIN_EXE_rhumb"));
        scenario(World::start(binary, folder.path(), CLIENTS_OF_EACH).await).await;
    });
}

/// Where a client near a PoP is sent.
async fn sent(world: &World, name: &str, near: &str, number: usize) -> &'static str {
    let answer = ask(world.node.dns, name, network(number_of(near), number)).await.unwrap();
    pop_of(answer.addresses[0])
}

/// Looks ten times a second, reporting load twice, until something is so; the time it took. The highest
/// number of open connections of each PoP is kept.
async fn until<T>(
    world: &World,
    most: &mut [usize],
    limit: Duration,
    what: &str,
    mut is_so: impl AsyncFnMut() -> Option<T>,
) -> (Duration, T) {
    let begun = Instant::now();
    for turn in 0.. {
        for (most, open) in most.iter_mut().zip(world.open()) {
            *most = open.max(*most);
        }
        if turn % 5 == 0 {
            world.report_load();
        }
        if let Some(it) = is_so().await {
            return (begun.elapsed(), it);
        }
        assert!(
            begun.elapsed() < limit,
            "{what} within {limit:?}; open: {:?}; the log:\n{}",
            world.open(),
            world.node.lines().join("\n")
        );
        sleep(Duration::from_millis(100)).await;
    }
    unreachable!("the loop ends by itself")
}

/// What the demo tells of rhumb's log.
#[test]
fn what_health_says_is_found_in_the_log() {
    let check = |line: &str, expect| assert_eq!(of_health(line), expect, "{line}");
    let drain = "2026-11-30T22:29:20.689139Z  INFO drain: dublin in pool wss by 100 % (refused) revision=1 by=BY from=\
                 forced=false";
    check(&drain.replace("BY", "health"), Some("drain: dublin in pool wss by 100 % (refused)"));
    check(&drain.replace("BY", "anna"), None);
    check("2026-11-30T22:29:20.689139Z ERROR health: tokyo fails", Some("tokyo fails"));
    check("2026-11-30T22:29:20.689139Z  INFO health: no longer: tokyo fails", Some("no longer: tokyo fails"));
    check("2026-11-30T22:29:20.689139Z  INFO loaded load=1 zones=2", None);
}

#[test]
fn a_pop_is_killed_and_comes_back() {
    run(async |world| {
        let (_, high) = watermarks(CLIENTS_OF_EACH);
        let dublin = number_of("dublin");
        let mut most = vec![0; PLACES.len()];
        let settled = async || world.open().iter().all(|open| *open >= CLIENTS_OF_EACH / 2).then_some(());
        until(&world, &mut most, SLACK * 5, "every PoP has clients", settled).await;
        assert_eq!(sent(&world, PRIMARY, "dublin", 0).await, "dublin");
        world.resolver.take_given();

        let killed = Instant::now();
        world.pop("dublin").behave(Behaviour::Dead);
        // Before it is detected, one in three of wss-backup's answers still is the dead PoP.
        let mut hits = 0;
        for number in 0..300 {
            hits += usize::from(sent(&world, BACKUP, "dublin", number % 256).await == "dublin");
        }
        let asking = killed.elapsed();
        if sent(&world, PRIMARY, "dublin", 0).await == "dublin" {
            assert!((60..=140).contains(&hits), "{hits} of 300 of wss-backup's answers are the dead PoP");
        }

        let bound = INTERVAL * FALL + TIMEOUT + Duration::from_secs(1);
        let gone = async || (sent(&world, PRIMARY, "dublin", 0).await != "dublin").then_some(());
        until(&world, &mut most, bound + SLACK, "the dead PoP is detected", gone).await;
        let detected = killed.elapsed();
        assert!(detected < bound + SLACK, "detected after {detected:?}");
        let drain = async || world.node.logged("drain: dublin in pool wss by 100 %", killed);
        until(&world, &mut most, DETECT_FOR + SLACK, "it is drained", drain).await;
        let drained = Instant::now();

        // What resolvers kept runs out, and then nobody is sent there any more.
        let begun = Instant::now();
        let waited = async || (begun.elapsed() > Duration::from_secs(3)).then_some(());
        until(&world, &mut most, SLACK * 3, "a while", waited).await;
        let given = world.resolver.take_given();
        let at_dead = |given: &&Given| {
            given.name.eq_ignore_ascii_case(PRIMARY) && given.addresses.iter().any(|a| pop_of(*a) == "dublin")
        };
        let last = given.iter().filter(at_dead).map(|given| given.at).max();
        let late = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(drained));
        assert!(late <= TTL + Duration::from_millis(500), "sent to the dead PoP {late:?} after its drain");
        let from_cache = given.iter().filter(|given| given.from_cache).count();
        assert!(from_cache > 0, "the resolver keeps what it may");
        assert!(given.iter().any(|given| given.client.octets()[1] == 64 + dublin as u8));
        assert_eq!(world.open()[dublin], 0);
        let failing = most.clone();

        world.pop("dublin").behave(Behaviour::Well);
        let revived = Instant::now();
        most.fill(0);
        let well = (INTERVAL * 2 + TIMEOUT) + RETURN_AFTER;
        let begins = async || world.node.logged("undrain: dublin in pool wss", revived);
        until(&world, &mut most, well + SLACK, "it begins to come back", begins).await;
        let began = revived.elapsed();
        assert!(began >= RETURN_AFTER, "not before it was well for long enough: {began:?}");
        let is_whole = async || {
            let pops = world.node.pops();
            pops.iter().find(|(pop, state, _)| pop == "dublin" && state == "serving").map(drop)
        };
        until(&world, &mut most, RETURN + SLACK, "all of its clients are back", is_whole).await;
        let back = revived.elapsed();
        assert!(back >= began + RETURN - RETURN_AFTER - Duration::from_millis(500), "in steps: {back:?}");
        let full = async || (world.open()[dublin] >= CLIENTS_OF_EACH / 2).then_some(());
        until(&world, &mut most, SLACK * 5, "they have come", full).await;
        for (place, most) in PLACES.iter().zip(&most) {
            assert!(*most < high, "{} had {most} connections in the return, its mark is {high}", place.name);
        }
        assert_eq!(world.node.logged("ERROR", killed), None);
        let lines = world.node.lines();
        let acts: Vec<&str> = lines.iter().filter_map(|line| of_health(line)).collect();
        let begins = |words: &str| acts.iter().any(|act| act.starts_with(words));
        assert!(
            begins("drain: dublin in pool wss by 100 % (") && begins("undrain: dublin in pool wss ("),
            "{acts:?}"
        );

        let met = &world.swarm.met;
        println!("detected after            {detected:.1?} (promised: {bound:.1?})");
        println!("drained after             {:.1?}", drained - killed);
        println!("last sent there           {:.1?} after the kill", last.map(|last| last - killed));
        println!("wss-backup still there    {hits} of 300 (asked within {asking:.1?} of the kill)");
        println!(
            "tries that failed         {} on wss-primary, {} on wss-backup",
            Met::read(&met.failed_on_primary),
            Met::read(&met.failed_on_backup)
        );
        println!("most connections, failing {failing:?} (usual: {CLIENTS_OF_EACH}, high watermark: {high})");
        println!("most connections, return  {most:?}");
        println!("begins to come back after {began:.1?}, all back after {back:.1?}");
    });
}

/// Half of a PoP's addresses leave the answers, and it stays; one that is slow is down; and where half of the
/// connections are lost, clients find their way all the same.
#[test]
fn half_of_the_addresses_and_a_slow_pop() {
    run(async |world| {
        let mut most = vec![0; PLACES.len()];
        let addresses = async |near: &str| -> Vec<Ipv4Addr> {
            let answer = ask(world.node.dns, PRIMARY, network(number_of(near), 7)).await.unwrap();
            answer.addresses
        };
        assert_eq!(addresses("tokyo").await.len(), 2);
        world.pop("tokyo").behave(Behaviour::HalfDead);
        world.pop("sydney").behave(Behaviour::Slow(TIMEOUT * 2));
        world.pop("mumbai").behave(Behaviour::DropsHalf);
        let bound = INTERVAL * FALL + TIMEOUT + Duration::from_secs(1) + SLACK;
        let one_left = async || (addresses("tokyo").await.len() == 1).then_some(());
        until(&world, &mut most, bound, "the dead addresses leave the answer", one_left).await;
        let elsewhere = async || (sent(&world, PRIMARY, "sydney", 7).await != "sydney").then_some(());
        until(&world, &mut most, bound, "the slow PoP is left out", elsewhere).await;
        let all = CLIENTS_OF_EACH * PLACES.len();
        let connected = async || (world.open().iter().sum::<usize>() >= all * 8 / 10).then_some(());
        until(&world, &mut most, SLACK * 5, "nearly all are connected", connected).await;
        assert!(Met::read(&world.swarm.met.failed_on_primary) > 0, "some had to try again");
        assert_eq!(sent(&world, PRIMARY, "tokyo", 7).await, "tokyo");
        let pops = world.node.pops();
        let state =
            |name: &str| pops.iter().find(|(pop, ..)| pop == name).map(|(_, state, _)| state.as_str());
        assert_eq!(state("tokyo"), Some("serving"));
        assert!(matches!(state("sydney"), Some("down" | "drained")), "{pops:?}");
    });
}

/// Killed while a PoP is out, rhumb has it out from its first answer on.
#[test]
fn a_restart_forgets_nothing() {
    run(async |mut world| {
        let mut most = vec![0; PLACES.len()];
        let killed = Instant::now();
        world.pop("tokyo").behave(Behaviour::Dead);
        let bound = INTERVAL * FALL + TIMEOUT + Duration::from_secs(1) + DETECT_FOR + SLACK;
        let drained = async || world.node.logged("drain: tokyo in pool wss by 100 %", killed);
        until(&world, &mut most, bound, "it is drained", drained).await;
        // Verdicts are on disk within a second.
        sleep(Duration::from_millis(1_500)).await;
        world.node.restart();
        assert_ne!(sent(&world, PRIMARY, "tokyo", 0).await, "tokyo");
        let states = world.node.pops();
        let tokyo = ("tokyo".to_string(), "drained".to_string(), 100.0);
        assert!(states.contains(&tokyo), "{states:?}");
    });
}
