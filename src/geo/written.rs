//! Places as the operator writes them, in whatever file.

use super::{Coordinates, Country, countries};
use crate::files::{At, Fields};

/// The field `latitude` and the field `longitude`: both or none.
pub fn read_coordinates(fields: &mut Fields) -> Option<Coordinates> {
    // Looked for before they are read, so that one out of range is not called missing too.
    let written = ["latitude", "longitude"].map(|name| fields.has(name));
    let latitude = fields.float_in("latitude", -90.0, 90.0);
    let longitude = fields.float_in("longitude", -180.0, 180.0);
    if written[0] != written[1] {
        let (there, missing) = if written[0] { ("latitude", "longitude") } else { ("longitude", "latitude") };
        let line = latitude.or(longitude).map_or(fields.line, |number| number.line);
        fields.error(there, line, format!("stands alone; write {missing} too, or neither"));
    }
    Coordinates::new(latitude.map(|at| at.value), longitude.map(|at| at.value))
}

/// A country that is assigned; one that is not is told of the field `name`.
pub fn assigned(fields: &Fields, name: &str, country: At<Country>) -> Option<Country> {
    if !countries::is_known(country.value) {
        let instead = countries::meant_by(country.value);
        let message = format!("`{}` is no assigned ISO 3166-1 code of two letters{instead}", country.value);
        fields.error(name, country.line, message);
        return None;
    }
    Some(country.value)
}
