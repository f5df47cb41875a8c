#![doc = include_str!("geotarget_country.md")]

use super::placing::{Placing, Targets, canonical, ranks};
use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Meta, Picks, Spec, SpecError, options};
use crate::geo::{Coordinates, Country, Location, Subdivision, countries, distance_km};

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "geotarget_country",
    effect: Effect::Sort,
    manual: include_str!("geotarget_country.md"),
    compile,
};

struct GeotargetCountry {
    placing: Placing,
    ties: Ties,
}

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &["ties"])?;
    let word = options::choice(spec.options, "ties", &["distance", "level"])?;
    let ties = if word == "level" { Ties::Level } else { Ties::Distance };
    let targets = Targets::new(spec, Target::of);
    let ask = || {
        spec.geo.by_location(&targets.identity(&format!("{} ties={word}", KIND.name)), &|location| {
            let key = |target: &Target| target.nearness(location, ties).key();
            Some(ranks(&targets.tags.iter().map(key).collect::<Vec<_>>()))
        })
    };
    let table = targets.differ().then(ask);
    let warnings = targets.warnings(spec, "a location (country, subdivisions, or latitude and longitude)");
    let placing = Placing::new(table, &targets.of, true);
    Ok(Compiled { filter: Box::new(GeotargetCountry { placing, ties }), warnings })
}

impl Filter for GeotargetCountry {
    #[inline]
    fn apply(&self, ask: &Ask, _: &Answers, picks: &mut Picks) {
        self.placing.sort(self.placing.keys(ask, picks), picks);
    }

    fn is_settled(&self, _: &Answers) -> bool {
        self.placing.table.is_none()
    }

    fn placing(&self) -> Option<&Placing> {
        Some(&self.placing)
    }

    fn apply_placed(&self, keys: Option<&[u16]>, picks: &mut Picks) {
        self.placing.sort(keys, picks);
    }

    fn remark(&self, ask: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        let location = ask.place?;
        let Some(target) = Target::of(&answers.fixed[answer].meta) else {
            return Some("no location: last".to_string());
        };
        let nearness = target.nearness(&location, self.ties);
        let mut words = Vec::new();
        match nearness.level {
            Level::Subdivision => words.extend(
                location.subdivision.map(|part| format!("same subdivision {}-{part}", location.country)),
            ),
            Level::Country => words.push(format!("same country {}", location.country)),
            Level::Elsewhere => {}
        }
        words.extend(nearness.distance.map(|(km, to)| match to {
            Point { centroid_of: Some(country), .. } => format!("{km:.0} km to the middle of {country}"),
            Point { centroid_of: None, .. } => format!("{km:.0} km"),
        }));
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// What decides among answers in the client's own subdivision or country.
#[derive(Clone, Copy, PartialEq)]
enum Ties {
    /// The distance, where the client's place is finer than a country.
    Distance,
    /// The order they had (NS1's way).
    Level,
}

/// How exactly an answer matches a client, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Subdivision,
    Country,
    Elsewhere,
}

/// What an answer is to this filter.
#[derive(Debug)]
struct Target {
    countries: Vec<Country>,
    subdivisions: Vec<(Country, Subdivision)>,
    /// Where it is for a client with coordinates.
    fine: Vec<Point>,
    /// Where it is for a client known by its country alone.
    coarse: Vec<Point>,
}

/// A point an answer may be measured to.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: Coordinates,
    /// The country whose centroid this is; none when these are the answer's own coordinates.
    centroid_of: Option<Country>,
}

/// How near an answer is to a client.
struct Nearness {
    level: Level,
    /// In km, and to which of the answer's points; none where the level alone counts.
    distance: Option<(f64, Point)>,
}

impl Nearness {
    /// The bits of positive floats are in the order of their values.
    fn key(&self) -> (Level, u64) {
        (self.level, self.distance.map_or(u64::MAX, |(km, _)| km.to_bits()))
    }
}

impl Target {
    fn of(meta: &Meta) -> Option<Target> {
        let subdivisions = canonical(meta.subdivisions.iter().copied());
        let within = subdivisions.iter().map(|(country, _)| *country);
        // A subdivision says where the answer is, but only its own clients match it.
        let stands_in = canonical(meta.country.iter().copied().chain(within));
        let own = meta.coordinates.map(|at| Point { at, centroid_of: None });
        let points = |own_first: &dyn Fn(Country) -> bool| match &stands_in[..] {
            [] => own.into_iter().collect(),
            stands_in => stands_in
                .iter()
                .filter_map(|&country| {
                    let centroid =
                        countries::centroid(country).map(|at| Point { at, centroid_of: Some(country) });
                    if own_first(country) { own.or(centroid) } else { centroid.or(own) }
                })
                .collect::<Vec<_>>(),
        };
        // To a fine client an answer is where it stands, and in the middle of the other countries it
        // serves. A client known by country is itself in the middle of one, so countries are compared.
        // Coordinates belong to the country they lie in, where that is known: a PoP's own.
        let fine = points(&|country| meta.home.map_or(stands_in.len() == 1, |home| home == country));
        let coarse = points(&|_| false);
        let countries = canonical(meta.country.iter().copied());
        let located = !stands_in.is_empty() || own.is_some();
        located.then_some(Target { countries, subdivisions, fine, coarse })
    }

