//! Numbers as people read them.

/// A share as a percentage with one decimal: `12.3 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A metric with three decimals, or `–` where there is none.
pub fn metric(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

/// An interval: `0.71–0.84`, or `–`.
pub fn interval(bounds: Option<(f64, f64)>) -> String {
    bounds.map_or_else(|| "–".to_owned(), |(low, high)| format!("{low:.2}–{high:.2}"))
}

/// A difference with its sign: `+0.012`, `−0.012`, or `–`.
pub fn signed(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.3}").replace('-', "−"))
}

/// An interval of a difference: `−0.002 to +0.019`, or `–`.
pub fn signed_interval(bounds: Option<(f64, f64)>) -> String {
    let words = |(low, high)| format!("{} to {}", signed(Some(low)), signed(Some(high)));
    bounds.map_or_else(|| "–".to_owned(), words)
}

/// An integer with thin groups of three: `12 345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 patient`, `12 patients`.
pub fn counted(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(number), if number == 1 { singular } else { plural })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(percent(0.1234), "12.3 %");
        assert_eq!(metric(None), "–");
        assert_eq!(interval(Some((0.712, 0.838))), "0.71–0.84");
        assert_eq!((signed(Some(-0.0124)), signed(None)), ("−0.012".to_owned(), "–".to_owned()));
        assert_eq!(signed_interval(Some((-0.0021, 0.0189))), "−0.002 to +0.019");
        assert_eq!(count(1234567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(12), "12");
        assert_eq!(counted(1, "patch", "patches"), "1 patch");
        assert_eq!(counted(0, "patch", "patches"), "0 patches");
    }
}
