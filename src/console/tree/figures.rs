//! Formats numbers in few columns.

/// Formats a duration in at most seven columns: `840 ms`, `1.25 s`, `12.3 s`, `2m 05s`, `1h 12m`.
pub(super) fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    if seconds < 0.0 {
        return "<0 s".to_owned();
    }
    if seconds < 0.9995 {
        let milliseconds = seconds * 1e3;
        return match milliseconds {
            0.0 => "0 ms".to_owned(),
            ..0.095 => "<0.1 ms".to_owned(),
            ..0.95 => format!("{milliseconds:.1} ms"),
            _ => format!("{milliseconds:.0} ms"),
        };
    }
    match seconds {
        ..9.995 => format!("{seconds:.2} s"),
        ..59.95 => format!("{seconds:.1} s"),
        _ => {
            // Float-to-integer casts saturate.
            let whole = seconds.round() as u64;
            if whole < 3_600 {
                format!("{}m {:02}s", whole / 60, whole % 60)
            } else if whole < 360_000 {
                format!("{}h {:02}m", whole / 3_600, whole / 60 % 60)
            } else if whole < 360_000_000 {
                format!("{}h", count(whole / 3_600))
            } else {
                ">11 y".to_owned()
            }
        }
    }
}

/// Formats a round duration, as on a scale: `50 ms`, `0.5 s`, `20 s`, `2m`.
pub(super) fn round(seconds: f64) -> String {
    match seconds {
        ..0.0995 => format!("{:.0} ms", seconds * 1e3),
        ..0.95 => format!("{seconds:.1} s"),
        ..9.95 if seconds.fract() > 0.05 && seconds.fract() < 0.95 => format!("{seconds:.1} s"),
        ..59.5 => format!("{seconds:.0} s"),
        _ => self::seconds(seconds),
    }
}

/// Formats an amount of US dollars: cents, or three digits of what is less than a dollar: `$1,204.50`, `$0.0123`.
pub(super) fn dollars(amount: f64) -> String {
    if !amount.is_finite() || amount < 0.0 {
        return "?".to_owned();
    }
    let cents = (amount * 100.0).round();
    if amount >= 0.9995 || amount == 0.0 {
        // Float-to-integer casts saturate.
        return format!(
            "${}.{:02}",
            count((cents / 100.0) as u64),
            (cents % 100.0) as u64
        );
    }
    let digits = (2.0 - amount.log10().floor()).clamp(2.0, 12.0) as usize;
    format!("${amount:.digits$}")
}

/// Formats a count with thousands separators: `1,312`.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a count in at most five columns: `312`, `1.3k`, `245k`, `1.2M`.
pub(super) fn short(count: u64) -> String {
    let number = count as f64;
    match number {
        ..1e3 => count.to_string(),
        ..9_950.0 => format!("{:.1}k", number / 1e3),
        ..999_500.0 => format!("{:.0}k", number / 1e3),
        ..9.95e6 => format!("{:.1}M", number / 1e6),
        _ => format!("{:.0}M", number / 1e6),
    }
}

/// Formats a count with its unit: `1 turn`, `2 turns`.
pub(super) fn of(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_any_length_are_short() {
        let times = [
            0.0,
            4e-5,
            4e-4,
            0.00096,
            0.0124,
            0.8399,
            0.9996,
            1.254,
            9.996,
            59.96,
            125.0,
            4320.0,
            4e6,
            4e9,
            f64::NAN,
            -1.0,
        ];
        assert_eq!(
            times.map(seconds).join("|"),
            "0 ms|<0.1 ms|0.4 ms|1 ms|12 ms|840 ms|1.00 s|1.25 s|10.0 s|1m 00s|2m 05s|1h 12m|1,111h|>11 y|?|<0 s"
        );
    }

    #[test]
    fn dollars_have_cents_or_three_digits() {
        let amounts = [
            0.0,
            1e-9,
            0.000_012_34,
            0.0567,
            0.9996,
            1.0,
            1_204.499,
            f64::NAN,
            -1.0,
        ];
        assert_eq!(
            amounts.map(dollars).join("|"),
            "$0.00|$0.00000000100|$0.0000123|$0.0567|$1.00|$1.00|$1,204.50|?|?"
        );
    }

    #[test]
    fn counts_are_grouped_or_short() {
        let counts = [0, 999, 1_000, 9_949, 9_950, 245_300, 999_500, 12_000_000];
        assert_eq!(
            counts.map(count).join("|"),
            "0|999|1,000|9,949|9,950|245,300|999,500|12,000,000"
        );
        assert_eq!(
            counts.map(short).join("|"),
            "0|999|1.0k|9.9k|10k|245k|1.0M|12M"
        );
        assert_eq!(
            [0, 1, 2_000].map(|n| of(n, "turn")).join("|"),
            "0 turns|1 turn|2,000 turns"
        );
    }
}
