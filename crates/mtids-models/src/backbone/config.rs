//! Kind and size of a backbone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config_error};
use mtids_layers::pool::GridPooling;
use mtids_layers::residual::ResidualConfig;

/// Dimensions of a backbone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackboneKind {
    /// Windows and slices become channels of planar convolutions (2.5-D): each sees the whole depth at once.
    #[default]
    Slices,
    /// Windows are channels, convolutions run along depth too (3-D).
    Volume,
}

/// Named sizes: what the other keys are where they are not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackboneSize {
    /// For tests: two stages of 8 and 16 channels.
    Tiny,
    /// Three stages of 24, 48 and 96 channels, one block each; a CPU trains it in minutes.
    #[default]
    Small,
    /// The blocks and channels of ResNet-18 (He et al. 2015), with group norm and a 3 × 3 stem.
    Resnet18,
    /// The blocks and channels of ResNet-34, likewise.
    Resnet34,
}

/// Size of the backbone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Given")]
pub struct BackboneConfig {
    /// 2.5-D or 3-D.
    pub kind: BackboneKind,
    /// Named size that the keys below come from where they are not given.
    pub size: BackboneSize,
    /// Channels of each stage; every stage after the first halves the map.
    pub widths: Vec<usize>,
    /// Residual blocks per stage.
    pub blocks: usize,
    /// Residual blocks of each stage, where they are not all alike; empty: `blocks` in each.
    pub stage_blocks: Vec<usize>,
    /// Stride of the first convolution, 1 or 2.
    pub stem_stride: usize,
    /// Groups of the group norm; must divide every width.
    pub groups: usize,
    /// Cells per side of the final pooling; 1 is the whole map.
    pub pool_grid: usize,
    /// Pooling of each cell.
    pub pooling: GridPooling,
    /// Features d at the end.
    pub features: usize,
}

/// What a file says.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "BackboneConfig")]
struct Given {
    /// 2.5-D or 3-D.
    kind: BackboneKind,
    /// Named size that the other keys come from where they are not given.
    size: BackboneSize,
    /// Channels of each stage; every stage after the first halves the map.
    widths: Option<Vec<usize>>,
    /// Residual blocks per stage.
    blocks: Option<usize>,
    /// Residual blocks of each stage, where they are not all alike; empty: `blocks` in each.
    stage_blocks: Option<Vec<usize>>,
    /// Stride of the first convolution, 1 or 2.
    stem_stride: Option<usize>,
    /// Groups of the group norm; must divide every width.
    groups: Option<usize>,
    /// Cells per side of the final pooling; 1 is the whole map.
    pool_grid: Option<usize>,
    /// Pooling of each cell.
    pooling: GridPooling,
    /// Features d at the end.
    features: Option<usize>,
}

impl From<Given> for BackboneConfig {
    fn from(given: Given) -> Self {
        let base = Self::sized(given.kind, given.size);
        Self {
            kind: given.kind,
            size: given.size,
            // Blocks of the named size belong to its number of stages.
            stage_blocks: given.stage_blocks.unwrap_or(match given.widths {
                Some(_) => Vec::new(),
                None if given.blocks.is_some() => Vec::new(),
                None => base.stage_blocks,
            }),
            widths: given.widths.unwrap_or(base.widths),
            blocks: given.blocks.unwrap_or(base.blocks),
            stem_stride: given.stem_stride.unwrap_or(base.stem_stride),
            groups: given.groups.unwrap_or(base.groups),
            pool_grid: given.pool_grid.unwrap_or(base.pool_grid),
            pooling: given.pooling,
            features: given.features.unwrap_or(base.features),
        }
    }
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self::sized(BackboneKind::default(), BackboneSize::default())
    }
}

