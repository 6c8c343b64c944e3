//! Numbers and dates as spreadsheets and data frames write them.
//!
//! Invariants: a table has one decimal sign; a sign that may as well separate thousands is an error.

/// The decimal sign of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decimal {
    /// A point; a comma separates cells.
    Point,
    /// A point, since no number has a comma, which it might have.
    PointFound,
    /// A comma, found in a number.
    Comma,
}

impl Decimal {
    /// The decimal sign of these cells; a comma only where it separates no cells.
    pub(super) fn of<'a>(mut cells: impl Iterator<Item = &'a str>, comma_allowed: bool) -> Self {
        match comma_allowed {
            false => Self::Point,
            true if cells.any(|cell| cell.contains(',')) => Self::Comma,
            true => Self::PointFound,
        }
    }
}

/// The finite number of a cell.
///
/// # Errors
/// A sentence: what was found, and how to write it.
pub(super) fn number(cell: &str, decimal: Decimal) -> Result<f64, String> {
    let cell = cell.trim();
    // A typeset minus.
    let text = cell.replace('\u{2212}', "-");
    let (points, commas) = (text.matches('.').count(), text.matches(',').count());
    let fail = |why: &str| Err(format!("`{cell}`{why}"));
    if is_date(cell) {
        return fail(
            " is a date: a spreadsheet makes dates of numbers such as 10.5; format the column as number or text, then type it again",
        );
    }
    if points + commas > 1 || text.contains(['\'', '\u{a0}', '\u{202f}']) || is_grouped_by_spaces(&text) {
        return fail(" seems to have separators of thousands; write it without, for example 1234.5");
    }
    let text = match (decimal, points, commas) {
        (Decimal::Point, _, 1) => return fail(" has a decimal comma in a table separated by commas; write a point"),
        (Decimal::Comma, 1, _) => {
            return fail(
                " has a point, and other numbers of the table a decimal comma: a point may separate thousands; write all of them alike",
            );
        }
        (Decimal::Comma, _, 1) => text.replace(',', "."),
        _ => text,
    };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => fail(" is not a finite number"),
        Err(_) => fail(" is not a number; write digits without a unit, for example 8.5"),
    }
}

fn is_grouped_by_spaces(text: &str) -> bool {
    text.contains(' ') && text.split(' ').all(|part| part.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
}

/// Beginnings of the names of months: English, German, French, Spanish, Italian, Dutch, Portuguese.
const MONTHS: [&str; 27] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mrz", "mär", "mai", "okt",
    "dez", "fév", "avr", "aoû", "déc", "ene", "abr", "ago", "dic", "mei", "mag",
];

/// Whether a cell is a date, which a spreadsheet makes of a station such as 10-11.
pub(super) fn is_date(cell: &str) -> bool {
    let lower = cell.trim().to_lowercase();
    if lower.len() > 40 {
        return false;
    }
    // The time behind an ISO date says nothing else.
    let day = lower.split(['t', ' ']).next().unwrap_or_default();
    let numbers = |text: &str| -> Vec<u32> {
        let parts: Option<Vec<u32>> = text.split(['-', '/', '.']).map(|part| part.parse().ok()).collect();
        parts.unwrap_or_default()
    };
    match numbers(day).as_slice() {
        [a, b, c] if (1900..=2119).contains(a) || (1900..=2119).contains(c) || (is_day(*a, *b) && *c >= 15) => {
            return true;
        }
        _ => {}
    }
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_number = |word: &str| word.bytes().all(|c| c.is_ascii_digit());
    let is_month = |word: &str| !is_number(word) && MONTHS.iter().any(|month| word.starts_with(month));
    let months = words.iter().filter(|word| is_month(word)).count();
    months == 1 && words.len() > 1 && words.iter().all(|word| is_month(word) || is_number(word))
}

/// Whether two numbers may be day and month, in any order.
fn is_day(a: u32, b: u32) -> bool {
    (1..=31).contains(&a) && (1..=31).contains(&b) && (a <= 12 || b <= 12)
}

/// Whether a cell is the serial number of a day of the years 1954 to 2119, as a spreadsheet stores a date.
pub(super) fn is_serial_date(cell: &str) -> bool {
    let whole = cell.trim().strip_suffix(".0").unwrap_or(cell.trim());
    whole.len() == 5 && whole.parse::<u32>().is_ok_and(|days| (20_000..=80_000).contains(&days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_known_and_stations_are_none() {
        for text in [
            "10-Nov",
            "11-Oct",
            "Nov-10",
            "1-Feb",
            "10. Nov",
            "10-nov.",
            "Dez 14",
            "2009-11-10",
            "2023-11-10 00:00:00",
            "2023-11-10T00:00:00",
            "10/11/2009",
            "10.11.2009",
            "10/11/23",
            "14-Mrz",
            "01-Sep",
            "November 10",
        ] {
            assert!(is_date(text), "{text}");
        }
        for text in [
            "10-11",
            "10-11R",
            "4R",
            "12-14R",
            "1/2R",
            "7.0",
            "Mark",
            "2 R",
            "10/11/12",
            "station 4 right",
            "8.5",
            "sep",
        ] {
            assert!(!is_date(text), "{text}");
        }
        assert!(
            is_serial_date("45240") && is_serial_date("43344.0") && !is_serial_date("7") && !is_serial_date("450000")
        );
    }

    #[test]
    fn decimal_commas_are_read_where_commas_separate_no_cells() {
        assert_eq!(Decimal::of(["1", "-15,5"].into_iter(), true), Decimal::Comma);
        assert_eq!(Decimal::of(["1", "-15.5"].into_iter(), true), Decimal::PointFound);
        assert_eq!(number("-15,5", Decimal::Comma), Ok(-15.5));
        assert_eq!(number("8", Decimal::Comma), Ok(8.0));
        assert_eq!(number("\u{2212}8.25", Decimal::Point), Ok(-8.25));
        for (text, decimal, why) in [
            ("-15,5", Decimal::Point, "decimal comma in a table separated by commas"),
            ("1.234", Decimal::Comma, "write all of them alike"),
            ("1.234,5", Decimal::Comma, "thousands"),
            ("1,234.5", Decimal::PointFound, "thousands"),
            ("1 234,5", Decimal::Comma, "thousands"),
            ("1,234,567", Decimal::Comma, "thousands"),
            ("8.5 mm", Decimal::Point, "without a unit"),
            ("inf", Decimal::Point, "finite"),
            ("10-May", Decimal::Point, "is a date"),
            ("oops", Decimal::Point, "not a number"),
        ] {
            let error = number(text, decimal).unwrap_err();
            assert!(error.contains(why) && error.contains(text), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_read_as_it_was_written(value in -1e6f64..1e6) {
            let point = value.to_string();
            prop_assert_eq!(number(&point, Decimal::Point), Ok(value));
            prop_assert_eq!(number(&point.replace('.', ","), Decimal::Comma), Ok(value));
        }
    }
}
