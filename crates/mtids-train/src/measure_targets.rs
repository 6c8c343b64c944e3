//! Measures as targets: what a network learns to read beside the status, in units of the training split.
//!
//! A measure in mm or mm³ counts by its logarithm, so that a node of 8 mm and one of 16 mm are as far apart as 16 and 32. Each is standardised
//! with mean and deviation of the training split, which the run folder keeps (`measures.json`). Invariant: a measure that is not known is no
//! target, never 0. Values are those of the region grown from the point, which every row has.

use std::path::Path;

use mtids_runtime::atomic;
use mtids_shards::{Measure, Measures, RowLabels};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// File in the run folder.
const FILE: &str = "measures.json";
/// Targets where none are named: what the network reads worst by itself is size, and grey values by distance from the centre.
const DEFAULTS: [Measure; 5] =
    [Measure::ShortAxis, Measure::Shell3Hu, Measure::Shell5Hu, Measure::Shell8Hu, Measure::Shell12Hu];

/// A measure by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MeasureName(pub Measure);

impl TryFrom<String> for MeasureName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let named = Measure::ALL.iter().find(|measure| measure.name() == name);
        named.map(|&measure| Self(measure)).ok_or_else(|| {
            let names: Vec<&str> = Measure::ALL.iter().map(|measure| measure.name()).collect();
            format!("`{name}` is no measure; one of {}", names.join(", "))
        })
    }
}

impl From<MeasureName> for String {
    fn from(name: MeasureName) -> Self {
        name.0.name().to_owned()
    }
}

impl JsonSchema for MeasureName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MeasureName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Measure::ALL.iter().map(|measure| measure.name()).collect();
        schemars::json_schema!({ "description": "A measure by its name.", "type": "string", "enum": names })
    }
}

/// Measures of the node as targets of a regression beside the tasks: `[measures]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MeasuresConfig {
    /// Names of the targets; `[]` for none. Default: the short axis and the four shells, where the dataset has them.
    pub targets: Option<Vec<MeasureName>>,
}

impl MeasuresConfig {
    /// Checks what does not depend on the dataset.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for a measure that is named twice.
    pub(crate) fn validate(&self) -> Result<(), TrainError> {
        let named = self.targets.as_deref().unwrap_or_default();
        match named.iter().enumerate().find(|(n, name)| named[..*n].contains(name)) {
            Some((_, twice)) => {
                Err(TrainError::setting("measures.targets", format!("`{}` is named twice", twice.0.name())))
            }
            None => Ok(()),
        }
    }
}

/// The number by which a measure counts: its logarithm for mm and mm³, itself otherwise; `None` where it is not known, or has no logarithm.
pub(crate) fn reading(measures: &Measures, measure: Measure) -> Option<f64> {
    let value = f64::from(measures.get(measure)?);
    if counts_by_logarithm(measure) { (value > 0.0).then(|| value.ln()) } else { Some(value) }
}

/// Whether a measure is a length or a volume.
pub(crate) fn counts_by_logarithm(measure: Measure) -> bool {
    dimensions(measure) > 0
}

/// Exponent of the length in a measure's unit.
fn dimensions(measure: Measure) -> u8 {
    match measure.unit() {
        "mm" => 1,
        "mm³" => 3,
        _ => 0,
    }
}

/// One target with its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    measure: MeasureName,
    /// Mean of what it counts by over the training split.
    mean: f64,
    /// Standard deviation there (of the population); 1 where all are equal.
    deviation: f64,
}

/// The targets of a run, in the order of the network's outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MeasureTargets(Vec<Target>);