    fn nearness(&self, location: &Location, ties: Ties) -> Nearness {
        let within = |part| self.subdivisions.contains(&(location.country, part));
        let level = if location.subdivision.is_some_and(within) {
            Level::Subdivision
        } else if self.countries.contains(&location.country) {
            Level::Country
        } else {
            Level::Elsewhere
        };
        let fine = location.coordinates.is_some();
        let counts = level == Level::Elsewhere || (fine && ties == Ties::Distance);
        let points = if fine { &self.fine } else { &self.coarse };
        let client = countries::point(location).filter(|_| counts);
        let distances = client
            .into_iter()
            .flat_map(|client| points.iter().map(move |point| (distance_km(client, point.at), *point)));
        Nearness { level, distance: distances.min_by(|(a, _), (b, _)| a.total_cmp(b)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn levels() {
        check(
            "answer nowhere
             answer tokyo      country=JP
             answer us         country=US
             answer california subdivisions=US-CA
             chain  geotarget_country
             client US-CA
             after  california us tokyo nowhere
             why    california same subdivision US-CA
             why    us same country US
             why    nowhere no location: last
             client US-NY
             after  us california tokyo nowhere
             why    california 0 km to the middle of US
             client US
             after  us california tokyo nowhere
             client JP
             after  tokyo us california nowhere
             client DE
             after  us california tokyo nowhere
             warn   answers without a location (country, subdivisions, or latitude and longitude) come last: nowhere",
        );
    }

    #[test]
    fn no_match_goes_to_the_nearest_country() {
        // NS1's own example: Taiwan is served by the answer for Japan and Hong Kong.
        check(
            "answer america country=US,CA
             answer asia    country=JP,HK
             chain  geotarget_country
             client TW
             after  asia america
             why    asia 714 km to the middle of HK",
        );
        check(
            "answer buoy   latitude=48.0 longitude=-10.0
             answer dublin country=IE latitude=53.3 longitude=-6.3
             answer tokyo  country=JP latitude=35.7 longitude=139.7
             chain  geotarget_country
             client FR
             after  buoy dublin tokyo
             client GB@55.0,-5.0
             after  dublin buoy tokyo
             why    dublin 207 km",
        );
    }

    const AMERICA: &str = "
        answer virginia country=US latitude=38.9 longitude=-77.5
        answer oregon   country=US latitude=45.8 longitude=-119.7
        answer toronto  country=CA latitude=43.7 longitude=-79.4
        ";

    #[test]
    fn a_city_decides_inside_a_country() {
        check(&format!(
            "{AMERICA}
             chain  geotarget_country
             client US-CA@37.8,-122.4
             after  oregon virginia toronto
             why    oregon same country US, 917 km
             why    toronto 3639 km
             client US-NY@40.7,-74.0
             after  virginia oregon toronto
             client US
             after  virginia oregon toronto
             why    oregon same country US
             chain  geotarget_country(ties=level)
             client US-CA@37.8,-122.4
             after  virginia oregon toronto
             why    oregon same country US
             client CA@49.3,-123.1
             after  toronto oregon virginia",
        ));
    }

    #[test]
    fn an_answer_for_several_countries_stands_in_one() {
        check(
            "answer london country=GB,IE home=GB latitude=51.5 longitude=-0.1
             answer dublin country=IE home=IE latitude=53.3 longitude=-6.3
             answer cork   country=IE,GB home=IE latitude=51.9 longitude=-8.5
             chain  geotarget_country
             client GB@51.5,-0.1
             after  london cork dublin
             why    london same country GB, 0 km
             client IE@53.3,-6.3
             after  dublin london cork
             why    dublin same country IE, 0 km
             why    london same country IE, 124 km to the middle of IE
             client IE
             after  london dublin cork",
        );
        // It stands in Ireland, and is lent to the United States.
        check(
            "answer lent     country=US home=IE latitude=53.3 longitude=-6.3
             answer virginia country=US home=US latitude=38.9 longitude=-77.5
             chain  geotarget_country
             client US-VA@38.9,-77.5
             after  virginia lent
             why    lent same country US, 1831 km to the middle of US",
        );
    }

    #[test]
    fn earlier_filters_decide_ties() {
        check(
            "answer virginia country=US priority=2
             answer oregon   country=US priority=1
             answer dublin   country=IE priority=3
             chain  priority, geotarget_country
             client US
             after  oregon virginia dublin
             client GB
             after  dublin oregon virginia",
        );
    }

    #[test]
    fn a_client_no_source_knows() {
        check(&format!(
            "{AMERICA}
             chain    geotarget_country
             client   203.0.113.1
             network  203.0.112.0/24 CA
             network  203.0.114.0/24 CA
             after    virginia oregon toronto
             placed   nothing
             scope    24
             why      toronto
             default  CA
             after    toronto virginia oregon
             placed   default
             scope    24
             resolver US@37.8,-122.4
             after    oregon virginia toronto
             placed   resolver
             scope    24
             client   US-NY@40.7,-74.0
             after    virginia oregon toronto
             placed   client",
        ));
    }

    #[test]
    fn where_all_answers_are_alike_nothing_is_asked() {
        check(
            "answer haproxy country=IE latitude=53.3 longitude=-6.3
             answer envoy   country=IE latitude=53.3 longitude=-6.3
             chain  geotarget_country
             client GB
             after  haproxy envoy
             scope  0
             placed notasked",
        );
        check(
            "answer a
             answer b
             chain  geotarget_country
             client GB
             after  a b
             scope  0
             warn   no answer has a location (country, subdivisions, or latitude and longitude), so the filter does nothing",
        );
    }

    #[test]
    fn options() {
        refused("geotarget_country(ties=no)", "option `ties`: `no` is unknown; write distance or level");
        refused("geotarget_country(n=1)", "option `n`: unknown; it takes ties");
    }
}
