//! The addresses of a steering's answers, as record data.

use std::net::IpAddr;

use crate::chain::Answer;

/// Addresses in wire form, by answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4.
    pub a: ByAnswer<4>,
    /// IPv6.
    pub aaaa: ByAnswer<16>,
}

impl Addresses {
    /// Those of these answers, all of them.
    pub fn new(answers: &[Answer]) -> Addresses {
        let a = answers.iter().map(|answer| answer.a.iter().map(|ip| ip.octets()).collect());
        let aaaa = answers.iter().map(|answer| answer.aaaa.iter().map(|ip| ip.octets()).collect());
        Addresses { a: ByAnswer::new(a), aaaa: ByAnswer::new(aaaa) }
    }

    /// What is left without those that fail, answer by answer; of a family whose addresses all fail, they all
    /// stay (DESIGN, decision 5).
    pub fn without(&self, failing: impl Fn(usize, IpAddr) -> bool) -> Addresses {
        Addresses { a: self.a.without(&failing), aaaa: self.aaaa.without(&failing) }
    }
}

/// The addresses of one family, side by side: a query touches one or two cache lines of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByAnswer<const N: usize> {
    all: Vec<[u8; N]>,
    /// Where each answer's begin, and where the last one's end.
    bounds: Vec<u32>,
}

impl<const N: usize> ByAnswer<N> {
    fn new(answers: impl Iterator<Item = Vec<[u8; N]>>) -> ByAnswer<N> {
        let mut lists = ByAnswer { all: Vec::new(), bounds: vec![0] };
        for list in answers {
            lists.all.extend(list);
            lists.bounds.push(lists.all.len() as u32);
        }
        lists
    }

    /// An answer's addresses.
    #[inline]
    pub fn of(&self, answer: usize) -> &[[u8; N]] {
        &self.all[self.bounds[answer] as usize..self.bounds[answer + 1] as usize]
    }

    /// What is left of each answer's; where nothing would be, they all stay.
    fn without(&self, failing: impl Fn(usize, IpAddr) -> bool) -> ByAnswer<N>
    where
        [u8; N]: Into<IpAddr>,
    {
        ByAnswer::new((0..self.bounds.len() - 1).map(|answer| {
            let all = self.of(answer).iter().copied();
            let left: Vec<_> = all.filter(|&address| !failing(answer, address.into())).collect();
            if left.is_empty() { self.of(answer).to_vec() } else { left }
        }))
    }
}