impl BackboneConfig {
    /// A named size.
    pub fn sized(kind: BackboneKind, size: BackboneSize) -> Self {
        let (widths, stage_blocks, pool_grid, features): (&[usize], &[usize], usize, usize) = match size {
            BackboneSize::Tiny => (&[8, 16], &[], 2, 16),
            BackboneSize::Small => (&[24, 48, 96], &[], 3, 64),
            BackboneSize::Resnet18 => (&[64, 128, 256, 512], &[2, 2, 2, 2], 1, 512),
            BackboneSize::Resnet34 => (&[64, 128, 256, 512], &[3, 4, 6, 3], 1, 512),
        };
        Self {
            kind,
            size,
            widths: widths.to_vec(),
            blocks: 1,
            stage_blocks: stage_blocks.to_vec(),
            stem_stride: 2,
            groups: 8,
            pool_grid,
            pooling: GridPooling::default(),
            features,
        }
    }

    /// Sizes of stem and stages.
    pub(crate) fn stages(&self) -> ResidualConfig {
        ResidualConfig {
            widths: self.widths.clone(),
            blocks: (0..self.widths.len()).map(|stage| self.blocks_of(stage)).collect(),
            stem_stride: self.stem_stride,
            groups: self.groups,
        }
    }

    /// Residual blocks of a stage.
    fn blocks_of(&self, stage: usize) -> usize {
        self.stage_blocks.get(stage).copied().unwrap_or(self.blocks)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        if self.widths.is_empty() || self.widths.contains(&0) {
            return Err(config_error("backbone.widths", "give at least one width, none of them 0"));
        }
        if self.groups == 0 || self.widths.iter().any(|width| width % self.groups != 0) {
            return Err(config_error("backbone.groups", "must be at least 1 and divide every width"));
        }
        if !(1..=2).contains(&self.stem_stride) {
            return Err(config_error("backbone.stem_stride", "must be 1 or 2"));
        }
        let stages = self.widths.len();
        if !self.stage_blocks.is_empty() && (self.stage_blocks.len() != stages || self.stage_blocks.contains(&0)) {
            let reason = format!("must be empty or name at least one block for each of the {stages} widths");
            return Err(config_error("backbone.stage_blocks", reason));
        }
        for (key, value) in [("blocks", self.blocks), ("pool_grid", self.pool_grid), ("features", self.features)] {
            if value == 0 {
                return Err(config_error(&format!("backbone.{key}"), "must be at least 1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_keys_win_over_the_named_size() {
        let of = |given: Given| BackboneConfig::from(given);
        let plain = of(Given::default());
        assert_eq!(plain, BackboneConfig::default());
        assert_eq!((plain.kind, &plain.widths[..]), (BackboneKind::Slices, &[24, 48, 96][..]));
        let large = of(Given { size: BackboneSize::Resnet34, features: Some(7), ..Given::default() });
        assert_eq!((large.blocks_of(2), large.features), (6, 7));
        let own = of(Given { size: BackboneSize::Resnet34, widths: Some(vec![16]), ..Given::default() });
        assert!(own.validate().is_ok() && own.blocks_of(0) == 1);
        let same = of(Given { size: BackboneSize::Resnet34, blocks: Some(2), ..Given::default() });
        assert_eq!(same.blocks_of(2), 2);
    }

    #[test]
    fn files_name_a_size_and_what_differs() {
        let read = mtids_runtime::config::parse::<BackboneConfig>;
        let config = read("kind = \"volume\"\nsize = \"resnet18\"\nfeatures = 64").unwrap();
        let expected = BackboneConfig::sized(BackboneKind::Volume, BackboneSize::Resnet18);
        assert_eq!(config, BackboneConfig { features: 64, ..expected });
        // What an older version wrote.
        let old =
            read("widths = [16, 32]\nblocks = 1\nstem_stride = 1\ngroups = 8\npool_grid = 3\nfeatures = 64").unwrap();
        let expected = BackboneConfig { widths: vec![16, 32], stem_stride: 1, ..BackboneConfig::default() };
        assert_eq!(old, expected);
        assert_eq!(read(&mtids_runtime::config::to_toml(&config).unwrap()).unwrap(), config);
        assert!(read("width = [16]").unwrap_err().to_string().contains("width"));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = |config: BackboneConfig| config.validate().unwrap_err().to_string();
        let stages = BackboneConfig { stage_blocks: vec![1], ..BackboneConfig::default() };
        assert!(refused(stages).contains("stage_blocks"));
        assert!(refused(BackboneConfig { groups: 5, ..BackboneConfig::default() }).contains("groups"));
    }
}
