//! What coins may leave of a client, with the chance of each, and which of them decided: for whoever asks about many
//! clients at once, of whom one sample tells too little, and for `explain`.
//!
//! ```text
//! Plan -> rung -> slots that can matter -> each stack, or none, with its chance -> the lists they make together
//! ```
//!
//! Not on the query path: [`super::steer`] lets each client's own coins fall.

use super::{
    AnswerBits, Answers, Ask, Chain, Family, Live, Picks, Scratch, Silent, Site, Slot, Steered, Steering,
    Step, draw,
};

/// Lists beyond which they are not told apart: eight PoPs that are drained in part, and all in reach of one client.
const CHANCES_MAX: usize = 256;

/// One way for the coins to fall.
#[derive(Clone, Debug, PartialEq)]
pub struct Chance {
    /// The share of the clients for whom they fall so.
    pub share: f64,
    /// The answers that are left for the chain.
    left: Vec<u8>,
    ignore_health: bool,
}

/// Every way for the coins to fall for the clients of a place, with shares that sum to 1. None where there are too
/// many ways.
pub fn chances(
    steering: &Steering,
    live: &Live,
    family: Family,
    ask: &Ask,
    scratch: &mut Scratch,
) -> Option<Vec<Chance>> {
    let mut chances = Vec::new();
    let mut rest = 1.0;
    for step in &live.plans[family as usize].ladder {
        let ignore_health = step.ignore_health;
        if step.slots.is_empty() {
            chances.push(Chance { share: rest, left: step.candidates.clone(), ignore_health });
            return Some(chances);
        }
        let ask = Ask { ignore_health, ..*ask };
        let mut empty = 0.0;
        for (share, left) in lists(steering, live, step, &ask, scratch)? {
            match left.is_empty() {
                // Coins alone emptied the rung: these clients go on to the next.
                true => empty += share,
                false => chances.push(Chance { share: share * rest, left, ignore_health }),
            }
        }
        rest *= empty;
        if rest <= 0.0 {
            return Some(chances);
        }
    }
    chances.push(Chance { share: rest, left: Vec::new(), ignore_health: true });
    Some(chances)
}

/// Runs the chain on one of them; the picks are in the scratch.
pub fn follow(steering: &Steering, live: &Live, chance: &Chance, ask: &Ask, scratch: &mut Scratch) {
    let answers = Answers { fixed: &steering.answers, live: &live.meta };
    scratch.picks.start(&chance.left);
    let ask = Ask { ignore_health: chance.ignore_health, ..*ask };
    steering.chain.run(0, &ask, &answers, &mut scratch.picks, &mut Silent);
}

/// What may be left of a rung.
fn lists(
    steering: &Steering,
    live: &Live,
    step: &Step,
    ask: &Ask,
    scratch: &mut Scratch,
) -> Option<Vec<(f64, Vec<u8>)>> {
    let answers = Answers { fixed: &steering.answers, live: &live.meta };
    let within_reach = reach(&steering.chain, step, ask, &answers, scratch);
    let mut lists = vec![(1.0, Vec::new())];
    for slot in &step.slots {
        let mut outcomes = slot.outcomes();
        if !slot.stacks.iter().any(|stack| within_reach.contains(&stack.answer)) {
            // It comes to nothing for this client, so that one way for it to fall stands for all.
            outcomes.sort_by_key(|(_, answer)| answer.is_none());
            outcomes.truncate(1);
            outcomes[0].0 = 1.0;
        }
        if lists.len() * outcomes.len() > CHANCES_MAX {
            return None;
        }
        let with = |(share, left): &(f64, Vec<u8>)| -> Vec<(f64, Vec<u8>)> {
            let one_more = outcomes
                .iter()
                .map(|(chance, answer)| (share * chance, left.iter().copied().chain(*answer).collect()));
            one_more.collect()
        };
        lists = lists.iter().flat_map(with).collect();
    }
    Some(lists)
}

/// The answers that some way for the coins to fall could leave to this client.
fn reach(chain: &Chain, step: &Step, ask: &Ask, answers: &Answers, scratch: &mut Scratch) -> Vec<u8> {
    scratch.doubt.start_in_doubt(&step.candidates, step.uncertain);
    chain.run(0, ask, answers, &mut scratch.doubt, &mut Silent);
    scratch.doubt.as_slice().to_vec()
}

impl Slot {
    /// Each stack that a client may get, or none, with its chance: what [`Slot::choose`] does for all clients together.
    fn outcomes(&self) -> Vec<(f64, Option<u8>)> {
        let mut from: Vec<u8> = self.stacks.iter().map(|stack| stack.drained).chain([0]).collect();
        from.sort_unstable();
        from.dedup();
        let mut chances: Vec<f64> = vec![0.0; self.stacks.len()];
        let mut none = 0.0;
        for (at, &coin) in from.iter().enumerate() {
            let width = f64::from(from.get(at + 1).copied().unwrap_or(100) - coin) / 100.0;
            let is_left = |drained: u8| drained <= coin;
            let all: f64 = self.stacks.iter().filter(|s| is_left(s.drained)).map(|s| s.weight).sum();
            if all <= 0.0 {
                none += width;
                continue;
            }
            for (chance, stack) in chances.iter_mut().zip(&self.stacks).filter(|(_, s)| is_left(s.drained)) {
                *chance += width * stack.weight / all;
            }
        }
        let stacks =
            chances.into_iter().zip(&self.stacks).map(|(chance, stack)| (chance, Some(stack.answer)));
        stacks.chain([(none, None)]).filter(|(chance, _)| *chance > 0.0).collect()
    }
}

