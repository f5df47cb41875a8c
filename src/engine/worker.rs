//! The server: query bytes and peer in, response bytes out.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use arrayvec::ArrayVec;

use super::query_log::{Entry, Sampler, Trail};
use super::stats::Stats;
use super::steering::{Family, Scratch, steer};
use super::zones::{Found, NodeRef};
use super::{Peer, Reply, Snapshot, Transport};
use crate::chain::{Ask, Silent};
use crate::wire::edns::{EdnsError, subnet_at_end};
use crate::wire::query::{HEADER_OCTETS, edns_of_other};
use crate::wire::writer::{Full, Section};
use crate::wire::{CLASS_CH, CLASS_IN, Edns, Malformed, Qname, Query, Rcode, Subnet, Writer, record_type};

/// CNAMEs followed inside our zones for one query. The check of zones warns of longer chains.
const CNAME_CHAIN_MAX: usize = 8;

/// Queries of a batch that are looked at ahead.
const LOOK_AHEAD_MAX: usize = 64;

/// One per thread: answers queries from the newest snapshot.
pub struct Worker {
    /// Keeps the snapshot of the last query, which the publisher outlives: see [`crate::state::Publisher`].
    snapshot: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    stats: Arc<Stats>,
    random: fastrand::Rng,
    qname: Qname,
    /// The target of a CNAME that is followed.
    target: Qname,
    scratch: Scratch,
    sampler: Sampler,
}

/// What is known of one query while it is answered.
struct Context<'q> {
    qtype: u16,
    edns: Option<&'q Edns>,
    peer: IpAddr,
    /// The narrowest scope anything on the way has named, in bits.
    scope: u8,
    /// The steered record that was answered from last.
    trail: Option<Trail>,
}

