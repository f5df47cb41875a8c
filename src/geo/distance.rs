//! Distance on the globe.

use super::Coordinates;

/// The great-circle distance in kilometres, by the haversine formula (Sinnott, "Virtues of the
/// Haversine", Sky and Telescope 68, 1984), on a sphere of the earth's mean radius.
///
/// The sphere is wrong by at most 0.6 % against the ellipsoid: less than any geo database. Longitudes
/// come in through the sine of half their difference squared, so the antimeridian is no seam, and at a
/// pole they do not count.
pub fn distance_km(a: Coordinates, b: Coordinates) -> f64 {
    let half_sine_squared = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let h = half_sine_squared(b.latitude - a.latitude)
        + a.latitude.to_radians().cos()
            * b.latitude.to_radians().cos()
            * half_sine_squared(b.longitude - a.longitude);
    // Rounding can carry antipodes a hair above 1, where the arcsine has no value.
    2.0 * MEAN_RADIUS_KM * h.min(1.0).sqrt().asin()
}

/// IUGG mean radius of the earth.
const MEAN_RADIUS_KM: f64 = 6371.0088;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates { latitude, longitude }
    }

    #[test]
    fn known_distances() {
        let check = |a: (f64, f64), b: (f64, f64), km: f64| {
            let found = distance_km(at(a.0, a.1), at(b.0, b.1));
            assert!((found - km).abs() <= km * 0.001 + 0.001, "{a:?} to {b:?}: {found}, not {km}");
        };
        check((51.5, -0.12), (51.5, -0.12), 0.0);
        check((0.0, 0.0), (0.0, 1.0), 111.195);
        // Paris to New York.
        check((48.8566, 2.3522), (40.7128, -74.0060), 5837.24);
        // Across the antimeridian: Fiji's two sides, and the same meridian written twice.
        check((-17.0, 179.5), (-17.0, -179.5), 106.336);
        check((10.0, 180.0), (10.0, -180.0), 0.0);
        // Every longitude is the same place at a pole.
        check((90.0, 0.0), (90.0, 135.0), 0.0);
        check((-90.0, -70.0), (-90.0, 110.0), 0.0);
        check((90.0, 12.0), (-90.0, -77.0), 20015.1);
        check((89.0, 0.0), (89.0, 180.0), 222.39);
        // Antipodes.
        check((0.0, 0.0), (0.0, 180.0), 20015.1);
    }

    fn coordinates() -> impl Strategy<Value = Coordinates> {
        (-90.0..=90.0f64, -180.0..=180.0f64).prop_map(|(latitude, longitude)| at(latitude, longitude))
    }

    proptest! {
        #[test]
        fn is_a_distance(a in coordinates(), b in coordinates(), c in coordinates()) {
            let (ab, ba) = (distance_km(a, b), distance_km(b, a));
            prop_assert!((0.0..=20015.2).contains(&ab));
            prop_assert!((ab - ba).abs() < 1e-6);
            prop_assert!(ab <= distance_km(a, c) + distance_km(c, b) + 1e-6);
        }
    }
}
