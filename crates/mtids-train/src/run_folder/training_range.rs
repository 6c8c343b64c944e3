//! What the rows of the training split were like: `training-range.json`.
//!
//! Purpose: a network says nothing of use about images of a kind that it never saw, and cannot say so itself. Invariants: ranges and names of
//! scanners only, no row; a pure function of the dataset. Units: mm, kV, HU.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mtids_runtime::atomic;
use mtids_shards::{Measure, RowLabels};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// File in the run folder.
const FILE: &str = "training-range.json";
/// Relative distance by which a number may lie outside without a word: headers round.
const TOLERANCE: f64 = 0.01;

/// Least and largest value of the training split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The least.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

/// What was seen in training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRange {
    /// Numbers by name; one that no row had is missing.
    pub numbers: BTreeMap<String, Span>,
    /// Words by name; the empty word is "not stated".
    pub words: BTreeMap<String, BTreeSet<String>>,
}

/// The numbers of a row that are watched.
fn numbers(row: &RowLabels) -> [(&'static str, &'static str, Option<f32>); 6] {
    [
        ("slice_thickness_mm", "slice thickness", row.slice_thickness_mm),
        ("slice_step_mm", "distance of slices", Some(row.slice_step_mm)),
        ("pixel_spacing_mm", "pixel spacing", Some(row.pixel_spacing_mm)),
        ("kvp", "tube voltage", row.kvp),
        ("short_axis_mm", "short axis of the grown region", row.grown.get(Measure::ShortAxis)),
        ("mean_hu", "mean HU of the grown region", row.grown.get(Measure::MeanHu)),
    ]
}

/// The words of a row that are watched.
fn words(row: &RowLabels) -> [(&'static str, &'static str, String); 5] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let yes_or_no = |value: bool| if value { "yes" } else { "no" }.to_owned();
    [
        ("manufacturer", "manufacturer", text(&row.manufacturer)),
        ("kernel", "kernel", text(&row.kernel)),
        ("contrast", "contrast agent", row.contrast.map(yes_or_no).unwrap_or_default()),
        ("pet", "PET", yes_or_no(row.pet)),
        ("repaired", "repaired grid", yes_or_no(row.repaired.is_some())),
    ]
}

impl TrainingRange {
    /// The range of rows.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a RowLabels>) -> Self {
        let mut range = Self::default();
        for row in rows {
            for (key, _, value) in numbers(row) {
                let Some(value) = value.map(f64::from) else { continue };
                let span = range.numbers.entry(key.to_owned()).or_insert(Span { least: value, most: value });
                (span.least, span.most) = (span.least.min(value), span.most.max(value));
            }
            for (key, _, value) in words(row) {
                range.words.entry(key.to_owned()).or_default().insert(value);
            }
        }
        range
    }

    /// In which ways a row is unlike all rows of the training, in words. What a row does not state is not judged.
    pub fn outside(&self, row: &RowLabels) -> Vec<String> {
        let mut outside = Vec::new();
        for (key, title, value) in numbers(row) {
            let (Some(span), Some(value)) = (self.numbers.get(key), value.map(f64::from)) else { continue };
            let (least, most) = (span.least - TOLERANCE * span.least.abs(), span.most + TOLERANCE * span.most.abs());
            if !(least..=most).contains(&value) {
                outside.push(format!("{title} {value:.2} outside {:.2} to {:.2}", span.least, span.most));
            }
        }
        for (key, title, value) in words(row) {
            let is_new = self.words.get(key).is_some_and(|seen| !seen.contains(&value));
            if is_new && !value.is_empty() {
                outside.push(format!("{title} `{value}` not seen in training"));
            }
        }
        outside
    }

    /// Writes the range into a run folder, unless it is there.
    pub(crate) fn write(&self, run: &Path) -> Result<(), TrainError> {
        let file = run.join(FILE);
        if file.exists() {
            return Ok(());
        }
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| TrainError::io(&file, error.into()))?;
        json.push(b'\n');
        atomic::write(&file, &json).map_err(|error| TrainError::io(&file, error))
    }

    /// Reads the range of a run folder; `None` for a run of a program that wrote none.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Broken`].
    pub fn read(run: &Path) -> Result<Option<Self>, TrainError> {
        let file = run.join(FILE);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::io(&file, error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| TrainError::broken(&file, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::row;
    use mtids_shards::Split;

    #[test]
    fn a_row_of_the_training_is_inside_and_each_difference_is_named() {
        let mut known = row("a", Split::Train);
        known.kernel = Some("B30f".into());
        known.slice_thickness_mm = Some(2.0);
        known.contrast = Some(true);
        let mut thicker = known.clone();
        thicker.slice_thickness_mm = Some(3.0);
        let range = TrainingRange::of([&known, &thicker]);
        assert!(range.outside(&known).is_empty());
        let mut between = known.clone();
        between.slice_thickness_mm = Some(2.5);
        assert!(range.outside(&between).is_empty());
        let mut other = known.clone();
        other.slice_thickness_mm = Some(5.0);
        other.kernel = Some("B70f".into());
        other.contrast = None;
        let outside = range.outside(&other);
        assert_eq!(outside, ["slice thickness 5.00 outside 2.00 to 3.00", "kernel `B70f` not seen in training"]);
    }

    #[test]
    fn the_tolerance_widens_a_range_of_negative_numbers_too() {
        let of = |hu: f32| {
            let mut row = row("a", Split::Train);
            row.grown.set(Measure::MeanHu, Some(hu));
            row
        };
        let range = TrainingRange::of([&of(-100.0), &of(-50.0)]);
        for inside in [-101.0, -100.0, -75.0, -50.0, -49.5] {
            assert!(range.outside(&of(inside)).is_empty(), "{inside}");
        }
        assert_eq!(range.outside(&of(-102.0)), ["mean HU of the grown region -102.00 outside -100.00 to -50.00"]);
        assert_eq!(range.outside(&of(-49.0)), ["mean HU of the grown region -49.00 outside -100.00 to -50.00"]);
    }

    #[test]
    fn it_is_written_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(TrainingRange::read(folder.path()).unwrap(), None);
        let range = TrainingRange::of([&row("a", Split::Train)]);
        range.write(folder.path()).unwrap();
        assert_eq!(TrainingRange::read(folder.path()).unwrap(), Some(range));
    }
}
