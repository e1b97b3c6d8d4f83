//! Durations as Go's `time.ParseDuration` reads them: `300ms`, `-1.5h`, `2h45m`.

use std::time::Duration;

/// A number of nanoseconds that may be negative, as Go's `time.Duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

/// Text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form, or out of range.
    #[error("it is not a duration")]
    Invalid,
    /// A number without its unit.
    #[error("it lacks a unit")]
    MissingUnit,
    /// A unit that does not exist.
    #[error("its unit does not exist")]
    UnknownUnit,
}

/// What a duration may look like, for messages.
pub const ACCEPTED: &str = "accepted: a number with a unit of ns, us, ms, s, m or h, as in 300ms, 5s or 1h30m";

impl GoDuration {
    /// Reads a duration.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        use DurationError::{Invalid, MissingUnit, UnknownUnit};
        /// One more than the largest positive duration: the absolute value of the smallest negative one.
        const LIMIT: u64 = 1 << 63;
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(Invalid);
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (whole, after) = split_digits(rest);
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) => split_digits(after),
                None => ("", after),
            };
            if whole.is_empty() && fraction.is_empty() {
                return Err(Invalid);
            }
            let whole = leading_integer(whole).ok_or(Invalid)?;
            let unit_end = after.find(|character: char| character == '.' || character.is_ascii_digit());
            let (unit, after) = after.split_at(unit_end.unwrap_or(after.len()));
            if unit.is_empty() {
                return Err(MissingUnit);
            }
            let unit = nanoseconds(unit).ok_or(UnknownUnit)?;
            let mut value = whole.checked_mul(unit).filter(|value| *value <= LIMIT).ok_or(Invalid)?;
            value += fraction_of(fraction, unit);
            if value > LIMIT {
                return Err(Invalid);
            }
            // Both are at most 2^63, so that the sum can reach 2^64, which is out of range as well.
            total = total.checked_add(value).filter(|total| *total <= LIMIT).ok_or(Invalid)?;
            rest = after;
        }
        match (negative, i64::try_from(total)) {
            (false, Ok(total)) => Ok(Self(total)),
            (false, Err(_)) => Err(Invalid),
            (true, total) => Ok(Self(total.map_or(i64::MIN, |total| -total))),
        }
    }

    /// Nanoseconds.
    pub fn nanoseconds(self) -> i64 {
        self.0
    }

    /// The duration, with 0 for a negative one: the plugins of CoreDNS wait, and a negative wait is none.
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

/// The digits as a number of at most 2^63; nothing is 0.
fn leading_integer(digits: &str) -> Option<u64> {
    let mut value: u64 = 0;
    for digit in digits.bytes() {
        if value > (1 << 63) / 10 {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
        if value > 1 << 63 {
            return None;
        }
    }
    Some(value)
}

/// The part of `unit` behind the point, cut to whole nanoseconds with the same floating-point steps as Go.
#[allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale): (u64, f64) = (0, 1.0);
    for digit in digits.bytes() {
        // Digits that no longer fit change nothing.
        if value > ((1 << 63) - 1) / 10 {
            break;
        }
        let next = value * 10 + u64::from(digit - b'0');
        if next > 1 << 63 {
            break;
        }
        value = next;
        scale *= 10.0;
    }
    // Below `unit`, at most 3.6e12.
    (value as f64 * (unit as f64 / scale)) as u64
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // U+00B5, the micro sign, and U+03BC, the letter mu.
        "us" | "\u{B5}s" | "\u{3BC}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::DurationError::{Invalid, MissingUnit, UnknownUnit};
    use super::*;
    use proptest::prelude::*;

    /// The cases of Go's `TestParseDuration` and `TestParseDurationErrors`.
    #[test]
    fn durations_as_go_reads_them() {
        const SECOND: i64 = 1_000_000_000;
        const MINUTE: i64 = 60 * SECOND;
        const HOUR: i64 = 60 * MINUTE;
        let table = [
            ("0", 0),
            ("5s", 5 * SECOND),
            ("30s", 30 * SECOND),
            ("1478s", 1478 * SECOND),
            ("-5s", -5 * SECOND),
            ("+5s", 5 * SECOND),
            ("-0", 0),
            ("+0", 0),
            ("5.0s", 5 * SECOND),
            ("5.6s", 5 * SECOND + SECOND / 10 * 6),
            ("5.s", 5 * SECOND),
            (".5s", SECOND / 2),
            ("1.0s", SECOND),
            ("1.00s", SECOND),
            ("1.004s", SECOND + 4_000_000),
            ("1.0040s", SECOND + 4_000_000),
            ("100.00100s", 100 * SECOND + 1_000_000),
            ("10ns", 10),
            ("11us", 11_000),
            ("12µs", 12_000),
            ("12μs", 12_000),
            ("13ms", 13_000_000),
            ("14s", 14 * SECOND),
            ("15m", 15 * MINUTE),
            ("16h", 16 * HOUR),
            ("3h30m", 3 * HOUR + 30 * MINUTE),
            ("10.5s4m", 4 * MINUTE + 10 * SECOND + SECOND / 2),
            ("-2m3.4s", -(2 * MINUTE + 3 * SECOND + SECOND / 10 * 4)),
            ("1h2m3s4ms5us6ns", HOUR + 2 * MINUTE + 3 * SECOND + 4_005_006),
            ("39h9m14.425s", 39 * HOUR + 9 * MINUTE + 14 * SECOND + 425_000_000),
            ("52763797000ns", 52_763_797_000),
            ("0.3333333333333333333h", 20 * MINUTE),
            ("9007199254740993ns", (1 << 53) + 1),
            ("9223372036854775807ns", i64::MAX),
            ("9223372036854775.807us", i64::MAX),
            ("9223372036s854ms775us807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("-9223372036854775.808us", i64::MIN),
            ("-9223372036s854ms775us808ns", i64::MIN),
            ("-2562047h47m16.854775808s", i64::MIN),
            ("0.100000000000000000000h", 6 * MINUTE),
            ("0.830103483285477580700h", 49 * MINUTE + 48 * SECOND + 372_539_827),
        ];
        for (text, expected) in table {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration(expected)), "{text}");
        }
        let table = [
            ("", Invalid),
            ("3", MissingUnit),
            ("-", Invalid),
            ("s", Invalid),
            (".", Invalid),
            ("-.", Invalid),
            (".s", Invalid),
            ("+.s", Invalid),
            ("1d", UnknownUnit),
            ("1 s", UnknownUnit),
            ("\u{85}\u{85}", Invalid),
            ("hello \u{FFFF} world", Invalid),
            ("9223372036854775810ns", Invalid),
            ("9223372036854775808ns", Invalid),
            ("-9223372036854775809ns", Invalid),
            ("9223372036854776us", Invalid),
            ("3000000h", Invalid),
            ("9223372036854775.808us", Invalid),
            ("9223372036854ms775us808ns", Invalid),
        ];
        for (text, expected) in table {
            assert_eq!(GoDuration::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_negative_wait_is_none() {
        assert_eq!(GoDuration(-5).to_std(), Duration::ZERO);
        assert_eq!(GoDuration(5).to_std(), Duration::from_nanos(5));
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[-+.0-9a-zµ]{0,40}") {
            let _ = GoDuration::parse(&text);
        }

        #[test]
        fn whole_nanoseconds_come_back(value: i64) {
            prop_assert_eq!(GoDuration::parse(&format!("{value}ns")), Ok(GoDuration(value)));
        }
    }
}
