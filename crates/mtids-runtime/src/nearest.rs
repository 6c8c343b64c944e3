//! The known word that a misspelt one may mean.

/// Words less alike than this are not taken for each other: of six letters, two may differ.
const LEAST_ALIKE: f64 = 0.66;

/// The known word that is most like `word`, if one is like it at all. Only suggest it; never take it.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = known.into_iter().map(|one| (strsim::normalized_damerau_levenshtein(word, one), one));
    alike.filter(|(alike, _)| *alike >= LEAST_ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_near_and_another_is_not() {
        let known = ["seed", "epochs", "max_steps", "batch_size"];
        assert_eq!(nearest("epoch", known), Some("epochs"));
        assert_eq!(nearest("bacth_size", known), Some("batch_size"));
        assert_eq!(nearest("workers", known), None);
    }
}
