//! How a query is answered, and why: the serving walk with a tracer, in words.
//!
//! The steps come from the same chain over the same picks, the answer from
//! [`Worker::answer`](super::Worker::answer) itself with the same random number, so that what is explained
//! is what would be sent.

mod question;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::Snapshot;
use super::steering::chances::{coins, is_taken};
use super::steering::{Family, Live, Record, Rung, Scratch, Steering, What, steer};
use super::zones::Found;
use crate::chain::trace::{Recorder, Step};
use crate::chain::{Ask, PlacedBy};
use crate::geo::World;
use crate::wire::{Name, Qname, record_type};

use question::ask;
pub use question::{Question, parse_subnet, parse_type};

/// An explained query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The name and type.
    pub question: String,
    /// The client's network, where one was given.
    pub client: Option<String>,
    /// The packet's address.
    pub resolver: String,
    /// What the name is to us.
    pub found: String,
    /// How a steered record came to its answer.
    pub steered: Option<SteeredWalk>,
    /// The response code.
    pub rcode: String,
    /// The ECS scope answered, where a subnet was given.
    pub scope: Option<u8>,
    /// Who made the scope as narrow as it is.
    pub scope_by: String,
    /// The records of the answer section, as text.
    pub answer: Vec<String>,
    /// The records of the authority section, as text.
    pub authority: Vec<String>,
    /// The records of the additional section, as text: the addresses of a referral's name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional: Vec<String>,
}

/// The walk of a steered record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SteeredWalk {
    /// Where the client is, and who says so.
    pub client_place: String,
    /// Where the resolver is, and who says so.
    pub resolver_place: String,
    /// Which of them placed the client for the chain's geographic filters.
    pub placed_by: String,
    /// How far the ladder of last resort was climbed.
    pub rung: String,
    /// Answers that drains and splits left out, and why.
    pub left_out: Vec<Remark>,
    /// Answers that are drained and in play all the same: for others, or because nothing else is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drained: Vec<Remark>,
    /// The chain.
    pub steps: Vec<ExplainedStep>,
    /// What is left, in order.
    pub picks: Vec<String>,
    /// The TTL and what makes it so, where the record gives a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
}

/// A filter at work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedStep {
    /// Its name.
    pub filter: String,
    /// The answers after it, in order.
    pub kept: Vec<Remark>,
    /// The answers it removed.
    pub dropped: Vec<Remark>,
    /// Whether it changed the order of what it kept.
    pub reordered: bool,
    /// Whether it stood aside because nothing would have been left.
    pub bypassed: bool,
    /// The scope after it, in bits, where it narrowed it.
    pub narrowed_to: Option<u8>,
}

/// An answer, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remark {
    /// The answer's name.
    pub answer: String,
    /// Why; may be empty.
    pub why: String,
}

/// What is known of an answer by its identity, in words.
type Words<'v> = dyn Fn(&str) -> Option<String> + 'v;

/// What whoever serves knows of answers, and a snapshot does not.
pub struct Known<'v> {
    /// Where one is down: which monitor says no, why, and since when.
    pub down: &'v Words<'v>,
    /// Where one is drained: the drains, whose they are, and why.
    pub drained: &'v Words<'v>,
}

/// Explains a query of what the files say.
pub fn explain(snapshot: &Arc<ArcSwap<Snapshot>>, world: &World, question: &Question) -> Explanation {
    explain_live(snapshot, world, question, &Known { down: &|_| None, drained: &|_| None })
}

/// Explains a query of what is served, with what is known of it.
pub fn explain_live(
    snapshot: &Arc<ArcSwap<Snapshot>>,
    world: &World,
    question: &Question,
    known: &Known,
) -> Explanation {
    let current = snapshot.load();
    let mut explanation = Explanation {
        question: format!("{} {}", question.name, question.qtype),
        client: question.client.map(|(address, source)| format!("{address}/{source}")),
        resolver: question.resolver.to_string(),
        found: String::new(),
        steered: None,
        rcode: String::new(),
        scope: None,
        scope_by: "nothing: no step looked at the client's address".into(),
        answer: Vec::new(),
        authority: Vec::new(),
        additional: Vec::new(),
    };
    let qtype = u16::from(question.qtype);
    let steered = find(&current, &question.name, qtype, &mut explanation.found);
    if let Some((record, family)) = steered {
        let (walk, scope_by) = walk(&current, world, (record, family), question, known);
        explanation.steered = Some(walk);
        explanation.scope_by = scope_by;
    }
    ask(snapshot, question, &mut explanation);
    explanation
}

