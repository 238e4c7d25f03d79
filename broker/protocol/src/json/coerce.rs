//! Reads typed bodies out of a JSON tree the way Java's readers do: text, numbers and booleans
//! stand in for each other where the value allows it, and null members count as absent.

use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Number;

use super::JsonError;
use super::budget::Budget;
use super::members::{Items, Members, StructMembers};
use super::reference::Place;
use super::tree::{Kind, Tree};

/// A value that is read tolerantly.
#[derive(Clone, Copy)]
pub(super) struct Lenient<'t> {
    pub tree: &'t Tree<'t>,
    pub budget: &'t Budget,
    pub place: Place,
}
macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            let value = self.followed()?;
            match value.integer() {
                Some(Integer::Signed(number)) => visitor.visit_i64(number),
                Some(Integer::Unsigned(number)) => visitor.visit_u64(number),
                None => value.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'t> Lenient<'t> {
    /// A value in this container.
    pub fn inside(self, at: usize) -> Self {
        Self { place: self.place.inside(at), ..self }
    }

    /// The value that is meant, if this is a reference.
    pub fn followed(self) -> Result<Self, JsonError> {
        let place = self.place.followed(self.tree, self.budget)?;
        Ok(Self { place, ..self })
    }

    pub fn kind(self) -> Kind {
        self.tree.kind(self.place.at)
    }

    fn number(self) -> Option<Number> {
        self.tree.number(self.place.at)
    }

    fn string(self) -> Option<&'t str> {
        self.tree.string(self.place.at)
    }

    /// The whole number that a value or text stands for.
    fn integer(self) -> Option<Integer> {
        match self.number() {
            Some(number) => number
                .as_i64()
                .map(Integer::Signed)
                .or_else(|| number.as_u64().map(Integer::Unsigned))
                .or_else(|| number.as_f64().and_then(whole)),
            None => text_integer(self.string()?),
        }
    }
}

impl<'de> Deserializer<'de> for Lenient<'_> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        let value = self.followed()?;
        let text = value.tree.text(value.place.at);
        match value.kind() {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(is_true) => visitor.visit_bool(is_true),
            Kind::Number => visit_number(value.number(), visitor),
            Kind::Text | Kind::Unescaped => {
                self.budget.spend_text(text)?;
                visitor.visit_str(text)
            }
            Kind::Array => visitor.visit_seq(Items::of(value)),
            Kind::Object => visitor.visit_map(Members::of(value)),
        }
    }

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        let value = self.followed()?;
        match value.string().map(|text| text.trim().parse::<f64>()) {
            Some(Ok(number)) => visitor.visit_f64(number),
            _ => value.deserialize_any(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        let value = self.followed()?;
        if let Some(number) = value.number() {
            return visitor.visit_bool(number.as_f64() != Some(0.0));
        }
        match value.string().map(str::trim) {
            Some(text) if text.eq_ignore_ascii_case("true") || text == "1" => {
                visitor.visit_bool(true)
            }
            Some(text) if text.eq_ignore_ascii_case("false") || text == "0" => {
                visitor.visit_bool(false)
            }
            _ => value.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        let value = self.followed()?;
        match (value.kind(), value.number()) {
            (_, Some(number)) => visitor.visit_string(number.to_string()),
            (Kind::Bool(is_true), _) => visitor.visit_string(is_true.to_string()),
            _ => value.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        let value = self.followed()?;
        match value.kind() {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        let value = self.followed()?;
        match value.kind() {
            Kind::Object => visitor.visit_map(StructMembers::of(value, fields)?),
            // A list would be taken for the members in their order.
            Kind::Array => Err(JsonError::invalid_type(Unexpected::Seq, &visitor)),
            _ => value.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct seq tuple tuple_struct map enum identifier
    }
}

fn visit_number<'de, V: Visitor<'de>>(
    number: Option<Number>,
    visitor: V,
) -> Result<V::Value, JsonError> {
    let number = number.expect("only numbers were taken for numbers");
    if let Some(number) = number.as_u64() {
        return visitor.visit_u64(number);
    }
    match number.as_i64() {
        Some(number) => visitor.visit_i64(number),
        None => visitor.visit_f64(number.as_f64().expect("a double, if not whole")),
    }
}

pub(super) enum Integer {
    Signed(i64),
    Unsigned(u64),
}

pub(super) fn text_integer(text: &str) -> Option<Integer> {
    let text = text.trim();
    let signed = text.parse().ok().map(Integer::Signed);
    signed.or_else(|| text.parse().ok().map(Integer::Unsigned))
}

/// 2^53: below it every whole number has a double of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

fn whole(number: f64) -> Option<Integer> {
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(Integer::Signed(number as i64))
}
