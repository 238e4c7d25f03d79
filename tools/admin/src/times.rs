//! Times as people read and write them: in the time zone of this machine, as with Apache's tools.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ringmq_runtime::clock;

use crate::target::Failure;

/// How Apache's tools want a time on the command line, for people and for the parser.
const WRITTEN: (&str, &str) = ("yyyy-MM-dd#HH:mm:ss:SSS", "%Y-%m-%d#%H:%M:%S:%f");

/// Unix time in milliseconds as `2026-11-21 13:05:09,123`; nothing for 0.
pub fn time_text(unix_ms: i64) -> String {
    text_in(TimeZone::system(), unix_ms)
}

fn text_in(zone: TimeZone, unix_ms: i64) -> String {
    match Timestamp::from_millisecond(unix_ms) {
        Ok(time) if unix_ms > 0 => {
            time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S,%3f").to_string()
        }
        _ => String::new(),
    }
}

/// The Unix time in milliseconds that a word of the command line means: `now`, a number, which is
/// taken as it is, or a date.
///
/// # Errors
/// None of these; the text says what is expected.
pub fn point_in_time(text: &str) -> Result<i64, Failure> {
    point_in(&TimeZone::system(), text)
}

fn point_in(zone: &TimeZone, text: &str) -> Result<i64, Failure> {
    if text == "now" {
        return Ok(clock::unix_ms());
    }
    let of_date = || {
        let date = DateTime::strptime(WRITTEN.1, text).ok()?;
        // Three digits: fewer would be read as tenths and hundredths.
        let is_whole = text.len() == WRITTEN.0.len();
        let zoned = is_whole.then(|| date.to_zoned(zone.clone()).ok()).flatten()?;
        Some(zoned.timestamp().as_millisecond())
    };
    text.parse().ok().or_else(of_date).ok_or_else(|| {
        let date = WRITTEN.0;
        Failure::other(format!("-s {text}: expected now, -1, Unix milliseconds or {date}"))
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    #[test]
    fn times_read_as_dates_of_their_zone() {
        assert_eq!(text_in(TimeZone::UTC, 0), "");
        assert_eq!(text_in(TimeZone::UTC, i64::MAX), "");
        assert_eq!(text_in(TimeZone::UTC, 951_782_400_023), "2000-02-29 00:00:00,023");
        let east = TimeZone::fixed(Offset::constant(8));
        assert_eq!(text_in(east, 1_795_265_121_990), "2026-11-21 20:45:21,990");
    }

    #[test]
    fn dates_of_the_command_line_are_of_their_zone() {
        let check = |text: &str, expected: i64| {
            let east = TimeZone::fixed(Offset::constant(8));
            assert_eq!(point_in(&east, text).expect(text), expected);
        };
        check("2026-11-21#20:45:21:990", 1_795_265_121_990);
        check("2000-02-29#08:00:00:005", 951_782_400_005);
        check("1795265121990", 1_795_265_121_990);
        check("-1", -1);
        assert!(point_in(&TimeZone::UTC, "now").expect("now") > 951_782_400_000);
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_is_expected() {
        for text in ["", "then", "2026-11-21", "2026-02-30#00:00:00:000", "2026-11-21#20:45:21:9"] {
            let refused = point_in(&TimeZone::UTC, text).expect_err(text).to_string();
            assert!(refused.ends_with("or yyyy-MM-dd#HH:mm:ss:SSS"), "{refused}");
        }
    }
}
