//! The keys of a backbone's table, of which any may be left out.
//!
//! Invariant: a key that is not given comes from the named size, and the named size from the view's name.

use mtids_layers::pool::GridPooling;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::{BackboneConfig, BackboneKind, BackboneSize, Finish, NormKind};

/// Keys of a backbone's table; those that are not given come from the named size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "BackboneConfig")]
pub struct BackboneKeys {
    /// 2.5-D or 3-D.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<BackboneKind>,
    /// Named size that the other keys come from where they are not given. Default by the view's name: `near`, `wide`, else `small`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<BackboneSize>,
    /// Channels of each stage; every stage after the first halves the map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widths: Option<Vec<usize>>,
    /// Residual blocks per stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<usize>,
    /// Residual blocks of each stage, where they are not all alike; empty: `blocks` in each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_blocks: Option<Vec<usize>>,
    /// Stride of the first convolution, 1 or 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem_stride: Option<usize>,
    /// In 3-D the first stage that halves the depth too, 0 being the stem's own stride.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth_halved_from: Option<usize>,
    /// NormKind behind each convolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<NormKind>,
    /// Groups of the group norm; must divide every width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
    /// Cells per side of the final pooling; 1 is the whole map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_grid: Option<usize>,
    /// Pooling of each cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<GridPooling>,
    /// What becomes of the pooled map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
    /// Features d at the end; with `finish = "none"` the number of pooled numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<usize>,
}

impl BackboneKeys {
    /// These keys, where `own` does not give its own.
    #[must_use]
    pub fn under(&self, own: &Self) -> Self {
        let base = self.clone();
        // Blocks by stage belong to a number of stages and of blocks that `own` may have changed.
        let changed = own.widths.is_some() || own.blocks.is_some();
        Self {
            kind: own.kind.or(base.kind),
            size: own.size.or(base.size),
            widths: own.widths.clone().or(base.widths),
            blocks: own.blocks.or(base.blocks),
            stage_blocks: own.stage_blocks.clone().or(base.stage_blocks.filter(|_| !changed)),
            stem_stride: own.stem_stride.or(base.stem_stride),
            depth_halved_from: own.depth_halved_from.or(base.depth_halved_from),
            norm: own.norm.or(base.norm),
            groups: own.groups.or(base.groups),
            pool_grid: own.pool_grid.or(base.pool_grid),
            pooling: own.pooling.or(base.pooling),
            finish: own.finish.or(base.finish),
            features: own.features.or(base.features),
        }
    }

    /// The backbone of a view: the named size, and what these keys change.
    pub fn of_view(&self, view: &str) -> BackboneConfig {
        let given = self.clone();
        let kind = given.kind.unwrap_or_default();
        let size = given.size.unwrap_or(BackboneSize::of_view(view));
        let base = BackboneConfig::sized(kind, size);
        let mut config = BackboneConfig {
            kind,
            size,
            // Blocks of the named size belong to its number of stages.
            stage_blocks: given.stage_blocks.unwrap_or(match given.widths {
                Some(_) => Vec::new(),
                None if given.blocks.is_some() => Vec::new(),
                None => base.stage_blocks,
            }),
            widths: given.widths.unwrap_or(base.widths),
            blocks: given.blocks.unwrap_or(base.blocks),
            stem_stride: given.stem_stride.unwrap_or(base.stem_stride),
            depth_halved_from: given.depth_halved_from.unwrap_or(base.depth_halved_from),
            norm: given.norm.unwrap_or(base.norm),
            groups: given.groups.unwrap_or(base.groups),
            pool_grid: given.pool_grid.unwrap_or(base.pool_grid),
            pooling: given.pooling.unwrap_or(base.pooling),
            finish: given.finish.unwrap_or(base.finish),
            features: base.features,
        };
        config.features = match (given.features, config.finish) {
            (Some(features), _) => features,
            (None, Finish::None) => config.pooled(),
            (None, _) => config.features,
        };
        config
    }
}

