//! The choice of a rule in a configuration file.
//!
//! ```toml
//! method = "dd-gb"
//! gamma = 0.5
//! ```
//! Invariant: unknown keys are refused for every rule; every number is checked by [`BalancerConfig::build`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aligned_mtl::{self, AlignedMtlConfig};
use crate::dd_gb::{DdGb, DdGbConfig};
use crate::equal::{self, FixedConfig};
use crate::gradvac::{GradVac, GradVacConfig};
use crate::gram::ActiveTasks;
use crate::nash::{self, FairGradConfig, NashMtlConfig};
use crate::pcgrad::{PcGrad, PcGradConfig};
use crate::stateless::{Stateless, Weights};
use crate::{BalanceError, Balancer, dual_proj, imtl_g, mgda, upgrad};

/// Which rule weights the task gradients, by its `method`, with the rule's settings beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum BalancerConfig {
    /// Dual-dimensional gradient balancing, reconstructed from the abstract of MT-IDS.
    DdGb(DdGbConfig),
    /// Sum of the gradients.
    EqualSum {},
    /// Mean of the gradients.
    EqualMean {},
    /// Weights chosen by hand.
    Fixed(FixedConfig),
    /// Mean of dual-cone projections.
    #[serde(rename = "upgrad")]
    UpGrad {},
    /// Dual-cone projection of the mean.
    DualProj {},
    /// Projecting conflicting gradients.
    #[serde(rename = "pcgrad")]
    PcGrad(PcGradConfig),
    /// Gradient vaccine.
    #[serde(rename = "gradvac")]
    GradVac(GradVacConfig),
    /// Multiple-gradient descent: the min-norm point.
    Mgda {},
    /// Impartial multi-task learning, gradient part.
    ImtlG {},
    /// Nash bargaining solution.
    NashMtl(NashMtlConfig),
    /// α-fair weights.
    #[serde(rename = "fairgrad")]
    FairGrad(FairGradConfig),
    /// Independent component alignment.
    AlignedMtl(AlignedMtlConfig),
}

impl Default for BalancerConfig {
    fn default() -> Self {
        BalancerConfig::DdGb(DdGbConfig::default())
    }
}

impl BalancerConfig {
    /// The name written as `method`.
    pub fn method(&self) -> &'static str {
        match self {
            BalancerConfig::DdGb(_) => "dd-gb",
            BalancerConfig::EqualSum {} => "equal-sum",
            BalancerConfig::EqualMean {} => "equal-mean",
            BalancerConfig::Fixed(_) => "fixed",
            BalancerConfig::UpGrad {} => "upgrad",
            BalancerConfig::DualProj {} => "dual-proj",
            BalancerConfig::PcGrad(_) => "pcgrad",
            BalancerConfig::GradVac(_) => "gradvac",
            BalancerConfig::Mgda {} => "mgda",
            BalancerConfig::ImtlG {} => "imtl-g",
            BalancerConfig::NashMtl(_) => "nash-mtl",
            BalancerConfig::FairGrad(_) => "fairgrad",
            BalancerConfig::AlignedMtl(_) => "aligned-mtl",
        }
    }

    /// Every rule with its default settings, for comparisons; fixed weights are all 1.
    pub fn all(tasks: usize) -> Vec<BalancerConfig> {
        vec![
            BalancerConfig::DdGb(DdGbConfig::default()),
            BalancerConfig::EqualSum {},
            BalancerConfig::EqualMean {},
            BalancerConfig::Fixed(FixedConfig { weights: vec![1.0; tasks] }),
            BalancerConfig::UpGrad {},
            BalancerConfig::DualProj {},
            BalancerConfig::PcGrad(PcGradConfig::default()),
            BalancerConfig::GradVac(GradVacConfig::default()),
            BalancerConfig::Mgda {},
            BalancerConfig::ImtlG {},
            BalancerConfig::NashMtl(NashMtlConfig::default()),
            BalancerConfig::FairGrad(FairGradConfig::default()),
            BalancerConfig::AlignedMtl(AlignedMtlConfig::default()),
        ]
    }

    /// A fresh balancer for a number of tasks.
    ///
    /// # Errors
    /// [`BalanceError::Configuration`] naming the key that is out of range.
    pub fn build(&self, tasks: usize) -> Result<Box<dyn Balancer + Send>, BalanceError> {
        if !(1..=64).contains(&tasks) {
            return Err(BalanceError::Configuration {
                key: "tasks",
                reason: format!("there are 1 to 64 tasks, not {tasks}"),
            });
        }
        let name = self.method();
        Ok(match self {
            BalancerConfig::DdGb(config) => Box::new(DdGb::new(config.clone(), tasks)?),
            BalancerConfig::EqualSum {} => stateless(name, tasks, equal::sum),
            BalancerConfig::EqualMean {} => stateless(name, tasks, equal::mean),
            BalancerConfig::Fixed(config) => {
                config.check(tasks)?;
                let weights = config.weights.clone();
                stateless(name, tasks, move |active| equal::fixed(&weights, active))
            }
            BalancerConfig::UpGrad {} => stateless(name, tasks, upgrad::weights),
            BalancerConfig::DualProj {} => stateless(name, tasks, dual_proj::weights),
            BalancerConfig::PcGrad(config) => Box::new(PcGrad { seed: config.seed, tasks, step: 0 }),
            BalancerConfig::GradVac(config) => {
                config.check()?;
                Box::new(GradVac::new(config.clone(), tasks))
            }
            BalancerConfig::Mgda {} => stateless(name, tasks, mgda::weights),
            BalancerConfig::ImtlG {} => stateless(name, tasks, imtl_g::weights),
            BalancerConfig::NashMtl(config) => {
                config.check()?;
                let config = config.clone();
                stateless(name, tasks, move |active| nash::nash_mtl(&config, active))
            }
            BalancerConfig::FairGrad(config) => {
                config.check()?;
                let config = config.clone();
                stateless(name, tasks, move |active| nash::fair_grad(&config, active))
            }
            BalancerConfig::AlignedMtl(config) => {
                config.check(tasks)?;
                let config = config.clone();
                stateless(name, tasks, move |active| aligned_mtl::weights(&config, active))
            }
        })
    }
}

