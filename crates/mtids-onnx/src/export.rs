//! A whole model as one file: from stored voxels to probabilities, or the network alone.

use mtids_layers::Parameters;
use mtids_models::tasks::LabelMap;
use mtids_models::{ModelConfig, Problem};

use crate::builder::Builder;
use crate::decoding::Platt;
use crate::error::{OnnxError, Result};
use crate::graph::Value;
use crate::input::{StoredView, Turn};
use crate::network::logits;
use crate::plan::Plan;

/// Bytes that a protobuf message may have.
const MOST_BYTES: usize = (1 << 31) - 1;

/// A trained model with what stands before and behind it in an evaluation.
#[derive(Clone, Debug)]
pub struct Export<'a> {
    /// Settings of the network.
    pub model: &'a ModelConfig,
    /// What it was built for.
    pub problem: &'a Problem,
    /// Its weights.
    pub parameters: &'a Parameters,
    /// The views as they are stored, in the order of the problem's.
    pub views: &'a [StoredView],
    /// Symmetries over which probabilities are averaged, the identity first; none means the identity alone.
    pub turns: &'a [Turn],
    /// The calibration of these weights, where there is one.
    pub calibration: Option<Platt>,
    /// What the file is, for people.
    pub meaning: &'a str,
    /// What else the file says of itself.
    pub properties: &'a [(String, String)],
}

impl Export<'_> {
    /// The bytes of the file. Inputs: one per view, named as it is, `[N, S, D, H, W]` as stored. Outputs: `pooled`, `region` and `metastasis`, as
    /// far as the tasks tell them, and `metastasis_calibrated` where there is a calibration.
    ///
    /// # Errors
    /// [`OnnxError`] where settings, weights and views do not fit each other.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut builder = Builder::new(self.parameters);
        let plan = Plan::new(self.model, self.problem)?;
        let inputs = self.inputs(&mut builder)?;
        let logits = logits(&mut builder, self.model, &plan, &inputs)?;
        let mut pooled = builder.pooled(&plan.tasks, &logits)?;
        if self.turns.len() > 1 {
            pooled = builder.graph.mean_of_samples(&pooled, self.turns.len())?;
        }
        let marginals = builder.marginals(&pooled)?;
        let graph = &mut builder.graph;
        // The pooled distribution is flat along a dimension that no task tells.
        let tells = |reads: fn(&LabelMap) -> bool| plan.tasks.tasks().iter().any(|task| task.is_total() && reads(task));
        let (region, metastasis) = (tells(LabelMap::reads_region), tells(LabelMap::reads_metastasis));
        graph.output("pooled", &pooled, "probability of each joint class, 2 * region + metastasis")?;
        if region {
            graph.output("region", &marginals.region, "probability of each region")?;
        }
        if metastasis {
            graph.output("metastasis", &marginals.metastasis, "probability of metastasis, as the network says it")?;
        }
        if let Some(platt) = self.calibration.filter(|_| metastasis) {
            let calibrated = builder.calibrated(&marginals.metastasis, platt)?;
            let meaning = "probability of metastasis of the network alone, calibrated on validation patients";
            builder.graph.output("metastasis_calibrated", &calibrated, meaning)?;
        }
        bytes_of(builder, self.meaning, self.properties)
    }

    /// The inputs of the network. The samples of all symmetries stand one after the other.
    fn inputs(&self, builder: &mut Builder) -> Result<Vec<Value>> {
        let known: Vec<(&str, [usize; 4])> =
            self.problem.views.iter().map(|view| (view.name.as_str(), view.shape)).collect();
        let mut inputs = Vec::with_capacity(known.len());
        for view in self.views {
            let stored = builder.graph.input(&view.name, &view.stored(), "voxels as the dataset stores them")?;
            let prepared = builder.prepare(view, &stored)?;
            let fits =
                known.get(inputs.len()).is_some_and(|(name, shape)| *name == view.name && prepared.axes() == shape);
            if !fits {
                let reason = format!("its input is {:?}, and the network reads {known:?}", prepared.axes());
                return Err(OnnxError::View { view: view.name.clone(), reason });
            }
            inputs.push(match self.turns {
                [] | [_] => prepared,
                turns => {
                    let turned = turns
                        .iter()
                        .map(|turn| if view.turns { builder.turn(&prepared, *turn) } else { Ok(prepared.clone()) });
                    let turned: Result<Vec<Value>> = turned.collect();
                    builder.graph.concat_samples(&turned?)?
                }
            });
        }
        Ok(inputs)
    }
}

/// The network alone, for checks: inputs `[N, C, D, H, W]` named as the views, outputs `logits.<task>` and `pooled`.
///
/// # Errors
/// [`OnnxError`] where settings and weights do not fit each other.
pub fn network_model(model: &ModelConfig, problem: &Problem, parameters: &Parameters) -> Result<Vec<u8>> {
    let mut builder = Builder::new(parameters);
    let plan = Plan::new(model, problem)?;
    let views = problem.views.iter();
    let inputs: Result<Vec<Value>> =
        views.map(|view| builder.graph.input(&view.name, &view.shape, "channels of the network")).collect();
    let logits = logits(&mut builder, model, &plan, &inputs?)?;
    let pooled = builder.pooled(&plan.tasks, &logits)?;
    for (task, logits) in plan.tasks.tasks().iter().zip(&logits) {
        builder.graph.output(&format!("logits.{}", task.name), logits, "logits of the task")?;
    }
    builder.graph.output("pooled", &pooled, "probability of each joint class")?;
    bytes_of(builder, "the network alone", &[])
}

fn bytes_of(builder: Builder, meaning: &str, properties: &[(String, String)]) -> Result<Vec<u8>> {
    builder.weights.finish()?;
    let bytes = builder.graph.finish().to_bytes(meaning, properties);
    if bytes.len() > MOST_BYTES { Err(OnnxError::TooLarge { bytes: bytes.len() }) } else { Ok(bytes) }
}
