//! JSON values to values of columns, where that takes more than reading them.

/// Days from 1970-01-01 of a text that starts with a date, `2026-11-29`; a time after it is dropped.
pub(crate) fn date(text: &str) -> Option<i32> {
    let (days, rest) = split_date(text.trim())?;
    let ends = rest.is_empty() || clock(rest).is_some();
    ends.then(|| i32::try_from(days).ok()).flatten()
}

/// Microseconds from 1970-01-01T00:00:00Z of ISO 8601 text: a date alone, or with a time after `T` or a blank, seconds
/// and their fraction optional, `Z` or an offset, or none for UTC. Digits beyond microseconds are cut. `local` leaves
/// the offset out of account.
pub(crate) fn timestamp(text: &str, local: bool) -> Option<i64> {
    let (days, rest) = split_date(text.trim())?;
    let (micros, offset) = if rest.is_empty() { (0, 0) } else { clock(rest)? };
    let offset = if local { 0 } else { offset };
    days.checked_mul(86_400_000_000)?.checked_add(micros - offset * 60_000_000)
}

/// `2026-11-29`, of days since 1970-01-01.
pub(crate) fn date_text(days: i64) -> String {
    // the year starting in March, in eras of 400 years
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) =
        (year + era * 400 + i64::from(month >= 10), if month < 10 { month + 3 } else { month - 9 });
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-11-29T06:48:38.123456`, of microseconds since 1970-01-01T00:00:00.
pub(crate) fn timestamp_text(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{micros:06}", date_text(days))
}

fn split_date(text: &str) -> Option<(i64, &str)> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' || !text.is_char_boundary(10) {
        return None;
    }
    let year = digits(&bytes[..4])?;
    let month = digits(&bytes[5..7])?;
    let day = digits(&bytes[8..10])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=in_month).contains(&day) {
        return None;
    }
    // days before the year and the month, the year starting in March
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let of_year = (153 * m + 2) / 5 + day - 1;
    Some((era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468, &text[10..]))
}

/// What follows a date: microseconds of the day, and the offset from UTC in minutes.
fn clock(text: &str) -> Option<(i64, i64)> {
    let text = text.strip_prefix(['T', 't', ' '])?;
    let at = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = (text[..at].trim_end().as_bytes(), &text[at..]);
    let (hour, time) = (digits(time.get(..2)?)?, time.get(2..)?);
    let (minute, time) = (digits(time.strip_prefix(b":")?.get(..2)?)?, time.get(3..)?);
    let (second, fraction) = match time.strip_prefix(b":") {
        Some(rest) => (digits(rest.get(..2)?)?, rest.get(2..)?),
        None if time.is_empty() => (0, time),
        None => return None,
    };
    let mut micros = 0;
    if let Some((b'.' | b',', fraction)) = fraction.split_first() {
        if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for place in 0..6 {
            micros = micros * 10 + fraction.get(place).map_or(0, |d| i64::from(d - b'0'));
        }
    } else if !fraction.is_empty() {
        return None;
    }
    // a leap second is the first of the next minute, as in most systems
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some((((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, offset(zone)?))
}

fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [h1, h2] => (digits(&[*h1, *h2])?, 0),
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// A decimal number as a whole number of units of its last place. Digits beyond the scale are cut.
pub(crate) fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let text = text.trim();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    // how many of the digits count
    let places = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut units: i128 = 0;
    let mut seen = 0i64;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        if seen < places {
            units = units.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        seen += 1;
    }
    if units != 0 {
        for _ in seen..places {
            units = units.checked_mul(10)?;
        }
    }
    let fits = units < 10i128.checked_pow(u32::from(precision))?;
    fits.then_some(if negative { -units } else { units })
}

/// What a whole-number column makes of a number: the fraction is cut. Narrower columns wrap, which is up to the caller.
pub(crate) fn whole(text: &str) -> Option<i128> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i128>() {
        return Some(whole);
    }
    let number = number(text)?;
    #[expect(clippy::cast_possible_truncation, reason = "numbers beyond i128 end at its limits")]
    Some(number as i128)
}

/// A finite floating-point number.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|n| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times() {
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2024-02-29"), Some(19_782));
        assert_eq!(date("2026-03-01T06:00:00Z"), Some(20_513));
        assert_eq!(date("0001-01-01"), Some(-719_162));
        for wrong in
            ["2023-02-29", "2026-13-01", "2026-1-01", "soon", "2026-01-01x", "2026-01-01T", "２０２６-01-01"]
        {
            assert_eq!(date(wrong), None, "{wrong}");
        }
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01", 0),
            ("1970-01-01 00:00", 0),
            ("1970-01-01T00:00:01.1234567Z", 1_123_456),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1970-01-01T01:00:00.5+0100", 500_000),
            ("1969-12-31T19:00:00-05", 0),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2026-11-29T06:48:38.0Z", 1_795_934_918_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(timestamp(text, false), Some(micros), "{text}");
        }
        assert_eq!(timestamp("1970-01-01T01:00:00+01:00", true), Some(3_600_000_000));
        for wrong in
            ["1970-01-01T", "1970-01-01T25:00:00", "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00+1", "7"]
        {
            assert_eq!(timestamp(wrong, false), None, "{wrong}");
        }
    }

    #[test]
    fn dates_and_times_are_written_as_they_are_read() {
        for days in (-719_162..2_932_896).step_by(37).chain([-719_162, 2_932_896, 0, 59, 60, 11_016]) {
            assert_eq!(date(&date_text(days.into())), Some(days), "{}", date_text(days.into()));
            let micros = i64::from(days) * 86_400_000_000 + 86_399_999_999;
            assert_eq!(timestamp(&timestamp_text(micros), false), Some(micros));
        }
    }

    #[test]
    fn decimals_are_cut_and_kept_within_their_precision() {
        let cases = [
            ("12.345", 5, 2, Some(1234)),
            ("-12.3", 5, 2, Some(-1230)),
            ("1e3", 6, 2, Some(100_000)),
            ("1.5e-1", 5, 2, Some(15)),
            ("999.99", 5, 2, Some(99_999)),
            ("1000", 5, 2, None),
            ("0e999999999", 5, 2, Some(0)),
            ("1e999999999", 5, 2, None),
            ("1e-999999999", 5, 2, Some(0)),
            ("0.009", 5, 2, Some(0)),
            (".5", 5, 2, Some(50)),
            ("", 5, 2, None),
            ("1x", 5, 2, None),
            ("99999999999999999999999999999999999999", 38, 0, Some(10i128.pow(38) - 1)),
            ("999999999999999999999999999999999999999", 38, 0, None),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(decimal(text, precision, scale), expected, "{text}");
        }
    }
}
