//! Characters that Java spells with a backslash.

use std::fmt::Write as _;

use super::PropertiesError;

pub(super) fn escape(out: &mut String, text: &str, is_key: bool) {
    let mut leading = true;
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            ' ' if is_key || leading => out.push_str("\\ "),
            '=' | ':' if is_key => out.extend(['\\', character]),
            '#' | '!' if is_key && leading => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
        leading = false;
    }
}

pub(super) fn unescape(text: &str, line: u32) -> Result<String, PropertiesError> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let literal = if character != '\\' {
            character
        } else {
            match characters.next() {
                None => break,
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('f') => '\u{c}',
                Some('u') => {
                    units.push(hex_unit(&mut characters, line)?);
                    continue;
                }
                Some(other) => other,
            }
        };
        units.extend_from_slice(literal.encode_utf16(&mut [0; 2]));
    }
    // Escapes name UTF-16 units, so a pair may spell one character; a lone half becomes U+FFFD.
    Ok(String::from_utf16_lossy(&units))
}

fn hex_unit(characters: &mut std::str::Chars<'_>, line: u32) -> Result<u16, PropertiesError> {
    let rest = characters.as_str();
    let digits: String = rest.chars().take(4).collect();
    let all_hex = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u16::from_str_radix(&digits, 16) {
        Ok(unit) if all_hex => {
            *characters = rest[4..].chars();
            Ok(unit)
        }
        _ => Err(PropertiesError::BadUnicodeEscape { line, found: digits }),
    }
}