/// What the name is to us, in words; the steered record and family that answer.
fn find<'s>(
    snapshot: &'s Snapshot,
    name: &Name,
    qtype: u16,
    found: &mut String,
) -> Option<(&'s Record, Family)> {
    let called = |wire: &[u8]| Name::from_wire(wire).map_or_else(|_| String::new(), |name| name.to_string());
    match snapshot.zones.find(&Qname::from(name), qtype == record_type::DS) {
        Found::NoZone => *found = "in no zone of ours".into(),
        Found::Delegated(cut) => *found = format!("delegated at {}", called(cut.name())),
        Found::NoName(node) => *found = format!("no such name in zone {}", called(node.apex())),
        Found::Name(node) => {
            let zone = called(node.apex());
            let by_wildcard = node.name() != name.to_lowercase().as_wire();
            let by = if by_wildcard { format!(" by {}", called(node.name())) } else { String::new() };
            if let Some(index) = node.steered() {
                let record = &snapshot.records[index as usize];
                let live = &snapshot.live[record.steering as usize];
                let is_cname = snapshot.steerings[record.steering as usize].is_cname;
                let family = if is_cname { Some(Family::Cname) } else { Family::of_type(qtype) };
                if let Some(family) = family.filter(|family| live.has(*family)) {
                    *found = format!("steered record of zone {zone}{by}");
                    return Some((record, family));
                }
                *found = format!("a name of zone {zone}{by} that is steered for other types");
                return None;
            }
            *found = format!("static name of zone {zone}{by}");
        }
    }
    None
}

fn walk(
    snapshot: &Snapshot,
    world: &World,
    (record, family): (&Record, Family),
    question: &Question,
    known: &Known,
) -> (SteeredWalk, String) {
    let (steering, live) =
        (&snapshot.steerings[record.steering as usize], &snapshot.live[record.steering as usize]);
    let whole = |address: IpAddr| (address, if address.is_ipv4() { 32 } else { 128 });
    let subnet = question.client.filter(|(_, source)| *source > 0 && record.use_client_subnet);
    let (client, source) = subnet.unwrap_or(whole(question.resolver));
    let placed = world.lookup(client).location.or_else(|| world.lookup(question.resolver).location);
    let ask = Ask {
        client,
        source,
        resolver: question.resolver,
        place: placed.or(world.default_place()),
        random: fastrand::Rng::with_seed(question.seed).u64(..),
        record_salt: record.salt,
        ignore_health: false,
    };
    let mut scratch = Scratch::default();
    let mut recorder = Recorder::default();
    let steered = steer(record, steering, live, family, ask, &mut scratch, &mut recorder);
    let picks = &scratch.picks;
    let name = |answer: &u8| steering.answers[*answer as usize].name.clone();
    let down = |answer: &u8| said_down(steering, live, *answer as usize, known.down);
    let drained = |answer: &u8| explain_drains(steering, live, *answer, &ask, known.drained);
    let started = recorder.steps.first().map_or(picks.as_slice(), |step| &step.before);
    let in_play =
        started.iter().filter_map(|answer| Some(Remark { answer: name(answer), why: drained(answer)? }));
    let mut scope_by = "nothing: no step looked at the client's address".to_string();
    for step in recorder.steps.iter().filter(|step| step.scope_after > step.scope_before) {
        scope_by = format!("filter {}", step.filter);
    }
    if steered.coin_mattered {
        scope_by = explain_coins(steering, live, &coins(steering, live, family, &steered, ask));
    }
    if steered.spread {
        scope_by = "the record's spread, because a step of the chain draws per query".into();
    }
    let walk = SteeredWalk {
        client_place: describe(world, client),
        resolver_place: describe(world, question.resolver),
        placed_by: match picks.placed() {
            PlacedBy::NotAsked => "no geographic filter asked",
            PlacedBy::Client => "the client's address",
            PlacedBy::Resolver => "the resolver's address, because no source knows the client's",
            PlacedBy::Default => "default_place, because no source knows client or resolver",
            PlacedBy::Nothing => "nothing: no source knows client or resolver, so the record's order stands",
        }
        .into(),
        rung: match steered.rung {
            Rung::Up if live.panic => "health is ignored: below the panic threshold",
            Rung::Up => "undrained",
            Rung::Down => "undrained but down: nothing undrained is up",
            Rung::PartlyDrained => "drained for a part of the clients: nothing else is left for this one",
            Rung::Drained => "drained: every answer of the record is",
        }
        .into(),
        left_out: left_out(steering, live, family, started, down, drained),
        drained: in_play.collect(),
        steps: recorder.steps.iter().map(|step| explain_step(step, name, down)).collect(),
        picks: picks.as_slice().iter().map(name).collect(),
        ttl: (record.ttl_min < record.ttl).then(|| explain_ttl(record, live)),
    };
    (walk, scope_by)
}

