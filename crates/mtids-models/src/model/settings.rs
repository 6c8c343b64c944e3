//! Settings that several architectures share: backbones of the views, dropout, tasks, and where there are any, experts and layers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::BackboneKeys;
use crate::error::{Result, config_error};
use crate::experts::{ExpertsConfig, SharedExpertsConfig};
use crate::tasks::{TaskKind, default_tasks};

/// Settings of an architecture without experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlainConfig {
    /// The backbone of every view.
    pub backbone: BackboneKeys,
    /// What differs in the backbone of one view, by the view's name.
    pub trunks: BTreeMap<String, BackboneKeys>,
    /// Dropout before heads and in the hidden layer of experts. Default: 0.2 with several views, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
}

impl Default for PlainConfig {
    fn default() -> Self {
        Self { backbone: BackboneKeys::default(), trunks: BTreeMap::new(), dropout: None, tasks: default_tasks() }
    }
}

impl PlainConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// Settings of an architecture with shared experts only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SharedConfig {
    /// The backbone of every view.
    pub backbone: BackboneKeys,
    /// What differs in the backbone of one view, by the view's name.
    pub trunks: BTreeMap<String, BackboneKeys>,
    /// Dropout before heads and in the hidden layer of experts. Default: 0.2 with several views, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// The experts.
    pub experts: SharedExpertsConfig,
}

impl Default for SharedConfig {
    fn default() -> Self {
        let PlainConfig { backbone, trunks, dropout, tasks } = PlainConfig::default();
        Self { backbone, trunks, dropout, tasks, experts: SharedExpertsConfig::default() }
    }
}

impl SharedConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        self.experts.validate()
    }
}

/// Settings of an architecture with one layer of shared and private experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BranchedConfig {
    /// The backbone of every view.
    pub backbone: BackboneKeys,
    /// What differs in the backbone of one view, by the view's name.
    pub trunks: BTreeMap<String, BackboneKeys>,
    /// Dropout before heads and in the hidden layer of experts. Default: 0.2 with several views, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// The experts.
    pub experts: ExpertsConfig,
}

impl Default for BranchedConfig {
    fn default() -> Self {
        let PlainConfig { backbone, trunks, dropout, tasks } = PlainConfig::default();
        Self { backbone, trunks, dropout, tasks, experts: ExpertsConfig::default() }
    }
}

impl BranchedConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        self.experts.validate()
    }
}

/// Settings of an architecture with several layers of shared and private experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LayeredConfig {
    /// The backbone of every view.
    pub backbone: BackboneKeys,
    /// What differs in the backbone of one view, by the view's name.
    pub trunks: BTreeMap<String, BackboneKeys>,
    /// Dropout before heads and in the hidden layer of experts. Default: 0.2 with several views, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// The experts of each layer.
    pub experts: ExpertsConfig,
    /// Layers.
    pub layers: usize,
}

impl Default for LayeredConfig {
    fn default() -> Self {
        let BranchedConfig { backbone, trunks, dropout, tasks, experts } = BranchedConfig::default();
        Self { backbone, trunks, dropout, tasks, experts, layers: 2 }
    }
}

impl LayeredConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        if self.layers == 0 {
            return Err(config_error("layers", "must be at least 1"));
        }
        self.experts.validate()
    }
}
