//! An impact as an operator must hear it.

use super::{Impact, PopImpact, RecordImpact};

/// A PoP's gain, as a share of all clients, from which it is told.
const GAIN_TOLD: f64 = 0.005;
/// Moves that are named one by one; the rest is summed.
const MOVES_TOLD: usize = 4;
/// Above this many times its share of the capacity, a PoP's share of the clients is told as that.
const OVER_CAPACITY: f64 = 1.05;
/// From this part of those that a PoP loses on, one PoP takes nearly all.
const NEARLY_ALL: f64 = 0.8;
/// Records that are named one by one; more are counted.
const NAMES_TOLD: usize = 3;
/// Sentences about records; of more groups of records than fit, the records are counted.
const SENTENCES_TOLD: usize = 24;
/// Networks from which on nobody needs to hear how many they were.
const FEW: usize = 50;
/// How one sees what was cut.
const HOW_TO_SEE: &str = "try it with one pool in the scope to see its records";

impl Impact {
    /// What it does, in sentences; none when it does nothing. Of very many, those that tell of the most clients.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (names, what) in [(&self.added, "is new"), (&self.removed, "is gone")] {
            words.extend(names.iter().map(|name| format!("{name} {what}")));
        }
        let mut untold = 0;
        for record in &self.records {
            let more = record.words();
            match words.is_empty() || words.len() + more.len() <= SENTENCES_TOLD {
                true => words.extend(more),
                false => untold += if more.is_empty() { 0 } else { record.count },
            }
        }
        if untold > 0 {
            words.push(format!("and {} move too; {HOW_TO_SEE}", records(untold, "more record")));
        }
        if self.unseen > 0 {
            words.push(format!(
                "{} can move too, and were not looked at; {HOW_TO_SEE}",
                records(self.unseen, "more record")
            ));
        }
        let asleep = self.records.iter().filter(|record| record.estimated_from == Some(0));
        match asleep.map(|record| record.count).sum() {
            0 => {}
            count => {
                words.push(format!("nobody has asked for {} that it concerns", records(count, "record")))
            }
        }
        words
    }
}

fn records(count: usize, one: &str) -> String {
    format!("{} {one}{}", thousands(count as u64), if count == 1 { "" } else { "s" })
}

impl RecordImpact {
    /// What they are called together.
    pub fn called(&self) -> String {
        match (&self.records[..], &self.pool) {
            ([], _) => String::new(),
            (all, _) if all.len() <= NAMES_TOLD && all.len() == self.count => all.join(", "),
            (_, Some(pool)) => format!("{} of pool {pool}", records(self.count, "record")),
            ([first, ..], None) => format!("{first} and {} more", self.count - 1),
        }
    }

    /// What becomes of their clients, in sentences; none when nothing does.
    pub fn words(&self) -> Vec<String> {
        let called = self.called();
        let mut words = Vec::new();
        if self.moved > 0.0 {
            words.push(format!(
                "{} of the clients{} of {called} move: {}",
                percent(self.moved),
                self.basis(),
                self.ways()
            ));
        }
        if self.moved_within > 0.0 {
            words.push(format!(
                "{} of the clients{} of {called} stay at their PoP and get another stack there",
                percent(self.moved_within),
                self.basis()
            ));
        }
        for pop in &self.pops {
            if pop.after - pop.before >= GAIN_TOLD {
                words.push(self.tell_gain(pop));
            }
            if pop.before >= GAIN_TOLD && pop.after <= 0.0 {
                words.push(format!("{} is left without a client of {called}", pop.pop));
            }
        }
        words
    }

    /// How many networks it rests on, where they are few.
    fn basis(&self) -> String {
        match self.estimated_from {
            Some(1) => " (one network alone)".into(),
            Some(few) if few < FEW => format!(" ({few} networks alone)"),
            _ => String::new(),
        }
    }

    /// `eu-west-1 -> eu-west-2 (93 % of them), ...`
    fn ways(&self) -> String {
        let of_them = |share: f64| percent(share / self.moved);
        let mut ways: Vec<String> = self
            .moves
            .iter()
            .take(MOVES_TOLD)
            .map(|way| format!("{} -> {} ({} of them)", way.from, way.to, of_them(way.share)))
            .collect();
        let rest: f64 = self.moves.iter().skip(MOVES_TOLD).map(|way| way.share).sum();
        if rest > 0.0 {
            ways.push(format!("elsewhere ({} of them)", of_them(rest)));
        }
        ways.join(", ")
    }

    fn tell_gain(&self, pop: &PopImpact) -> String {
        let (before, after) = (percent(pop.before), percent(pop.after));
        let mut said = format!("{} goes from {before} to {after} of all clients", pop.pop);
        if pop.capacity > 0.0 && pop.after / pop.capacity >= OVER_CAPACITY {
            said += &format!(", {} times its capacity share", short(pop.after / pop.capacity));
        }
        let taken = self.taken(pop);
        if taken >= NEARLY_ALL && self.pops.len() > 2 {
            let all = if taken > 0.995 { "all" } else { "nearly all" };
            said += &format!(": they would {all} fall on one neighbour");
        }
        if let Some(load) =
            pop.load.as_ref().filter(|load| load.high_watermark.is_some_and(|h| load.after > h))
        {
            said += &format!(
                "; its {} would go from {} to about {}, over its high watermark of {}",
                load.metric,
                short(load.before),
                short(about(load.after)),
                short(load.high_watermark.unwrap_or_default())
            );
        }
        said
    }
}

impl RecordImpact {
    /// The part that a PoP takes of the clients of PoPs that go; 0 where none goes.
    fn taken(&self, pop: &PopImpact) -> f64 {
        let goes = |name: &String| self.pops.iter().any(|pop| pop.pop == *name && pop.goes);
        let (mut all, mut taken) = (0.0, 0.0);
        for way in self.moves.iter().filter(|way| goes(&way.from)) {
            all += way.share;
            taken += if way.to == pop.pop { way.share } else { 0.0 };
        }
        if all > 0.0 { taken / all } else { 0.0 }
    }
}

/// A share as people read it: `12.4 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0..0.05 if share > 0.0 => "under 0.1 %".into(),
        99.95..100.0 if share < 1.0 - 1e-9 => "nearly 100 %".into(),
        _ => format!("{} %", short(percent)),
    }
}

/// A number with at most one digit behind the point, and none from 100 on.
fn short(number: f64) -> String {
    let rounded = (number * 10.0).round() / 10.0;
    if rounded < 100.0 { format!("{rounded}") } else { thousands(number.round() as u64) }
}

/// A number that is a guess: three digits of it.
fn about(number: f64) -> f64 {
    let unit = 10f64.powf((number.abs().max(1.0).log10() - 2.0).floor());
    (number / unit).round() * unit
}

/// `65,536`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_as_people_read_them() {
        let cases = [
            (0.0, "0 %"),
            (0.0002, "under 0.1 %"),
            (0.124, "12.4 %"),
            (0.93, "93 %"),
            (0.9999, "nearly 100 %"),
            (1.0, "100 %"),
        ];
        for (share, expect) in cases {
            assert_eq!(percent(share), expect);
        }
        assert_eq!((short(2.44), short(21_000.4)), ("2.4".into(), "21,000".into()));
        assert_eq!(
            (short(about(17_146.3)), short(about(0.777)), short(about(999.6))),
            ("17,100".into(), "0.8".into(), "1,000".into())
        );
    }
}
