//! What the training of a run had no labels of: a network calls a class that it was never shown, or never calls it, for no reason in the image.
//!
//! Invariants: a training says so when it begins; an answer states region and status, so a run that was shown one status, or no region, gives none; a
//! region that no node of the training lay in is named with the run.

use std::collections::BTreeSet;
use std::path::Path;

use mtids_domain::label::Metastasis;
use mtids_models::tasks::TaskSet;
use mtids_shards::DatasetDescription;

use crate::error::TrainError;
use crate::label_counts::LabelCounts;
use crate::measured::Dimension;

/// Names of the regions that a run was never taught.
///
/// # Errors
/// [`TrainError::Mismatch`] where it was taught no region, or one status only.
pub(crate) fn untaught_regions(
    run: &Path,
    taught: &LabelCounts,
    description: &DatasetDescription,
) -> Result<BTreeSet<String>, TrainError> {
    let refuse = |what: &str| {
        let reason = format!(
            "no node that it was trained on {what}, so its answer would be no reading of the image; train on a dataset that has such labels"
        );
        Err(TrainError::Mismatch { path: run.to_owned(), reason })
    };
    if taught.region.iter().all(|&count| count == 0) {
        return refuse("has a region");
    }
    if let Some(status) = statuses(taught).first() {
        return refuse(&format!("is known to be {status}"));
    }
    Ok(regions(taught, description).map(str::to_owned).collect())
}

/// Warns of classes that the tasks tell and that no row of a training has.
pub(crate) fn warn_of_untaught(taught: &LabelCounts, tasks: &TaskSet, description: &DatasetDescription) {
    let untold = Dimension::untold(tasks);
    let is_told = |dimension: Dimension| !untold.contains(&dimension);
    let mut missing: Vec<String> = Vec::new();
    if is_told(Dimension::Region) {
        missing.extend(regions(taught, description).map(|region| format!("region `{region}`")));
    }
    if is_told(Dimension::Metastasis) {
        missing.extend(statuses(taught).into_iter().map(|status| format!("status `{status}`")));
    }
    if !missing.is_empty() {
        tracing::warn!(
            "no training row that counts has the {}: the network learns nothing of what it never sees, and `predict` says so or refuses",
            missing.join(", the ")
        );
    }
}

/// Statuses that no sample has.
fn statuses(taught: &LabelCounts) -> Vec<&'static str> {
    let all = [Metastasis::Benign, Metastasis::Metastatic].map(Metastasis::name);
    all.into_iter().zip(&taught.metastasis).filter(|(_, count)| **count == 0).map(|(status, _)| status).collect()
}

/// Regions that no sample lies in.
fn regions<'d>(taught: &'d LabelCounts, description: &'d DatasetDescription) -> impl Iterator<Item = &'d str> {
    let all = description.regions.regions().iter().zip(&taught.region);
    all.filter(|(_, count)| **count == 0).map(|(region, _)| region.name.as_str())
}

#[cfg(test)]
mod tests {
    use mtids_domain::taxonomy::{RegionScheme, Zone};
    use mtids_patch::{Channel, PatchGeometry, View, ViewName};
    use mtids_runtime::digest::Digest;
    use mtids_runtime::provenance::Program;

    use super::*;

    fn of(labels: &[(Option<usize>, Option<usize>)]) -> Result<Vec<String>, String> {
        let view = View {
            name: ViewName::try_from("near".to_owned()).unwrap(),
            geometry: PatchGeometry::default(),
            channels: vec![Channel::Ct],
        };
        let description = DatasetDescription {
            schema_version: mtids_shards::SCHEMA_VERSION.into(),
            taxonomy_version: String::new(),
            regions: RegionScheme::of_zones(&[Zone::Upper, Zone::Hilar]).unwrap(),
            views: vec![view],
            config_digest: Digest::of_bytes(b""),
            program: Program::new("test", "1"),
        };
        let taught = LabelCounts::of(2, labels.iter().copied());
        let regions = untaught_regions(Path::new("run"), &taught, &description);
        regions.map(|regions| regions.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_status_or_all_regions_that_no_node_has_refuse_and_a_region_is_named() {
        assert_eq!(of(&[(Some(0), Some(0)), (Some(1), Some(1))]), Ok(Vec::new()));
        assert_eq!(of(&[(Some(0), Some(0)), (None, Some(1))]), Ok(vec!["hilar".to_owned()]));
        for (labels, words) in [
            (&[(Some(0), Some(0)), (Some(1), None)][..], "is known to be metastatic"),
            (&[(Some(0), Some(1)), (Some(1), Some(1))], "is known to be benign"),
            (&[(Some(0), None), (Some(1), None)], "is known to be benign"),
            (&[(None, Some(0)), (None, Some(1))], "has a region"),
        ] {
            let error = of(labels).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
