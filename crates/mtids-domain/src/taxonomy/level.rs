//! Levels: Roman numbers, and numbers behind the word `level`. They belong to other maps than the IASLC's, mostly that of the neck.
//!
//! Invariant: a text is either read as a whole or not at all.

use super::words::{Mark, is_separator, letters};

/// A level of another map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    /// Its number.
    pub(super) number: u32,
    /// Its part, `a` to `c`.
    pub(super) part: Option<char>,
    /// On the right.
    pub(super) right: bool,
    /// On the left.
    pub(super) left: bool,
    /// Written as no station of the IASLC is: in Roman figures, or behind the word `level`.
    pub(super) foreign: bool,
}

/// Roman figures of 1 to 14.
const ROMAN: [&str; 14] = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv"];

/// The levels that a lower-case text names, such as `iia`, `level iv right`, `levels 2a and 3`, `5b l`; `None` where it is not made of
/// levels.
pub(super) fn levels(text: &str) -> Option<Vec<Level>> {
    let mut found: Vec<Level> = Vec::new();
    let mut said_level = false;
    // Sides that wait for the first number.
    let mut waiting = Level::default();
    for piece in text.split(is_separator).filter(|piece| !piece.is_empty()) {
        if matches!(piece, "level" | "levels" | "lvl" | "niveau" | "to") {
            said_level |= piece != "to";
            continue;
        }
        let piece = match ["levels", "level"].iter().find_map(|word| piece.strip_prefix(word)) {
            Some(rest) => {
                said_level = true;
                rest
            }
            None => piece,
        };
        if let Some(level) = level(piece) {
            found.push(level);
            if found.len() > 14 {
                return None;
            }
        } else if let (Some(last), [part @ b'a'..=b'c']) = (found.last_mut(), piece.as_bytes()) {
            if last.part.replace(char::from(*part)).is_some() {
                return None;
            }
        } else {
            let level = found.last_mut().unwrap_or(&mut waiting);
            match letters(piece)? {
                Some(Mark::Right) => level.right = true,
                Some(Mark::Left) => level.left = true,
                None => {}
                Some(Mark::Anterior | Mark::Posterior) => return None,
            }
        }
    }
    // `levels II and III left`, `right level II`: a side is that of all numbers without one.
    let sides = [waiting].into_iter().chain(found.iter().copied()).find(|level| level.right || level.left);
    for level in &mut found {
        level.foreign |= said_level;
        if let Some(known) = sides.filter(|_| !(level.right || level.left)) {
            (level.right, level.left) = (known.right, known.left);
        }
    }
    (!found.is_empty()).then_some(found)
}

/// A number with its part and side, without separators: `iia`, `ivr`, `5b`.
fn level(piece: &str) -> Option<Level> {
    let (piece, right, left) = match piece.strip_suffix('r') {
        Some(rest) => (rest, true, false),
        None => piece.strip_suffix('l').map_or((piece, false, false), |rest| (rest, false, true)),
    };
    let (number, part) = match piece.strip_suffix(['a', 'b', 'c']) {
        Some(rest) => (rest, piece.chars().last()),
        None => (piece, None),
    };
    let roman = ROMAN.iter().position(|roman| *roman == number);
    let (number, foreign) = match roman {
        Some(at) => (at as u32 + 1, true),
        None => (number.parse().ok().filter(|n| (1..=14).contains(n) && !number.starts_with(['0', '+']))?, false),
    };
    Some(Level { number, part, right, left, foreign })
}
