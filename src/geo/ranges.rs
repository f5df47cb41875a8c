//! An address family cut into ranges, each with a number: 0 for unknown, else what the owner says.

/// An address of one family as a number.
pub(super) trait Address: Copy + Ord + Default {
    /// The last of the family.
    const LAST: Self;
    /// The address after it; none after the last.
    fn next(self) -> Option<Self>;
    /// The address before it; none before the first.
    fn previous(self) -> Option<Self>;
    /// Its bits at the top of 128: how both families share one walk.
    fn aligned(self) -> u128;
}

impl Address for u32 {
    const LAST: u32 = u32::MAX;

    fn next(self) -> Option<u32> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<u32> {
        self.checked_sub(1)
    }

    fn aligned(self) -> u128 {
        u128::from(self) << 96
    }
}

impl Address for u128 {
    const LAST: u128 = u128::MAX;

    fn next(self) -> Option<u128> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<u128> {
        self.checked_sub(1)
    }

    fn aligned(self) -> u128 {
        self
    }
}

/// Covers the whole family from its first address on; neighbours have different numbers.
///
/// Two arrays and not one of pairs: a `u128` and a `u32` in one struct would cost 32 bytes instead of 20,
/// and a City file has five million of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges<A> {
    starts: Vec<A>,
    ids: Vec<u32>,
}

impl<A: Address> Ranges<A> {
    /// One range of this number.
    pub fn whole(id: u32) -> Ranges<A> {
        Ranges { starts: vec![A::default()], ids: vec![id] }
    }

    /// The rest of the family, from `start` on, has this number. Starts must not fall.
    pub fn push(&mut self, start: A, id: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.ids.pop();
        }
        if self.ids.last() != Some(&id) {
            self.starts.push(start);
            self.ids.push(id);
        }
    }

    /// Gives back what growing has taken too much.
    pub fn shrink(&mut self) {
        self.starts.shrink_to_fit();
        self.ids.shrink_to_fit();
    }

    /// From networks of which each is disjoint from, within, or around any other (first and last address,
    /// number): the innermost decides.
    pub fn from_nested(mut networks: Vec<(A, A, u32)>) -> Ranges<A> {
        networks.sort_by_key(|&(first, last, _)| (first, std::cmp::Reverse(last)));
        let mut ranges = Ranges::whole(0);
        let mut open: Vec<(A, u32)> = Vec::new();
        for (first, last, id) in networks {
            ranges.close(&mut open, |end| end < first);
            ranges.push(first, id);
            open.push((last, id));
        }
        ranges.close(&mut open, |_| true);
        ranges
    }

    /// Ends the innermost open networks that are over; what is around each goes on behind it.
    fn close(&mut self, open: &mut Vec<(A, u32)>, over: impl Fn(A) -> bool) {
        while let Some((last, _)) = open.pop_if(|&mut (last, _)| over(last)) {
            if let Some(next) = last.next() {
                self.push(next, open.last().map_or(0, |&(_, id)| id));
            }
        }
    }

    /// These ranges, and where they are unknown those of `base`.
    pub fn over(self, base: Ranges<A>) -> Ranges<A> {
        if base.ids == [0] {
            return self;
        }
        let mut merged = Ranges { starts: Vec::new(), ids: Vec::new() };
        let (mut i, mut j) = (0, 0);
        loop {
            let id = if self.ids[i] != 0 { self.ids[i] } else { base.ids[j] };
            merged.push(self.starts[i].max(base.starts[j]), id);
            match (self.starts.get(i + 1), base.starts.get(j + 1)) {
                (None, None) => return merged,
                (Some(above), Some(below)) if above == below => (i, j) = (i + 1, j + 1),
                (Some(above), Some(below)) if above > below => j += 1,
                (None, Some(_)) => j += 1,
                (Some(_), _) => i += 1,
            }
        }
    }

    /// The same ranges by other numbers; neighbours that are now equal become one. All addresses are at the
    /// top of 128 bits.
    pub fn renumbered(&self, number: impl Fn(u32) -> u32) -> Ranges<u128> {
        let mut renumbered = Ranges { starts: Vec::new(), ids: Vec::new() };
        for (start, id) in self.iter() {
            renumbered.push(start.aligned(), number(id));
        }
        renumbered
    }

    /// The number of an address.
    pub fn find(&self, address: A) -> u32 {
        self.ids[self.starts.partition_point(|&start| start <= address) - 1]
    }

    /// The first address and number of each range, in order.
    pub fn iter(&self) -> impl Iterator<Item = (A, u32)> {
        self.starts.iter().copied().zip(self.ids.iter().copied())
    }

    /// The first address, last address and number of each range, in order.
    pub fn spans(&self) -> impl Iterator<Item = (A, A, u32)> {
        self.iter().enumerate().map(|(at, (first, id))| {
            let next = self.starts.get(at + 1).and_then(|next| next.previous());
            (first, next.unwrap_or(A::LAST), id)
        })
    }

    /// How many ranges there are; at least one.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The first address of each range.
    pub fn starts(&self) -> &[A] {
        &self.starts
    }

    /// The number of each range.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.starts.capacity() * size_of::<A>() + self.ids.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ranges: &Ranges<u32>) -> Vec<(u32, u32)> {
        ranges.iter().collect()
    }

    #[test]
    fn the_innermost_network_decides() {
        let check = |networks: &[(u32, u32, u32)], expect: &[(u32, u32)]| {
            assert_eq!(list(&Ranges::from_nested(networks.to_vec())), expect, "{networks:?}");
        };
        check(&[], &[(0, 0)]);
        check(&[(0, u32::MAX, 7)], &[(0, 7)]);
        check(&[(8, 15, 2), (0, 255, 1)], &[(0, 1), (8, 2), (16, 1), (256, 0)]);
        check(&[(8, 15, 2), (8, 8, 3)], &[(0, 0), (8, 3), (9, 2), (16, 0)]);
        check(&[(8, 15, 2), (15, 15, 3), (16, 31, 4)], &[(0, 0), (8, 2), (15, 3), (16, 4), (32, 0)]);
        check(&[(0, 15, 1), (8, 15, 0)], &[(0, 1), (8, 0)]);
        check(
            &[(u32::MAX - 1, u32::MAX, 1), (u32::MAX, u32::MAX, 2)],
            &[(0, 0), (u32::MAX - 1, 1), (u32::MAX, 2)],
        );
    }

    #[test]
    fn spans_cover_the_family() {
        let ranges = Ranges::from_nested(vec![(8, 15, 1)]);
        let spans: Vec<_> = ranges.spans().collect();
        assert_eq!(spans, [(0, 7, 0), (8, 15, 1), (16, u32::MAX, 0)]);
    }

    #[test]
    fn unknown_shows_what_lies_below() {
        let above = Ranges::from_nested(vec![(8, 15, 1), (100, 199, 2)]);
        let below = Ranges::from_nested(vec![(0, 11, 3), (12, 120, 2)]);
        assert_eq!(list(&above.clone().over(below)), [(0, 3), (8, 1), (16, 2), (200, 0)]);
        assert_eq!(above.clone().over(Ranges::whole(0)), above);
        assert_eq!(list(&Ranges::<u32>::whole(0).over(above.clone())), list(&above));
    }
}
