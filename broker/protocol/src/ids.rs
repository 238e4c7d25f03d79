//! Message ids as clients see them.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::error::LayoutError;

/// Where a message lies: the host that stored it and its physical offset.
///
/// As text: upper-case hexadecimal of address (4 or 16 bytes), i32 port, i64 offset, so 32 or 56
/// characters. Clients use the host to look the message up and to end transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetMessageId {
    /// Who stored it.
    pub host: SocketAddr,
    /// Physical offset.
    pub physical_offset: i64,
}

/// Characters of an [`OffsetMessageId`] with an IPv6 host, the longest.
pub const OFFSET_MESSAGE_ID_LEN_MAX: usize = 56;

impl fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl OffsetMessageId {
    /// Its text without allocating; see [`IdText::as_str`].
    ///
    /// Every send has one, so its digits do not pass through the formatter, which takes 0.1 us.
    pub fn text(&self) -> IdText {
        let mut text = IdText::default();
        match self.host.ip() {
            IpAddr::V4(ip) => text.push_hex(&ip.octets()),
            IpAddr::V6(ip) => text.push_hex(&ip.octets()),
        }
        text.push_hex(&u32::from(self.host.port()).to_be_bytes());
        text.push_hex(&self.physical_offset.to_be_bytes());
        text
    }
}

/// The text of an id, kept in place.
#[derive(Debug, Clone, Copy)]
pub struct IdText {
    bytes: [u8; OFFSET_MESSAGE_ID_LEN_MAX],
    len: usize,
}

impl Default for IdText {
    fn default() -> Self {
        Self { bytes: [0; OFFSET_MESSAGE_ID_LEN_MAX], len: 0 }
    }
}

impl IdText {
    /// The characters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).expect("ids are ASCII")
    }
}

impl IdText {
    /// Adds two digits per byte.
    fn push_hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        for byte in bytes {
            let digits = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
            self.bytes[self.len..self.len + 2].copy_from_slice(&digits);
            self.len += 2;
        }
    }
}

impl FromStr for OffsetMessageId {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let wrong = |expected| LayoutError::OutOfRange {
            field: "offset message id",
            found: text.len() as i64,
            expected,
        };
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong("hexadecimal digits only"));
        }
        let (ip, rest) = match text.len() {
            32 => (IpAddr::V4(Ipv4Addr::from(hex(&text[..8]) as u32)), &text[8..]),
            OFFSET_MESSAGE_ID_LEN_MAX => {
                (IpAddr::V6(Ipv6Addr::from(hex(&text[..32]))), &text[32..])
            }
            _ => return Err(wrong("32 or 56 characters")),
        };
        let port = u16::try_from(hex(&rest[..8])).map_err(|_| wrong("a port up to 65535"))?;
        let physical_offset = hex(&rest[8..]) as u64 as i64;
        Ok(Self { host: SocketAddr::new(ip, port), physical_offset })
    }
}

/// The number of up to 32 hexadecimal digits.
fn hex(digits: &str) -> u128 {
    u128::from_str_radix(digits, 16).expect("checked to be up to 32 hexadecimal digits")
}

/// Makes unique keys (`UNIQ_KEY`), the ids that producers give to messages.
///
/// As text: upper-case hexadecimal of address (4 or 16 bytes), process id (2), discriminator (4),
/// ms since the start of the month (4), counter (2). Java uses the local time zone and tools decode
/// the time.
#[derive(Debug, Clone)]
pub struct UniqueKeys {
    prefix: String,
    counter: u16,
}

impl UniqueKeys {
    /// Keys of one process; `discriminator` tells generators in one process apart.
    pub fn new(ip: IpAddr, process_id: u32, discriminator: u32) -> Self {
        let mut prefix = String::with_capacity(44);
        match ip {
            IpAddr::V4(ip) => write!(prefix, "{:08X}", u32::from(ip)),
            IpAddr::V6(ip) => write!(prefix, "{:032X}", u128::from(ip)),
        }
        .and_then(|()| write!(prefix, "{:04X}{discriminator:08X}", process_id as u16))
        .expect("writing to a String does not fail");
        Self { prefix, counter: 0 }
    }

    /// Writes the next key into `out`, replacing what it holds: 32 or 56 characters.
    ///
    /// `since_month_start_ms` is 0 ms..=31 days. The counter wraps after 65,536 keys, which all
    /// differ if the clock moved meanwhile.
    pub fn next_into(&mut self, since_month_start_ms: u32, out: &mut String) {
        out.clear();
        out.push_str(&self.prefix);
        write!(out, "{since_month_start_ms:08X}{:04X}", self.counter)
            .expect("writing to a String does not fail");
        self.counter = self.counter.wrapping_add(1);
    }
}

/// Milliseconds since the first instant of the month that holds `unix_ms`, in UTC.
pub fn since_month_start_ms(unix_ms: i64) -> u32 {
    const DAY_MS: i64 = 86_400_000;
    let days = unix_ms.div_euclid(DAY_MS);
    let since_midnight = unix_ms.rem_euclid(DAY_MS);
    // Day of the month (from 0) in a calendar whose years begin in March, so that the leap day is
    // last: 146,097 days are 400 years, 719,468 days lie between 0000-03-01 and 1970-01-01.
    let day_of_era = (days + 719_468).rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5;
    // At most 31 days, which is 2,678,400,000 ms.
    (day_of_month * DAY_MS + since_midnight) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, physical_offset: i64, text: &str) {
        let id = OffsetMessageId { host: host.parse().unwrap(), physical_offset };
        assert_eq!((id.to_string().as_str(), id.text().as_str()), (text, text));
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_lowercase().parse(), Ok(id));
    }

    #[test]
    fn offset_ids_are_those_of_the_specification() {
        check("127.0.0.1:10911", 4096, "7F00000100002A9F0000000000001000");
        check("[2001:db8::1]:1", -1, "20010DB800000000000000000000000100000001FFFFFFFFFFFFFFFF");
    }

    #[test]
    fn what_is_no_offset_id_is_refused() {
        for text in [
            "",
            "7F00000100002A9F000000000000100",
            "7F00000100002A9F000000000000100G",
            "+F00000100002A9F0000000000001000",
            "7F000001FFFF2A9F0000000000001000",
            "äääääääääääääääää",
        ] {
            assert!(text.parse::<OffsetMessageId>().is_err(), "{text}");
        }
    }

    #[test]
    fn unique_keys_differ_and_hold_address_process_and_time() {
        let mut keys = UniqueKeys::new("10.0.0.7".parse().unwrap(), 0x12345, 0xABCD);
        let mut key = String::from("old");
        keys.next_into(0x1000, &mut key);
        assert_eq!(key, "0A00000723450000ABCD000010000000");
        keys.next_into(0x1000, &mut key);
        assert_eq!(key, "0A00000723450000ABCD000010000001");
    }

    #[test]
    fn months_begin_at_their_first_instant() {
        const DAY_MS: u32 = 86_400_000;
        for (unix_ms, expected) in [
            (0, 0),
            (1_709_164_800_123, 28 * DAY_MS + 123), // 2024-02-29
            (1_709_251_200_000, 0),                 // 2024-03-01
            (1_798_675_199_999, 30 * DAY_MS - 1),   // 2026-12-30T23:59:59.999
            (-1, 31 * DAY_MS - 1),                  // 1969-12-31
        ] {
            assert_eq!(since_month_start_ms(unix_ms), expected, "{unix_ms}");
        }
    }
}
