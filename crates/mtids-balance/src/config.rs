//! The choice of a balancer in a configuration file.
//!
//! ```toml
//! method = "dd-gb"
//! gamma = 0.5
//! ```
//! Invariant: unknown keys are refused for every method; every number is checked by [`BalancerConfig::build_any`].

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use strum::{EnumIter, IntoEnumIterator, IntoStaticStr};

use crate::any::{AnyBalancer, Needs};
use crate::balancer::Balancer;
use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::rules::gram::aligned_mtl::{self, AlignedMtlConfig};
use crate::rules::gram::cagrad::{self, CaGradConfig};
use crate::rules::gram::con_fig;
use crate::rules::gram::dd_gb::{DdGb, DdGbConfig};
use crate::rules::gram::dual_proj;
use crate::rules::gram::gradcraft::{GradCraft, GradCraftConfig};
use crate::rules::gram::gradnorm::{GradNorm, GradNormConfig};
use crate::rules::gram::gradvac::{GradVac, GradVacConfig};
use crate::rules::gram::imtl_g;
use crate::rules::gram::metabalance::{MetaBalance, MetaBalanceConfig};
use crate::rules::gram::mgda;
use crate::rules::gram::nash::{self, FairGradConfig, NashMtlConfig};
use crate::rules::gram::pcgrad::{PcGrad, PcGradConfig};
use crate::rules::gram::sdmgrad::{SdmGrad, SdmGradConfig};
use crate::rules::gram::upgrad;
use crate::rules::loss::dwa::{Dwa, DwaConfig};
use crate::rules::loss::equal::{self, FixedConfig};
use crate::rules::loss::famo::{Famo, FamoConfig};
use crate::rules::loss::gls::Gls;
use crate::rules::loss::imtl_l::{ImtlL, ImtlLConfig};
use crate::rules::loss::rlw::{Rlw, RlwConfig};
use crate::rules::loss::stch::{Stch, StchConfig};
use crate::rules::loss::uw::{Uw, UwConfig};
use crate::rules::whole_gradient::combine::OnGradients;
use crate::rules::whole_gradient::db_mtl::{DbMtl, DbMtlConfig};
use crate::rules::whole_gradient::excess_mtl::{ExcessMtl, ExcessMtlConfig};
use crate::rules::whole_gradient::graddrop::{GradDrop, GradDropConfig};
use crate::rules::whole_gradient::moco::{MoCo, MoCoConfig};
use crate::stateful::Stateful;
use crate::stateless::{Stateless, Weights};

/// Which balancer weights the task gradients, by its `method` (`dd-gb` where it is left out), with its settings beside it.
#[derive(Debug, Clone, PartialEq, EnumIter, IntoStaticStr, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(transform = without_method_it_is_dd_gb)]
#[strum(serialize_all = "kebab-case")]
pub enum BalancerConfig {
    /// Dual-dimensional gradient balancing, reconstructed from the abstract of MT-IDS.
    DdGb(DdGbConfig),
    /// Sum of the gradients.
    EqualSum {},
    /// Mean of the gradients.
    EqualMean {},
    /// Weights chosen by hand.
    Fixed(FixedConfig),
    /// Random weights.
    Rlw(RlwConfig),
    /// Uncertainty weights.
    Uw(UwConfig),
    /// Impartial multi-task learning, loss part.
    ImtlL(ImtlLConfig),
    /// Geometric mean of the losses.
    Gls {},
    /// Dynamic weight average over epochs.
    Dwa(DwaConfig),
    /// Smooth Tchebycheff scalarisation.
    Stch(StchConfig),
    /// Fast adaptive multi-task optimisation.
    Famo(FamoConfig),
    /// Gradient normalisation.
    #[serde(rename = "gradnorm")]
    #[strum(serialize = "gradnorm")]
    GradNorm(GradNormConfig),
    /// Mean of dual-cone projections.
    #[serde(rename = "upgrad")]
    #[strum(serialize = "upgrad")]
    UpGrad {},
    /// Dual-cone projection of the mean.
    DualProj {},
    /// Projecting conflicting gradients.
    #[serde(rename = "pcgrad")]
    #[strum(serialize = "pcgrad")]
    PcGrad(PcGradConfig),
    /// Gradient vaccine.
    #[serde(rename = "gradvac")]
    #[strum(serialize = "gradvac")]
    GradVac(GradVacConfig),
    /// Multiple-gradient descent: the min-norm point.
    Mgda {},
    /// Conflict-averse gradient descent.
    #[serde(rename = "cagrad")]
    #[strum(serialize = "cagrad")]
    CaGrad(CaGradConfig),
    /// Direction-oriented multi-objective descent.
    #[serde(rename = "sdmgrad")]
    #[strum(serialize = "sdmgrad")]
    SdmGrad(SdmGradConfig),
    /// Impartial multi-task learning, gradient part.
    ImtlG {},
    /// Nash bargaining solution.
    NashMtl(NashMtlConfig),
    /// α-fair weights.
    #[serde(rename = "fairgrad")]
    #[strum(serialize = "fairgrad")]
    FairGrad(FairGradConfig),
    /// Independent component alignment.
    AlignedMtl(AlignedMtlConfig),
    /// Conflict-free inverse gradients.
    #[serde(rename = "config")]
    #[strum(serialize = "config")]
    ConFig {},
    /// Auxiliary gradients at the main one's length.
    #[serde(rename = "metabalance")]
    #[strum(serialize = "metabalance")]
    MetaBalance(MetaBalanceConfig),
    /// Norms brought together, then all conflicts at once.
    #[serde(rename = "gradcraft")]
    #[strum(serialize = "gradcraft")]
    GradCraft(GradCraftConfig),
    /// Gradient sign dropout.
    #[serde(rename = "graddrop")]
    #[strum(serialize = "graddrop")]
    GradDrop(GradDropConfig),
    /// Weights by excess risk.
    ExcessMtl(ExcessMtlConfig),
    /// Dual balancing by log losses and averaged gradients.
    DbMtl(DbMtlConfig),
    /// Weights on tracked gradients.
    #[serde(rename = "moco")]
    #[strum(serialize = "moco")]
    MoCo(MoCoConfig),
}

