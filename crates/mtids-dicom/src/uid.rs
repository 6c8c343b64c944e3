//! Unique identifiers that are a function of what they name.
//!
//! Invariant: at most 64 characters under the `2.25.` root (an unsigned 128-bit number, ITU-T X.667), the same for the same parts.

use mtids_runtime::digest::Digest;

/// A UID derived from `parts`.
pub fn uid_from(parts: &[&str]) -> String {
    let digest = Digest::of_parts(parts);
    let number = digest.as_bytes().iter().take(16).fold(0u128, |sum, &byte| (sum << 8) | u128::from(byte));
    format!("2.25.{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_stable_short_and_distinct() {
        let uid = uid_from(&["study", "1"]);
        assert_eq!(uid, uid_from(&["study", "1"]));
        assert_ne!(uid, uid_from(&["study1", ""]));
        assert!(uid.len() <= 64 && uid.starts_with("2.25."));
    }
}
