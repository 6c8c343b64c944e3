//! Settings that several architectures share: backbone, tasks, and where there are any, experts and layers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::BackboneConfig;
use crate::error::{Result, config_error};
use crate::experts::{ExpertsConfig, SharedExpertsConfig};
use crate::tasks::{TaskKind, default_tasks};

/// Settings of an architecture without experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlainConfig {
    /// The backbone.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
}

impl Default for PlainConfig {
    fn default() -> Self {
        Self { backbone: BackboneConfig::default(), tasks: default_tasks() }
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
    /// The backbone.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// The experts.
    pub experts: SharedExpertsConfig,
}

impl Default for SharedConfig {
    fn default() -> Self {
        Self { backbone: BackboneConfig::default(), tasks: default_tasks(), experts: SharedExpertsConfig::default() }
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
    /// The backbone.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// The experts.
    pub experts: ExpertsConfig,
}

impl Default for BranchedConfig {
    fn default() -> Self {
        Self { backbone: BackboneConfig::default(), tasks: default_tasks(), experts: ExpertsConfig::default() }
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
    /// The backbone.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// The experts of each layer.
    pub experts: ExpertsConfig,
    /// Layers.
    pub layers: usize,
}

impl Default for LayeredConfig {
    fn default() -> Self {
        let BranchedConfig { backbone, tasks, experts } = BranchedConfig::default();
        Self { backbone, tasks, experts, layers: 2 }
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
