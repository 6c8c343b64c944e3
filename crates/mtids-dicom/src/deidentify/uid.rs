//! The UID that stands in place of another one: a function of the key and of the UID alone.

use mtids_domain::pseudonym::PseudonymSecret;

/// `2.25.` and the number of the pseudonym (ITU-T X.667).
pub(super) fn pseudonym_uid(secret: &PseudonymSecret, uid: &str) -> String {
    // 32 hexadecimal digits are always a number of 128 bits.
    let number = u128::from_str_radix(&secret.other("deidentified-uid", uid), 16).unwrap_or_default();
    format!("2.25.{number}")
}
