//! What was sent, held against what is wanted: a body's JSON, or the words of a query.
//!
//! ```text
//! bytes -> Sent (no name twice, no control character in a text) -> T, or Wrong: the field, and what to write
//! ```
//!
//! It differs from what serde does by itself in three ways: a list does not pass for an object with its fields in
//! order, what is wrong has its whole path, and it is said in the words of those who write JSON.

use std::fmt::{self, Display};

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Map, Value};

use crate::state::text::{is_control, written_out};

/// What is wrong with what was sent.
#[derive(Debug)]
pub struct Wrong {
    /// The path of the field, such as `values[3].scope.pop`; empty for the whole.
    pub field: String,
    /// What is wrong with it, and what to write.
    pub message: String,
}

/// JSON as it was sent.
pub struct Sent(Value);

impl Sent {
    /// Of a body that is there.
    ///
    /// # Errors
    /// It is no JSON, or an object has a name twice.
    pub fn parse(bytes: &[u8]) -> Result<Sent, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// As the type that is wanted.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Wrong> {
        check_texts(&self.0, &mut String::new())?;
        read(Strict(self.0))
    }

    /// As it is.
    pub fn into_value(self) -> Value {
        self.0
    }
}

/// The words of a query as the type that is wanted.
pub fn read_query<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, Wrong> {
    for (name, text) in &pairs {
        check_text(text, name)?;
    }
    let words = pairs.into_iter().map(|(name, text)| (name, Word(text)));
    read(MapDeserializer::<_, Plain>::new(words))
}

fn read<'de, T: DeserializeOwned, D: Deserializer<'de, Error = Plain>>(sent: D) -> Result<T, Wrong> {
    serde_path_to_error::deserialize(sent).map_err(|error| {
        let path = error.path().to_string();
        let mut field = if path == "." { String::new() } else { path };
        let Plain { message, missing } = error.into_inner();
        if let Some(name) = missing {
            field = if field.is_empty() { name.into() } else { format!("{field}.{name}") };
        }
        Wrong { field, message }
    })
}

/// That no text and no name in it has a control character; `path` is that of the value.
fn check_texts(value: &Value, path: &mut String) -> Result<(), Wrong> {
    let len = path.len();
    match value {
        Value::String(text) => check_text(text, path)?,
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                check_texts(item, path)?;
                path.truncate(len);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push_str(if len == 0 { "" } else { "." });
                path.push_str(&written_out(name));
                check_text(name, path)?;
                check_texts(value, path)?;
                path.truncate(len);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// The one field of several lines: certificates of a monitor, as PEM.
const OF_LINES: &str = "fields.tls.ca";

fn check_text(text: &str, field: &str) -> Result<(), Wrong> {
    let may_stand =
        |character: char| !is_control(character) || field == OF_LINES && "\r\n".contains(character);
    let Some(character) = text.chars().find(|character| !may_stand(*character)) else { return Ok(()) };
    let message =
        format!("it has the control character {}; write one line of plain text", character.escape_default());
    Err(Wrong { field: field.into(), message })
}

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sent, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Sent;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Sent, E> {
                Ok(Sent(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Sent, E> {
                Ok(Sent(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Sent, E> {
                Ok(Sent(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Sent, E> {
                Ok(Sent(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Sent, E> {
                Ok(Sent(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Sent, E> {
                Ok(Sent(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sent, A::Error> {
                let mut items = Vec::new();
                while let Some(Sent(item)) = list.next_element()? {
                    items.push(item);
                }
                Ok(Sent(Value::Array(items)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Sent, A::Error> {
                let mut fields = Map::new();
                while let Some((name, Sent(value))) = object.next_entry::<String, Sent>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{}` is there twice", written_out(&name))));
                    }
                    fields.insert(name, value);
                }
                Ok(Sent(Value::Object(fields)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A value that is an object only where an object is wanted.
struct Strict(Value);

impl<'de> IntoDeserializer<'de, Plain> for Strict {
    type Deserializer = Strict;

    fn into_deserializer(self) -> Strict {
        self
    }
}

impl Strict {
    fn unexpected(&self) -> Unexpected<'_> {
        match &self.0 {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(number) => Unexpected::Float(number.as_f64().unwrap_or_default()),
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Plain;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Plain> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Strict))),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, Strict(value)));
                visitor.visit_map(MapDeserializer::new(fields))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Plain> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Plain> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Plain> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            _ => Err(Plain::invalid_type(self.unexpected(), &"a map")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Plain> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(word.into_deserializer()),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, Strict(value)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(fields)))
            }
            _ => Err(Plain::invalid_type(self.unexpected(), &"a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

/// A word of a query, which is a number where one is wanted.
struct Word(String);

impl<'de> IntoDeserializer<'de, Plain> for Word {
    type Deserializer = Word;

    fn into_deserializer(self) -> Word {
        self
    }
}

/// Words that are read as Rust writes the type.
macro_rules! parsed {
    ($($wanted:ident $method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Plain> {
            let wrong = |_| Plain::invalid_value(Unexpected::Str(&self.0), &stringify!($wanted));
            visitor.$visit(self.0.parse::<$wanted>().map_err(wrong)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Word {
    type Error = Plain;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Plain> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Plain> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Plain> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Plain> {
        let word: StringDeserializer<Plain> = self.0.into_deserializer();
        visitor.visit_enum(word)
    }

    parsed! {
        bool deserialize_bool visit_bool
        u8 deserialize_u8 visit_u8
        u16 deserialize_u16 visit_u16
        u32 deserialize_u32 visit_u32
        u64 deserialize_u64 visit_u64
        i64 deserialize_i64 visit_i64
        f64 deserialize_f64 visit_f64
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// What is wrong with one value, in plain words.
#[derive(Debug)]
struct Plain {
    message: String,
    /// The field that is not there.
    missing: Option<&'static str>,
}

impl Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Plain {}

impl Error for Plain {
    fn custom<T: Display>(message: T) -> Plain {
        Plain { message: message.to_string(), missing: None }
    }

    fn invalid_type(sent: Unexpected, wanted: &dyn Expected) -> Plain {
        Plain::custom(format!("write {} here, not {}", in_words(wanted), shown(sent)))
    }

    fn invalid_value(sent: Unexpected, wanted: &dyn Expected) -> Plain {
        Plain::invalid_type(sent, wanted)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Plain {
        let known = match expected {
            [] => "there is none here".into(),
            known => format!("known are {}", known.join(", ")),
        };
        Plain::custom(format!("unknown field `{}`; {known}", written_out(field)))
    }

    fn unknown_variant(word: &str, expected: &'static [&'static str]) -> Plain {
        Plain::custom(format!("`{}` is unknown; write {}", written_out(word), expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Plain {
        Plain { message: format!("missing field `{field}`"), missing: Some(field) }
    }
}

/// What was sent.
fn shown(sent: Unexpected) -> String {
    match sent {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Str(text) => format!("the text `{}`", written_out(text)),
        Unexpected::Unit | Unexpected::Option => "null".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "an object".into(),
        other => other.to_string(),
    }
}

/// What is wanted, by the name that Rust has for it.
fn in_words(wanted: &dyn Expected) -> String {
    let wanted = wanted.to_string();
    match wanted.as_str() {
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" | "u64" | "usize" => "a whole number that is not below 0".into(),
        "i32" | "i64" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "bool" | "a boolean" => "true or false".into(),
        "a string" => "a text".into(),
        "a sequence" => "a list".into(),
        "a map" => "an object".into(),
        other if other.starts_with("struct ") => "an object".into(),
        other => other.into(),
    }
}
