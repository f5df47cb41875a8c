#![doc = include_str!("geotarget_regional.md")]

use super::placing::{Placing, Targets, canonical};
use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Meta, Picks, Spec, SpecError, options};
use crate::geo::Georegion;

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "geotarget_regional",
    effect: Effect::Sort,
    manual: include_str!("geotarget_regional.md"),
    compile,
};

struct GeotargetRegional(Placing);

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &[])?;
    let targets = Targets::new(spec, tag);
    let ask = || {
        spec.geo.by_location(&targets.identity(KIND.name), &|location| {
            let client = Georegion::of(location)?;
            Some(targets.tags.iter().map(|regions| nearest(client, regions).0).collect())
        })
    };
    let table = targets.differ().then(ask);
    let warnings = targets.warnings(spec, "a georegion");
    let filter = GeotargetRegional(Placing::new(table, &targets.of, true));
    Ok(Compiled { filter: Box::new(filter), warnings })
}

fn tag(meta: &Meta) -> Option<Vec<Georegion>> {
    (!meta.georegion.is_empty()).then(|| canonical(meta.georegion.iter().copied()))
}

/// The nearest of some regions, and how many regions are nearer to the client.
fn nearest(client: Georegion, regions: &[Georegion]) -> (u16, Georegion) {
    let order = (0..).zip(client.by_nearness());
    order.into_iter().find(|(_, region)| regions.contains(region)).expect("the order has every region")
}

impl Filter for GeotargetRegional {
    #[inline]
    fn apply(&self, ask: &Ask, _: &Answers, picks: &mut Picks) {
        self.0.sort(self.0.keys(ask, picks), picks);
    }

    fn is_settled(&self, _: &Answers) -> bool {
        self.0.table.is_none()
    }

    fn placing(&self) -> Option<&Placing> {
        Some(&self.0)
    }

    fn apply_placed(&self, keys: Option<&[u16]>, picks: &mut Picks) {
        self.0.sort(keys, picks);
    }

    fn remark(&self, ask: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        let client = Georegion::of(&ask.place?)?;
        let Some(regions) = tag(&answers.fixed[answer].meta) else {
            return Some("no georegion: last".to_string());
        };
        Some(match nearest(client, &regions) {
            (0, region) => format!("same georegion {region}"),
            (nearer, region) => format!("georegion {region}, {nearer} nearer to {client}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn the_nearest_region_comes_next() {
        check(
            "answer nowhere
             answer asia    georegion=ASIAPAC
             answer east    georegion=US-EAST
             answer most    georegion=AFRICA,EUROPE
             answer east-2  georegion=US-EAST
             chain  geotarget_regional
             client US-TX
             after  east east-2 most asia nowhere
             why    nowhere no georegion: last
             why    east georegion US-EAST, 1 nearer to US-CENTRAL
             client US-NY
             after  east east-2 most asia nowhere
             why    east same georegion US-EAST
             client ZA
             after  most east east-2 asia nowhere
             client JP
             after  asia most east east-2 nowhere
             warn   answers without a georegion come last: nowhere",
        );
        refused("geotarget_regional(n=1)", "option `n`: unknown; this filter takes no option");
    }
}
