//! The answers still in play for one query, in order, and every way a filter may change them.
//!
//! A filter cannot add an answer and cannot allocate: it sifts (`retain` and its kin), sorts
//! (`sort_by_key`, `shuffle`), cuts (`truncate`, `keep_leading_group`) and says how wide its choice
//! holds (`narrow`).
//!
//! The same operations run in two ways. On a real query they do what they say. *In doubt* they keep a
//! superset: the answers marked uncertain (a partial drain or an undecided split draws a coin about
//! them) may be there or not. An operation removes an answer only if it would be removed whatever the
//! coins say, and marks as uncertain what it would remove under some of them. What is left are the
//! answers some client inside the same geographic scope could get, so a coin mattered when an answer it
//! decides about is among them. The filters do not know which of the two they run in.

use super::Effects;

/// Most answers one record may have. Indices fit a byte and the picks of a query fit two cache lines.
pub const MAX_ANSWERS: usize = 256;

/// Up to this many answers are picked out of a noted sort one by one; from here on sorting is cheaper.
const SELECT_MAX: usize = 4;

/// A set of answer indices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerBits([u64; MAX_ANSWERS / 64]);

impl AnswerBits {
    /// Adds an answer.
    #[inline]
    pub fn insert(&mut self, answer: u8) {
        self.0[answer as usize / 64] |= 1 << (answer % 64);
    }

    /// Whether the answer is in the set.
    #[inline]
    pub fn contains(&self, answer: u8) -> bool {
        self.0[answer as usize / 64] >> (answer % 64) & 1 == 1
    }

    /// Whether the set has no answer.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; MAX_ANSWERS / 64]
    }
}

/// Who placed the client for the first geographic filter that asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlacedBy {
    /// No geographic filter has asked yet.
    #[default]
    NotAsked,
    /// The client's own address.
    Client,
    /// The client is in no database, so the resolver's address was used.
    Resolver,
    /// Neither is in a database, so `default_place` was used.
    Default,
    /// Nothing is known: the record's order stands.
    Nothing,
}

/// What a fence finds on an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// The answer carries no tag of this fence's kind.
    Untagged,
    /// The answer's tag matches the client.
    Match,
    /// The answer's tag does not match the client.
    Miss,
}

/// What load shedding finds on an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shed {
    /// At or under the low watermark, or nothing is known of its load.
    Keep,
    /// Between the marks: removed with this probability, 0 to 1.
    Maybe(f64),
    /// At or above the high watermark.
    Remove,
}

/// The answers in play. See the module's head for the two ways it runs.
pub struct Picks {
    items: [u8; MAX_ANSWERS],
    /// In doubt: which answers tie, so that a cut never falls between two that could change places.
    ties: [u32; MAX_ANSWERS],
    len: usize,
    scope: u8,
    in_doubt: bool,
    uncertain: AnswerBits,
    /// In doubt: the uncertain ones whose presence hangs on a coin, and not on this query's draws alone.
    by_coin: AnswerBits,
    random: bool,
    effects: Effects,
    placed: PlacedBy,
    /// Room to sort in, kept here because clearing it for each sort would cost more than the sort.
    order: [u64; MAX_ANSWERS],
    /// `order` holds a sort that `items` does not show yet.
    sort_pending: bool,
    /// The same for keys that do not fit.
    wide_order: [u128; MAX_ANSWERS],
}

impl Default for Picks {
    fn default() -> Picks {
        Picks {
            items: [0; MAX_ANSWERS],
            ties: [0; MAX_ANSWERS],
            len: 0,
            scope: 0,
            in_doubt: false,
            uncertain: AnswerBits::default(),
            by_coin: AnswerBits::default(),
            random: false,
            effects: Effects::default(),
            placed: PlacedBy::NotAsked,
            order: [0; MAX_ANSWERS],
            sort_pending: false,
            wide_order: [0; MAX_ANSWERS],
        }
    }
}

impl Picks {
    /// Starts a real run over these answers, in this order.
    #[inline]
    pub fn start(&mut self, answers: &[u8]) {
        self.put(answers);
        self.sort_pending = false;
        self.scope = 0;
        self.in_doubt = false;
        self.random = false;
        self.effects = Effects::default();
        self.placed = PlacedBy::NotAsked;
    }

