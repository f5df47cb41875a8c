//! What is counted when: the events of answering a query, each told once by the worker.

use super::Transport;
use super::sample::ONE_IN;
use super::stats::{Stats, Tally};
use super::steering::{Record, Rung, Steered};
use crate::chain::{Ask, Effects, Picks, PlacedBy};
use crate::wire::{Rcode, Subnet};

impl Stats {
    /// A packet has come.
    #[inline]
    pub fn received(&self, transport: Transport) {
        match transport {
            Transport::Udp => self.tally.udp.add(),
            Transport::Tcp => self.tally.tcp.add(),
        }
    }

    /// A question that could be read is answered.
    #[inline]
    pub fn answered(&self, transport: Transport, qtype: u16, rcode: Rcode) {
        let tally = &self.tally;
        match rcode {
            Rcode::NoError => tally.noerror.add(),
            Rcode::NxDomain => tally.nxdomain.add(),
            Rcode::Refused => tally.refused.add(),
            Rcode::FormErr | Rcode::ServFail | Rcode::NotImp | Rcode::BadVers => tally.rejected.add(),
        }
        self.queries.add(transport, Some(qtype), rcode);
    }

    /// A question that could not be read is refused.
    pub fn refused_unread(&self, transport: Transport, rcode: Rcode) {
        self.tally.rejected.add();
        self.queries.add(transport, None, rcode);
    }

    /// The query had EDNS, perhaps with a client subnet. `looked_at` is how much of the client's address
    /// mattered, `scope` what it is told of that.
    #[inline]
    pub fn extended(&self, subnet: Option<&Subnet>, looked_at: u8, scope: u8) {
        self.tally.edns.add();
        if let Some(subnet) = subnet {
            self.tally.ecs.add();
            if looked_at > 0 {
                self.tally.scoped.add();
            }
            self.scopes.add(subnet.address.is_ipv4(), scope);
        }
    }

    /// A steered record has been run through its chain.
    #[inline]
    pub fn steered(&self, picks: &Picks, steered: &Steered) {
        let tally = &self.tally;
        tally.steered.add();
        match picks.placed() {
            PlacedBy::NotAsked | PlacedBy::Client => {}
            PlacedBy::Resolver => tally.placed_by_resolver.add(),
            PlacedBy::Default => tally.placed_by_default.add(),
            PlacedBy::Nothing => tally.placed_by_nothing.add(),
        }
        if picks.effects() != Effects::default() {
            count_effects(tally, picks.effects());
        }
        if steered.drained && steered.rung != Rung::Drained {
            tally.drained.add();
        }
        if steered.coin_mattered {
            tally.coins.add();
        }
        if steered.spread {
            tally.spread.add();
        }
        match steered.rung {
            Rung::Up => {}
            Rung::Down => tally.rung_down.add(),
            Rung::PartlyDrained => tally.rung_partly_drained.add(),
            Rung::Drained => tally.rung_drained.add(),
        }
    }

    /// Answers of a record have found room in the response; one client in so many is kept.
    #[inline]
    pub fn given(&self, record: &Record, slots: &[u32], given: &[u8], ask: &Ask, with_ecs: bool) {
        for &answer in given {
            self.shares.add(slots[usize::from(answer)], with_ecs);
        }
        if let Some(slot) = record.slot {
            self.shares.add(slot, with_ecs);
        }
        // Filters hash the whole number, so its highest bits say nothing of what they chose.
        if ask.random < u64::MAX / ONE_IN {
            self.ring.add(record.number, ask.client);
        }
    }
}

/// Apart, because most answers have none.
#[cold]
fn count_effects(tally: &Tally, effects: Effects) {
    if effects.bypassed() {
        tally.bypassed.add();
    }
    for (effect, counter) in [
        (Effects::HEALTH_BYPASSED, &tally.bypassed_health),
        (Effects::SHED_BYPASSED, &tally.bypassed_shed),
        (Effects::FENCE_BYPASSED, &tally.bypassed_fence),
        (Effects::SHED, &tally.shed),
    ] {
        if effects.has(effect) {
            counter.add();
        }
    }
}
