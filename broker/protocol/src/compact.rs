//! The header in RocketMQ's binary form.
//!
//! `i16 code, u8 language, i16 version, i32 opaque, i32 flag, i32+n remark, i32+n fields`, where
//! the fields are `i16+n name, i32+n value` repeated. Zero-length text stands for "absent".

use crate::codes;
use crate::command::{Command, Head, Language};
use crate::error::{CommandError, LayoutError};
use crate::fields::{FieldWriter, Fields, Form, Text};
use crate::frame::{Frame, SerializeType};
use crate::header::WriteHeader;
use crate::reader::Reader;

pub(crate) fn parse(frame: Frame<'_>) -> Result<Command<'_>, CommandError> {
    let mut reader = Reader::new(frame.header);
    // Filled where it is returned: it has more than a kilobyte, and each move of it takes 40 ns.
    let mut parsed = Ok(Command {
        code: 0,
        language: Language::Other,
        version: 0,
        opaque: 0,
        flag: 0,
        remark: None,
        fields: Fields::default(),
        body: frame.body,
        serialize: SerializeType::RocketMq,
    });
    if let Ok(command) = &mut parsed
        && let Err(error) = read(&mut reader, command)
    {
        return Err(match error {
            ReadError::Command(error) => error,
            ReadError::Layout(error) => {
                CommandError::Malformed { at: reader.position(), expected: expected(error) }
            }
        });
    }
    parsed
}

enum ReadError {
    Command(CommandError),
    Layout(LayoutError),
}

impl From<LayoutError> for ReadError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

/// The field that could not be read is what was expected at that place.
fn expected(error: LayoutError) -> &'static str {
    match error {
        LayoutError::Truncated { field, .. }
        | LayoutError::OutOfRange { field, .. }
        | LayoutError::NotUtf8 { field }
        | LayoutError::ChecksumMismatch { field, .. } => field,
    }
}

fn read<'a>(reader: &mut Reader<'a>, command: &mut Command<'a>) -> Result<(), ReadError> {
    let truncated_code = reader.i16("code (2 bytes)")?;
    command.language = Language::from_number(i64::from(reader.u8("language (1 byte)")?));
    command.version = i32::from(reader.i16("version (2 bytes)")?);
    command.opaque = reader.i32("opaque (4 bytes)")?;
    command.flag = reader.i32("flag (4 bytes)")?;
    let remark_len = reader.len_i32("remark length")?;
    let remark = reader.text(remark_len, "remark in UTF-8")?;
    command.remark = (!remark.is_empty()).then_some(Text::Borrowed(remark));
    let fields_len = reader.len_i32("length of the fields")?;
    let mut entries = Reader::new(reader.take(fields_len, "all fields")?);
    while !entries.rest().is_empty() {
        let (name, value) = read_field(&mut entries)?;
        if !value.is_empty() {
            let (name, value) = (Text::Borrowed(name), Text::Borrowed(value));
            command.fields.push(name, value).map_err(ReadError::Command)?;
        }
    }
    command.code = match command.is_response() {
        true => i32::from(truncated_code),
        false => codes::widen_request(truncated_code),
    };
    Ok(())
}

#[inline]
pub(crate) fn read_field<'a>(entries: &mut Reader<'a>) -> Result<(&'a str, &'a str), LayoutError> {
    let name_len = entries.len_i16("length of a field name")?;
    let name = entries.text(name_len, "field name in UTF-8")?;
    let value_len = entries.len_i32("length of a field value")?;
    Ok((name, entries.text(value_len, "field value in UTF-8")?))
}

/// Writes the header; the code must fit 16 bits.
pub(crate) fn write(out: &mut Vec<u8>, code: i16, head: &Head<'_>, header: &impl WriteHeader) {
    out.extend_from_slice(&code.to_be_bytes());
    out.push(head.language.number());
    out.extend_from_slice(&crate::command::VERSION.to_be_bytes());
    out.extend_from_slice(&head.opaque.to_be_bytes());
    out.extend_from_slice(&head.flag.to_be_bytes());
    let remark_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(head.remark.unwrap_or_default().as_bytes());
    patch_len(out, remark_at);
    let fields_at = out.len();
    out.extend_from_slice(&[0; 4]);
    header.write_to(&mut FieldWriter::new(out, Form::Binary));
    patch_len(out, fields_at);
}

/// Stores at `at` how many bytes were written after that four-byte word.
pub(crate) fn patch_len(out: &mut [u8], at: usize) {
    let len = i32::try_from(out.len() - at - 4).expect("a header is shorter than 2 GiB");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}
