//! Kind and size of a backbone, and its named sizes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config_error};
use mtids_layers::norm::NormConfig;
use mtids_layers::pool::GridPooling;
use mtids_layers::residual::ResidualConfig;

/// Bounds of the sizes, far beyond what is of use: a slip of the keyboard is refused before memory is asked for.
const MOST_WIDTH: usize = 8192;
const MOST_BLOCKS: usize = 256;
const MOST_GRID: usize = 64;
const MOST_FEATURES: usize = 1 << 20;

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
    /// For what a node is: four stages of 32 to 256 channels (in 3-D 16 to 128), two blocks each, batch norm, the mean over the map.
    Near,
    /// For where a node lies: three stages of 32 to 64 channels (in 3-D 16 to 64), two blocks each, batch norm, a grid of 3 × 3
    /// (in 3-D 2 × 2 × 2) cells.
    Wide,
    /// The blocks and channels of ResNet-18 (He et al. 2015), with group norm and a 3 × 3 stem.
    Resnet18,
    /// The blocks and channels of ResNet-34, likewise.
    Resnet34,
}

impl BackboneSize {
    /// The size of a view's trunk where none is given.
    pub fn of_view(view: &str) -> Self {
        match view {
            "near" => Self::Near,
            "wide" => Self::Wide,
            _ => Self::default(),
        }
    }
}

/// Which norm follows a convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// Group norm: statistics of each sample by itself, so that its absolute grey values are lost.
    #[default]
    Group,
    /// Batch norm: statistics over the batch in training, running ones afterwards, so that grey values are kept.
    Batch,
}

/// What becomes of the pooled map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// A linear layer and a layer norm.
    #[default]
    Normalised,
    /// A linear layer and a rectifier.
    Rectified,
    /// The pooled numbers are the features.
    None,
}

/// A backbone with all its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackboneConfig {
    /// 2.5-D or 3-D.
    pub kind: BackboneKind,
    /// Named size that the other settings came from.
    pub size: BackboneSize,
    /// Channels of each stage; every stage after the first halves the map.
    pub widths: Vec<usize>,
    /// Residual blocks per stage.
    pub blocks: usize,
    /// Residual blocks of each stage, where they are not all alike; empty: `blocks` in each.
    pub stage_blocks: Vec<usize>,
    /// Stride of the first convolution, 1 or 2.
    pub stem_stride: usize,
    /// In 3-D the first stage that halves the depth too, 0 being the stem's own stride.
    pub depth_halved_from: usize,
    /// NormKind behind each convolution.
    pub norm: NormKind,
    /// Groups of the group norm; must divide every width.
    pub groups: usize,
    /// Cells per side of the final pooling; 1 is the whole map.
    pub pool_grid: usize,
    /// Pooling of each cell.
    pub pooling: GridPooling,
    /// What becomes of the pooled map.
    pub finish: Finish,
    /// Features d at the end.
    pub features: usize,
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self::sized(BackboneKind::default(), BackboneSize::default())
    }
}

impl BackboneConfig {
    /// A named size.
    pub fn sized(kind: BackboneKind, size: BackboneSize) -> Self {
        let deep = kind == BackboneKind::Volume;
        let plain = |widths: &[usize], stage_blocks: &[usize], pool_grid: usize, features: usize| Self {
            kind,
            size,
            widths: widths.to_vec(),
            blocks: 1,
            stage_blocks: stage_blocks.to_vec(),
            stem_stride: 2,
            depth_halved_from: 0,
            norm: NormKind::Group,
            groups: 8,
            pool_grid,
            pooling: GridPooling::default(),
            finish: Finish::Normalised,
            features,
        };
        match size {
            BackboneSize::Tiny => plain(&[8, 16], &[], 2, 16),
            BackboneSize::Small => plain(&[24, 48, 96], &[], 3, 64),
            BackboneSize::Near => {
                let widths: &[usize] = if deep { &[16, 32, 64, 128] } else { &[32, 64, 128, 256] };
                let base = plain(widths, &[], 1, if deep { 128 } else { 256 });
                let (norm, finish) = (NormKind::Batch, Finish::None);
                Self { blocks: 2, stem_stride: 1, depth_halved_from: 2, norm, finish, ..base }
            }
            BackboneSize::Wide => {
                let widths: &[usize] = if deep { &[16, 32, 64] } else { &[32, 64, 64] };
                let base = plain(widths, &[], if deep { 2 } else { 3 }, 128);
                let (norm, finish) = (NormKind::Batch, Finish::Rectified);
                Self { blocks: 2, depth_halved_from: 1, norm, finish, ..base }
            }
            BackboneSize::Resnet18 => plain(&[64, 128, 256, 512], &[2, 2, 2, 2], 1, 512),
            BackboneSize::Resnet34 => plain(&[64, 128, 256, 512], &[3, 4, 6, 3], 1, 512),
        }
    }

