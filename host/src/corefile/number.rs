//! Numbers as Go's `strconv` reads them.

/// Text that is no number, or one that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not of the form.
    #[error("it is not a number")]
    Syntax,
    /// Too large or too small.
    #[error("it is out of range")]
    Range,
}

/// A whole number as `strconv.Atoi` reads it on 64-bit machines: decimal digits with an optional sign.
pub fn parse_integer(text: &str) -> Result<i64, NumberError> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse::<i64>().map_err(|error| match error.kind() {
        PosOverflow | NegOverflow => NumberError::Range,
        _ => NumberError::Syntax,
    })
}

/// A number as `strconv.ParseFloat` with 32 bits reads it: decimal or hexadecimal (`0x1.8p3`), `_` between digits, and
/// `inf`, `infinity`, `nan` in any case. One that rounds to infinity is out of range.
pub fn parse_float(text: &str) -> Result<f32, NumberError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => return Ok(if text.starts_with('-') { f32::NEG_INFINITY } else { f32::INFINITY }),
        // A sign before it is no number.
        "nan" if unsigned.len() == text.len() => return Ok(f32::NAN),
        _ => {}
    }
    if !underscores_separate_digits(&lower) {
        return Err(NumberError::Syntax);
    }
    let digits = lower.replace('_', "");
    let value = match digits.strip_prefix("0x") {
        Some(hexadecimal) => parse_hexadecimal(hexadecimal)?,
        // What Rust accepts beyond Go are names, which the first character excludes.
        None if digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') => {
            digits.parse::<f32>().map_err(|_| NumberError::Syntax)?
        }
        None => return Err(NumberError::Syntax),
    };
    if value.is_infinite() {
        return Err(NumberError::Range);
    }
    Ok(if text.starts_with('-') { -value } else { value })
}

/// `HEX[.HEX]p[SIGN]DECIMAL`, without its `0x`.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn parse_hexadecimal(text: &str) -> Result<f32, NumberError> {
    let (mantissa, exponent) = text.split_once('p').ok_or(NumberError::Syntax)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if whole.len() + fraction.len() == 0
        || exponent_digits.is_empty()
        || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_hexdigit())
        || !exponent_digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(NumberError::Syntax);
    }
    // An exponent of more than 9 digits is far beyond any number of digits that a token can hold.
    let mut scale: i64 =
        exponent_digits.get(..9).unwrap_or(exponent_digits).parse().map_err(|_| NumberError::Syntax)?;
    if exponent.starts_with('-') {
        scale = -scale;
    }
    let mut value: u64 = 0;
    for (index, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = u64::from(char::from(byte).to_digit(16).ok_or(NumberError::Syntax)?);
        if value >> 56 == 0 {
            value = value << 4 | digit;
            scale -= if index >= whole.len() { 4 } else { 0 };
        } else {
            // Beyond 56 bits only whether anything follows can matter for the rounding.
            value |= u64::from(digit != 0);
            scale += if index < whole.len() { 4 } else { 0 };
        }
    }
    // 2^±2000 saturates what 64 bits can reach in a float of 64 bits, and the steps keep powi exact.
    let scale = i32::try_from(scale.clamp(-2_000, 2_000)).map_err(|_| NumberError::Range)?;
    let mut wide = value as f64;
    for part in [scale / 2, scale - scale / 2] {
        wide *= 2_f64.powi(part);
    }
    Ok(wide as f32)
}

/// Go's rule: an underscore stands between digits, or behind the base prefix.
fn underscores_separate_digits(text: &str) -> bool {
    #[derive(PartialEq)]
    enum Last {
        Start,
        Digit,
        Underscore,
        Other,
    }
    if !text.contains('_') {
        return true;
    }
    let (rest, hexadecimal, mut last) = if let Some(rest) = text.strip_prefix("0x") {
        (rest, true, Last::Digit)
    } else if let Some(rest) = text.strip_prefix("0b").or_else(|| text.strip_prefix("0o")) {
        (rest, false, Last::Digit)
    } else {
        (text, false, Last::Start)
    };
    for byte in rest.bytes() {
        last = if byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit() {
            Last::Digit
        } else if byte == b'_' {
            if last != Last::Digit {
                return false;
            }
            Last::Underscore
        } else {
            if last == Last::Underscore {
                return false;
            }
            Last::Other
        };
    }
    last != Last::Underscore
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers() {
        let table = [
            ("0", Ok(0)),
            ("30", Ok(30)),
            ("+30", Ok(30)),
            ("-1", Ok(-1)),
            ("007", Ok(7)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("9223372036854775808", Err(NumberError::Range)),
            ("-9223372036854775809", Err(NumberError::Range)),
            ("", Err(NumberError::Syntax)),
            ("+", Err(NumberError::Syntax)),
            ("1_0", Err(NumberError::Syntax)),
            ("0x10", Err(NumberError::Syntax)),
            ("3.0", Err(NumberError::Syntax)),
            (" 3", Err(NumberError::Syntax)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_integer(text), expected, "{text}");
        }
    }

    /// Each line was run through Go's `strconv.ParseFloat(text, 32)`.
    #[test]
    #[allow(clippy::float_cmp)]
    fn numbers_as_go_reads_them() {
        let table = [
            ("0", Ok(0.0)),
            ("50.0", Ok(50.0)),
            ("50", Ok(50.0)),
            ("+5", Ok(5.0)),
            ("-10", Ok(-10.0)),
            (".5", Ok(0.5)),
            ("5.", Ok(5.0)),
            ("1e3", Ok(1000.0)),
            ("1E3", Ok(1000.0)),
            ("1_000", Ok(1000.0)),
            ("1_23.50_0_0e+1_2", Ok(1.235e14)),
            ("0x1p4", Ok(16.0)),
            ("0X1.8P1", Ok(3.0)),
            ("0x_1p-2", Ok(0.25)),
            ("0x1p127", Ok(2_f32.powi(127))),
            ("0x123456789abcdef01234p-60", Ok(74_565.41)),
            ("0x1p-1000000000000", Ok(0.0)),
            ("1e-50", Ok(0.0)),
            ("3.4028235e38", Ok(f32::MAX)),
            ("inf", Ok(f32::INFINITY)),
            ("-Infinity", Ok(f32::NEG_INFINITY)),
            ("1e39", Err(NumberError::Range)),
            ("0x1p128", Err(NumberError::Range)),
            ("", Err(NumberError::Syntax)),
            (".", Err(NumberError::Syntax)),
            ("-", Err(NumberError::Syntax)),
            ("+nan", Err(NumberError::Syntax)),
            ("infi", Err(NumberError::Syntax)),
            ("_1", Err(NumberError::Syntax)),
            ("1_", Err(NumberError::Syntax)),
            ("1__0", Err(NumberError::Syntax)),
            ("1_.5", Err(NumberError::Syntax)),
            ("0x10", Err(NumberError::Syntax)),
            ("0xp1", Err(NumberError::Syntax)),
            ("0x1p", Err(NumberError::Syntax)),
            ("0b1", Err(NumberError::Syntax)),
            ("--5", Err(NumberError::Syntax)),
            ("+-5", Err(NumberError::Syntax)),
            ("1e", Err(NumberError::Syntax)),
            ("fast", Err(NumberError::Syntax)),
            ("5 ", Err(NumberError::Syntax)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_float(text), expected, "{text}");
        }
        assert!(parse_float("NaN").is_ok_and(f32::is_nan));
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[-+.0-9a-fA-FxXpPeE_]{0,30}") {
            let _ = parse_float(&text);
        }
    }
}
