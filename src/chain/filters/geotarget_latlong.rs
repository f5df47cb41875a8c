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
    let filter = GeotargetLatlong(Placing::new(table, &targets.of, true));
    Ok(Compiled { filter: Box::new(filter), warnings })
}

impl Filter for GeotargetLatlong {
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
        let client = countries::point(&ask.place?)?;
        Some(match answers.fixed[answer].meta.coordinates {
            Some(at) => format!("{:.0} km", distance_km(client, at)),
            None => "no coordinates: last".to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn great_circles() {
        check(
            "answer nowhere country=FJ
             answer hawaii  latitude=21.3  longitude=-157.9
             answer samoa   latitude=-13.8 longitude=-171.8
             answer sydney  latitude=-33.9 longitude=151.2
             chain  geotarget_latlong
             client FJ@-18.1,178.4
             after  samoa sydney hawaii nowhere
             why    samoa 1151 km
             why    nowhere no coordinates: last
             warn   answers without latitude and longitude come last: nowhere",
        );
        check(
            "answer iceland latitude=64.1 longitude=-21.9
             answer beyond  latitude=89.0 longitude=180.0
             answer before  latitude=86.0 longitude=0.0
             chain  geotarget_latlong
             client NO@89.0,0.0
             after  beyond before iceland
             why    beyond 222 km",
        );
    }

    #[test]
    fn a_country_is_where_its_middle_is() {
        check(
            "answer tokyo  latitude=35.7 longitude=139.7
             answer dublin latitude=53.3 longitude=-6.3
             answer cork   latitude=53.3 longitude=-6.3
             chain  geotarget_latlong
             client DE
             after  dublin cork tokyo
             placed client",
        );
        refused("geotarget_latlong(n=1)", "option `n`: unknown; this filter takes no option");
    }
}
