//! Names of scanners, sites and sources that look like those of persons, or hold a date: they may identify a patient.
//!
//! Invariant: a guess by form alone, so it is a warning; what is found is shown nowhere but by its column, for reports are passed on.

use mtids_report::format::counted;

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Columns of texts that people or scanners write. A kernel may hold a caret.
const NAMES: [&str; 5] = ["site", "manufacturer", "model", "kernel", "label_source"];
const WITH_CARETS: &str = "kernel";

/// Columns with values that look like a person's name in DICOM's form, or hold a date.
pub(super) fn names(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let mut found = Vec::new();
    let mut all = 0;
    for column in NAMES.into_iter().filter(|column| index.has(column)) {
        let values = &index.coded()?.kept(column)?.values;
        let names = values.iter().filter(|value| column != WITH_CARETS && is_name(value)).count() as u64;
        let dates = values.iter().filter(|value| has_date(value)).count() as u64;
        for (count, one, many) in [(names, "name of a person", "names of persons"), (dates, "date", "dates")] {
            all += count;
            found.extend((count > 0).then(|| format!("{column}: {}", counted(count, one, many))));
        }
    }
    Ok((!found.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::NameMayIdentify,
            all,
            format!("{} a patient: {}", counted(all, "value may identify", "values may identify"), found.join("; ")),
            "look at the values of these columns before the dataset or this report is passed on, correct the source, and build again",
        )
        .with_examples(found)
    }))
}

/// Whether letters stand on both sides of a caret, as in DICOM's names of persons.
fn is_name(value: &str) -> bool {
    value.split_once('^').is_some_and(|(family, given)| {
        let begins = |part: &str| part.chars().take(2).filter(|letter| letter.is_alphabetic()).count() == 2;
        begins(family.trim()) && begins(given.trim())
    })
}

/// Whether eight digits, alone or parted into year, month and day, are a date from 1900 to 2099, in either order.
fn has_date(value: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let bytes = value.as_bytes();
    (0..bytes.len()).filter(|at| *at == 0 || !is_digit(bytes[at - 1])).any(|at| {
        let mut numbers: Vec<&[u8]> = Vec::new();
        let (mut place, mut mark) = (at, None);
        while numbers.len() < 3 {
            let end = place + bytes[place..].iter().take_while(|byte| is_digit(**byte)).count();
            if end == place {
                break;
            }
            numbers.push(&bytes[place..end]);
            let next = bytes.get(end).copied().filter(|byte| b"-./_".contains(byte));
            match (next, mark) {
                (Some(byte), None) => mark = Some(byte),
                (Some(byte), Some(before)) if byte == before => {}
                _ => break,
            }
            place = end + 1;
        }
        match numbers[..] {
            [whole] if whole.len() == 8 => is_date(&whole[..4], &whole[4..6], &whole[6..]),
            [a, b, c] => is_date(a, b, c) || is_date(c, b, a) || is_date(c, a, b),
            _ => false,
        }
    })
}

fn is_date(year: &[u8], month: &[u8], day: &[u8]) -> bool {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u32>().ok();
    let within = |digits: &[u8], most: usize, range: std::ops::RangeInclusive<u32>| {
        digits.len() <= most && number(digits).is_some_and(|number| range.contains(&number))
    };
    year.len() == 4 && within(year, 4, 1900..=2099) && within(month, 2, 1..=12) && within(day, 2, 1..=31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_persons_are_told_from_names_of_things() {
        for name in ["Doe^Jane", "MUSTERMANN^ERIKA^^Dr.", " Doe ^ Jane "] {
            assert!(is_name(name), "{name}");
        }
        for other in ["Br40^3", "x^2", "site b", "^Jane", "Doe^", "Doe^J"] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn dates_are_told_from_other_numbers() {
        for dated in ["19540321", "site 1954-03-21", "21.03.1954", "03/21/1954", "export_20240131_b", "1954_3_1"] {
            assert!(has_date(dated), "{dated}");
        }
        for other in
            ["Revolution 2024", "123456789", "20249931", "4.5.12", "7.20.1899", "B30f", "1954", "1.2.840", "-", ""]
        {
            assert!(!has_date(other), "{other}");
        }
    }
}
