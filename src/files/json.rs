//! Tables that come as JSON: they mean what the same fields mean in a file, and are read by the same code.
//!
//! ```text
//! JSON -> TOML -> Fields -> read, every mistake at once      file -> Fields -> JSON, as it was written
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use super::{Document, Fields, Problem, Severity};

/// A table's fields, as JSON.
pub type Json = Map<String, Value>;

/// Reads a table that came as JSON.
///
/// # Errors
/// Everything that is wrong with it. The problems name object and field; there is neither file nor line.
pub fn read_json<T>(object: &str, json: &Json, read: impl FnOnce(Fields) -> T) -> Result<T, Vec<Problem>> {
    let error = |message: String| Problem::of_request(message).of(object);
    let mut nulls = Vec::new();
    find_nulls("", &Value::Object(json.clone()), &mut nulls);
    if !nulls.is_empty() {
        let leave_out = |field: &String| error("null is no value; leave the field out".into()).at(field);
        return Err(nulls.iter().map(leave_out).collect());
    }
    let text = toml::to_string(json).map_err(|wrong| vec![error(wrong.to_string())])?;
    let document = Document::new(Path::new(""), &text);
    let value = document.read().map(|mut fields| {
        fields.object = object.into();
        read(fields)
    });
    let problems = document.into_problems().into_iter();
    let errors: Vec<Problem> = problems
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| Problem { line: None, ..problem })
        .collect();
    value.filter(|_| errors.is_empty()).ok_or(errors)
}

/// The paths of the fields that are null, which TOML has no word for.
fn find_nulls(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Null => found.push(path.into()),
        Value::Array(items) => items.iter().for_each(|item| find_nulls(path, item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                find_nulls(&inner, value, found);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a cat of JSON, and gives it or its problems.
    fn read(json: &str) -> Result<(String, Option<f64>), Vec<String>> {
        let json: Json = serde_json::from_str(json).unwrap();
        let cat = read_json("cat", &json, |mut cat| {
            cat.require(&["name"]);
            let name = cat.text("name").map_or(String::new(), |name| name.value);
            let weight = cat.float_in("weight", 0.0, 9.0).map(|weight| weight.value);
            if let Some(mut home) = cat.table("home") {
                home.object = "cat home".into();
                home.parsed_list_like::<std::net::IpAddr>("at", "::1");
                home.finish();
            }
            cat.finish();
            (name, weight)
        });
        cat.map_err(|problems| problems.iter().map(Problem::words).collect())
    }

    #[test]
    fn what_is_json_means_what_it_means_in_a_file() {
        let tom = |weight| Ok(("Tom \"T\"\n\u{7f}".to_string(), weight));
        assert_eq!(read(r#"{"name": "Tom \"T\"\n\u007f", "weight": 4}"#), tom(Some(4.0)));
        assert_eq!(read(r#"{"home": {"at": ["::1"]}, "name": "Tom \"T\"\n\u007f"}"#), tom(None));
        let check = |json: &str, expect: &[&str]| {
            assert_eq!(read(json), Err(expect.iter().map(ToString::to_string).collect()), "{json}");
        };
        check("{}", &["cat: name: missing; it must be written"]);
        check(
            r#"{"name": 7, "weight": 10.5, "home": {"at": "x", "by": 1}, "colour": "red"}"#,
            &[
                "cat: colour: unknown field; known are name, weight, home",
                "cat: name: write a text in quotes, not `7`",
                "cat: weight: 10.5 is out of range; write 0 to 9",
                "cat home: at: `x` cannot be read; write one such as ::1",
                "cat home: by: unknown field; did you mean `at`?",
            ],
        );
        check(
            r#"{"name": null, "home": {"at": [null]}}"#,
            &[
                "cat: home.at: null is no value; leave the field out",
                "cat: name: null is no value; leave the field out",
            ],
        );
        check(
            r#"{"name": 18446744073709551615}"#,
            &["cat: name: write a text in quotes, not `18446744073709551615`"],
        );
    }

    #[test]
    fn as_it_was_written() {
        let text = "[cat]\nname = 'Tom'\nweight = 1.0\nlives = 0x9\nhomes = [ { at = '::1' } ]\n";
        let document = Document::new(Path::new("cats.toml"), text);
        let cat = document.read().unwrap().table("cat").unwrap().to_json();
        let json = Value::Object(cat.clone()).to_string();
        assert_eq!(json, r#"{"homes":[{"at":"::1"}],"lives":9,"name":"Tom","weight":1.0}"#);
        let again = read_json("cat", &cat, |cat| cat.to_json());
        assert_eq!(again, Ok(cat));
    }
}
