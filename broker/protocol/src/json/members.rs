//! What is inside arrays and objects, handed out one by one. Every value that comes to be is paid
//! for first, with what a growing list or table takes for it.

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess,
};
use serde::de::{Visitor, value::StrDeserializer};
use serde::forward_to_deserialize_any;

use super::JsonError;
use super::budget::Budget;
use super::coerce::{Integer, Lenient, text_integer};
use super::lenient;
use super::reference::{MEMBER_COST, Place};
use super::tree::{Inside, Kind};

/// A list that grows has room for twice its items, tables have leaves that are half full.
const ROOM: usize = 2;

/// Entries in a leaf of a `BTreeMap`, which the first one brings.
const LEAF_ENTRIES: usize = 11;

/// The items of an array.
pub(super) struct Items<'t> {
    array: Lenient<'t>,
    rest: Inside<'t>,
}

impl<'t> Items<'t> {
    pub fn of(array: Lenient<'t>) -> Self {
        Self { array, rest: array.tree.inside(array.place.at) }
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = JsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, JsonError> {
        let Some(at) = self.rest.next() else { return Ok(None) };
        self.array.budget.spend(1 + ROOM * size_of::<T::Value>())?;
        seed.deserialize(self.array.inside(at)).map(Some)
    }
}

/// The members of an object that is read as a table.
pub(super) struct Members<'t> {
    object: Lenient<'t>,
    rest: Inside<'t>,
    value: Option<usize>,
    /// Entries for which the next one pays.
    room: usize,
}

impl<'t> Members<'t> {
    pub fn of(object: Lenient<'t>) -> Self {
        let rest = object.tree.inside(object.place.at);
        Self { object, rest, value: None, room: LEAF_ENTRIES }
    }
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, JsonError> {
        let Some((text, value)) = self.rest.member() else { return Ok(None) };
        self.value = Some(value);
        let budget = self.object.budget;
        budget.spend(self.room * size_of::<K::Value>())?;
        seed.deserialize(Key { text, budget }).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, JsonError> {
        let at = self.value.take().ok_or_else(|| JsonError::custom("a value before its key"))?;
        self.object.budget.spend(self.room * size_of::<T::Value>())?;
        self.room = ROOM;
        seed.deserialize(self.object.inside(at))
    }
}

/// The members of an object that its type knows, each once: the last of its name, unless it is
/// null. Others are never looked into.
pub(super) struct StructMembers<'t> {
    object: Lenient<'t>,
    known:
        std::iter::Zip<std::slice::Iter<'static, &'static str>, std::vec::IntoIter<Option<usize>>>,
    value: Option<Lenient<'t>>,
}

impl<'t> StructMembers<'t> {
    pub fn of(object: Lenient<'t>, fields: &'static [&'static str]) -> Result<Self, JsonError> {
        let mut places = vec![None; fields.len()];
        let mut members = object.tree.inside(object.place.at);
        while let Some((name, value)) = members.member() {
            object.budget.spend(MEMBER_COST)?;
            if let Some(field) = fields.iter().position(|field| *field == name) {
                places[field] = Some(value);
            }
        }
        Ok(Self { object, known: fields.iter().zip(places), value: None })
    }
}

impl<'de> MapAccess<'de> for StructMembers<'_> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, JsonError> {
        for (name, at) in self.known.by_ref() {
            let Some(at) = at else { continue };
            let value = self.object.inside(at).followed()?;
            if value.kind() != Kind::Null {
                self.value = Some(value);
                let name: StrDeserializer<'_, JsonError> = (*name).into_deserializer();
                return seed.deserialize(name).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, JsonError> {
        let value = self.value.take().ok_or_else(|| JsonError::custom("a value before its key"))?;
        seed.deserialize(value)
    }
}

/// A map key: text that may hold a number, or the JSON of an object.
struct Key<'t> {
    text: &'t str,
    budget: &'t Budget,
}

macro_rules! integer_keys {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            match text_integer(self.text) {
                Some(Integer::Signed(number)) => visitor.visit_i64(number),
                Some(Integer::Unsigned(number)) => visitor.visit_u64(number),
                None => visitor.visit_str(self.text),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.budget.spend_text(self.text)?;
        visitor.visit_str(self.text)
    }

    integer_keys! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.budget.spend_text(self.text)?;
        let tree = lenient::parse(self.text.as_bytes())?;
        let key = Lenient { tree: &tree, budget: self.budget, place: Place::ROOT };
        key.deserialize_struct(name, fields, visitor)
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}
