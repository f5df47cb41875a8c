#![doc = include_str!("geotarget_latlong.md")]

use super::placing::{Placing, Targets, ranks};
use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Picks, Spec, SpecError, options};
use crate::geo::{Coordinates, countries, distance_km};

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "geotarget_latlong",
    effect: Effect::Sort,
    manual: include_str!("geotarget_latlong.md"),
    compile,
};

struct GeotargetLatlong(Placing);

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &[])?;
    let targets = Targets::new(spec, |meta| meta.coordinates);
    let ask = || {
        spec.geo.by_location(&targets.identity(KIND.name), &|location| {
            let client = countries::point(location)?;
            // The bits of positive floats are in the order of their values.
            let distance = |at: &Coordinates| distance_km(client, *at).to_bits();
            Some(ranks(&targets.tags.iter().map(distance).collect::<Vec<_>>()))
        })
    };
    let table = targets.differ().then(ask);
    let warnings = targets.warnings(spec, "latitude and longitude");
    let filter = GeotargetLatlong(Placing { table, target_of: targets.of, by_place: true });
    Ok(Compiled { filter: Box::new(filter), warnings })
}

impl Filter for GeotargetLatlong {
    #[inline]
    fn apply(&self, ask: &Ask, _: &Answers, picks: &mut Picks) {
        self.0.sort(ask, picks);
    }

    fn remark(&self, ask: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        let client = countries::point(&ask.place?)?;
        Some(match answers.fixed[answer].meta.coordinates {
            Some(at) => format!("{:.0} km", distance_km(client, at)),
            None => "no coordinates: last".to_string(),
        })
    }
}