fn stateless(
    name: &'static str,
    tasks: usize,
    rule: impl Fn(&ActiveTasks) -> Weights + Send + 'static,
) -> Box<dyn Balancer + Send> {
    Box::new(Stateless { name, tasks, rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_goes_through_text_and_keeps_its_name() {
        for config in BalancerConfig::all(3) {
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<BalancerConfig>(&text).unwrap(), config);
            assert!(text.contains(&format!(r#""method":"{}""#, config.method())), "{text}");
            assert_eq!(config.build(3).unwrap().name(), config.method());
        }
    }

    #[test]
    fn missing_keys_are_defaults_and_unknown_ones_errors() {
        let config: BalancerConfig = serde_json::from_str(r#"{"method":"dd-gb","gamma":0.0}"#).unwrap();
        assert_eq!(config, BalancerConfig::DdGb(DdGbConfig { gamma: 0.0, ..DdGbConfig::default() }));
        for method in BalancerConfig::all(1).iter().map(BalancerConfig::method) {
            let text = format!(r#"{{"method":"{method}","gama":0.0}}"#);
            let error = serde_json::from_str::<BalancerConfig>(&text).unwrap_err().to_string();
            assert!(error.contains("gama"), "{method}: {error}");
        }
        assert!(serde_json::from_str::<BalancerConfig>(r#"{"method":"magic"}"#).is_err());
    }

    #[test]
    fn values_out_of_range_are_refused_by_key() {
        let refused = |text: &str, key: &str| {
            let config: BalancerConfig = serde_json::from_str(text).unwrap();
            let error = config.build(2).err().unwrap().to_string();
            assert!(error.contains(&format!("`{key}`")), "{text}: {error}");
        };
        refused(r#"{"method":"dd-gb","gamma":1.5}"#, "gamma");
        refused(r#"{"method":"dd-gb","beta":1.0}"#, "beta");
        refused(r#"{"method":"dd-gb","minimum_length":0.0}"#, "minimum_length");
        refused(r#"{"method":"dd-gb","preference":[1.0]}"#, "preference");
        refused(r#"{"method":"fixed"}"#, "weights");
        refused(r#"{"method":"fixed","weights":[0.0,0.0]}"#, "weights");
        refused(r#"{"method":"nash-mtl","max_norm":0.0}"#, "max_norm");
        refused(r#"{"method":"fairgrad","exponent":0.0}"#, "exponent");
        refused(r#"{"method":"gradvac","rate":2.0}"#, "rate");
        assert!(BalancerConfig::default().build(0).is_err());
        assert!(BalancerConfig::default().build(65).is_err());
    }

    #[test]
    fn there_is_a_schema() {
        let schema = serde_json::to_string(&schemars::schema_for!(BalancerConfig)).unwrap();
        for config in BalancerConfig::all(1) {
            assert!(schema.contains(config.method()), "{}", config.method());
        }
    }
}
