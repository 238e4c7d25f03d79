//! Typed header fields: from text to numbers and back.

use crate::error::{Excerpt, HeaderError};
use crate::fields::{FieldWriter, Fields};

/// Something that can write itself as header fields.
///
/// `()` writes none, a slice of pairs writes each pair, a tuple writes its parts one after the
/// other (a response plus the fields that a hook adds).
pub trait WriteHeader {
    /// Writes the fields that are set.
    fn write_to(&self, out: &mut FieldWriter<'_>);
}

/// The typed fields of one request or response.
pub trait Header<'h>: WriteHeader + Sized {
    /// Reads the fields; unknown ones are left alone.
    ///
    /// # Errors
    /// `Missing` and `Invalid`, each with the field's name and what it should hold.
    fn decode(fields: &'h Fields<'_>) -> Result<Self, HeaderError>;
}

impl WriteHeader for () {
    fn write_to(&self, _: &mut FieldWriter<'_>) {}
}

impl<'h> Header<'h> for () {
    fn decode(_: &'h Fields<'_>) -> Result<Self, HeaderError> {
        Ok(())
    }
}

impl WriteHeader for [(&str, &str)] {
    fn write_to(&self, out: &mut FieldWriter<'_>) {
        for (name, value) in self {
            out.text(name, value);
        }
    }
}

impl<const N: usize> WriteHeader for [(&str, &str); N] {
    fn write_to(&self, out: &mut FieldWriter<'_>) {
        self.as_slice().write_to(out);
    }
}

impl<A: WriteHeader, B: WriteHeader> WriteHeader for (A, B) {
    fn write_to(&self, out: &mut FieldWriter<'_>) {
        self.0.write_to(out);
        self.1.write_to(out);
    }
}

impl<T: WriteHeader + ?Sized> WriteHeader for &T {
    fn write_to(&self, out: &mut FieldWriter<'_>) {
        (**self).write_to(out);
    }
}

impl<T: WriteHeader> WriteHeader for Option<T> {
    fn write_to(&self, out: &mut FieldWriter<'_>) {
        if let Some(header) = self {
            header.write_to(out);
        }
    }
}

/// The fields as they came: forwards a request unchanged.
impl WriteHeader for Fields<'_> {
    fn write_to(&self, out: &mut FieldWriter<'_>) {
        for (name, value) in self.iter() {
            out.text(name, value);
        }
    }
}

/// A value that a header field can hold.
pub trait FieldValue<'h>: Sized {
    /// What the text must be, for error messages.
    const EXPECTED: &'static str;

    /// The value of a text; `None` when it has none.
    fn parse(text: &'h str) -> Option<Self>;

    /// Writes the field.
    fn write(&self, name: &str, out: &mut FieldWriter<'_>);
}

impl<'h> FieldValue<'h> for &'h str {
    const EXPECTED: &'static str = "text";

    fn parse(text: &'h str) -> Option<Self> {
        Some(text)
    }

    fn write(&self, name: &str, out: &mut FieldWriter<'_>) {
        out.text(name, self);
    }
}

impl FieldValue<'_> for i32 {
    const EXPECTED: &'static str = "a decimal number of 32 bits";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self, name: &str, out: &mut FieldWriter<'_>) {
        out.number(name, i64::from(*self));
    }
}

impl FieldValue<'_> for i64 {
    const EXPECTED: &'static str = "a decimal number of 64 bits";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self, name: &str, out: &mut FieldWriter<'_>) {
        out.number(name, *self);
    }
}

/// As Java reads it: `true` in any case is true, anything else is false (`1`, which the C++ client
/// sends, too).
impl FieldValue<'_> for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true"))
    }

    fn write(&self, name: &str, out: &mut FieldWriter<'_>) {
        out.boolean(name, *self);
    }
}

/// The value of a required field's text.
///
/// # Errors
/// `Missing` or `Invalid`.
pub fn required<'h, T: FieldValue<'h>>(
    text: Option<&'h str>,
    field: &'static str,
) -> Result<T, HeaderError> {
    optional(text, field)?.ok_or(HeaderError::Missing { field, expected: T::EXPECTED })
}

