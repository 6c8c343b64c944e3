//! Which architecture, with its settings.
//!
//! Purpose: `[model] architecture = "mmoe"` chooses the rule, the other keys of the table are the settings of that rule.
//! Without `architecture` it is MT-IDS, as before there was a choice. Invariant: a key that the chosen architecture does not
//! know is refused by its whole path.

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use strum::{IntoStaticStr, VariantArray};

use std::collections::BTreeMap;

use crate::backbone::{BackboneConfig, BackboneKeys, NormKind};
use crate::error::{Result, config_error};
use crate::model::adatt::{AdaTt, AdaTtConfig};
use crate::model::cgc::{self, CgcConfig};
use crate::model::cross_stitch::{CrossStitch, CrossStitchConfig};
use crate::model::dselect_k::{DSelectK, DSelectKConfig};
use crate::model::hard_sharing::{HardSharing, HardSharingConfig};
use crate::model::mmoe::{Mmoe, MmoeConfig};
use crate::model::mt_ids::{self, MtIdsConfig};
use crate::model::mtan::{Mtan, MtanConfig};
use crate::model::network::MultiTaskModel;
use crate::model::ple::{self, PleConfig};
use crate::model::single_task::{SingleTask, SingleTaskConfig};
use crate::model::stem::{Stem, StemConfig};
use crate::problem::{ONLY_VIEW, Problem};
use crate::tasks::TaskKind;
use crate::trunks::{Blueprint, ViewPlan, dropout_of, plans, table_of, trunk_of};

macro_rules! architectures {
    ($($variant:ident, $config:ident, $build:path, $key:literal, $title:literal, $about:literal;)*) => {
        /// Name of an architecture.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[derive(VariantArray, IntoStaticStr)]
        pub enum Architecture {
            $(#[doc = $about] #[serde(rename = $key)] #[strum(serialize = $key)] $variant,)*
        }

        impl Architecture {
            /// All of them, MT-IDS first.
            pub const ALL: &[Architecture] = Self::VARIANTS;

            /// As it is written in a configuration.
            pub fn key(self) -> &'static str {
                self.into()
            }

            /// As people write it.
            pub fn title(self) -> &'static str {
                match self { $(Architecture::$variant => $title,)* }
            }
        }

        /// The model's architecture and its settings.
        #[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
        #[serde(tag = "architecture")]
        #[schemars(transform = without_architecture_it_is_mt_ids)]
        pub enum ModelConfig {
            $(#[doc = $about] #[serde(rename = $key)] $variant($config),)*
        }

        impl ModelConfig {
            /// The defaults of an architecture.
            pub fn of(architecture: Architecture) -> Self {
                match architecture { $(Architecture::$variant => Self::$variant($config::default()),)* }
            }

            /// Which architecture it is.
            pub fn architecture(&self) -> Architecture {
                match self { $(Self::$variant(_) => Architecture::$variant,)* }
            }

            /// Keys of the backbone of every view.
            pub fn backbone(&self) -> &BackboneKeys {
                match self { $(Self::$variant(config) => &config.backbone,)* }
            }

            /// Keys of the backbone of every view, to be changed.
            pub fn backbone_mut(&mut self) -> &mut BackboneKeys {
                match self { $(Self::$variant(config) => &mut config.backbone,)* }
            }

            /// What differs in the backbone of one view.
            pub fn trunks(&self) -> &BTreeMap<String, BackboneKeys> {
                match self { $(Self::$variant(config) => &config.trunks,)* }
            }

            /// What differs in the backbone of one view, to be changed.
            pub fn trunks_mut(&mut self) -> &mut BTreeMap<String, BackboneKeys> {
                match self { $(Self::$variant(config) => &mut config.trunks,)* }
            }

            /// Dropout, where it is given.
            pub fn dropout(&self) -> Option<f64> {
                match self { $(Self::$variant(config) => config.dropout,)* }
            }

            /// Dropout, to be changed.
            pub fn dropout_mut(&mut self) -> &mut Option<f64> {
                match self { $(Self::$variant(config) => &mut config.dropout,)* }
            }

            /// The tasks asked for.
            pub fn tasks(&self) -> &[TaskKind] {
                match self { $(Self::$variant(config) => &config.tasks,)* }
            }

            /// The tasks asked for, to be changed.
            pub fn tasks_mut(&mut self) -> &mut Vec<TaskKind> {
                match self { $(Self::$variant(config) => &mut config.tasks,)* }
            }

            /// Checks the ranges, as far as they can be checked without the views of the data.
            ///
            /// # Errors
            /// [`crate::ModelError::Config`] naming the key.
            pub fn validate(&self) -> Result<()> {
                // The common table alone need not make a backbone where views have tables of their own.
                if self.trunks().is_empty() {
                    let mut common = self.backbone().of_view(ONLY_VIEW);
                    // Its default depends on the view, which is not known here; with the view it is checked again.
                    if self.backbone().norm.is_none() {
                        common.norm = NormKind::Batch;
                    }
                    common.validate("backbone")?;
                }
                for view in self.trunks().keys() {
                    self.trunk(view).validate(&table_of(self.trunks(), view))?;
                }
                if self.dropout().is_some_and(|dropout| !(0.0..1.0).contains(&dropout)) {
                    return Err(config_error("dropout", "must lie in [0, 1)"));
                }
                if self.tasks().is_empty() {
                    return Err(config_error("tasks", "name at least one task"));
                }
                match self { $(Self::$variant(config) => config.validate(),)* }
            }

            pub(crate) fn network(
                &self,
                blueprint: &Blueprint<'_>,
            ) -> Result<Box<dyn MultiTaskModel>> {
                Ok(match self {
                    $(Self::$variant(config) => Box::new($build(config, blueprint)?),)*
                })
            }

            fn from_table<E: Error>(architecture: Architecture, table: Map<String, Value>) -> std::result::Result<Self, E> {
                Ok(match architecture {
                    $(Architecture::$variant => Self::$variant(settings(table)?),)*
                })
            }
        }
    };
}