impl MeasureTargets {
    /// The targets of a configuration, in units of these training rows.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for a named measure that no row has.
    pub(crate) fn of<'r>(
        config: &MeasuresConfig,
        rows: impl Iterator<Item = &'r RowLabels> + Clone,
    ) -> Result<Self, TrainError> {
        let target = |measure: Measure| {
            let values: Vec<f64> = rows.clone().filter_map(|row| reading(&row.grown, measure)).collect();
            if values.is_empty() {
                return None;
            }
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            let deviation = if deviation > 1e-9 { deviation } else { 1.0 };
            Some(Target { measure: MeasureName(measure), mean, deviation })
        };
        let Some(named) = &config.targets else {
            return Ok(Self(DEFAULTS.into_iter().filter_map(target).collect()));
        };
        let known = |name: &MeasureName| {
            target(name.0).ok_or_else(|| {
                let reason = format!(
                    "no row of the training split has the measure `{}`; leave it out, or build the dataset with measures",
                    name.0.name()
                );
                TrainError::setting("measures.targets", reason)
            })
        };
        named.iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    /// Number of targets.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Their names, in order.
    pub(crate) fn names(&self) -> Vec<MeasureName> {
        self.0.iter().map(|target| target.measure).collect()
    }

    /// The targets of a row whose image is enlarged: lengths and volumes grow along; shells, which lie at fixed distances, are then not
    /// known.
    pub(crate) fn of_row(&self, row: &RowLabels, enlargement: f64) -> Vec<Option<f32>> {
        let of = |target: &Target| {
            let measure = target.measure.0;
            let is_shell =
                matches!(measure, Measure::Shell3Hu | Measure::Shell5Hu | Measure::Shell8Hu | Measure::Shell12Hu);
            if is_shell && enlargement != 1.0 {
                return None;
            }
            let grown = f64::from(dimensions(measure)) * enlargement.ln();
            let value = reading(&row.grown, measure)? + grown;
            Some(((value - target.mean) / target.deviation) as f32)
        };
        self.0.iter().map(of).collect()
    }

    /// Writes the targets into a run folder.
    pub(crate) fn write(&self, run: &Path) -> Result<(), TrainError> {
        let file = run.join(FILE);
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| TrainError::io(&file, error.into()))?;
        json.push(b'\n');
        atomic::write(&file, &json).map_err(|error| TrainError::io(&file, error))
    }

    /// Reads the targets of a run folder; none for a run of a program that had no such targets.
    pub(crate) fn read(run: &Path) -> Result<Self, TrainError> {
        let file = run.join(FILE);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(TrainError::io(&file, error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| TrainError::broken(&file, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::row;
    use mtids_shards::Split;

    fn rows(values: &[(f32, f32)]) -> Vec<RowLabels> {
        let one = |&(axis, shell): &(f32, f32)| {
            let mut labels = row("p", Split::Train);
            labels.grown.set(Measure::ShortAxis, Some(axis));
            labels.grown.set(Measure::Shell3Hu, Some(shell));
            labels
        };
        values.iter().map(one).collect()
    }

    fn config(text: &str) -> MeasuresConfig {
        mtids_runtime::config::parse(text).unwrap()
    }

    #[test]
    fn targets_are_in_units_of_the_training_split() {
        let rows = rows(&[(4.0, 0.0), (16.0, 100.0)]);
        let targets = MeasureTargets::of(&MeasuresConfig::default(), rows.iter()).unwrap();
        assert_eq!(targets.len(), 2, "shells that no row has are left out");
        assert_eq!(targets.of_row(&rows[0], 1.0), [Some(-1.0), Some(-1.0)]);
        assert_eq!(targets.of_row(&rows[1], 1.0), [Some(1.0), Some(1.0)]);
        // Twice the size is half of the distance between 4 and 16 mm.
        assert_eq!(targets.of_row(&rows[0], 2.0), [Some(0.0), None]);
        assert_eq!(targets.of_row(&row("p", Split::Train), 1.0), [None, None]);
        assert_eq!(MeasureTargets::of(&config("targets = []"), rows.iter()).unwrap().len(), 0);
        let constant = MeasureTargets::of(&config("targets = [\"shell_0_3_hu\"]"), rows[..1].iter()).unwrap();
        assert_eq!(constant.of_row(&rows[1], 1.0), [Some(100.0)]);
    }

    #[test]
    fn a_measure_that_is_unknown_is_refused_by_name() {
        let error = mtids_runtime::config::parse::<MeasuresConfig>("targets = [\"weight_kg\"]").unwrap_err();
        assert!(error.to_string().contains("weight_kg") && error.to_string().contains("short_axis_mm"), "{error}");
        let rows = rows(&[(4.0, 0.0)]);
        let error = MeasureTargets::of(&config("targets = [\"suv_max\"]"), rows.iter()).unwrap_err().to_string();
        assert!(error.contains("`measures.targets`") && error.contains("suv_max"), "{error}");
        let error = config("targets = [\"mean_hu\", \"mean_hu\"]").validate().unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
    }

    #[test]
    fn the_run_folder_keeps_the_units() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(MeasureTargets::read(folder.path()).unwrap(), MeasureTargets::default());
        let rows = rows(&[(4.0, 0.5), (17.0, 100.0), (9.0, -3.0)]);
        let targets = MeasureTargets::of(&MeasuresConfig::default(), rows.iter()).unwrap();
        targets.write(folder.path()).unwrap();
        assert_eq!(MeasureTargets::read(folder.path()).unwrap(), targets);
        std::fs::write(folder.path().join(FILE), "[{}]").unwrap();
        assert!(matches!(MeasureTargets::read(folder.path()), Err(TrainError::Broken { .. })));
    }
}