    /// Puts other answers in play; what has been noted of the run so far stays.
    #[inline]
    pub fn put(&mut self, answers: &[u8]) {
        self.items[..answers.len()].copy_from_slice(answers);
        self.len = answers.len();
    }

    /// Says what settled steps did before the run began.
    #[inline]
    pub fn set_effects(&mut self, effects: Effects) {
        self.effects = effects;
    }

    /// Starts a run in doubt: what could be left, whatever the coins about `uncertain` say.
    pub fn start_in_doubt(&mut self, answers: &[u8], uncertain: AnswerBits) {
        self.start(answers);
        self.in_doubt = true;
        self.uncertain = uncertain;
        self.by_coin = uncertain;
        // In the record's order no two answers can change places.
        for (rank, tie) in self.ties[..answers.len()].iter_mut().enumerate() {
            *tie = rank as u32;
        }
    }

    /// The answers in play, in order.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        debug_assert!(!self.sort_pending, "put in order before it is looked at");
        &self.items[..self.len]
    }

    /// How many answers are in play.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no answer is in play.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The longest prefix anything on the way looked at, in bits of the client's family.
    #[inline]
    pub fn scope(&self) -> u8 {
        self.scope
    }

    /// Whether a step drew a number for this query, so that another query could end otherwise.
    #[inline]
    pub fn random(&self) -> bool {
        self.random
    }

    /// What filters did that the operator should hear of.
    #[inline]
    pub fn effects(&self) -> Effects {
        self.effects
    }

    /// Who placed the client.
    #[inline]
    pub fn placed(&self) -> PlacedBy {
        self.placed
    }

    /// Notes who placed the client; the first filter that asks is the one that counts.
    #[inline]
    pub fn note_placed(&mut self, by: PlacedBy) {
        if self.placed == PlacedBy::NotAsked {
            self.placed = by;
        }
    }

    /// Says that the choice holds only for clients that share this many bits of address.
    #[inline]
    pub fn narrow(&mut self, prefix_len: u8) {
        self.scope = self.scope.max(prefix_len);
    }

    /// Whether the answer is there whatever the coins say.
    #[inline]
    fn certain(&self, answer: u8) -> bool {
        !(self.in_doubt && self.uncertain.contains(answer))
    }

    /// Keeps the answers for which `keep` holds, in order.
    #[inline]
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        self.put_in_order();
        // Most often nothing goes, and then nothing is written.
        let goes = |answer: &u8| !keep(*answer as usize);
        let Some(mut kept) = self.as_slice().iter().position(goes) else { return };
        for at in kept + 1..self.len {
            let answer = self.items[at];
            if keep(answer as usize) {
                self.items[kept] = answer;
                self.ties[kept] = self.ties[at];
                kept += 1;
            }
        }
        self.len = kept;
    }

    /// Like [`Picks::retain`], but stands aside when nothing would be left, and notes that as `bypass`. Says
    /// whether it did.
    ///
    /// In doubt it stands aside unless an answer that is certainly there survives: with only uncertain
    /// survivors some client's query stands aside.
    #[inline]
    pub fn retain_unless_empty(&mut self, bypass: Effects, mut keep: impl FnMut(usize) -> bool) -> bool {
        self.put_in_order();
        let survives = (0..self.len).any(|at| keep(self.items[at] as usize) && self.certain(self.items[at]));
        if survives {
            self.retain(keep);
        } else if self.len > 0 {
            self.effects.add(bypass);
            if self.in_doubt && self.as_slice().iter().any(|&answer| keep(answer as usize)) {
                self.doubt(|_, answer| !keep(answer));
            }
        }
        !survives
    }

    /// In doubt: marks answers (by place and index) as ones that some world removes. While an answer that
    /// hangs on a coin is in play, so do they: it may be what removes them, though it goes itself later.
    fn doubt(&mut self, mut removed: impl FnMut(usize, usize) -> bool) {
        let by_coin = self.coin_mattered();
        for at in 0..self.len {
            if removed(at, self.items[at] as usize) {
                self.uncertain.insert(self.items[at]);
                if by_coin {
                    self.by_coin.insert(self.items[at]);
                }
            }
        }
    }

    /// After a run in doubt: whether what is left hangs on a coin.
    #[inline]
    pub fn coin_mattered(&self) -> bool {
        self.as_slice().iter().any(|&answer| self.by_coin.contains(answer))
    }

    /// Load shedding: removes what is at its high mark and draws for what is between its marks
    /// (`draw` gives a number in 0..1 per answer). Stands aside when nothing would be left.
    #[inline]
    pub fn shed(&mut self, shed: impl Fn(usize) -> Shed, draw: impl Fn(usize) -> f64) {
        self.put_in_order();
        // Most often nothing is shed.
        if self.as_slice().iter().all(|&answer| shed(answer as usize) == Shed::Keep) {
            return;
        }
        if self.as_slice().iter().any(|&answer| matches!(shed(answer as usize), Shed::Maybe(_))) {
            self.random = true;
        }
        if self.in_doubt {
            for at in 0..self.len {
                if matches!(shed(self.items[at] as usize), Shed::Maybe(_)) {
                    self.uncertain.insert(self.items[at]);
                }
            }
            if self.retain_unless_empty(Effects::SHED_BYPASSED, |answer| shed(answer) != Shed::Remove) {
                // Whether the draws remove these too hangs on what else is there.
                self.doubt(|_, answer| matches!(shed(answer), Shed::Maybe(_)));
            }
        } else {
            let before = self.len;
            self.retain_unless_empty(Effects::SHED_BYPASSED, |answer| match shed(answer) {
                Shed::Keep => true,
                Shed::Remove => false,
                Shed::Maybe(probability) => draw(answer) >= probability,
            });
            if self.len < before {
                self.effects.add(Effects::SHED);
            }
        }
    }

    /// A fence: what misses goes, what is untagged stays unless `remove_untagged` and something
    /// matched. With `keep_all_if_empty` the unfenced list stands when nothing would be left.
    pub fn fence(
        &mut self,
        fenced: impl Fn(usize) -> Fenced,
        remove_untagged: bool,
        keep_all_if_empty: bool,
    ) {
        self.put_in_order();
        let matches = |answer: &&u8| fenced(**answer as usize) == Fenced::Match;
        let matched = self.as_slice().iter().filter(matches).any(|&answer| self.certain(answer));
        if self.in_doubt && remove_untagged && self.as_slice().iter().any(|answer| matches(&answer)) {
            self.doubt(|_, answer| fenced(answer) == Fenced::Untagged);
        }
        let keep = |answer: usize| match fenced(answer) {
            Fenced::Match => true,
            Fenced::Untagged => !(remove_untagged && matched),
            Fenced::Miss => false,
        };
        if keep_all_if_empty {
            self.retain_unless_empty(Effects::FENCE_BYPASSED, keep);
        } else {
            self.retain(keep);
        }
    }

    /// Sorts by key, smallest first; what ties keeps its order.
    #[inline]
    pub fn sort_by_key(&mut self, key: impl Fn(usize) -> u32) {
        if self.in_doubt {
            self.sort_in_doubt(key);
            return;
        }
        self.put_in_order();
        // Key, then place (so that what ties keeps its order), then the answer itself.
        for (at, (slot, &answer)) in self.order[..self.len].iter_mut().zip(&self.items).enumerate() {
            *slot = u64::from(key(answer as usize)) << 16 | (at as u64) << 8 | u64::from(answer);
        }
        self.sort_pending = true;
    }

    /// Carries out a sort that was only noted. A sort is nearly always followed by a cut, which needs
    /// no more than the few smallest; everything else, and the end of a chain, calls this first.
    #[inline]
    pub fn put_in_order(&mut self) {
        if self.sort_pending {
            self.select(self.len);
        }
    }

    /// Puts the `n` smallest of a noted sort to the front, in order.
    #[inline]
    fn select(&mut self, n: usize) {
        let order = &mut self.order[..self.len];
        if n <= SELECT_MAX {
            // No two slots are equal, as each has its place in it.
            let mut from = 0;
            for item in &mut self.items[..n] {
                let mut least = u64::MAX;
                for &slot in &*order {
                    least = if slot >= from && slot < least { slot } else { least };
                }
                from = least.saturating_add(1);
                *item = least as u8;
            }
        } else {
            order.sort_unstable();
            for (item, slot) in self.items.iter_mut().zip(&order[..n]) {
                *item = *slot as u8;
            }
        }
        self.sort_pending = false;
    }

    /// Sorts by tier, smallest first, and inside a tier by a number drawn for this query.
    #[inline]
    pub fn shuffle(&mut self, tier: impl Fn(usize) -> u32, drawn: impl Fn(usize) -> u64) {
        if self.len < 2 {
            return;
        }
        self.put_in_order();
        self.random = true;
        if self.in_doubt {
            self.ties[..self.len].fill(0);
            self.sort_in_doubt(tier);
            return;
        }
        self.sort_wide(|_, answer| u128::from(tier(answer)) << 64 | u128::from(drawn(answer)));
    }

    /// Sorts by a key of 96 bits made from place and answer.
    #[inline]
    fn sort_wide(&mut self, key: impl Fn(usize, usize) -> u128) {
        let order = &mut self.wide_order[..self.len];
        for (at, (slot, &answer)) in order.iter_mut().zip(&self.items).enumerate() {
            *slot = key(at, answer as usize) << 8 | u128::from(answer);
        }
        order.sort_unstable();
        for (slot, item) in order.iter().zip(&mut self.items) {
            *item = *slot as u8;
        }
    }

    fn sort_in_doubt(&mut self, key: impl Fn(usize) -> u32) {
        let ties = self.ties;
        let tied = |at: usize, answer: usize| u128::from(key(answer)) << 32 | u128::from(ties[at]);
        self.sort_wide(|at, answer| tied(at, answer) << 8 | at as u128);
        let mut class = 0;
        for at in 0..self.len {
            // What is left of the sorted slot without place and answer is the key and the old tie.
            if at > 0 && self.wide_order[at - 1] >> 16 != self.wide_order[at] >> 16 {
                class += 1;
            }
            self.ties[at] = class;
        }
    }

    /// Keeps only the answers with the smallest key.
    pub fn keep_least(&mut self, key: impl Fn(usize) -> u32) {
        self.put_in_order();
        let keys = |answer: &u8| key(*answer as usize);
        let Some(least) = self.as_slice().iter().map(keys).min() else { return };
        if self.in_doubt {
            let certain = self.as_slice().iter().filter(|&&answer| self.certain(answer));
            if let Some(bound) = certain.map(keys).min() {
                self.retain(|answer| key(answer) <= bound);
            }
            self.doubt(|_, answer| key(answer) > least);
        } else {
            self.retain(|answer| key(answer) == least);
        }
    }

    /// Keeps the first `n` answers.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        if self.in_doubt {
            // Behind `n` others, or tied with what is: some world cuts it.
            let safe = if self.len <= n { u32::MAX } else { self.ties[n] };
            self.len = self.end_of_certain(n);
            let ties = self.ties;
            self.doubt(|at, _| ties[at] >= safe);
        } else if n < self.len {
            if self.sort_pending {
                self.select(n);
            }
            self.len = n;
        }
    }

    /// Keeps the answers of the first answer's group, in order.
    pub fn keep_leading_group(&mut self, group: impl Fn(usize) -> u16) {
        self.put_in_order();
        let leading = if self.in_doubt { self.end_of_certain(1) } else { self.len.min(1) };
        let mut groups = [0u16; MAX_ANSWERS];
        for (slot, &answer) in groups.iter_mut().zip(&self.items[..leading]) {
            *slot = group(answer as usize);
        }
        let groups = &groups[..leading];
        self.retain(|answer| groups.contains(&group(answer)));
        if self.in_doubt && groups.iter().any(|other| *other != groups[0]) {
            self.doubt(|_, _| true);
        }
    }

    /// Where the `n`th answer that is certainly there stands, and what ties with it, ends.
    fn end_of_certain(&self, n: usize) -> usize {
        let mut certain = 0;
        for at in 0..self.len {
            certain += usize::from(self.certain(self.items[at]));
            if certain >= n {
                let tie = self.ties[at];
                // A tie can reach further than where the count was full.
                return at + self.ties[at..self.len].iter().take_while(|&&t| t == tie).count();
            }
        }
        self.len
    }
}

#[cfg(test)]
mod tests;
