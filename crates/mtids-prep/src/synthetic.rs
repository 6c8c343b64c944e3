//! Whether a dataset is of synthetic phantoms, so that nobody takes it for one of patients.
//!
//! Invariant: a row counts as a phantom's by the scanner that every phantom's header names, as the public key of the phantoms does.

use mtids_phantom::SCANNER_MODEL;

/// Which rows of a dataset are of phantoms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synthetic {
    /// None.
    None,
    /// So many of all.
    Some { rows: usize, of: usize },
    /// All.
    All,
}

impl Synthetic {
    /// Counts them; `models` are the scanners of all rows.
    pub(crate) fn of<'a>(models: impl Iterator<Item = Option<&'a str>>) -> Self {
        let (rows, of) =
            models.fold((0, 0), |(rows, of), model| (rows + usize::from(model == Some(SCANNER_MODEL)), of + 1));
        match rows {
            0 => Self::None,
            all if all == of => Self::All,
            rows => Self::Some { rows, of },
        }
    }

    /// A sentence for people, where there is something to say.
    pub(crate) fn sentence(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Some { rows, of } => Some(format!("{rows} of {of} rows are of synthetic phantoms, not of patients.")),
            Self::All => Some("Synthetic phantoms, no patients.".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phantoms_are_told_by_their_scanner() {
        let (phantom, other) = (Some(SCANNER_MODEL), Some("Somatom"));
        let of = |models: &[Option<&str>]| Synthetic::of(models.iter().copied());
        assert_eq!(of(&[phantom, phantom]).sentence().unwrap(), "Synthetic phantoms, no patients.");
        let some = of(&[phantom, other, None]).sentence().unwrap();
        assert_eq!(some, "1 of 3 rows are of synthetic phantoms, not of patients.");
        assert_eq!(of(&[other, None]), Synthetic::None);
        assert_eq!(of(&[]), Synthetic::None);
    }
}
