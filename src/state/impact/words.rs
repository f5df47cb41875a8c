//! An impact as an operator must hear it.

use super::{Impact, PopImpact, RecordImpact};

/// A PoP's gain, as a share of all clients, from which it is told.
const GAIN_TOLD: f64 = 0.005;
/// Moves that are named one by one; the rest is summed.
const MOVES_TOLD: usize = 4;
/// Above this many times its share of the capacity, a PoP's share of the clients is told as that.
const OVER_CAPACITY: f64 = 1.05;
/// From this part of all that move on, one PoP takes nearly all.
const NEARLY_ALL: f64 = 0.8;

impl Impact {
    /// What it does, in sentences; none when it does nothing.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (names, what) in [(&self.added, "is new"), (&self.removed, "is gone")] {
            words.extend(names.iter().map(|name| format!("{name} {what}")));
        }
        words.extend(self.records.iter().flat_map(RecordImpact::words));
        words
    }
}

impl RecordImpact {
    /// What they are called together.
    pub fn called(&self) -> String {
        match &self.records[..] {
            [] => String::new(),
            [one] => one.clone(),
            [first, rest @ ..] if rest.len() > 2 => format!("{first} and {} more", rest.len()),
            all => all.join(", "),
        }
    }

    /// What becomes of their clients, in sentences; none when nothing does.
    pub fn words(&self) -> Vec<String> {
        let called = self.called();
        let mut words = Vec::new();
        if self.moved > 0.0 {
            words.push(format!("{} of the clients of {called} move: {}", percent(self.moved), self.ways()));
        }
        if self.moved_within > 0.0 {
            words.push(format!(
                "{} of the clients of {called} stay at their PoP and get another stack there",
                percent(self.moved_within)
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
        let taken = (pop.after - pop.before) / self.moved.max(f64::MIN_POSITIVE);
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
