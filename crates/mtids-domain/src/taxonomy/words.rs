//! Words and separators that may stand beside the number of a station.
//!
//! Invariant: what is not listed here is not understood, and makes a text an error.

/// A side, or a part of station 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Right,
    Left,
    Anterior,
    Posterior,
}

/// Words that may stand beside a number, also run together with one another (`station4stationR`), and what they mean.
const WORDS: [(&str, Option<Mark>); 16] = [
    ("stations", None),
    ("station", None),
    ("stn", None),
    ("lymphknoten", None),
    ("lymph", None),
    ("nodes", None),
    ("node", None),
    ("lns", None),
    ("ln", None),
    ("lk", None),
    ("right", Some(Mark::Right)),
    ("r", Some(Mark::Right)),
    ("left", Some(Mark::Left)),
    ("l", Some(Mark::Left)),
    ("a", Some(Mark::Anterior)),
    ("p", Some(Mark::Posterior)),
];

/// Words that stand alone only: run together with others they would be other words.
const LONE_WORDS: [(&str, Option<Mark>); 15] = [
    ("st", None),
    ("iaslc", None),
    ("number", None),
    ("no", None),
    ("nr", None),
    ("and", None),
    ("und", None),
    ("or", None),
    ("oder", None),
    ("rechts", Some(Mark::Right)),
    ("rt", Some(Mark::Right)),
    ("re", Some(Mark::Right)),
    ("links", Some(Mark::Left)),
    ("lt", Some(Mark::Left)),
    ("li", Some(Mark::Left)),
];

/// Longest run of letters that is looked at: `stations` and `rechts` in front of and behind one another.
const MAX_RUN: usize = 24;

/// What a lower-case run of letters means: `Some(None)` for words without meaning of their own; `None` where it is not made of the words
/// above, or of two that bear a meaning.
pub(super) fn letters(run: &str) -> Option<Option<Mark>> {
    if run.len() > MAX_RUN {
        return None;
    }
    let lone = LONE_WORDS.iter().find(|(word, _)| *word == run);
    lone.map(|(_, mark)| *mark).or_else(|| run_together(run))
}

fn run_together(run: &str) -> Option<Option<Mark>> {
    if run.is_empty() {
        return Some(None);
    }
    WORDS.iter().filter_map(|(word, mark)| Some((mark, run.strip_prefix(word)?))).find_map(|(mark, rest)| {
        match (*mark, run_together(rest)?) {
            (Some(_), Some(_)) => None,
            (mark, rest) => Some(mark.or(rest)),
        }
    })
}

/// Words before `no` behind which it is that of a number.
const NUMBERED: [&str; 9] = ["station", "stations", "stn", "st", "ln", "lns", "node", "nodes", "level"];

/// Whether `no` is that of a number, where a text goes on with `rest` behind it, and `before` is the word in front: `No. 7`, `station no 7`.
/// Alone it may negate, as in `4R no`, `no 7` and `no LN 4R`.
pub(super) fn is_of_number(before: Option<&str>, rest: &str) -> bool {
    let is_abbreviated = rest.starts_with('.') || before.is_some_and(|before| NUMBERED.contains(&before));
    let next = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '#' | '_'));
    let number = next.trim_start_matches(['r', 'l']).trim_start_matches(|c: char| c.is_whitespace() || c == '_');
    is_abbreviated && number.starts_with(|c: char| c.is_ascii_digit())
}

/// What letters behind 11 mean where they name one of its parts, `11s` (superior) or `11i` (inferior): the side beside them, if any. The
/// IASLC map divides 11 on the right, and the part says nothing that the station does not.
pub(super) fn part_of_11(run: &str) -> Option<Option<Mark>> {
    match run {
        "s" | "i" => Some(None),
        "rs" | "ri" | "sr" | "ir" => Some(Some(Mark::Right)),
        "ls" | "li" | "sl" | "il" => Some(Some(Mark::Left)),
        _ => None,
    }
}

/// What letters behind 3 mean where they name one of its parts and a side (`3aR`): the part. The map does not divide 3a and 3p by sides.
pub(super) fn part_of_3(run: &str) -> Option<Option<Mark>> {
    match run {
        "ar" | "al" | "ra" | "la" => Some(Some(Mark::Anterior)),
        "pr" | "pl" | "rp" | "lp" => Some(Some(Mark::Posterior)),
        _ => None,
    }
}

/// Whether a character is a hyphen, a dash or a minus.
pub(super) fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Whether a character may stand between the parts of a text.
pub(super) fn is_separator(c: char) -> bool {
    c.is_whitespace() || is_dash(c) || "/\\|+,;:.&_()[]#'\"".contains(c)
}
