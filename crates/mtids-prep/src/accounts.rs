//! What became of the input: outcomes of all stages, summed once.
//!
//! Invariant: every file of the input has one outcome, from whichever stage decided it.

use std::collections::BTreeMap;

use mtids_dicom::{DicomError, FileOutcome, Refused, Series, SkipReason};

/// Outcomes, summed.
#[derive(Debug, Default)]
pub(crate) struct Accounts<'a> {
    /// Files that gave something to the dataset.
    pub(crate) used: u64,
    /// Skipped files by reason.
    pub(crate) skipped: BTreeMap<String, u64>,
    /// Files that should have been usable, in the order of the stages.
    pub(crate) refused: Vec<&'a Refused>,
}

impl<'a> Accounts<'a> {
    /// Sums outcomes.
    pub(crate) fn of(outcomes: &'a [FileOutcome]) -> Self {
        let mut accounts = Self::default();
        for outcome in outcomes {
            match outcome {
                FileOutcome::Used { .. } => accounts.used += 1,
                FileOutcome::Skipped { reason, .. } => {
                    *accounts.skipped.entry(reason.to_string()).or_default() += 1;
                }
                FileOutcome::Refused(refused) => accounts.refused.push(refused),
            }
        }
        accounts
    }

    /// Refused files by reason code.
    pub(crate) fn refused_by_reason(&self) -> BTreeMap<String, u64> {
        let mut by_reason = BTreeMap::new();
        for refused in &self.refused {
            *by_reason.entry(refused.reason.to_string()).or_default() += 1;
        }
        by_reason
    }

    /// Tells the operator, on the log only, which files were refused: files of one folder and series with the same fault are one line with
    /// the first of them. The quarantine lists them all.
    pub(crate) fn report_refused(&self) {
        for group in self.refused.chunk_by(|a, b| have_same_fault(a, b)) {
            let [first, others @ ..] = group else { continue };
            let (file, reason) = (first.path.display(), first.reason.as_str());
            match others.len() {
                0 => tracing::warn!(%file, reason, "{}", first.detail),
                more => tracing::warn!(%file, more_alike = more, reason, "{}", first.detail),
            }
        }
    }
}

/// All files of a series, skipped.
pub(crate) fn skip_series(series: &Series, reason: SkipReason) -> impl Iterator<Item = FileOutcome> {
    series.files().into_iter().map(move |path| FileOutcome::skipped(path.to_owned(), reason))
}

/// All files of a series, refused.
pub(crate) fn refuse_series(series: &Series, error: &DicomError) -> impl Iterator<Item = FileOutcome> {
    series.files().into_iter().map(|path| {
        FileOutcome::Refused(Refused {
            path: path.to_owned(),
            series_uid: Some(series.series_uid.as_ref().to_owned()),
            patient_id: Some(series.patient_id.as_ref().to_owned()),
            reason: error.reason(),
            detail: error.detail().to_owned(),
        })
    })
}

fn have_same_fault(a: &Refused, b: &Refused) -> bool {
    let same_fault = (&a.series_uid, a.reason, &a.detail) == (&b.series_uid, b.reason, &b.detail);
    same_fault && a.path.parent() == b.path.parent()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_dicom::ReasonCode;

    fn refused(path: &str, series: Option<&str>, detail: &str) -> Refused {
        Refused {
            path: path.into(),
            series_uid: series.map(str::to_owned),
            patient_id: None,
            reason: ReasonCode::Truncated,
            detail: detail.into(),
        }
    }

    #[test]
    fn outcomes_are_summed_by_reason() {
        let outcomes = [
            FileOutcome::used("a".into()),
            FileOutcome::skipped("b".into(), SkipReason::OtherObject),
            FileOutcome::Refused(refused("c", None, "")),
            FileOutcome::skipped("d".into(), SkipReason::OtherObject),
        ];
        let accounts = Accounts::of(&outcomes);
        assert_eq!((accounts.used, accounts.refused.len()), (1, 1));
        assert_eq!(accounts.skipped, BTreeMap::from([("other-object".to_owned(), 2)]));
        assert_eq!(accounts.refused_by_reason().values().sum::<u64>(), 1);
    }

    #[test]
    fn files_of_one_folder_and_series_with_the_same_fault_are_one_line() {
        let all = [
            refused("a/1.dcm", Some("1.2"), "gap"),
            refused("a/2.dcm", Some("1.2"), "gap"),
            refused("a/3.dcm", Some("1.2"), "short"),
            refused("a/4.dcm", Some("1.3"), "short"),
            refused("a/5.dcm", None, "empty"),
            refused("a/6.dcm", None, "empty"),
            refused("b/7.dcm", None, "empty"),
        ];
        let sizes: Vec<usize> = all.chunk_by(have_same_fault).map(<[Refused]>::len).collect();
        assert_eq!(sizes, [2, 1, 1, 2, 1]);
    }
}
