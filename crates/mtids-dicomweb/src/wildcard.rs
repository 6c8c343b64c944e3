//! PatientIDs with wildcards, as DICOM has them.
//!
//! Invariant: `*` stands for any letters, `?` for one; the case of ASCII letters and spaces around do not count, because servers differ in both.

/// Whether `text` is one that `pattern` asks for.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let [pattern, text] = [pattern, text].map(|text| text.trim().chars().collect::<Vec<char>>());
    let (mut at, mut read) = (0, 0);
    // The last `*`, and where what it stands for ends so far.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(letter) if *letter == '?' || letter.eq_ignore_ascii_case(&text[read]) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((place, end)) = star else { return false };
                star = Some((place, end + 1));
                at = place + 1;
                read = end + 1;
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_they_say() {
        for (pattern, text) in [
            ("LUNG-001", "LUNG-001 "),
            ("lung-001", "LUNG-001"),
            ("LUNG-*", "LUNG-"),
            ("LUNG-*", "lung-7"),
            ("*", ""),
            ("L?NG*1", "LUNG-011"),
            ("*a*b*", "xxaxaxbx"),
            ("?", "ü"),
            ("", ""),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("LUNG-*", "HEAD-1"),
            ("LUNG-?", "LUNG-"),
            ("LUNG-?", "LUNG-10"),
            ("LUNG-001", "LUNG-0010"),
            ("*a*b", "abc"),
            ("", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
