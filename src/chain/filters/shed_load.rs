#![doc = include_str!("shed_load.md")]

use crate::chain::{
    Answers, Ask, Compiled, Effect, Filter, Kind, LiveMeta, Picks, Shed, Spec, SpecError, draw, options,
};

/// The filter's line in the table.
pub const KIND: Kind =
    Kind { name: "shed_load", effect: Effect::Sift, manual: include_str!("shed_load.md"), compile };

struct ShedLoad {
    metric: &'static str,
    load: fn(&LiveMeta) -> Option<f64>,
    place: u8,
}

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &["metric"])?;
    let metric = options::choice(spec.options, "metric", &["loadavg", "connections", "requests"])?;
    let load: fn(&LiveMeta) -> Option<f64> = match metric {
        "connections" => |live| live.connections,
        "requests" => |live| live.requests,
        _ => |live| live.loadavg,
    };
    Ok(ShedLoad { metric, load, place: spec.place }.into())
}

impl Filter for ShedLoad {
    #[inline]
    fn apply(&self, ask: &Ask, answers: &Answers, picks: &mut Picks) {
        picks.shed(
            |answer| self.reading(&answers.live[answer]).map_or(Shed::Keep, Reading::verdict),
            |answer| draw::unit(ask.draw(self.place, answer)),
        );
    }

    fn is_settled(&self, answers: &Answers) -> bool {
        let verdict = |live| self.reading(live).map_or(Shed::Keep, Reading::verdict);
        !answers.live.iter().any(|live| matches!(verdict(live), Shed::Maybe(_)))
    }

    fn load(&self, live: &LiveMeta) -> Option<(&'static str, f64)> {
        (self.load)(live).map(|load| (self.metric, load))
    }

    fn remark(&self, _: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        let Some(reading) = self.reading(&answers.live[answer]) else {
            return Some(format!("no {}: kept", self.missing(&answers.live[answer])));
        };
        let Reading { load, low, high } = reading;
        let metric = self.metric;
        Some(match reading.verdict() {
            Shed::Keep => format!("{metric} {load} not over {low}: kept"),
            Shed::Maybe(p) => {
                format!("{metric} {load} between {low} and {high}: shed with probability {p:.2}")
            }
            Shed::Remove => format!("{metric} {load} not under {high}: shed"),
        })
    }
}

impl ShedLoad {
    /// What is known of an answer's load; nothing unless the metric and both marks are.
    #[inline]
    fn reading(&self, live: &LiveMeta) -> Option<Reading> {
        Some(Reading { load: (self.load)(live)?, low: live.low_watermark?, high: live.high_watermark? })
    }

    /// What of it is not known, in words.
    fn missing(&self, live: &LiveMeta) -> String {
        let read = [
            (self.metric, (self.load)(live)),
            ("low_watermark", live.low_watermark),
            ("high_watermark", live.high_watermark),
        ];
        let missing = read.into_iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name);
        missing.collect::<Vec<_>>().join(", no ")
    }
}

#[derive(Clone, Copy)]
struct Reading {
    load: f64,
    low: f64,
    high: f64,
}

impl Reading {
    #[inline]
    fn verdict(self) -> Shed {
        let Reading { load, low, high } = self;
        if load <= low {
            Shed::Keep
        } else if load >= high {
            Shed::Remove
        } else {
            // Here low < load < high, so nothing is divided by zero.
            Shed::Maybe((load - low) / (high - low))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Scenario, check, refused};

    #[test]
    fn shed_load() {
        check(
            "answer dublin loadavg=80 low_watermark=80 high_watermark=90
             answer london loadavg=90 low_watermark=80 high_watermark=90
             answer tokyo  loadavg=95 low_watermark=80
             answer sydney connections=95 low_watermark=80 high_watermark=90
             chain  shed_load
             after  dublin tokyo sydney
             why    dublin loadavg 80 not over 80: kept
             why    london loadavg 90 not under 90: shed
             why    tokyo no high_watermark: kept
             chain  shed_load(metric=connections)
             after  dublin london tokyo
             chain  shed_load(metric=requests)
             after  dublin london tokyo sydney",
        );
        refused(
            "shed_load(metric=up)",
            "option `metric`: `up` is unknown; write loadavg or connections or requests",
        );
    }

    #[test]
    fn equal_marks_are_a_step_and_wrong_ones_never_draw() {
        check(
            "answer at    loadavg=80 low_watermark=80 high_watermark=80
             answer above loadavg=81 low_watermark=80 high_watermark=80
             answer wrong loadavg=85 low_watermark=90 high_watermark=80
             answer worse loadavg=95 low_watermark=90 high_watermark=80
             chain  shed_load
             after  at wrong",
        );
    }

    #[test]
    fn everything_overloaded_is_bypassed() {
        check(
            "answer dublin loadavg=99 low_watermark=80 high_watermark=90
             answer london loadavg=91 low_watermark=80 high_watermark=90
             chain  shed_load
             after  dublin london
             bypassed",
        );
    }

    #[test]
    fn the_share_shed_is_the_distance_travelled() {
        let scenario = Scenario::parse(
            "answer dublin loadavg=83 low_watermark=80 high_watermark=90
             answer london loadavg=87 low_watermark=80 high_watermark=90
             answer tokyo
             chain  shed_load",
        );
        // Each answer draws for itself: dublin goes in 0.3, london in 0.7, both in 0.21 of the queries.
        let mut gone = [0, 0, 0];
        for picks in scenario.draws(20_000) {
            let (dublin, london) = (!picks.contains(&"dublin"), !picks.contains(&"london"));
            gone[0] += u32::from(dublin);
            gone[1] += u32::from(london);
            gone[2] += u32::from(dublin && london);
        }
        for (gone, expect) in gone.into_iter().zip([6_000, 14_000, 4_200]) {
            assert!(gone.abs_diff(expect) < 250, "{gone} {expect}");
        }
    }
}