impl Worker {
    /// A worker that answers from `snapshot` and counts in `stats`. `seed` starts its random numbers:
    /// workers get different ones, tests a fixed one.
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>, stats: Arc<Stats>, seed: u64) -> Worker {
        Worker {
            snapshot: Cache::new(snapshot),
            stats,
            random: fastrand::Rng::with_seed(seed),
            qname: Qname::default(),
            target: Qname::default(),
            scratch: Scratch::default(),
            sampler: Sampler::none(),
        }
    }

    /// The same, whose queries are sampled for a log.
    pub fn with_log(self, sampler: Sampler) -> Worker {
        Worker { sampler, ..self }
    }

    /// Brings nearer what the answers to these queries will read, before the first of them is answered. A
    /// batch waits for memory once, and not once per query.
    ///
    /// What is looked at is a guess, right for nearly all: that the clients will be placed by the table that
    /// placed the last one, and that a query for a client ends with its /24.
    #[inline]
    pub fn look_ahead<'q>(&mut self, queries: impl Iterator<Item = &'q [u8]>) {
        let live = self.snapshot.load().live.get(self.scratch.steering as usize);
        let Some(placed) = live.and_then(|live| live.placed()) else { return };
        let clients: ArrayVec<Ipv4Addr, LOOK_AHEAD_MAX> =
            queries.take(LOOK_AHEAD_MAX).filter_map(subnet_at_end).collect();
        placed.prefetch(&clients);
    }

    /// Answers one packet into `out`, which has room for it and for the largest message of the transport.
    pub fn answer(&mut self, query: &[u8], peer: Peer, out: &mut [u8]) -> Reply {
        out[..query.len()].copy_from_slice(query);
        self.answer_in_place(out, query.len(), peer)
    }

    /// Answers one packet, the first `query` octets of `message`, over itself: an answer begins as its query
    /// does. `message` has room for the largest message of the transport.
    ///
    /// Nothing here allocates, waits, locks or fails.
    pub fn answer_in_place(&mut self, message: &mut [u8], query: usize, peer: Peer) -> Reply {
        self.stats.received(peer.transport);
        if !peer.can_be() {
            return self.dropped();
        }
        let parsed = match Query::parse(&message[..query], &mut self.qname) {
            Ok(parsed) => parsed,
            Err(malformed) => return self.refuse_malformed(malformed, peer, message, query),
        };
        let snapshot = self.snapshot.load();
        let identity = &*snapshot.identity;
        let limit = |edns: Option<&Edns>| match (peer.transport, edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, None) => 512,
            (Transport::Udp, Some(edns)) => usize::from(edns.udp_octets_max.min(identity.udp_octets_max)),
        };
        let edns = match &parsed.edns {
            Ok(edns) => edns.as_ref(),
            Err(error) => {
                let octets = Writer::opt_octets(&Edns::BARE, &[]);
                let writer = Writer::new(message, parsed.question_end, limit(None), octets, &self.qname);
                let rcode = match error {
                    EdnsError::FormErr => Rcode::FormErr,
                    EdnsError::BadVers => Rcode::BadVers,
                };
                self.stats.answered(peer.transport, parsed.qtype, rcode);
                let len = writer.finish(rcode, Some(&Edns::BARE), 0, &[], identity.udp_octets_max);
                if self.sampler.is_due() {
                    let question = Some((&self.qname, parsed.qtype));
                    self.sampler.add(&self.stats.tally, || Entry::new(peer, question, rcode, len));
                }
                return Reply::Send(len);
            }
        };
        // An identity that is hidden is not even named (RFC 5001 section 2.2 leaves it to us).
        let nsid = if edns.is_some_and(|edns| edns.nsid) { &identity.id[..] } else { &[] };
        let opt_octets = edns.map_or(0, |edns| Writer::opt_octets(edns, nsid));
        let mut writer = Writer::new(message, parsed.question_end, limit(edns), opt_octets, &self.qname);
        let mut context =
            Context { qtype: parsed.qtype, edns, peer: peer.address.ip(), scope: 0, trail: None };
        let rcode = match (parsed.qclass, parsed.qtype) {
            // No zone transfers: the zones are in files, owned by git.
            (CLASS_IN, record_type::AXFR | record_type::IXFR) => Rcode::Refused,
            (CLASS_IN, _) => {
                let mut answering = Answering {
                    snapshot,
                    stats: &self.stats,
                    scratch: &mut self.scratch,
                    random: &mut self.random,
                };
                answering.answer(&self.qname, &mut self.target, &mut context, &mut writer)
            }
            (CLASS_CH, _) => identity.answer(&self.qname, parsed.qtype, &mut writer),
            _ => Rcode::Refused,
        };
        self.stats.answered(peer.transport, parsed.qtype, rcode);
        // A subnet of length 0 asks us not to look, so nothing we looked at was the client's.
        let scope = match edns.and_then(|edns| edns.subnet) {
            Some(subnet) if subnet.source > 0 => context.scope,
            _ => 0,
        };
        if let Some(edns) = edns {
            self.stats.extended(edns.subnet.as_ref(), context.scope, scope);
        }
        let truncated = writer.is_truncated();
        if truncated {
            self.stats.tally.truncated.add();
        }
        let len = writer.finish(rcode, edns, scope, nsid, identity.udp_octets_max);
        if self.sampler.is_due() {
            let (question, picks) = (Some((&self.qname, parsed.qtype)), self.scratch.picks.as_slice());
            self.sampler.add(&self.stats.tally, || Entry {
                subnet: edns.and_then(|edns| edns.subnet),
                scope,
                steered: context.trail.and_then(|trail| trail.entry(snapshot, picks)),
                truncated,
                ..Entry::new(peer, question, rcode, len)
            });
        }
        Reply::Send(len)
    }

    #[cold]
    #[inline(never)]
    fn refuse_malformed(
        &mut self,
        malformed: Malformed,
        peer: Peer,
        message: &mut [u8],
        query: usize,
    ) -> Reply {
        let (rcode, end) = match malformed {
            Malformed::Drop => return self.dropped(),
            Malformed::FormErr => (Rcode::FormErr, HEADER_OCTETS),
            Malformed::FormErrWithQuestion(end) => (Rcode::FormErr, end),
            Malformed::NotImp => (Rcode::NotImp, HEADER_OCTETS),
            Malformed::Refused => (Rcode::Refused, HEADER_OCTETS),
        };
        // Without NSID, which would be longer than its question.
        let edns = match malformed {
            Malformed::NotImp | Malformed::Refused => edns_of_other(&message[..query]),
            _ => None,
        };
        let octets = edns.as_ref().map_or(0, |edns| Writer::opt_octets(edns, &[]));
        let mut writer = Writer::new(message, end, end, octets, &self.qname);
        if end == HEADER_OCTETS {
            writer.clear_question();
        }
        self.stats.refused_unread(peer.transport, rcode);
        let advertised = self.snapshot.load().identity.udp_octets_max;
        let len = writer.finish(rcode, edns.as_ref(), 0, &[], advertised);
        if self.sampler.is_due() {
            self.sampler.add(&self.stats.tally, || Entry::new(peer, None, rcode, len));
        }
        Reply::Send(len)
    }

    fn dropped(&self) -> Reply {
        self.stats.tally.dropped.add();
        Reply::Drop
    }
}

/// What answering needs of the worker and the snapshot.
struct Answering<'s> {
    snapshot: &'s Snapshot,
    stats: &'s Stats,
    scratch: &'s mut Scratch,
    random: &'s mut fastrand::Rng,
}