    /// Pooled numbers of a sample: channels by cells by what is kept of a cell.
    pub fn pooled(&self) -> usize {
        let axes = if self.kind == BackboneKind::Volume { 3 } else { 2 };
        let last = self.widths.last().copied().unwrap_or(0);
        last * self.pooling.numbers() * self.pool_grid.pow(axes)
    }

    /// Sizes of stem and stages.
    pub fn stages(&self) -> ResidualConfig {
        ResidualConfig {
            widths: self.widths.clone(),
            blocks: (0..self.widths.len()).map(|stage| self.blocks_of(stage)).collect(),
            stem_stride: self.stem_stride,
            norm: self.norm_config(),
            depth_halved_from: self.depth_halved_from,
        }
    }

    /// The norm with its groups.
    pub(crate) fn norm_config(&self) -> NormConfig {
        match self.norm {
            NormKind::Group => NormConfig::Group { groups: self.groups },
            NormKind::Batch => NormConfig::Batch,
        }
    }

    /// Residual blocks of a stage.
    pub(super) fn blocks_of(&self, stage: usize) -> usize {
        self.stage_blocks.get(stage).copied().unwrap_or(self.blocks)
    }

    /// Checks the ranges; `table` is the table that an error names, such as `backbone` or `trunks.near`.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] naming the key.
    pub fn validate(&self, table: &str) -> Result<()> {
        let refuse = |key: &str, reason: &str| Err(config_error(&format!("{table}.{key}"), reason));
        if self.widths.is_empty() || self.widths.iter().any(|width| !(1..=MOST_WIDTH).contains(width)) {
            return refuse("widths", &format!("give at least one width, each from 1 to {MOST_WIDTH}"));
        }
        if self.groups == 0
            || (self.norm == NormKind::Group && self.widths.iter().any(|width| width % self.groups != 0))
        {
            return refuse("groups", "must be at least 1 and divide every width");
        }
        if !(1..=2).contains(&self.stem_stride) {
            return refuse("stem_stride", "must be 1 or 2");
        }
        let stages = self.widths.len();
        if !self.stage_blocks.is_empty() && (self.stage_blocks.len() != stages || self.stage_blocks.contains(&0)) {
            let reason = format!("must be empty or name at least one block for each of the {stages} widths");
            return refuse("stage_blocks", &reason);
        }
        let of_stages = self.stage_blocks.iter().copied().max().unwrap_or(1);
        let bounded = [
            ("blocks", self.blocks, MOST_BLOCKS),
            ("stage_blocks", of_stages, MOST_BLOCKS),
            ("pool_grid", self.pool_grid, MOST_GRID),
            ("features", self.features, MOST_FEATURES),
        ];
        for (key, value, most) in bounded {
            if !(1..=most).contains(&value) {
                return refuse(key, &format!("must be from 1 to {most}"));
            }
        }
        if self.finish == Finish::None && self.features != self.pooled() {
            let reason = format!(
                "is {}, but finish = \"none\" gives {} pooled numbers; leave the key out",
                self.features,
                self.pooled()
            );
            return refuse("features", &reason);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = |config: BackboneConfig| config.validate("backbone").unwrap_err().to_string();
        let stages = BackboneConfig { stage_blocks: vec![1], ..BackboneConfig::default() };
        assert!(refused(stages).contains("stage_blocks"));
        let groups = BackboneConfig { groups: 5, ..BackboneConfig::default() };
        assert!(refused(groups.clone()).contains("backbone.groups"));
        assert!(
            BackboneConfig { norm: NormKind::Batch, ..groups }.validate("backbone").is_ok(),
            "batch norm has no groups"
        );
    }
}
