//! What the settings leave to the dataset, written out: a run keeps its meaning when defaults change.
//!
//! Invariants: writing out twice is writing out once, so the recorded settings resume their run; a dataset of one view `patch` without
//! measures changes nothing.

use mtids_models::{Architecture, Problem, TaskKind};
use mtids_shards::{DatasetDescription, RowLabels};

use crate::config::{TrainConfig, ValidConfig};
use crate::error::TrainError;
use crate::measure_targets::{MeasureTargets, MeasuresConfig};
use crate::transform::input::InputTransform;

/// The settings of a training on a dataset, and the measures that it teaches in units of its training rows.
///
/// # Errors
/// A setting that does not fit the dataset.
pub(crate) fn for_dataset(
    config: &ValidConfig,
    description: &DatasetDescription,
    rows: &[RowLabels],
) -> Result<(ValidConfig, MeasureTargets), TrainError> {
    let mut resolved: TrainConfig = (**config).clone();
    // A network of the single-task architecture learns nothing from another's task.
    let is_left_out = config.measures.targets.is_none()
        && config.model.architecture() == Architecture::SingleTask
        && !config.model.tasks().contains(&TaskKind::Measures);
    let measures =
        if is_left_out { MeasureTargets::default() } else { MeasureTargets::of(&config.measures, rows.iter())? };
    if measures.len() > 0 {
        resolved.measures = MeasuresConfig { targets: Some(measures.names()) };
        if !config.model.tasks().contains(&TaskKind::Measures) {
            resolved.model.tasks_mut().push(TaskKind::Measures);
        }
    }
    let transform = InputTransform::new(config, description)?;
    let inputs = transform.written_out();
    if !inputs.is_empty() {
        resolved.inputs = inputs;
        resolved.test_symmetries = Some(transform.averaged());
        let problem =
            Problem { regions: description.regions.len(), measures: measures.len(), views: transform.inputs() };
        resolved.model = resolved.model.resolved(&problem)?;
    }
    Ok((resolved.check()?, measures))
}
