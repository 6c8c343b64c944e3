//! Texts that come from other people's files, as a person is shown them: on a terminal, and in a cell of a spreadsheet.
//!
//! Purpose: a file name or an identifier of a header may hold anything. Invariants: what is shown is one line and commands no terminal; a cell is
//! never a formula.

use std::borrow::Cow;

/// What stands for a character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// A text as one line: escapes of terminals, line breaks and marks that turn the direction of writing are replaced by `�`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_hidden(c) { REPLACEMENT } else { c }).collect())
}

/// Whether a character changes how others are shown, and has no picture of its own.
fn is_hidden(c: char) -> bool {
    // Separators of lines and paragraphs, and the marks by which a text is shown in another order than it has.
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// A text that a spreadsheet shows and does not compute: `=1+1` becomes `'=1+1`.
pub fn no_formula(text: &str) -> String {
    let computes = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if computes { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_replaced_and_letters_stay() {
        for (text, shown) in [
            ("a\u{1b}[2Jb", "a�[2Jb"),
            ("two\r\nlines", "two��lines"),
            ("\u{9b}31m\u{7f}", "�31m�"),
            ("a\u{202e}fdp.exe\u{2028}", "a�fdp.exe�"),
            ("Müller^Jörg 山田", "Müller^Jörg 山田"),
        ] {
            assert_eq!(one_line(text), shown);
        }
        assert!(matches!(one_line("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn a_formula_is_quoted() {
        for text in ["=1+1", "+1", "-", "@a", "\ta", "\ra", "\na"] {
            assert_eq!(no_formula(text), format!("'{text}"));
        }
        assert_eq!(no_formula("soft = 1"), "soft = 1");
        assert_eq!(no_formula(""), "");
    }
}
