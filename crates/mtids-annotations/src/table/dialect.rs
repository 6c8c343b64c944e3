//! How a text separates its cells: by commas, semicolons, tabs or bars, as its header shows, or as `sep=` of Excel says.
//!
//! Invariant: where two separators fit the header alike, none is taken.

/// Separators that are understood, with their names.
const SEPARATORS: [(char, &str); 4] = [(',', "comma"), (';', "semicolon"), ('\t', "tab"), ('|', "bar")];

/// How cells are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Between cells.
    pub(super) separator: u8,
    /// Bytes before the header: a line `sep=`, and empty lines.
    pub(super) skipped: usize,
}

/// The dialect of a text, where `is_column` knows the names of its columns.
///
/// # Errors
/// A sentence where the header shows no separator, or two.
pub(super) fn dialect(text: &str, is_column: impl Fn(&str) -> bool) -> Result<Dialect, String> {
    let is_end = |c: char| c == '\r' || c == '\n';
    let start = |from: usize| from + (text[from..].len() - text[from..].trim_start_matches(is_end).len());
    let mut skipped = start(0);
    let first = text[skipped..].split(is_end).next().unwrap_or_default();
    let said = first.trim_matches(['"', ' ']).to_lowercase();
    if let Some(said) = said.strip_prefix("sep=") {
        let separator = match (said.chars().next(), said.chars().count()) {
            // A tab behind the sign is trimmed with nothing else left.
            (None, _) if first.contains('\t') => Some('\t'),
            (Some(one), 1) => Some(one),
            _ => None,
        };
        let known = separator.filter(|one| SEPARATORS.iter().any(|(known, _)| known == one));
        let Some(separator) = known else {
            return Err(format!(
                "the first line `{}` names no separator that is understood: comma, semicolon, tab or bar",
                first.trim()
            ));
        };
        skipped = start(skipped + first.len());
        return Ok(Dialect { separator: separator as u8, skipped });
    }
    let header = header_of(&text[skipped..]);
    // By the number of names that are known, then by the number of cells.
    let scored = SEPARATORS.map(|(separator, name)| {
        let cells = cells(header, separator);
        let known = cells.iter().filter(|cell| is_column(cell)).count();
        ((known, cells.len()), separator, name)
    });
    let best = scored.iter().map(|(score, ..)| *score).max().unwrap_or_default();
    let winners: Vec<_> = scored.iter().filter(|(score, ..)| *score == best).collect();
    match winners.as_slice() {
        [(_, separator, _)] => Ok(Dialect { separator: *separator as u8, skipped }),
        // A header of one cell has no separator; the columns that are missing say the rest.
        _ if best.1 <= 1 => Ok(Dialect { separator: b',', skipped }),
        several => {
            let names: Vec<&str> = several.iter().map(|(_, _, name)| *name).collect();
            Err(format!(
                "the header does not tell whether cells are separated by {}: write one separator only, or a first line such as sep=;",
                names.join(" or ")
            ))
        }
    }
}

/// The header: the text up to the first end of a line that is in no quotes.
fn header_of(text: &str) -> &str {
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        !quoted && (c == '\r' || c == '\n')
    });
    &text[..end.unwrap_or(text.len())]
}

/// The cells of a header; quotes hide separators.
fn cells(header: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    header
        .split(|c: char| {
            quoted ^= c == '"';
            !quoted && c == separator
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_column(name: &str) -> bool {
        matches!(name, "series_uid" | "x_mm" | "y_mm")
    }

    fn separator(text: &str) -> Result<char, String> {
        dialect(text, is_column).map(|dialect| char::from(dialect.separator))
    }

    #[test]
    fn the_header_shows_the_separator() {
        assert_eq!(separator("series_uid,x_mm,y_mm\n1;2;3"), Ok(','));
        assert_eq!(separator("series_uid;x_mm;y_mm\r\n1;2,5;3"), Ok(';'));
        assert_eq!(separator("series_uid\tx_mm\n"), Ok('\t'));
        assert_eq!(separator("series_uid|x_mm\n"), Ok('|'));
        assert_eq!(separator("\"a;b;c\",x_mm\n"), Ok(','), "quotes hide separators");
        assert_eq!(separator("x_mm;y_mm;a, b, c, d, e\n"), Ok(';'), "known names count more than cells");
        assert_eq!(separator("x_mm"), Ok(','));
        assert!(separator("a,b;c\n").unwrap_err().contains("comma or semicolon"));
    }

    #[test]
    fn excel_names_the_separator_in_the_first_line() {
        let text = "sep=;\r\nseries_uid,x_mm\r\n";
        assert_eq!(dialect(text, is_column), Ok(Dialect { separator: b';', skipped: 7 }));
        assert_eq!(separator("\n\"SEP=,\"\nx"), Ok(','));
        assert_eq!(separator("sep=\t\nx"), Ok('\t'));
        assert!(separator("sep=#\nx").unwrap_err().contains("sep=#"));
    }
}