/// The drains and splits whose coins decide about one of this client's answers.
fn explain_coins(steering: &Steering, live: &Live, tossed: &[Vec<u8>]) -> String {
    let site = |answers: &Vec<u8>| {
        let first = &steering.answers[usize::from(answers[0])];
        let site = first.pop.as_deref().unwrap_or(&first.name);
        let mut percents: Vec<u8> = answers.iter().map(|&answer| live.drained[usize::from(answer)]).collect();
        percents.retain(|percent| (1..100).contains(percent));
        percents.sort_unstable();
        percents.dedup();
        let drains = percents.iter().map(|percent| format!("the drain of {site} by {percent} %"));
        let split = (answers.len() > 1).then(|| format!("the split of {site}"));
        drains.chain(split).collect::<Vec<_>>().join(" and ")
    };
    let sites: Vec<String> = tossed.iter().map(site).filter(|words| !words.is_empty()).collect();
    match sites.is_empty() {
        true => "a partial drain or a split, whose coin decides about one of this client's answers".into(),
        false => format!("{}, whose coin decides about one of this client's answers", sites.join(", ")),
    }
}

/// The TTL of a record with a range, and why.
fn explain_ttl(record: &Record, live: &Live) -> String {
    let (ttl, seconds) = (live.ttl(record), live.upcoming.seconds);
    let what = match live.upcoming.what {
        Some(What::Drain) => "a drain begins, ends or gives back a part",
        Some(What::Migration) => "a migration takes its next step",
        Some(What::Feed) => "a feed's value becomes too old",
        Some(What::Health) => "health takes a PoP out, further out, or begins to bring it back",
        Some(What::Hold) => "an answer that flapped is no longer held down",
        Some(What::Verdict) => "a verdict may change: an address began to fail or to recover",
        None => return format!("{ttl} s, the longest of {} to {ttl}: nothing is near", record.ttl_min),
    };
    format!("{ttl} s, of {} to {}: in {seconds} s {what}", record.ttl_min, record.ttl)
}

/// For whom an answer is drained, and by which drains.
fn explain_drains(steering: &Steering, live: &Live, answer: u8, ask: &Ask, known: &Words) -> Option<String> {
    let at = usize::from(answer);
    let for_whom = match live.drained[at] {
        0 => return None,
        100.. => "drained".to_string(),
        percent if is_taken(steering, live, answer, ask) => {
            format!("drained for {percent} % of the clients, this one too")
        }
        percent => format!("drained for {percent} % of the clients, not this one"),
    };
    let by = known(&steering.answers[at].id).map_or(String::new(), |by| format!(": {by}"));
    Some(for_whom + &by)
}

/// Which source says that an answer is down; of a monitor, which one, why, and since when.
fn said_down(steering: &Steering, live: &Live, answer: usize, known: &Words) -> Option<String> {
    let source = live.meta[answer].up.said_no()?;
    let words = (source == "monitor").then(|| known(&steering.answers[answer].id)).flatten();
    Some(words.map_or_else(|| source.to_string(), |words| format!("{source} {words}")))
}

fn explain_step(
    step: &Step,
    name: impl Fn(&u8) -> String,
    down: impl Fn(&u8) -> Option<String>,
) -> ExplainedStep {
    let remark = |answer: &u8| {
        let why = step.remarks.iter().find(|(of, _)| of == answer).map(|(_, why)| why.clone());
        let why = match (why, down(answer)) {
            // The filter knows what kind of source it is, and no more.
            (Some(why), Some(down)) if step.filter == "up" => why.replacen("monitor", &down, 1),
            (why, _) => why.unwrap_or_default(),
        };
        Remark { answer: name(answer), why }
    };
    let kept = |answer: &&u8| step.after.contains(answer);
    let before: Vec<u8> = step.before.iter().filter(kept).copied().collect();
    ExplainedStep {
        filter: step.filter.into(),
        kept: step.after.iter().map(remark).collect(),
        dropped: step.before.iter().filter(|answer| !kept(answer)).map(remark).collect(),
        reordered: before != step.after,
        bypassed: step.bypassed,
        narrowed_to: (step.scope_after > step.scope_before).then_some(step.scope_after),
    }
}