architectures! {
    MtIds, MtIdsConfig, mt_ids::network, "mt-ids", "MT-IDS",
        "The reconstruction of MT-IDS: shared and private experts behind Dual-control Branch Routing gates.";
    SingleTask, SingleTaskConfig, SingleTask::new, "single-task", "single-task networks",
        "One whole network per task; nothing is shared.";
    HardSharing, HardSharingConfig, HardSharing::new, "hard-sharing", "hard parameter sharing",
        "One backbone, one head per task.";
    CrossStitch, CrossStitchConfig, CrossStitch::new, "cross-stitch", "cross-stitch networks",
        "One backbone per task, mixed after each stage (CVPR 2016).";
    Mtan, MtanConfig, Mtan::new, "mtan", "MTAN",
        "One backbone, an attention mask per task and stage (CVPR 2019).";
    Mmoe, MmoeConfig, Mmoe::new, "mmoe", "MMoE",
        "Shared experts, one soft-max gate per task (KDD 2018).";
    Cgc, CgcConfig, cgc::network, "cgc", "CGC",
        "Shared and private experts under one soft-max per task (RecSys 2020).";
    Ple, PleConfig, ple::network, "ple", "PLE",
        "Several layers of CGC (RecSys 2020).";
    DSelectK, DSelectKConfig, DSelectK::new, "dselect-k", "DSelect-k",
        "Shared experts, k smooth selectors per task (NeurIPS 2021).";
    AdaTt, AdaTtConfig, AdaTt::new, "adatt", "AdaTT",
        "Every task reads all experts, with a residual of its own (KDD 2023).";
    Stem, StemConfig, Stem::new, "stem", "STEM",
        "Every task reads all experts and trains only its own and the shared ones (AAAI 2024).";
}

impl ModelConfig {
    /// The backbone of a view with all its settings.
    pub fn trunk(&self, view: &str) -> BackboneConfig {
        trunk_of(self.backbone(), self.trunks(), view)
    }

    /// The backbones of a problem's views.
    pub(crate) fn plans(&self, problem: &Problem) -> Result<Vec<ViewPlan>> {
        plans(self.backbone(), self.trunks(), problem)
    }

