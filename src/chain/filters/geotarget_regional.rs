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
    let filter = GeotargetRegional(Placing { table, target_of: targets.of, by_place: true });
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
        self.0.sort(ask, picks);
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
