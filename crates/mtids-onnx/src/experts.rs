//! Experts and the soft-max gates of the baselines.

use mtids_models::experts::{ExpertForm, ExpertsConfig, SharedExpertsConfig};
use mtids_models::gate::DbrConfig;

use crate::builder::Builder;
use crate::error::Result;
use crate::graph::Value;

/// Sizes and form of all experts of a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpertSizes {
    hidden: usize,
    pub(crate) width: usize,
    form: ExpertForm,
}

impl From<&ExpertsConfig> for ExpertSizes {
    fn from(config: &ExpertsConfig) -> Self {
        Self { hidden: config.hidden, width: config.width, form: config.form }
    }
}

impl From<&SharedExpertsConfig> for ExpertSizes {
    fn from(config: &SharedExpertsConfig) -> Self {
        Self { hidden: config.hidden, width: config.width, form: config.form }
    }
}

impl From<&DbrConfig> for ExpertSizes {
    fn from(config: &DbrConfig) -> Self {
        Self { hidden: config.expert_hidden, width: config.expert_width, form: config.expert_form }
    }
}

impl Builder {
    /// One expert `<name>.*`, `[N, d]` to `[N, d_e]`.
    fn expert(&mut self, name: &str, sizes: ExpertSizes, z: &Value) -> Result<Value> {
        let [inputs] = self.graph.vector(z)?;
        let hidden = self.linear(&format!("{name}.first"), z, sizes.hidden)?;
        let hidden = self.gelu(&hidden)?;
        let perceptron = self.linear(&format!("{name}.second"), &hidden, sizes.width)?;
        match sizes.form {
            ExpertForm::Normalised => self.layer_norm(&format!("{name}.norm"), &perceptron),
            ExpertForm::Residual if inputs == sizes.width => self.graph.combine("Add", z, &perceptron),
            ExpertForm::Residual => {
                let skip = self.linear_without_bias(&format!("{name}.skip"), z, sizes.width)?;
                self.graph.combine("Add", &skip, &perceptron)
            }
        }
    }

    /// `count` experts `<name>.0`, `<name>.1`, … on one input, `[N, d]` to `[N, E, d_e]`.
    pub(crate) fn expert_group(&mut self, name: &str, count: usize, sizes: ExpertSizes, z: &Value) -> Result<Value> {
        let mut outputs = Vec::with_capacity(count);
        for index in 0..count {
            let output = self.expert(&format!("{name}.{index}"), sizes, z)?;
            outputs.push(self.graph.reshape(&output, &[1, sizes.width])?);
        }
        self.graph.concat(&outputs, 0)
    }

    /// A soft-max over experts, linear in its input; one expert gets all the weight.
    pub(crate) fn softmax_gate(&mut self, name: &str, input: &Value, experts: usize) -> Result<Value> {
        if experts == 1 {
            return Ok(self.graph.same_for_all(&[1], vec![1.0]));
        }
        let logits = self.linear(name, input, experts)?;
        Ok(self.graph.normalised("Softmax", &logits))
    }
}