/// What drains and splits took out before the chain began.
fn left_out(
    steering: &Steering,
    live: &Live,
    family: Family,
    started: &[u8],
    down: impl Fn(&u8) -> Option<String>,
    drained: impl Fn(&u8) -> Option<String>,
) -> Vec<Remark> {
    let out = |(index, answer): (usize, &crate::chain::Answer)| {
        if started.contains(&(index as u8)) || !family.has(answer) {
            return None;
        }
        let same_site = |other: &&u8| {
            let other = &steering.answers[**other as usize];
            answer.pop.is_some() && other.pop == answer.pop && other.pool == answer.pool
        };
        let drained = drained(&(index as u8));
        let split = started.iter().find(same_site).map(|other| {
            let chosen = &steering.answers[*other as usize];
            format!("the split gave this client {}", chosen.stack.as_deref().unwrap_or(&chosen.name))
        });
        let down = down(&(index as u8)).map(|source| format!("down, says {source}"));
        let why: Vec<String> = match live.drained[index] {
            100.. => drained.into_iter().collect(),
            _ if live.split[index] <= 0.0 => vec!["weight 0 in its split".into()],
            _ => [drained, split, down].into_iter().flatten().collect(),
        };
        Some(Remark { answer: answer.name.clone(), why: why.join("; ") })
    };
    steering.answers.iter().enumerate().filter_map(out).collect()
}

fn describe(world: &World, address: IpAddr) -> String {
    let place = world.lookup(address);
    let special =
        place.special.as_ref().map_or(String::new(), |(block, purpose)| format!("; {block} is {purpose}"));
    let asn = match (place.asn, place.asn_from()) {
        (Some(asn), Some(file)) => format!(", AS{asn} (from {})", file.display()),
        _ => String::new(),
    };
    match (&place.location, place.location_from()) {
        (Some(location), Some(file)) => format!("{location} (from {}){asn}{special}", file.display()),
        _ => format!("unknown to every source{asn}{special}"),
    }
}

/// As people read it at three in the morning: the answer last, where the eye is.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{}: {}", self.question, self.found)?;
        let client = self.client.as_deref().unwrap_or("no client subnet");
        writeln!(f, "asked by {} for {client}", self.resolver)?;
        if let Some(walk) = &self.steered {
            writeln!(f, "\nclient    {}", walk.client_place)?;
            writeln!(f, "resolver  {}", walk.resolver_place)?;
            writeln!(f, "placed by {}", walk.placed_by)?;
            writeln!(f, "\ndrains and splits ({})", walk.rung)?;
            for out in &walk.left_out {
                writeln!(f, "  - {}  {}", out.answer, out.why)?;
            }
            for drained in &walk.drained {
                writeln!(f, "    {}  {}", drained.answer, drained.why)?;
            }
            for (number, step) in walk.steps.iter().enumerate() {
                write!(f, "\n{}. {}", number + 1, step.filter)?;
                if step.bypassed {
                    write!(f, "  (stood aside: nothing would have been left)")?;
                }
                if let Some(scope) = step.narrowed_to {
                    write!(f, "  (scope /{scope})")?;
                }
                writeln!(f)?;
                for (mark, remarks) in [("  ", &step.kept), ("- ", &step.dropped)] {
                    for remark in remarks {
                        writeln!(f, "  {}", format!("{mark}{}  {}", remark.answer, remark.why).trim_end())?;
                    }
                }
            }
        }
        writeln!(f)?;
        if let Some(scope) = self.scope {
            writeln!(f, "scope     /{scope}, by {}", self.scope_by)?;
        }
        if let Some(ttl) = self.steered.as_ref().and_then(|walk| walk.ttl.as_ref()) {
            writeln!(f, "ttl       {ttl}")?;
        }
        writeln!(f, "answer    {}", self.rcode)?;
        for line in &self.answer {
            writeln!(f, "  {line}")?;
        }
        for line in &self.authority {
            writeln!(f, "  authority: {line}")?;
        }
        for line in &self.additional {
            writeln!(f, "  additional: {line}")?;
        }
        Ok(())
    }
}