    /// The same model with every default that depends on the views written out, so that a saved run keeps its meaning.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] for a table of a view that does not exist, and for settings out of range.
    pub fn resolved(&self, problem: &Problem) -> Result<Self> {
        let mut resolved = self.clone();
        *resolved.backbone_mut() = BackboneKeys::default();
        let trunks = self.plans(problem)?.into_iter().map(|view| (view.name, view.backbone.into()));
        *resolved.trunks_mut() = trunks.collect();
        *resolved.dropout_mut() = Some(dropout_of(self.dropout(), problem.views.len()));
        if let Self::MtIds(config) = &mut resolved {
            config.resolve(problem);
        }
        Ok(resolved)
    }
}

/// The settings of an architecture from its table; the path of a bad key goes into the message.
fn settings<T: for<'de> Deserialize<'de>, E: Error>(table: Map<String, Value>) -> std::result::Result<T, E> {
    serde_path_to_error::deserialize(Value::Object(table)).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.inner().to_string();
        // Worded as serde's own message about unknown fields, from which programs tell the key.
        match reason.strip_prefix("unknown field `") {
            Some(_) if path == "." => E::custom(reason),
            Some(rest) => {
                let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
                let prefix = if parent.is_empty() { String::new() } else { format!("{parent}.") };
                E::custom(format!("unknown field `{prefix}{rest}"))
            }
            None if path == "." => E::custom(reason),
            None => E::custom(format!("`{path}`: {reason}")),
        }
    })
}

impl<'de> Deserialize<'de> for ModelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut table = Map::<String, Value>::deserialize(deserializer)?;
        let architecture = match table.remove("architecture") {
            Some(name) => Architecture::deserialize(name).map_err(D::Error::custom)?,
            None => Architecture::MtIds,
        };
        Self::from_table(architecture, table)
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::MtIds(MtIdsConfig::default())
    }
}

/// The key `architecture` may be left out for MT-IDS.
fn without_architecture_it_is_mt_ids(schema: &mut schemars::Schema) {
    let Some(Value::Array(variants)) = schema.get_mut("oneOf") else { return };
    if let Some(Value::Array(required)) = variants.first_mut().and_then(|first| first.get_mut("required")) {
        required.retain(|key| key != "architecture");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<ModelConfig, mtids_runtime::config::ConfigError> {
        mtids_runtime::config::parse(text)
    }

    #[test]
    fn without_an_architecture_it_is_mt_ids() {
        let config = read("tasks = [\"joint\"]\n[backbone]\nstem_stride = 1\n[dbr]\nshared_experts = 5").unwrap();
        let ModelConfig::MtIds(config) = config else { panic!("{config:?}") };
        assert_eq!((config.dbr.shared_experts, config.backbone.stem_stride, config.tasks.len()), (5, Some(1), 1));
    }

    #[test]
    fn every_architecture_writes_and_reads_itself() {
        for &architecture in Architecture::ALL {
            let config = ModelConfig::of(architecture);
            assert!(config.validate().is_ok(), "{architecture:?}");
            let text = mtids_runtime::config::to_toml(&config).unwrap();
            assert!(text.contains(&format!("architecture = \"{}\"", architecture.key())), "{text}");
            assert_eq!(read(&text).unwrap(), config);
            assert_eq!(config.architecture(), architecture);
        }
    }

    #[test]
    fn a_key_of_another_architecture_is_named_by_its_path() {
        let error = read("architecture = \"mmoe\"\n[experts]\nprivate = 2").unwrap_err().to_string();
        assert!(error.contains("experts.private"), "{error}");
        let error = read("architecture = \"mmoe\"\n[dbr]\nembedding = 2").unwrap_err().to_string();
        assert!(error.contains("unknown field `dbr`"), "{error}");
        let error = read("[dbr]\nembeding = 2").unwrap_err().to_string();
        assert!(error.contains("dbr.embeding"), "{error}");
        let error = read("[dbr]\nembedding = \"many\"").unwrap_err().to_string();
        assert!(error.contains("dbr.embedding") && error.contains("invalid type"), "{error}");
        let error = read("architecture = \"mmo\"").unwrap_err().to_string();
        assert!(error.contains("unknown variant `mmo`"), "{error}");
    }
}