impl Default for BalancerConfig {
    fn default() -> Self {
        BalancerConfig::DdGb(DdGbConfig::default())
    }
}

/// The key `method` may be left out for DD-GB.
fn without_method_it_is_dd_gb(schema: &mut schemars::Schema) {
    let Some(Value::Array(variants)) = schema.get_mut("oneOf") else { return };
    if let Some(Value::Array(required)) = variants.first_mut().and_then(|first| first.get_mut("required")) {
        required.retain(|key| key != "method");
    }
}

impl BalancerConfig {
    /// Reads a table whose `method` may be left out: then it is DD-GB. For `#[serde(deserialize_with)]`.
    ///
    /// # Errors
    /// Those of serde, for unknown methods and keys.
    pub fn or_dd_gb<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Map::<String, Value>::deserialize(deserializer)?;
        table.entry("method").or_insert_with(|| Self::default().method().into());
        Self::deserialize(Value::Object(table)).map_err(D::Error::custom)
    }

    /// The name written as `method`.
    pub fn method(&self) -> &'static str {
        self.into()
    }

    /// Every method with its default settings, for comparisons; fixed weights are all 1.
    pub fn all(tasks: usize) -> Vec<BalancerConfig> {
        BalancerConfig::iter()
            .map(|config| match config {
                BalancerConfig::Fixed(_) => BalancerConfig::Fixed(FixedConfig { weights: vec![1.0; tasks] }),
                other => other,
            })
            .collect()
    }

    /// What the balancer must be given; the variant that [`BalancerConfig::build_any`] returns.
    pub fn needs(&self) -> Needs {
        match self {
            BalancerConfig::Dwa(_) => Needs::EpochEnds,
            BalancerConfig::Famo(_) => Needs::LossesAfter,
            BalancerConfig::GradDrop(_)
            | BalancerConfig::ExcessMtl(_)
            | BalancerConfig::DbMtl(_)
            | BalancerConfig::MoCo(_) => Needs::Gradients,
            _ => Needs::Step,
        }
    }

    /// A fresh balancer for a number of tasks, for loops that offer no more than [`Needs::Step`].
    ///
    /// # Errors
    /// [`BalanceError::Configuration`] naming the key that is out of range; [`BalanceError::NeedsMore`] for a method that needs more.
    pub fn build(&self, tasks: usize) -> Result<Box<dyn Balancer + Send>, BalanceError> {
        match self.build_any(tasks)? {
            AnyBalancer::Step(balancer) => Ok(balancer),
            other => Err(BalanceError::NeedsMore { method: self.method(), needs: other.needs().text() }),
        }
    }

    /// A fresh balancer of any kind for a number of tasks, 1 to 64.
    ///
    /// # Errors
    /// [`BalanceError::Configuration`] naming the key that is out of range.
    pub fn build_any(&self, tasks: usize) -> Result<AnyBalancer, BalanceError> {
        BalanceError::need((1..=64).contains(&tasks), "tasks", "there are 1 to 64")?;
        let name = self.method();
        Ok(match self {
            BalancerConfig::DdGb(config) => AnyBalancer::Step(Box::new(DdGb::new(config.clone(), tasks)?)),
            BalancerConfig::EqualSum {} => stateless(name, tasks, equal::sum),
            BalancerConfig::EqualMean {} => stateless(name, tasks, equal::mean),
            BalancerConfig::Fixed(config) => {
                config.check(tasks)?;
                let weights = config.weights.clone();
                stateless(name, tasks, move |active| equal::fixed(&weights, active))
            }
            BalancerConfig::Rlw(config) => AnyBalancer::Step(Box::new(Stateful::new(Rlw(config.clone()), tasks))),
            BalancerConfig::Uw(config) => {
                config.check()?;
                AnyBalancer::Step(Box::new(Stateful::new(Uw(config.clone()), tasks)))
            }
            BalancerConfig::ImtlL(config) => {
                config.check()?;
                AnyBalancer::Step(Box::new(Stateful::new(ImtlL(config.clone()), tasks)))
            }
            BalancerConfig::Gls {} => AnyBalancer::Step(Box::new(Stateful::new(Gls, tasks))),
            BalancerConfig::Dwa(config) => {
                config.check()?;
                AnyBalancer::Epoch(Box::new(Stateful::new(Dwa(config.clone()), tasks)))
            }
            BalancerConfig::Stch(config) => {
                config.check(tasks)?;
                AnyBalancer::Step(Box::new(Stateful::new(Stch(config.clone()), tasks)))
            }
            BalancerConfig::Famo(config) => {
                config.check(tasks)?;
                AnyBalancer::AfterStep(Box::new(Stateful::new(Famo(config.clone()), tasks)))
            }
            BalancerConfig::GradNorm(config) => {
                config.check()?;
                AnyBalancer::Step(Box::new(Stateful::new(GradNorm(config.clone()), tasks)))
            }
            BalancerConfig::UpGrad {} => stateless(name, tasks, upgrad::weights),
            BalancerConfig::DualProj {} => stateless(name, tasks, dual_proj::weights),
            BalancerConfig::PcGrad(config) => {
                AnyBalancer::Step(Box::new(PcGrad { config: config.clone(), tasks, step: 0 }))
            }
            BalancerConfig::GradVac(config) => {
                config.check()?;
                AnyBalancer::Step(Box::new(GradVac::new(config.clone(), tasks)))
            }
            BalancerConfig::Mgda {} => stateless(name, tasks, mgda::weights),
            BalancerConfig::CaGrad(config) => {
                config.check()?;
                let config = config.clone();
                stateless(name, tasks, move |active| cagrad::weights(&config, active))
            }
            BalancerConfig::SdmGrad(config) => {
                config.check()?;
                AnyBalancer::Step(Box::new(Stateful::new(SdmGrad(config.clone()), tasks)))
            }
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
            BalancerConfig::ConFig {} => stateless(name, tasks, con_fig::weights),
            BalancerConfig::MetaBalance(config) => {
                config.check(tasks)?;
                AnyBalancer::Step(Box::new(Stateful::new(MetaBalance(config.clone()), tasks)))
            }
            BalancerConfig::GradCraft(config) => {
                config.check()?;
                AnyBalancer::Step(Box::new(Stateful::new(GradCraft(config.clone()), tasks)))
            }
            BalancerConfig::GradDrop(config) => {
                config.check()?;
                AnyBalancer::Gradients(Box::new(OnGradients::new(GradDrop(config.clone()), tasks)))
            }
            BalancerConfig::ExcessMtl(config) => {
                config.check()?;
                AnyBalancer::Gradients(Box::new(OnGradients::new(ExcessMtl(config.clone()), tasks)))
            }
            BalancerConfig::DbMtl(config) => {
                config.check()?;
                AnyBalancer::Gradients(Box::new(OnGradients::new(DbMtl(config.clone()), tasks)))
            }
            BalancerConfig::MoCo(config) => {
                config.check()?;
                AnyBalancer::Gradients(Box::new(OnGradients::new(MoCo(config.clone()), tasks)))
            }
        })
    }
}