/// The value of an optional field's text.
///
/// # Errors
/// `Invalid` when it is there and has no such value.
pub fn optional<'h, T: FieldValue<'h>>(
    text: Option<&'h str>,
    field: &'static str,
) -> Result<Option<T>, HeaderError> {
    let Some(text) = text else { return Ok(None) };
    T::parse(text).map(Some).ok_or_else(|| HeaderError::Invalid {
        field,
        expected: T::EXPECTED,
        found: Excerpt::of(text),
    })
}

/// Defines header structs.
///
/// ```text
/// /// What it is.
/// pub struct Name<'h> {                    // or `Name` without borrowed fields
///     /// Optional words about the field.
///     required queue_id: i32 = "queueId",
///     optional subscription: &'h str = "subscription",   // Option<&'h str>
///     default order: bool = "order" or false,            // absent reads as the default
/// }
/// ```
macro_rules! headers {
    ($(
        $(#[$about:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $(
                $(#[$doc:meta])*
                $mode:ident $field:ident: $type:ty = $wire:literal $(or $default:expr)?,
            )*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name $(<$life>)? {
            $(
                $(#[$doc])*
                #[doc = concat!(" Wire field `", $wire, "`, ", stringify!($mode), ".")]
                pub $field: $crate::header::field_type!($mode $type),
            )*
        }

        $crate::header::header_impls!(
            $name $(<$life>)?,
            $( $mode $field $type, $wire $(, $default)?; )*
        );
    )*};
}

macro_rules! header_impls {
    ($name:ident <$life:lifetime>, $($body:tt)*) => {
        $crate::header::header_impls!(@ ($name<$life>) $life, $($body)*);
    };
    ($name:ident, $($body:tt)*) => {
        $crate::header::header_impls!(@ ($name) 'h, $($body)*);
    };
    (
        @ ($self:ty) $life:lifetime,
        $( $mode:ident $field:ident $type:ty, $wire:literal $(, $default:expr)?; )*
    ) => {
        #[allow(unused_lifetimes, unused_variables, clippy::extra_unused_lifetimes)]
        impl<$life> $crate::header::WriteHeader for $self {
            fn write_to(&self, out: &mut $crate::fields::FieldWriter<'_>) {
                $( $crate::header::field_write!($mode self.$field, $wire, out); )*
            }
        }

        #[allow(unused_variables)]
        impl<$life> $crate::header::Header<$life> for $self {
            fn decode(
                fields: &$life $crate::fields::Fields<'_>,
            ) -> Result<Self, $crate::error::HeaderError> {
                // One walk over the fields; a repeated name overwrites, so the last one wins.
                $( let mut $field: Option<&$life str> = None; )*
                for (name, value) in fields.iter() {
                    match name {
                        $( $wire => $field = Some(value), )*
                        _ => {}
                    }
                }
                Ok(Self {
                    $( $field: $crate::header::field_read!($mode $field, $wire $(, $default)?), )*
                })
            }
        }
    };
}

macro_rules! field_type {
    (required $type:ty) => { $type };
    (default $type:ty) => { $type };
    (optional $type:ty) => { Option<$type> };
}

macro_rules! field_read {
    (required $text:ident, $wire:literal) => {
        $crate::header::required($text, $wire)?
    };
    (optional $text:ident, $wire:literal) => {
        $crate::header::optional($text, $wire)?
    };
    (default $text:ident, $wire:literal, $default:expr) => {
        $crate::header::optional($text, $wire)?.unwrap_or($default)
    };
}

macro_rules! field_write {
    (optional $value:expr, $wire:literal, $out:ident) => {
        if let Some(value) = &$value {
            $crate::header::FieldValue::write(value, $wire, $out);
        }
    };
    ($mode:ident $value:expr, $wire:literal, $out:ident) => {
        $crate::header::FieldValue::write(&$value, $wire, $out);
    };
}

pub(crate) use {field_read, field_type, field_write, header_impls, headers};
