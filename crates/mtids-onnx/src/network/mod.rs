//! The architectures: from the inputs of the views to the logits of all tasks.
//!
//! Purpose: one function for each architecture of [`ModelConfig`], which follows `mtids_models::model` in evaluation. Names of weights are
//! those of its modules. A new architecture does not compile until it is translated.

mod adatt;
mod cross_stitch;
mod dselect_k;
mod mtan;
mod plain;
mod stack;
mod stem;

use mtids_models::ModelConfig;

use crate::builder::Builder;
use crate::error::{OnnxError, Result};
use crate::graph::Value;
use crate::plan::Plan;

/// Logits of every task for inputs `[C, D, H, W]`, one for each view.
///
/// # Errors
/// [`OnnxError`] where configuration and weights do not fit.
pub(crate) fn logits(builder: &mut Builder, model: &ModelConfig, plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>> {
    if inputs.len() != plan.views.len() {
        let view = plan.views.first().map(|view| view.name.clone()).unwrap_or_default();
        let reason = format!("{} inputs for {} views", inputs.len(), plan.views.len());
        return Err(OnnxError::View { view, reason });
    }
    match model {
        ModelConfig::MtIds(config) => stack::mt_ids(builder, config, plan, inputs),
        ModelConfig::SingleTask(_) => plain::single_task(builder, plan, inputs),
        ModelConfig::HardSharing(_) => plain::hard_sharing(builder, plan, inputs),
        ModelConfig::CrossStitch(_) => cross_stitch::logits(builder, plan, inputs),
        ModelConfig::Mtan(_) => mtan::logits(builder, plan, inputs),
        ModelConfig::Mmoe(config) => plain::mmoe(builder, &config.experts, plan, inputs),
        ModelConfig::Cgc(config) => stack::flat(builder, 1, &config.experts, plan, inputs),
        ModelConfig::Ple(config) => stack::flat(builder, config.layers, &config.experts, plan, inputs),
        ModelConfig::DSelectK(config) => dselect_k::logits(builder, config, plan, inputs),
        ModelConfig::AdaTt(config) => adatt::logits(builder, config, plan, inputs),
        ModelConfig::Stem(config) => stem::logits(builder, &config.experts, plan, inputs),
    }
}