fn stateless(name: &'static str, tasks: usize, rule: impl Fn(&ActiveTasks) -> Weights + Send + 'static) -> AnyBalancer {
    AnyBalancer::Step(Box::new(Stateless { name, tasks, rule }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_goes_through_text_and_keeps_its_name() {
        for config in BalancerConfig::all(3) {
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<BalancerConfig>(&text).unwrap(), config);
            assert!(text.contains(&format!(r#""method":"{}""#, config.method())), "{text}");
            let rule = config.build_any(3).unwrap();
            assert_eq!((rule.name(), rule.needs()), (config.method(), config.needs()));
            // Who asks for a plain balancer gets one exactly where that is enough.
            assert_eq!(config.build(3).is_ok(), config.needs() == Needs::Step);
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
            let error = config.build_any(2).err().unwrap().to_string();
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
        refused(r#"{"method":"uw","learning_rate":-1.0}"#, "learning_rate");
        refused(r#"{"method":"dwa","temperature":0.0}"#, "temperature");
        refused(r#"{"method":"stch","reference":[0.0]}"#, "reference");
        refused(r#"{"method":"famo","minimum_losses":[0.0]}"#, "minimum_losses");
        refused(r#"{"method":"cagrad","c":-0.1}"#, "c");
        refused(r#"{"method":"metabalance","main":2}"#, "main");
        refused(r#"{"method":"graddrop","leak":1.5}"#, "leak");
        refused(r#"{"method":"moco","beta":0.0}"#, "beta");
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
