//! Reads typed bodies out of a JSON tree the way Java's readers do: text, numbers and booleans
//! stand in for each other where the value allows it, and null members count as absent.

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

use super::lenient;

/// A value that is read tolerantly.
pub(super) struct Lenient(pub Value);

/// A map key: text that may hold a number, or the JSON of an object.
struct Key(String);

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match integer(&self.0) {
                Some(Integer::Signed(number)) => visitor.visit_i64(number),
                Some(Integer::Unsigned(number)) => visitor.visit_u64(number),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = items.into_iter();
                visitor.visit_seq(Items(&mut items))
            }
            Value::Object(members) => {
                visitor.visit_map(Members { rest: members.into_iter(), value: None })
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.as_str().map(|text| text.trim().parse::<f64>()) {
            Some(Ok(number)) => visitor.visit_f64(number),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::String(text) => match text.trim() {
                text if text.eq_ignore_ascii_case("true") || text == "1" => {
                    visitor.visit_bool(true)
                }
                text if text.eq_ignore_ascii_case("false") || text == "0" => {
                    visitor.visit_bool(false)
                }
                _ => self.deserialize_any(visitor),
            },
            Value::Number(number) => visitor.visit_bool(number.as_f64() != Some(0.0)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::Number(number) => visitor.visit_string(number.to_string()),
            Value::Bool(value) => visitor.visit_string(value.to_string()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &mut self.0 {
            Value::Object(members) => members.retain(|_, value| !value.is_null()),
            // A list would be taken for the members in their order.
            Value::Array(_) => return Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => {}
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct seq tuple tuple_struct map enum identifier
    }
}

enum Integer {
    Signed(i64),
    Unsigned(u64),
}

/// The whole number that a value or text stands for.
fn integer(value: &Value) -> Option<Integer> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .map(Integer::Signed)
            .or_else(|| number.as_u64().map(Integer::Unsigned))
            .or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => text_integer(text),
        _ => None,
    }
}

fn text_integer(text: &str) -> Option<Integer> {
    let text = text.trim();
    let signed = text.parse().ok().map(Integer::Signed);
    signed.or_else(|| text.parse().ok().map(Integer::Unsigned))
}

/// 2^53: below it every whole number has a double of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

fn whole(number: f64) -> Option<Integer> {
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(Integer::Signed(number as i64))
}

struct Items<'i>(&'i mut std::vec::IntoIter<Value>);

impl<'de> serde::de::SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|item| seed.deserialize(Lenient(item))).transpose()
    }
}

struct Members {
    rest: serde_json::map::IntoIter,
    value: Option<Value>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let value = self.value.take().ok_or_else(|| Error::custom("a value before its key"))?;
        seed.deserialize(Lenient(value))
    }
}

macro_rules! integer_keys {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match text_integer(&self.0) {
                Some(Integer::Signed(number)) => visitor.visit_i64(number),
                Some(Integer::Unsigned(number)) => visitor.visit_u64(number),
                None => visitor.visit_string(self.0),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text: StringDeserializer<Error> = self.0.into_deserializer();
        text.deserialize_any(visitor)
    }

    integer_keys! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value = lenient::parse(self.0.as_bytes()).map_err(Error::custom)?;
        Lenient(value).deserialize_struct(name, fields, visitor)
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}
