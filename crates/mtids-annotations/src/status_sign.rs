//! A plus or minus in the text of a station or the name of a finding that is the sign of a status.
//!
//! Invariant: a plus between two stations (`4R+7`), two sides (`4 R+L`) or a margin (`PTV+5mm`) is none.

/// Words of nodes and stations, in lower case, that say nothing of which one.
const WORDS: [&str; 12] =
    ["ln", "lns", "lk", "lymph", "lymphnode", "lymphnodes", "node", "nodes", "station", "stations", "st", "stn"];

/// Words of a side.
const SIDES: [&str; 8] = ["r", "l", "right", "left", "rt", "lt", "rechts", "links"];

/// Whether a sign of a status stands at the end, at the beginning, in brackets alone, or between a station and words that name no other one.
pub(crate) fn has_status_sign(text: &str) -> bool {
    let signs: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    signs.last().is_some_and(|last| is_sign(*last))
        || signs.windows(3).any(|three| matches!(three, ['(' | '[', sign, ')' | ']'] if is_sign(*sign)))
        || text.trim_start().starts_with(['+', '\u{2212}'])
        || text.match_indices('+').any(|(at, _)| {
            let (before, behind) = (&text[..at], &text[at + 1..]);
            (names_no_station(before) && has_digit(behind)) || (names_no_station(behind) && has_digit(before))
        })
}

fn is_sign(c: char) -> bool {
    matches!(c, '+' | '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

fn has_digit(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
}

/// Whether a text is of words of nodes alone, and not of sides.
fn names_no_station(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_side = |word: &&str| SIDES.contains(word);
    !words.iter().any(is_side) && words.iter().all(|word| WORDS.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_a_status_is_told_from_one_between_stations() {
        for text in ["4R+", "10L -", "4R (-)", "+4R", "+ 7", "LN +4R", "4R + LN", "4R + node", "\u{2212}4R"] {
            assert!(has_status_sign(text), "{text}");
        }
        for text in ["4R+7", "4R + LN 7", "LN 2R + LN 4R", "4 R+L", "R+L 4", "PTV+5mm", "12-14R", "LN-10", "4R", ""] {
            assert!(!has_status_sign(text), "{text}");
        }
    }
}
