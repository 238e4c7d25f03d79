//! Escape sequences of JSON strings.

/// The character that the text after a backslash stands for, and how many bytes it takes.
///
/// A lone half of a surrogate pair reads as U+FFFD, as Java's encoder would replace it. `None` for
/// what is no escape sequence.
pub(crate) fn read(text: &str) -> Option<(char, usize)> {
    let character = match text.as_bytes().first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'\'' => '\'',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(text),
        _ => return None,
    };
    Some((character, 1))
}

fn unicode(text: &str) -> Option<(char, usize)> {
    let high = unit(text, 1)?;
    if !(0xD800..0xDC00).contains(&high) {
        return Some((char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5));
    }
    let low = match text.get(5..7) {
        Some("\\u") => unit(text, 7),
        _ => None,
    };
    match low {
        Some(low) if (0xDC00..0xE000).contains(&low) => {
            let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            Some((char::from_u32(code)?, 11))
        }
        _ => Some((char::REPLACEMENT_CHARACTER, 5)),
    }
}

/// Four hexadecimal digits.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}