impl<'s> Answering<'s> {
    /// Answers a question of class IN: finds the name, follows CNAMEs inside our zones.
    #[inline(always)]
    fn answer<'w>(
        &mut self,
        qname: &Qname,
        target: &mut Qname,
        context: &mut Context,
        writer: &mut Writer<'w>,
    ) -> Rcode
    where
        's: 'w,
    {
        let found = self.snapshot.zones.find(qname, context.qtype == record_type::DS);
        if matches!(found, Found::NoZone) {
            return Rcode::Refused;
        }
        let (rcode, alias) = self.answer_found(found, None, context, writer);
        match alias {
            None => rcode,
            Some(alias) => self.follow(alias, qname, target, context, writer),
        }
    }

    /// Follows CNAMEs as far as they lie in our zones. Apart from [`Answering::answer`], because most
    /// answers have none and would pay for the room.
    #[cold]
    fn follow<'w>(
        &mut self,
        mut alias: &'s [u8],
        qname: &Qname,
        target: &mut Qname,
        context: &mut Context,
        writer: &mut Writer<'w>,
    ) -> Rcode
    where
        's: 'w,
    {
        let mut aliases = ArrayVec::<&'s [u8], CNAME_CHAIN_MAX>::new();
        loop {
            // A circle, which the check of zones cannot see where a steered CNAME is part of it.
            let seen = |name: &&[u8]| name.eq_ignore_ascii_case(alias);
            let again = seen(&qname.lower()) || aliases.iter().any(seen);
            if aliases.is_full() || again || !writer.has_name(alias) {
                return Rcode::NoError;
            }
            aliases.push(alias);
            target.set(alias);
            let found = self.snapshot.zones.find(target, context.qtype == record_type::DS);
            match self.answer_found(found, Some(alias), context, writer) {
                (rcode, None) => return rcode,
                (_, Some(next)) => alias = next,
            }
        }
    }

    /// Answers from what was found; a CNAME's target is where to go on.
    #[inline(always)]
    fn answer_found<'w>(
        &mut self,
        found: Found<'s>,
        owner: Option<&'s [u8]>,
        context: &mut Context,
        writer: &mut Writer<'w>,
    ) -> (Rcode, Option<&'s [u8]>)
    where
        's: 'w,
    {
        match found {
            Found::Name(node) => {
                writer.set_authoritative();
                let next = self.answer_name(node, owner, context, writer).unwrap_or_else(|Full| {
                    writer.set_truncated();
                    None
                });
                (Rcode::NoError, next)
            }
            Found::Delegated(cut) => {
                refer(cut, writer);
                (Rcode::NoError, None)
            }
            Found::NoName(node) => {
                writer.set_authoritative();
                negative(node, writer);
                (Rcode::NxDomain, None)
            }
            // The chain leaves our zones: the resolver goes on from here.
            Found::NoZone => (Rcode::NoError, None),
        }
    }

    /// Answers from one name; a CNAME's target is where to go on.
    #[inline]
    fn answer_name<'w>(
        &mut self,
        node: NodeRef<'s>,
        owner: Option<&'s [u8]>,
        context: &mut Context,
        writer: &mut Writer<'w>,
    ) -> Result<Option<&'s [u8]>, Full>
    where
        's: 'w,
    {
        if let Some(record) = node.steered() {
            let snapshot = self.snapshot;
            let steering = snapshot.records[record as usize].steering as usize;
            let family = if snapshot.steerings[steering].is_cname {
                Some(Family::Cname)
            } else {
                Family::of_type(context.qtype)
            };
            if let Some(family) = family.filter(|family| snapshot.live[steering].has(*family)) {
                return self.answer_steered(record as usize, family, node, owner, context, writer);
            }
            if context.qtype == record_type::ANY {
                // RFC 8482 section 4.2: a HINFO record stands for all there is.
                let ttl = snapshot.records[record as usize].ttl;
                return writer.hinfo(owner, ttl, b"RFC8482").map(|()| None);
            }
        }
        if context.qtype == record_type::ANY {
            // RFC 8482 section 4.1: one RRset stands for all there are, the smallest.
            let smallest = node.rrsets().min_by_key(|rrset| rrset.bytes.len());
            match smallest {
                Some(rrset) => writer.rrset(Section::Answer, owner, rrset)?,
                None => negative(node, writer),
            }
            return Ok(None);
        }
        if let Some(rrset) = node.rrset(context.qtype) {
            return writer.rrset(Section::Answer, owner, rrset).map(|()| None);
        }
        match node.rrset(record_type::CNAME) {
            Some(cname) => {
                writer.rrset(Section::Answer, owner, cname)?;
                Ok(Some(cname.first_rdata()))
            }
            None => {
                negative(node, writer);
                Ok(None)
            }
        }
    }

    /// Answers from a steered record.
    #[inline]
    fn answer_steered<'w>(
        &mut self,
        index: usize,
        family: Family,
        node: NodeRef<'s>,
        owner: Option<&'s [u8]>,
        context: &mut Context,
        writer: &mut Writer<'w>,
    ) -> Result<Option<&'s [u8]>, Full>
    where
        's: 'w,
    {
        let snapshot = self.snapshot;
        let record = &snapshot.records[index];
        let (steering, live) =
            (&snapshot.steerings[record.steering as usize], &snapshot.live[record.steering as usize]);
        self.scratch.steering = record.steering;
        let (client, source) = client_of(context, record.use_client_subnet);
        let random = self.random.u64(..);
        let ask = Ask {
            client,
            source,
            resolver: context.peer,
            place: None,
            random,
            record_salt: record.salt,
            ignore_health: false,
        };
        let steered = steer(record, steering, live, family, ask, self.scratch, &mut Silent);
        let picks = &self.scratch.picks;
        if record.use_client_subnet {
            context.scope = context.scope.max(picks.scope());
        }
        self.stats.steered(picks, &steered);
        // Until they have found room, nothing was given.
        let trail = Trail { record: index as u32, given: 0, rung: steered.rung };
        context.trail = Some(trail);
        // Another part of the random number than the filters hash; any will do.
        let turn = if record.rotate { random as u32 } else { 0 };
        let answers = picks.as_slice().iter().map(|&answer| usize::from(answer));
        let with_ecs = context.edns.is_some_and(|edns| edns.subnet.is_some());
        if picks.is_empty() {
            negative(node, writer);
            return Ok(None);
        }
        match family {
            Family::A => {
                let addresses = answers.map(|answer| live.addresses.a.of(answer));
                writer.addresses(owner, record_type::A, live.ttl(record), turn, addresses)?;
                self.stats.given(record, &steering.slots, picks.as_slice(), &ask, with_ecs);
                context.trail = Some(Trail { given: picks.as_slice().len() as u8, ..trail });
            }
            Family::Aaaa => {
                let addresses = answers.map(|answer| live.addresses.aaaa.of(answer));
                writer.addresses(owner, record_type::AAAA, live.ttl(record), turn, addresses)?;
                self.stats.given(record, &steering.slots, picks.as_slice(), &ask, with_ecs);
                context.trail = Some(Trail { given: picks.as_slice().len() as u8, ..trail });
            }
            Family::Cname => {
                let first = usize::from(picks.as_slice()[0]);
                let Some(target) = &steering.answers[first].cname else { return Ok(None) };
                writer.cname(owner, live.ttl(record), target.as_wire())?;
                self.stats.given(record, &steering.slots, &picks.as_slice()[..1], &ask, with_ecs);
                context.trail = Some(Trail { given: 1, ..trail });
                // What is behind the alias may be steered by another rule; it is asked for by itself
                // unless everybody gets the same.
                let subnet = context.edns.and_then(|edns| edns.subnet);
                let tailored = context.scope > 0 && subnet.is_some_and(|subnet| subnet.source > 0);
                let asked_for = matches!(context.qtype, record_type::CNAME | record_type::ANY);
                let follow = !tailored && !asked_for;
                return Ok(follow.then_some(target.as_wire()));
            }
        }
        Ok(None)
    }
}

