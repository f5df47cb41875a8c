//! What picks do, and that a run in doubt covers every world of coins.

use super::*;
use proptest::prelude::*;

fn picks(answers: &[u8]) -> Picks {
    let mut picks = Picks::default();
    picks.start(answers);
    picks
}

#[test]
fn sort_is_stable_and_takes_the_full_key() {
    let mut picks = picks(&[0, 1, 2, 3, 4]);
    let keys = [u32::MAX, 7, 0, 7, u32::MAX];
    picks.sort_by_key(|answer| keys[answer]);
    picks.put_in_order();
    assert_eq!(picks.as_slice(), [2, 1, 3, 0, 4]);
}

#[test]
fn retain_unless_empty_stands_aside() {
    let mut picks = picks(&[3, 1, 2]);
    assert!(picks.retain_unless_empty(Effects::HEALTH_BYPASSED, |_| false));
    assert_eq!(picks.as_slice(), [3, 1, 2]);
    assert!(picks.effects().bypassed());
}

/// One deterministic chain step, as data, so that proptest can build chains of them.
#[derive(Clone, Debug)]
enum Step {
    Shed(Vec<u8>),
    Retain(Vec<bool>),
    RetainUnlessEmpty(Vec<bool>),
    Fence(Vec<u8>, bool, bool),
    Sort(Vec<u32>),
    Shuffle(Vec<u32>),
    KeepLeast(Vec<u32>),
    Truncate(usize),
    Group(Vec<u16>),
}

const N: usize = 7;

fn step() -> impl Strategy<Value = Step> {
    let bools = || proptest::collection::vec(any::<bool>(), N);
    let small = || proptest::collection::vec(0u32..3, N);
    prop_oneof![
        proptest::collection::vec(0u8..4, N).prop_map(Step::Shed),
        bools().prop_map(Step::Retain),
        bools().prop_map(Step::RetainUnlessEmpty),
        (proptest::collection::vec(0u8..3, N), any::<bool>(), any::<bool>())
            .prop_map(|(tags, untagged, all)| Step::Fence(tags, untagged, all)),
        small().prop_map(Step::Sort),
        small().prop_map(Step::Shuffle),
        small().prop_map(Step::KeepLeast),
        (1..4usize).prop_map(Step::Truncate),
        proptest::collection::vec(0u16..3, N).prop_map(Step::Group),
    ]
}

fn run(picks: &mut Picks, steps: &[Step], random: u64) {
    let fenced = |tag: u8| [Fenced::Untagged, Fenced::Match, Fenced::Miss][tag as usize];
    let drawn = |a: usize| (random ^ a as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    for step in steps {
        match step {
            Step::Shed(loads) => picks.shed(
                |a| [Shed::Keep, Shed::Keep, Shed::Maybe(0.5), Shed::Remove][usize::from(loads[a])],
                |a| (drawn(a) >> 11) as f64 / (1u64 << 53) as f64,
            ),
            Step::Retain(keep) => picks.retain(|a| keep[a]),
            Step::RetainUnlessEmpty(keep) => {
                picks.retain_unless_empty(Effects::HEALTH_BYPASSED, |a| keep[a]);
            }
            Step::Fence(tags, untagged, all) => picks.fence(|a| fenced(tags[a]), *untagged, *all),
            Step::Sort(keys) => picks.sort_by_key(|a| keys[a]),
            Step::Shuffle(tiers) => picks.shuffle(|a| tiers[a], drawn),
            Step::KeepLeast(keys) => picks.keep_least(|a| keys[a]),
            Step::Truncate(n) => picks.truncate(*n),
            Step::Group(groups) => picks.keep_leading_group(|a| groups[a]),
        }
    }
    picks.put_in_order();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    /// A sort and a cut are what they say, however the sort is carried out.
    #[test]
    fn a_noted_sort_is_a_sort(keys in proptest::collection::vec(0u32..5, 1..40), n in 1usize..12) {
        let all: Vec<u8> = (0..keys.len() as u8).collect();
        let mut expect = all.clone();
        expect.sort_by_key(|&answer| keys[answer as usize]);
        expect.truncate(n);
        let mut picks = picks(&all);
        picks.sort_by_key(|answer| keys[answer]);
        picks.truncate(n);
        picks.put_in_order();
        prop_assert_eq!(picks.as_slice(), &expect[..]);
    }

    /// What any world of coins returns is among what the run in doubt returns; where that hangs on no
    /// coin, every world returns the same.
    #[test]
    fn doubt_covers_every_world(
        steps in proptest::collection::vec(step(), 1..5),
        doubtful in proptest::collection::vec(any::<bool>(), N),
        random in any::<u64>(),
    ) {
        let all: Vec<u8> = (0..N as u8).collect();
        let mut uncertain = AnswerBits::default();
        for &answer in all.iter().filter(|&&a| doubtful[a as usize]) {
            uncertain.insert(answer);
        }
        let mut possible = Picks::default();
        possible.start_in_doubt(&all, uncertain);
        run(&mut possible, &steps, random);
        let mut results = std::collections::BTreeSet::new();
        for world in 0u32..1 << N {
            let present: Vec<u8> = all
                .iter()
                .copied()
                .filter(|&a| !doubtful[a as usize] || world >> a & 1 == 1)
                .collect();
            if present.is_empty() {
                continue;
            }
            let mut real = picks(&present);
            run(&mut real, &steps, random);
            for answer in real.as_slice() {
                prop_assert!(possible.as_slice().contains(answer), "{answer} of {present:?}");
            }
            results.insert(real.as_slice().to_vec());
        }
        prop_assert!(possible.coin_mattered() || results.len() <= 1, "{results:?}");
    }
}
