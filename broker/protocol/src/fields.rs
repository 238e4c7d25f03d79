//! The header fields of a command: name and text, borrowed from the frame.

use smallvec::SmallVec;

use crate::error::CommandError;
use crate::header::WriteHeader;
use crate::reader::Reader;

/// Fields kept without allocating. A V2 send with trace and ACL fields has about 20.
const FIELDS_INLINE: usize = 24;

/// Unescaped text kept without allocating: the properties of a usual message (100..300 bytes).
const UNESCAPED_INLINE_BYTES: usize = 512;

/// Most fields of one header; the widest known request has fewer than 40.
pub const FIELDS_MAX: usize = 256;

/// A piece of header text: as it stands in the frame, or rewritten because it held escapes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Unescaped { start: u32, end: u32 },
}

/// The header fields of one command.
///
/// Every value travels as text, whatever its meaning. Looking a field up is a scan: headers are
/// short.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a> {
    entries: SmallVec<[(Text<'a>, Text<'a>); FIELDS_INLINE]>,
    unescaped: SmallVec<[u8; UNESCAPED_INLINE_BYTES]>,
}

impl<'a> Fields<'a> {
    /// The text of a field; the last one wins where a name is repeated.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries
            .iter()
            .rev()
            .find(|(key, _)| self.bytes(*key) == name.as_bytes())
            .map(|(_, value)| self.resolve(*value))
    }

    /// All fields in the order of the frame, repeated names included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (self.resolve(*key), self.resolve(*value)))
    }

    /// Bytes of all names and texts together: what the fields hold when they are kept.
    pub fn text_bytes(&self) -> usize {
        self.entries
            .iter()
            .map(|(key, value)| self.bytes(*key).len() + self.bytes(*value).len())
            .sum()
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[inline]
    pub(crate) fn push(&mut self, key: Text<'a>, value: Text<'a>) -> Result<(), CommandError> {
        if self.entries.len() == FIELDS_MAX {
            return Err(CommandError::TooManyFields { max: FIELDS_MAX });
        }
        self.entries.push((key, value));
        Ok(())
    }

    /// Starts a rewritten text; `end_unescaped` closes it.
    pub(crate) fn begin_unescaped(&self) -> usize {
        self.unescaped.len()
    }

    pub(crate) fn push_unescaped(&mut self, text: &str) {
        self.unescaped.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn end_unescaped(&self, start: usize) -> Text<'a> {
        // A header has at most 2^24 bytes and unescaping never lengthens it.
        let bound = |at: usize| u32::try_from(at).expect("a header is shorter than 4 GiB");
        Text::Unescaped { start: bound(start), end: bound(self.unescaped.len()) }
    }

    pub(crate) fn resolve(&self, text: Text<'a>) -> &str {
        match text {
            Text::Borrowed(text) => text,
            Text::Unescaped { .. } => {
                let bytes = self.bytes(text);
                #[cfg(test)]
                tests::count_checked(bytes.len());
                str::from_utf8(bytes).expect("unescaped text is written as whole characters")
            }
        }
    }

    /// The same for a comparison, which need not know that rewritten text is text: to check the
    /// names again with every look-up would be slow for a header of many long ones.
    fn bytes(&self, text: Text<'a>) -> &[u8] {
        match text {
            Text::Borrowed(text) => text.as_bytes(),
            Text::Unescaped { start, end } => &self.unescaped[start as usize..end as usize],
        }
    }
}

/// Header fields that belong to nobody else: for another thread, or a later time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedFields(pub Vec<(String, String)>);

