//! What is compared: the rows of the table.
//!
//! Every row has the same backbone, optimiser, schedule, batches and losses; rows differ in what their label says.

use mtids_balance::{BalancerConfig, DdGbConfig, FixedConfig};
use mtids_layers::pool::GridPooling;
use mtids_models::experts::ExpertsConfig;
use mtids_models::model::cgc::CgcConfig;
use mtids_models::model::hard_sharing::HardSharingConfig;
use mtids_models::model::single_task::SingleTaskConfig;
use mtids_models::{
    BackboneConfig, BackboneKind, BackboneSize, DbrConfig, LossConfig, ModelConfig, MtIdsConfig, TaskKind,
};

use crate::run::Settings;

/// Factor of the region's loss in the rows with bad units.
pub(crate) const BAD_UNIT: f64 = 100.0;
/// Position of the region among the three tasks.
const REGION: usize = 1;

/// Key of each row, which the runs' file and the checks name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Key {
    SingleTask,
    SharedBottom,
    Cgc,
    Equal,
    UpGrad,
    DdGb,
    EqualNoPrior,
    BadEqual,
    BadFixed,
    BadUpGrad,
    BadDdGb,
    BadDdGbEqualNorms,
}

impl Key {
    /// All rows in the order of the table.
    pub(crate) const ALL: [Key; 12] = [
        Key::SingleTask,
        Key::SharedBottom,
        Key::Cgc,
        Key::Equal,
        Key::UpGrad,
        Key::DdGb,
        Key::EqualNoPrior,
        Key::BadEqual,
        Key::BadFixed,
        Key::BadUpGrad,
        Key::BadDdGb,
        Key::BadDdGbEqualNorms,
    ];

    /// The row's name in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Key::SingleTask => "single-task joint",
            Key::SharedBottom => "shared bottom, EW",
            Key::Cgc => "CGC, EW",
            Key::Equal => "DBR, EW",
            Key::UpGrad => "DBR, UPGrad",
            Key::DdGb => "DBR, DD-GB γ=.5",
            Key::EqualNoPrior => "DBR, EW, λ_b = 0",
            Key::BadEqual => "*×100:* DBR, EW",
            Key::BadFixed => "*×100:* DBR, fixed weights 1, 1/100, 1",
            Key::BadUpGrad => "*×100:* DBR, UPGrad",
            Key::BadDdGb => "*×100:* DBR, DD-GB γ=.5",
            Key::BadDdGbEqualNorms => "*×100:* DBR, DD-GB γ=0",
        }
    }

    /// Whether the region's loss is multiplied.
    pub(crate) fn has_bad_unit(self) -> bool {
        matches!(self, Key::BadEqual | Key::BadFixed | Key::BadUpGrad | Key::BadDdGb | Key::BadDdGbEqualNorms)
    }

    /// Factor of each task's loss.
    pub(crate) fn units(self, tasks: usize) -> Vec<f64> {
        (0..tasks).map(|task| if task == REGION && self.has_bad_unit() { BAD_UNIT } else { 1.0 }).collect()
    }

    /// The network of these settings.
    pub(crate) fn model(self, settings: &Settings) -> ModelConfig {
        let Settings { norm, experts: form, expert_hidden: hidden, .. } = *settings;
        let backbone = BackboneConfig {
            widths: vec![16, 32, 64],
            stem_stride: 1,
            pool_grid: 1,
            pooling: GridPooling::Maximum,
            norm,
            ..BackboneConfig::sized(BackboneKind::Slices, BackboneSize::Small)
        }
        .into();
        match self {
            Key::SingleTask => {
                let tasks = vec![TaskKind::Joint];
                ModelConfig::SingleTask(SingleTaskConfig { backbone, tasks, ..SingleTaskConfig::default() })
            }
            Key::SharedBottom => {
                ModelConfig::HardSharing(HardSharingConfig { backbone, ..HardSharingConfig::default() })
            }
            Key::Cgc => {
                let experts = ExpertsConfig { form, hidden, ..ExpertsConfig::default() };
                ModelConfig::Cgc(CgcConfig { backbone, experts, ..CgcConfig::default() })
            }
            _ => {
                let dbr = DbrConfig { expert_form: form, expert_hidden: hidden, ..DbrConfig::default() };
                ModelConfig::MtIds(MtIdsConfig { backbone, dbr, ..MtIdsConfig::default() })
            }
        }
    }

    /// The losses: λ_b = .1 and λ_e = .01 are the defaults, named because the benchmark fixes them.
    pub(crate) fn loss(self) -> LossConfig {
        let branch_prior_weight = if self == Key::EqualNoPrior { 0.0 } else { 0.1 };
        LossConfig { branch_prior_weight, load_balance_weight: 0.01, ..LossConfig::default() }
    }

    /// The balancer.
    pub(crate) fn balancer(self) -> BalancerConfig {
        let dd_gb = |gamma| BalancerConfig::DdGb(DdGbConfig { gamma, burn_in_steps: 16, ..DdGbConfig::default() });
        match self {
            Key::UpGrad | Key::BadUpGrad => BalancerConfig::UpGrad {},
            Key::DdGb | Key::BadDdGb => dd_gb(0.5),
            Key::BadDdGbEqualNorms => dd_gb(0.0),
            Key::BadFixed => BalancerConfig::Fixed(FixedConfig { weights: vec![1.0, 1.0 / BAD_UNIT, 1.0] }),
            _ => BalancerConfig::EqualSum {},
        }
    }
}
