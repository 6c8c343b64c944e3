//! A UID that may stand in an address.
//!
//! Invariant: at most 64 digits and dots, no empty component; so it has no meaning in an address or a path but its own.

use std::fmt;

/// Longest UID of the standard.
const LONGEST: usize = 64;

/// A DICOM unique identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(String);

impl Uid {
    /// Takes a text that has the form of a UID. Spaces and NULs around it, as padding, are left out; leading zeros of a component are kept,
    /// because servers with such UIDs exist.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\0']);
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        (text.len() <= LONGEST && text.split('.').all(is_number)).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_and_dots_pass() {
        for text in ["1.2.840.10008", "2.25.0", "1.02.3", "1.2.3\0", " 1.2 "] {
            assert!(Uid::parse(text).is_some(), "{text:?}");
        }
        for text in
            ["", ".", "..", "1..2", "1.2.", "1.2/3", "../1", "1.2?x=1", "1.2#", "1.2%2F", "a.b", &"1.".repeat(40)]
        {
            assert!(Uid::parse(text).is_none(), "{text:?}");
        }
    }
}
