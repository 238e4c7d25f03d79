//! The header in JSON form.

use super::scanner::Scanner;
use crate::command::{Command, Head, Language, VERSION};
use crate::error::CommandError;
use crate::fields::{FieldWriter, Fields, Form, Text};
use crate::frame::{Frame, SerializeType};
use crate::header::WriteHeader;

/// Reads a JSON header: any key order, unknown members skipped, numbers also as text.
pub(crate) fn parse(frame: Frame<'_>) -> Result<Command<'_>, CommandError> {
    let text = str::from_utf8(frame.header)
        .map_err(|error| CommandError::Malformed { at: error.valid_up_to(), expected: "UTF-8" })?;
    let mut scanner = Scanner::new(text);
    let mut fields = Fields::default();
    let mut members = Members::default();
    scanner.expect(b'{', "`{`")?;
    let mut first = true;
    while scanner.next_member(&mut first)? {
        let name = scanner.member_name(&mut fields)?;
        read_member(&mut scanner, &mut fields, &mut members, name)?;
    }
    scanner.expect_end()?;
    Ok(Command {
        code: members.code.ok_or(CommandError::Missing("code"))?,
        language: members.language,
        version: members.version,
        opaque: members.opaque.ok_or(CommandError::Missing("opaque"))?,
        flag: members.flag,
        remark: members.remark,
        fields,
        body: frame.body,
        serialize: SerializeType::Json,
    })
}

#[derive(Default)]
struct Members<'a> {
    code: Option<i32>,
    opaque: Option<i32>,
    flag: i32,
    version: i32,
    language: Language,
    remark: Option<Text<'a>>,
}

fn read_member<'a>(
    scanner: &mut Scanner<'a>,
    fields: &mut Fields<'a>,
    members: &mut Members<'a>,
    name: Text<'a>,
) -> Result<(), CommandError> {
    // Copied out so that the value may be unescaped into `fields`; known names are never escaped.
    let name = match name {
        Text::Borrowed(name) => name,
        Text::Unescaped { .. } => "",
    };
    match name {
        "code" => members.code = number(scanner, fields)?,
        "opaque" => members.opaque = number(scanner, fields)?,
        "flag" => members.flag = number(scanner, fields)?.unwrap_or(0),
        "version" => members.version = number(scanner, fields)?.unwrap_or(0),
        "remark" => members.remark = scanner.scalar(fields)?,
        "language" => {
            members.language = match scanner.scalar(fields)?.map(|text| fields.resolve(text)) {
                None => Language::Other,
                Some(text) => match text.parse() {
                    Ok(number) => Language::from_number(number),
                    Err(_) => Language::from_name(text),
                },
            }
        }
        "extFields" => read_fields(scanner, fields)?,
        _ => scanner.skip_value()?,
    }
    Ok(())
}

fn number<'a>(
    scanner: &mut Scanner<'a>,
    fields: &mut Fields<'a>,
) -> Result<Option<i32>, CommandError> {
    let at = scanner.position();
    let Some(text) = scanner.scalar(fields)? else { return Ok(None) };
    let number = fields.resolve(text).parse();
    number
        .map(Some)
        .map_err(|_| CommandError::Malformed { at, expected: "a whole number of 32 bits" })
}

fn read_fields<'a>(scanner: &mut Scanner<'a>, fields: &mut Fields<'a>) -> Result<(), CommandError> {
    if scanner.null() {
        return Ok(());
    }
    scanner.expect(b'{', "an object of header fields")?;
    let mut first = true;
    while scanner.next_member(&mut first)? {
        let name = scanner.member_name(fields)?;
        if let Some(value) = scanner.scalar(fields)? {
            fields.push(name, value)?;
        }
    }
    Ok(())
}

/// Writes the header with its keys in the order of Java: alphabetical, absent ones left out.
pub(crate) fn write(out: &mut Vec<u8>, head: &Head<'_>, header: &impl WriteHeader) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"{\"code\":");
    out.extend_from_slice(digits.format(head.code).as_bytes());
    let fields_at = out.len();
    out.extend_from_slice(b",\"extFields\":{");
    let mut fields = FieldWriter::new(out, Form::Json);
    header.write_to(&mut fields);
    match fields.count() {
        0 => out.truncate(fields_at),
        _ => out.push(b'}'),
    }
    out.extend_from_slice(b",\"flag\":");
    out.extend_from_slice(digits.format(head.flag).as_bytes());
    out.extend_from_slice(b",\"language\":\"");
    out.extend_from_slice(head.language.name().as_bytes());
    out.extend_from_slice(b"\",\"opaque\":");
    out.extend_from_slice(digits.format(head.opaque).as_bytes());
    if let Some(remark) = head.remark {
        out.extend_from_slice(b",\"remark\":");
        super::write_string(out, remark);
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    out.extend_from_slice(digits.format(VERSION).as_bytes());
    out.push(b'}');
}
