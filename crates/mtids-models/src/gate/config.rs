//! Settings of experts and gates: sizes, and the form of either control.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config_error};
use crate::experts::{ExpertForm, ExpertShape};

/// Control 1: how the weight is divided between the shared and the private branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BranchControl {
    /// Learned soft-max over the two branches.
    #[default]
    Softmax,
    /// One learned sigmoid per branch; the two need not sum to 1.
    Sigmoid,
    /// Half each: two expert gates without branch control.
    Fixed,
    /// One flat soft-max over all experts (CGC).
    Flat,
    /// No private branch (MMoE; with one shared expert, a shared bottom).
    SharedOnly,
    /// No shared branch: separate experts on a common backbone.
    PrivateOnly,
}

/// Control 2: how a branch is divided between its experts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExpertControl {
    /// Learned soft-max over the `top_k` largest logits.
    #[default]
    Softmax,
    /// Equal weights.
    Uniform,
}

/// What a task's private experts read of a view that the other label dimension owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OtherView {
    /// Its features, without a gradient into its trunk.
    #[default]
    Detached,
    /// Its features, with their gradient.
    Trained,
    /// Nothing.
    Hidden,
}

/// Which views a task's gate reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateViews {
    /// All.
    #[default]
    All,
    /// Those that the task owns.
    Own,
}

/// Experts and gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DbrConfig {
    /// Layers of experts and gates; more than one stacks them as PLE does. Default 1.
    pub layers: usize,
    /// Shared experts E_s.
    pub shared_experts: usize,
    /// Private experts E_p of each task.
    pub private_experts: usize,
    /// Hidden units of an expert.
    pub expert_hidden: usize,
    /// Outputs d_e of an expert.
    pub expert_width: usize,
    /// Form of an expert.
    pub expert_form: ExpertForm,
    /// Size d_g of the task embedding.
    pub embedding: usize,
    /// Temperature τ of the branch control.
    pub temperature: f64,
    /// Form of control 1.
    pub branch_control: BranchControl,
    /// Form of control 2.
    pub expert_control: ExpertControl,
    /// Shared experts used per sample; 0 means all (soft routing).
    pub shared_top_k: usize,
    /// Private experts used per sample; 0 means all (soft routing).
    pub private_top_k: usize,
    /// What private experts read of a view that the other label dimension owns.
    pub other_view: OtherView,
    /// Which views a gate reads.
    pub gate_views: GateViews,
    /// Whether gates train the trunks that they read. Default: with one view they do, with several they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_gradient: Option<bool>,
}

impl Default for DbrConfig {
    fn default() -> Self {
        Self {
            layers: 1,
            shared_experts: 3,
            private_experts: 2,
            expert_hidden: 64,
            expert_width: 64,
            expert_form: ExpertForm::default(),
            embedding: 16,
            temperature: 1.0,
            branch_control: BranchControl::Softmax,
            expert_control: ExpertControl::Softmax,
            shared_top_k: 0,
            private_top_k: 0,
            other_view: OtherView::default(),
            gate_views: GateViews::default(),
            gate_gradient: None,
        }
    }
}

impl DbrConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value, used) in [
            ("layers", self.layers, true),
            ("shared_experts", self.shared_experts, self.has_shared()),
            ("private_experts", self.private_experts, self.has_private()),
            ("expert_hidden", self.expert_hidden, true),
            ("expert_width", self.expert_width, true),
            ("embedding", self.embedding, true),
        ] {
            if used && value == 0 {
                return Err(config_error(&format!("dbr.{key}"), "must be at least 1 for this branch control"));
            }
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(config_error("dbr.temperature", "must be positive"));
        }
        for (key, k, count) in [
            ("shared_top_k", self.shared_top_k, self.shared_experts),
            ("private_top_k", self.private_top_k, self.private_experts),
        ] {
            if k > count {
                return Err(config_error(&format!("dbr.{key}"), format!("must be 0 (all) to {count}")));
            }
        }
        if self.layers > 1 && !(self.has_shared() && self.has_private()) {
            return Err(config_error("dbr.layers", "more than one layer needs both branches"));
        }
        if self.branch_control == BranchControl::Flat
            && (self.expert_control == ExpertControl::Uniform || self.shared_top_k + self.private_top_k > 0)
        {
            return Err(config_error("dbr.branch_control", "flat needs softmax experts and top-k 0"));
        }
        if self.expert_control == ExpertControl::Uniform && self.shared_top_k + self.private_top_k > 0 {
            return Err(config_error("dbr.expert_control", "uniform weights all experts equally; set top-k to 0"));
        }
        Ok(())
    }

    /// Whether there is a shared branch.
    pub fn has_shared(&self) -> bool {
        self.branch_control != BranchControl::PrivateOnly
    }

    /// Whether there are private branches.
    pub fn has_private(&self) -> bool {
        self.branch_control != BranchControl::SharedOnly
    }

    /// Whether gates of a network of this many views train the trunks.
    pub fn trains_by_gates(&self, views: usize) -> bool {
        self.gate_gradient.unwrap_or(views == 1)
    }

    /// Whether a gate learns anything from what it reads.
    pub(crate) fn gates_learn(&self) -> bool {
        let branch =
            matches!(self.branch_control, BranchControl::Softmax | BranchControl::Sigmoid | BranchControl::Flat);
        let several = |wanted: bool, count: usize| wanted && count > 1;
        let experts =
            several(self.has_shared(), self.shared_experts) || several(self.has_private(), self.private_experts);
        branch || (self.expert_control == ExpertControl::Softmax && experts)
    }

    /// Of one expert of the first layer, which reads the backbone's `features`.
    pub(crate) fn expert_shape(&self, features: usize, dropout: f64) -> ExpertShape {
        let (hidden, outputs, form) = (self.expert_hidden, self.expert_width, self.expert_form);
        ExpertShape { inputs: features, hidden, outputs, form, dropout }
    }
}