impl From<BackboneConfig> for BackboneKeys {
    fn from(config: BackboneConfig) -> Self {
        Self {
            kind: Some(config.kind),
            size: Some(config.size),
            widths: Some(config.widths),
            blocks: Some(config.blocks),
            stage_blocks: Some(config.stage_blocks),
            stem_stride: Some(config.stem_stride),
            depth_halved_from: Some(config.depth_halved_from),
            norm: Some(config.norm),
            groups: Some(config.groups),
            pool_grid: Some(config.pool_grid),
            pooling: Some(config.pooling),
            finish: Some(config.finish),
            features: Some(config.features),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_keys_win_over_the_named_size() {
        let of = |given: BackboneKeys| given.of_view("patch");
        let plain = of(BackboneKeys::default());
        assert_eq!(plain, BackboneConfig::default());
        assert_eq!((plain.kind, &plain.widths[..]), (BackboneKind::Slices, &[24, 48, 96][..]));
        let large =
            of(BackboneKeys { size: Some(BackboneSize::Resnet34), features: Some(7), ..BackboneKeys::default() });
        assert_eq!((large.blocks_of(2), large.features), (6, 7));
        let own =
            of(BackboneKeys { size: Some(BackboneSize::Resnet34), widths: Some(vec![16]), ..BackboneKeys::default() });
        assert!(own.validate("backbone").is_ok() && own.blocks_of(0) == 1);
        let same = of(BackboneKeys { size: Some(BackboneSize::Resnet34), blocks: Some(2), ..BackboneKeys::default() });
        assert_eq!(same.blocks_of(2), 2);
        // All settings of a resolved backbone are given keys again.
        for config in [large, own, same] {
            assert_eq!(of(config.clone().into()), config);
        }
    }

    #[test]
    fn a_view_has_the_size_of_its_name_and_the_numbers_that_its_finish_leaves() {
        for (kind, near, wide) in [
            (BackboneKind::Slices, (&[32, 64, 128, 256][..], 256), (&[32, 64, 64][..], 128)),
            (BackboneKind::Volume, (&[16, 32, 64, 128][..], 128), (&[16, 32, 64][..], 128)),
        ] {
            let keys = BackboneKeys { kind: Some(kind), ..BackboneKeys::default() };
            for (view, (widths, features)) in [("near", near), ("wide", wide)] {
                let config = keys.of_view(view);
                assert_eq!((&config.widths[..], config.features), (widths, features));
                assert_eq!((config.norm, config.blocks), (NormKind::Batch, 2));
                assert!(config.validate("backbone").is_ok());
            }
            let finish = Some(Finish::Rectified);
            assert_eq!(BackboneKeys { finish, ..keys.clone() }.of_view("near").finish, Finish::Rectified);
            let narrow = BackboneKeys { widths: Some(vec![8, 24]), ..keys.clone() }.of_view("near");
            assert_eq!(narrow.features, 24);
            let wrong = BackboneKeys { features: Some(64), ..keys }.of_view("near");
            let error = wrong.validate("trunks.near").unwrap_err().to_string();
            assert!(error.contains("trunks.near.features") && error.contains("leave the key out"), "{error}");
        }
    }

    #[test]
    fn keys_of_one_view_win_over_those_of_all() {
        let all = BackboneKeys {
            widths: Some(vec![8, 16]),
            stage_blocks: Some(vec![1, 2]),
            norm: Some(NormKind::Group),
            ..BackboneKeys::default()
        };
        let own =
            BackboneKeys { widths: Some(vec![8, 16, 32]), norm: Some(NormKind::Batch), ..BackboneKeys::default() };
        let both = all.under(&own).of_view("wide");
        assert_eq!((&both.widths[..], both.norm, both.stem_stride), (&[8, 16, 32][..], NormKind::Batch, 2));
        assert!(both.stage_blocks.is_empty(), "blocks by stage do not outlive their stages");
        assert_eq!(all.under(&BackboneKeys::default()), all);
    }

    #[test]
    fn files_name_a_size_and_what_differs() {
        let read =
            |text: &str| mtids_runtime::config::parse::<BackboneKeys>(text).map(|keys| (keys.of_view("patch"), keys));
        let (config, keys) = read("kind = \"volume\"\nsize = \"resnet18\"\nfeatures = 64").unwrap();
        let expected = BackboneConfig::sized(BackboneKind::Volume, BackboneSize::Resnet18);
        assert_eq!(config, BackboneConfig { features: 64, ..expected });
        // What an older version wrote.
        let old =
            read("widths = [16, 32]\nblocks = 1\nstem_stride = 1\ngroups = 8\npool_grid = 3\nfeatures = 64").unwrap();
        let expected = BackboneConfig { widths: vec![16, 32], stem_stride: 1, ..BackboneConfig::default() };
        assert_eq!(old.0, expected);
        assert_eq!(read(&mtids_runtime::config::to_toml(&keys).unwrap()).unwrap().1, keys);
        assert!(read("width = [16]").unwrap_err().to_string().contains("width"));
    }
}