impl OwnedFields {
    /// The fields that a header of ours writes; empty ones count as absent.
    pub fn of(header: &impl WriteHeader) -> Self {
        let mut bytes = Vec::new();
        header.write_to(&mut FieldWriter::new(&mut bytes, Form::Binary));
        let (mut entries, mut fields) = (Reader::new(&bytes), Vec::new());
        while !entries.rest().is_empty() {
            let read = crate::compact::read_field(&mut entries);
            let (name, value) = read.expect("what was written reads back");
            if !value.is_empty() {
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
        Self(fields)
    }
}

impl From<&Fields<'_>> for OwnedFields {
    fn from(fields: &Fields<'_>) -> Self {
        Self(fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl WriteHeader for OwnedFields {
    fn write_to(&self, out: &mut FieldWriter<'_>) {
        for (name, value) in &self.0 {
            out.text(name, value);
        }
    }
}

/// Writes header fields in the form of the frame being written.
#[derive(Debug)]
pub struct FieldWriter<'o> {
    out: &'o mut Vec<u8>,
    form: Form,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Binary,
}

impl<'o> FieldWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>, form: Form) -> Self {
        Self { out, form, count: 0 }
    }

    /// Fields written so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Writes a field whose value is `value`. Names have at most 32,767 bytes.
    pub fn text(&mut self, name: &str, value: &str) {
        self.field(name, |out, form| match form {
            Form::Json => crate::json::write_string(out, value),
            Form::Binary => out.extend_from_slice(value.as_bytes()),
        });
    }

    /// Writes a field whose value is a decimal number.
    pub fn number(&mut self, name: &str, value: i64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value);
        self.field(name, |out, form| write_plain(out, form, digits));
    }

    /// Writes a field whose value is `true` or `false`.
    pub fn boolean(&mut self, name: &str, value: bool) {
        let word = if value { "true" } else { "false" };
        self.field(name, |out, form| write_plain(out, form, word));
    }

    fn field(&mut self, name: &str, write_value: impl FnOnce(&mut Vec<u8>, Form)) {
        match self.form {
            Form::Json => {
                if self.count > 0 {
                    self.out.push(b',');
                }
                crate::json::write_string(self.out, name);
                self.out.push(b':');
                write_value(self.out, self.form);
            }
            Form::Binary => {
                let name_len = i16::try_from(name.len()).expect("field names fit 32,767 bytes");
                self.out.extend_from_slice(&name_len.to_be_bytes());
                self.out.extend_from_slice(name.as_bytes());
                let at = self.out.len();
                self.out.extend_from_slice(&[0; 4]);
                write_value(self.out, self.form);
                crate::compact::patch_len(self.out, at);
            }
        }
        self.count += 1;
    }
}

/// Writes text that needs no escapes.
fn write_plain(out: &mut Vec<u8>, form: Form, text: &str) {
    if form == Form::Json {
        out.push(b'"');
    }
    out.extend_from_slice(text.as_bytes());
    if form == Form::Json {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::headers::admin::DeleteGroupRequest;

    thread_local! {
        static CHECKED_BYTES: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count_checked(bytes: usize) {
        CHECKED_BYTES.set(CHECKED_BYTES.get() + bytes);
    }

    fn unescaped<'a>(fields: &mut Fields<'a>, text: &str) -> Text<'a> {
        let start = fields.begin_unescaped();
        fields.push_unescaped(text);
        fields.end_unescaped(start)
    }

    #[test]
    fn a_look_up_checks_the_value_that_it_finds_and_no_name() {
        let mut fields = Fields::default();
        for number in 0..FIELDS_MAX {
            let name = unescaped(&mut fields, &format!("{number}\u{e9}{}", "n".repeat(1000)));
            let value = unescaped(&mut fields, &format!("value {number}"));
            fields.push(name, value).expect("room");
        }
        assert_eq!(fields.get("queueId"), None);
        assert_eq!(CHECKED_BYTES.get(), 0);
        let name = format!("7\u{e9}{}", "n".repeat(1000));
        assert_eq!(fields.get(&name), Some("value 7"));
        assert_eq!(CHECKED_BYTES.get(), "value 7".len());
    }

    #[test]
    fn bytes_of_names_and_texts_are_counted_without_a_check_of_any() {
        let mut fields = Fields::default();
        let text = unescaped(&mut fields, "\u{e9}\"");
        fields.push(Text::Borrowed("name"), text).expect("room");
        fields.push(Text::Borrowed("name"), Text::Borrowed("")).expect("room");
        let checked_before = CHECKED_BYTES.get();
        assert_eq!(fields.text_bytes(), 4 + 3 + 4);
        assert_eq!(CHECKED_BYTES.get(), checked_before);
    }

    #[test]
    fn owned_fields_are_what_the_header_writes() {
        let owned = OwnedFields::of(&DeleteGroupRequest { group_name: "g\"", clean_offset: true });
        let expected = [("groupName", "g\""), ("cleanOffset", "true")];
        assert_eq!(owned, OwnedFields(expected.map(|(n, v)| (n.into(), v.into())).into()));
        assert_eq!(OwnedFields::of(&owned), owned);
    }
}