/// The sites whose coin alone decides about what this client gets, each with its answers in play, for
/// `explain`: the other coins stay as they fell. Where none does alone, every site that has one.
pub fn coins(steering: &Steering, live: &Live, family: Family, steered: &Steered, ask: Ask) -> Vec<Vec<u8>> {
    let ladder = &live.plans[family as usize].ladder;
    let Some(step) = ladder.iter().find(|step| step.rung == steered.rung && !step.slots.is_empty()) else {
        return Vec::new();
    };
    let ask = Ask { ignore_health: step.ignore_health, ..ask };
    let answers = Answers { fixed: &steering.answers, live: &live.meta };
    let fell: Vec<Option<u8>> = step.slots.iter().map(|slot| slot.choose(ask.network_key())).collect();
    let all = |slot: &Slot| slot.stacks.iter().map(|stack| stack.answer).collect::<Vec<u8>>();
    let mattered = |number: usize| {
        let mut uncertain = AnswerBits::default();
        let own = all(&step.slots[number]);
        own.iter().filter(|&&answer| step.uncertain.contains(answer)).for_each(|&a| uncertain.insert(a));
        let others = fell.iter().enumerate().filter(|(other, _)| *other != number);
        let mut candidates: Vec<u8> = others.filter_map(|(_, fell)| *fell).chain(own).collect();
        candidates.sort_unstable();
        let mut doubt = Picks::default();
        doubt.start_in_doubt(&candidates, uncertain);
        steering.chain.run(0, &ask, &answers, &mut doubt, &mut Silent);
        doubt.coin_mattered()
    };
    let has_coin = |slot: &Slot| slot.stacks.iter().any(|stack| step.uncertain.contains(stack.answer));
    let tossed: Vec<usize> = (0..step.slots.len()).filter(|&number| has_coin(&step.slots[number])).collect();
    let alone: Vec<usize> = tossed.iter().copied().filter(|&number| mattered(number)).collect();
    let named = if alone.is_empty() { tossed } else { alone };
    named.into_iter().map(|number| all(&step.slots[number])).collect()
}

/// Whether a drain takes an answer from this client, for `explain`.
pub fn is_taken(steering: &Steering, live: &Live, answer: u8, ask: &Ask) -> bool {
    let site = steering.sites.iter().find(|site| site.answers.contains(&answer));
    let coin = |site: &Site| draw::draw(site.drain_salt, ask.network_key());
    site.is_some_and(|site| draw::under_percent(coin(site), live.drained[usize::from(answer)]))
}

#[cfg(test)]
mod tests {
    use super::super::Stack;
    use super::*;

    #[test]
    fn each_stack_with_its_chance() {
        let slot = |stacks: &[(u8, f64)]| Slot {
            drain_salt: 7,
            stacks: stacks
                .iter()
                .zip(0..)
                .map(|(&(drained, weight), answer)| Stack {
                    answer,
                    drained,
                    salt: u64::from(answer),
                    weight,
                })
                .collect(),
        };
        type Case = (&'static [(u8, f64)], &'static [(f64, Option<u8>)]);
        let cases: [Case; 4] = [
            (&[(0, 1.0)], &[(1.0, Some(0))]),
            (&[(30, 5.0)], &[(0.7, Some(0)), (0.3, None)]),
            (&[(0, 75.0), (0, 25.0)], &[(0.75, Some(0)), (0.25, Some(1))]),
            (&[(50, 1.0), (20, 1.0)], &[(0.25, Some(0)), (0.55, Some(1)), (0.2, None)]),
        ];
        for (stacks, expected) in cases {
            let (slot, mut fell) = (slot(stacks), [0.0; 3]);
            let outcomes = slot.outcomes();
            assert_eq!(outcomes.len(), expected.len(), "{stacks:?}");
            for ((chance, answer), (share, of)) in outcomes.iter().zip(expected) {
                assert!((chance - share).abs() < 1e-12 && answer == of, "{outcomes:?}");
            }
            // And so do the clients' own coins fall.
            const CLIENTS: u64 = 20_000;
            for client in 0..CLIENTS {
                let key = crate::chain::draw::mix(client);
                fell[slot.choose(key).map_or(2, usize::from)] += 1.0 / CLIENTS as f64;
            }
            for (chance, answer) in outcomes {
                let share: f64 = fell[answer.map_or(2, usize::from)];
                assert!((share - chance).abs() < 0.015, "{stacks:?}: {share} of {chance}");
            }
        }
    }
}