/// Who the answer is for: the client's subnet where it was given, counts and may be looked at.
#[inline]
fn client_of(context: &Context, use_client_subnet: bool) -> (IpAddr, u8) {
    match context.edns.and_then(|edns| edns.subnet) {
        Some(Subnet { address, source }) if use_client_subnet && source > 0 => (address, source),
        _ => (context.peer, if context.peer.is_ipv4() { 32 } else { 128 }),
    }
}

/// NODATA or NXDOMAIN: the SOA says for how long (RFC 2308 section 3).
fn negative<'z>(node: NodeRef<'z>, writer: &mut Writer<'z>) {
    if writer.rrset(Section::Authority, Some(node.apex()), node.negative_soa()).is_err() {
        writer.set_truncated();
    }
}

/// A referral: the cut's name servers, and their addresses as far as they lie in the zone.
fn refer<'z>(cut: NodeRef<'z>, writer: &mut Writer<'z>) {
    let Some(servers) = cut.rrset(record_type::NS) else { return };
    if writer.rrset(Section::Authority, Some(cut.name()), servers).is_err() {
        writer.set_truncated();
        return;
    }
    for (owner, addresses, required) in cut.glue() {
        // Glue a resolver cannot do without must be there or be missed visibly (RFC 9471 section 3).
        if writer.rrset(Section::Additional, Some(owner), addresses).is_err() && required {
            writer.set_truncated();
        }
    }
}
