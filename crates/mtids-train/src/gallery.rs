//! The nodes on which the answer was surest and wrong, with pictures: the calibrated answer, or the network's where there is none.
//!
//! Purpose: what they have in common is seen sooner than it is measured. Invariants: half of the places are for missed metastases, half for false
//! alarms, the surest first and equal ones by their keys, so the same predictions give the same gallery; one row group is in memory at a time.
//! Pictures are for the page only: they are voxels of patients.

use std::collections::{BTreeMap, BTreeSet};

use mtids_report::planes;
use mtids_shards::{Dataset, Measure, RowLabels, Split, read_row_group};

use crate::calibration::Calibration;
use crate::error::TrainError;
use crate::prediction::{Prediction, largest, metastasis_probability, region_probabilities};

/// Most nodes of either kind.
const MOST: usize = 6;

/// A view of a node in three planes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ViewPicture {
    /// Name of the view.
    pub(crate) view: String,
    /// Side of a plane, mm.
    pub(crate) field_mm: f64,
    /// The picture as the address of an `img`.
    pub(crate) uri: String,
}

/// A node that was called wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// Key of its row.
    pub(crate) sample_key: String,
    /// It is metastatic, and was missed; otherwise it is a false alarm.
    pub(crate) metastatic: bool,
    /// Probability of metastasis, calibrated where there is a calibration.
    pub(crate) probability: f64,
    /// True region, where it is known.
    pub(crate) region: Option<String>,
    /// Called region.
    pub(crate) called_region: String,
    /// Short axis of the annotation, mm.
    pub(crate) short_axis_mm: Option<f64>,
    /// Short axis of the region grown from the point, mm.
    pub(crate) grown_short_axis_mm: Option<f32>,
    /// Its views.
    pub(crate) pictures: Vec<ViewPicture>,
}

/// The surest of the wrong calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gallery {
    /// Missed metastases, then false alarms.
    pub(crate) failures: Vec<Failure>,
    /// All metastatic nodes that were missed.
    pub(crate) missed: usize,
    /// All benign nodes that were called metastatic.
    pub(crate) false_alarms: usize,
}

impl Gallery {
    /// Chooses nodes of predictions for a split, and reads what they look like; `index` are all rows of the dataset, in the order of its shards.
    ///
    /// # Errors
    /// [`TrainError`] for damaged data, or a dataset whose index does not fit its shards.
    pub(crate) fn of(
        dataset: &Dataset,
        index: &[RowLabels],
        split: Split,
        predictions: &[Prediction],
        calibration: Option<&Calibration>,
    ) -> Result<Self, TrainError> {
        let description = &dataset.manifest().description;
        let name = |code: usize| description.regions.regions().get(code).map(|region| region.name.clone());
        let (missed, false_alarms) = (wrong(predictions, calibration, true), wrong(predictions, calibration, false));
        let chosen = missed.iter().take(MOST).map(|one| (one, true));
        let chosen = chosen.chain(false_alarms.iter().take(MOST).map(|one| (one, false)));
        let failure = |((row, probability), metastatic): (&(&Prediction, f64), bool)| Failure {
            sample_key: row.sample_key.clone(),
            metastatic,
            probability: *probability,
            region: row.region.and_then(name),
            called_region: name(largest(&region_probabilities(&row.pooled))).unwrap_or_default(),
            short_axis_mm: row.short_axis_mm,
            grown_short_axis_mm: row.grown.get(Measure::ShortAxis),
            pictures: Vec::new(),
        };
        let mut failures: Vec<Failure> = chosen.map(failure).collect();
        let mut pictures =
            pictures(dataset, index, split, &failures.iter().map(|failure| failure.sample_key.as_str()).collect())?;
        for failure in &mut failures {
            failure.pictures = pictures.remove(&failure.sample_key).unwrap_or_default();
        }
        Ok(Self { failures, missed: missed.len(), false_alarms: false_alarms.len() })
    }
}

/// Nodes of a status that were called the other, the surest first.
fn wrong<'p>(
    predictions: &'p [Prediction],
    calibration: Option<&Calibration>,
    metastatic: bool,
) -> Vec<(&'p Prediction, f64)> {
    let probability =
        |row: &Prediction| calibration.map_or_else(|| metastasis_probability(&row.pooled), |one| one.metastasis(row));
    let mut rows: Vec<(&Prediction, f64)> = predictions
        .iter()
        .filter(|row| row.metastasis == Some(usize::from(metastatic)))
        .map(|row| (row, probability(row)))
        .filter(|(_, probability)| (*probability >= 0.5) != metastatic)
        .collect();
    let sureness = |probability: f64| (probability - 0.5).abs();
    rows.sort_by(|a, b| sureness(b.1).total_cmp(&sureness(a.1)).then_with(|| a.0.sample_key.cmp(&b.0.sample_key)));
    rows
}

/// Pictures of rows of a split, by their keys.
fn pictures(
    dataset: &Dataset,
    index: &[RowLabels],
    split: Split,
    keys: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Vec<ViewPicture>>, TrainError> {
    let mut found = BTreeMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let mut rows = index.iter();
    for (shard, entry) in dataset.manifest().shards.iter().enumerate() {
        for (row_group, group) in entry.row_groups.iter().enumerate() {
            let of_group = rows.by_ref().take(usize::try_from(group.rows).unwrap_or(usize::MAX)).enumerate();
            let wanted: Vec<(usize, &str)> = of_group
                .filter(|(_, labels)| labels.split == split && keys.contains(labels.sample_key.as_str()))
                .map(|(row, labels)| (row, labels.sample_key.as_str()))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let read = read_row_group(dataset, shard, row_group)?;
            for (row, key) in wanted {
                if read.labels.get(row).is_none_or(|labels| labels.sample_key != key) {
                    return Err(TrainError::Mismatch {
                        path: dataset.storage().place(&entry.path),
                        reason: format!(
                            "the index of the dataset says that row {row} of row group {row_group} is `{key}`, and it is not; build the dataset again"
                        ),
                    });
                }
                let views = dataset.manifest().description.views.iter().zip(&read.views);
                let of_views = views.filter_map(|(view, voxels)| {
                    let picture = planes::three_planes(view, voxels.row(row))?;
                    Some(ViewPicture {
                        view: view.name.to_string(),
                        field_mm: planes::field_mm(view),
                        uri: picture.data_uri().ok()?,
                    })
                });
                found.insert(key.to_owned(), of_views.collect());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, state: usize, probability: f64) -> Prediction {
        Prediction {
            sample_key: key.into(),
            patient_key: "p".into(),
            metastasis: Some(state),
            pooled: vec![1.0 - probability, probability],
            ..Prediction::default()
        }
    }

    #[test]
    fn the_surest_errors_come_first_and_equal_ones_by_their_keys() {
        let rows = [
            row("right", 1, 0.9),
            row("b", 1, 0.125),
            row("a", 1, 0.125),
            row("surest", 1, 0.0625),
            row("alarm", 0, 0.75),
            row("called", 0, 0.5),
            Prediction { metastasis: None, ..row("unknown", 1, 0.0) },
        ];
        let keys = |metastatic| -> Vec<String> {
            wrong(&rows, None, metastatic).iter().map(|(row, _)| row.sample_key.clone()).collect()
        };
        assert_eq!(keys(true), ["surest", "a", "b"]);
        assert_eq!(keys(false), ["alarm", "called"], "half is called metastatic");
    }
}
