//! The views of a dataset as settings: what is cut around each place.
//!
//! Two tables say it: `[views.<name>]`, one per view, or the older `[patch]` for a dataset of one view named `patch`. Invariants: a
//! configuration that names views has exactly those; without any it has [`default_views`]. Units: voxels and mm in the order (d, h, w).

use std::collections::BTreeMap;

use mtids_patch::{Channel, Interpolation, PatchGeometry, Planes, View, ViewName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::PrepError;

/// Most views of a dataset.
const MOST_VIEWS: usize = 8;

/// Settings of a view. What is left out is as in the default view of that name; a view of another name has to give `size` and `spacing_mm`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ViewConfig {
    /// Voxels along (d, h, w).
    pub size: Option<[usize; 3]>,
    /// Distance of neighbouring voxels in mm along (z, y, x).
    pub spacing_mm: Option<[f64; 3]>,
    /// How a voxel is found between those of the series: `linear` or `nearest`. Default `linear`.
    pub interpolation: Interpolation,
    /// What d runs over: `volume`, `stack` or `orthogonal`. Default `volume`.
    pub planes: Planes,
    /// Channels in the order of the voxels, `ct` first. Default `["ct"]`, with `pet = true` `["ct", "pet"]`. `center` marks the node's
    /// centre, `mask` the voxels of its mask: both tell a network where the node is, and `mask` which labels come with masks.
    pub channels: Option<Vec<Channel>>,
}

/// Views that a dataset has unless its settings name others: `near` tells what a node is, `wide` where it lies. Both are stored with room
/// for a shifted crop of 16 × 32 × 32 mm and 80 × 100 × 100 mm.
pub fn default_views() -> BTreeMap<&'static str, PatchGeometry> {
    let geometry = |size, spacing_mm| PatchGeometry { size, spacing_mm, ..PatchGeometry::default() };
    BTreeMap::from([
        ("near", geometry([16, 48, 48], [2.0, 1.0, 1.0])),
        ("wide", geometry([20, 44, 44], [5.0, 2.5, 2.5])),
    ])
}

/// The views of a dataset, sorted by name, from its settings.
///
/// # Errors
/// [`PrepError::Config`] naming the key.
pub(crate) fn resolve(
    patch: Option<&PatchGeometry>,
    views: Option<&BTreeMap<ViewName, ViewConfig>>,
    pet: bool,
) -> Result<Vec<View>, PrepError> {
    let usual = if pet { vec![Channel::Ct, Channel::Pet] } else { vec![Channel::Ct] };
    let views = match (patch, views) {
        (Some(_), Some(_)) => {
            return fail(
                "patch",
                "`[patch]` stands for a dataset of one view; move it to `[views.patch]`, or drop one of the two",
            );
        }
        (Some(&geometry), None) => {
            geometry.validate().or_else(|error| fail("patch", &error.to_string()))?;
            vec![View { name: named("patch")?, geometry, channels: usual }]
        }
        (None, None) => {
            let defaults = default_views().into_iter();
            defaults
                .map(|(name, geometry)| Ok(View { name: named(name)?, geometry, channels: usual.clone() }))
                .collect::<Result<_, PrepError>>()?
        }
        (None, Some(views)) => {
            views.iter().map(|(name, config)| config.resolve(name, &usual, pet)).collect::<Result<Vec<_>, _>>()?
        }
    };
    if !(1..=MOST_VIEWS).contains(&views.len()) {
        return fail("views", &format!("{} views; name 1 to {MOST_VIEWS}", views.len()));
    }
    Ok(views)
}

impl ViewConfig {
    fn resolve(&self, name: &ViewName, usual: &[Channel], pet: bool) -> Result<View, PrepError> {
        let key = |field: &str| format!("views.{name}.{field}");
        let usual_geometry = default_views().get(name.as_str()).copied();
        let missing = || fail(&key("size"), "a view of this name has no default; give `size` and `spacing_mm`");
        let (size, spacing_mm) = match (self.size, self.spacing_mm, usual_geometry) {
            (Some(size), Some(spacing_mm), _) => (size, spacing_mm),
            (size, spacing_mm, Some(usual)) => (size.unwrap_or(usual.size), spacing_mm.unwrap_or(usual.spacing_mm)),
            _ => return missing(),
        };
        let geometry = PatchGeometry { size, spacing_mm, interpolation: self.interpolation, planes: self.planes };
        geometry.validate().or_else(|error| fail(&format!("views.{name}"), &error.to_string()))?;
        let channels = self.channels.clone().unwrap_or_else(|| usual.to_vec());
        if channels.first() != Some(&Channel::Ct) {
            return fail(&key("channels"), "the first channel is `ct`");
        }
        if (1..channels.len()).any(|n| channels[..n].contains(&channels[n])) {
            return fail(&key("channels"), "a channel is named twice");
        }
        if channels.contains(&Channel::Pet) && !pet {
            return fail(&key("channels"), "a channel `pet` needs `pet = true`, which has the PET series read");
        }
        Ok(View { name: name.clone(), geometry, channels })
    }

    /// The settings that give this view, with nothing left to a default.
    pub(crate) fn of(view: &View) -> Self {
        let PatchGeometry { size, spacing_mm, interpolation, planes } = view.geometry;
        Self {
            size: Some(size),
            spacing_mm: Some(spacing_mm),
            interpolation,
            planes,
            channels: Some(view.channels.clone()),
        }
    }
}

fn named(name: &str) -> Result<ViewName, PrepError> {
    ViewName::try_from(name.to_owned()).or_else(|error| fail("views", &error.to_string()))
}

fn fail<T>(key: &str, reason: &str) -> Result<T, PrepError> {
    Err(PrepError::Config { key: key.to_owned(), reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BuildConfig;

    fn config(text: &str) -> BuildConfig {
        mtids_runtime::config::parse(text).unwrap()
    }

    fn views(text: &str) -> Result<Vec<View>, String> {
        config(text).views().map_err(|error| error.to_string())
    }

    #[test]
    fn a_build_has_a_near_and_a_wide_view_unless_told_otherwise() {
        let usual = views("").unwrap();
        let described: Vec<_> =
            usual.iter().map(|view| (view.name.as_str(), view.shape(), view.geometry.extent_mm())).collect();
        assert_eq!(
            described,
            [("near", [1, 16, 48, 48], [32.0, 48.0, 48.0]), ("wide", [1, 20, 44, 44], [100.0, 110.0, 110.0])]
        );
        assert_eq!(views("[views.near]\n[views.wide]").unwrap(), usual);
        let pet = views("pet = true\n[views.wide]\nchannels = [\"ct\"]\n[views.near]").unwrap();
        assert_eq!(pet[0].channels, [Channel::Ct, Channel::Pet]);
        assert_eq!(pet[1].channels, [Channel::Ct]);
        let marked = views("[views.near]\nchannels = [\"ct\", \"center\", \"mask\"]").unwrap();
        assert_eq!((marked.len(), marked[0].shape()), (1, [3, 16, 48, 48]));
    }

    #[test]
    fn the_table_of_one_patch_is_a_view_named_patch() {
        let patch = views("[patch]\nsize = [3, 9, 9]\nspacing_mm = [6.0, 2.0, 2.0]\nviews = \"orthogonal\"").unwrap();
        let same = "[views.patch]\nsize = [3, 9, 9]\nspacing_mm = [6.0, 2.0, 2.0]\nplanes = \"orthogonal\"";
        assert_eq!(patch, views(same).unwrap());
        assert_eq!((patch[0].name.as_str(), patch[0].geometry.planes), ("patch", Planes::Orthogonal));
        let both = views("[patch]\nsize = [3, 9, 9]\n[views.near]").unwrap_err();
        assert!(both.contains("`patch`") && both.contains("[views.patch]"), "{both}");
    }

    #[test]
    fn what_is_published_gives_the_same_views() {
        for text in
            ["", "[patch]\nsize = [4, 8, 8]", "pet = true\n[views.a]\nsize = [1, 2, 3]\nspacing_mm = [1.0, 1.0, 1.0]"]
        {
            let published = mtids_runtime::config::to_toml(&config(text).published()).unwrap();
            assert_eq!(views(&published).unwrap(), views(text).unwrap(), "{published}");
        }
    }

    #[test]
    fn a_view_that_cannot_be_is_named_with_its_key() {
        for (text, part) in [
            ("[views.other]\nsize = [1, 2, 3]", "views.other.size"),
            ("[views.near]\nsize = [0, 2, 3]", "views.near"),
            ("[views.near]\nchannels = [\"pet\"]", "views.near.channels"),
            ("[views.near]\nchannels = [\"ct\", \"ct\"]", "twice"),
            ("[views.near]\nchannels = [\"ct\", \"pet\"]", "pet = true"),
            ("[views]", "0 views"),
            ("[patch]\nsize = [0, 2, 3]", "`patch`"),
        ] {
            let error = views(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let name = mtids_runtime::config::parse::<BuildConfig>("[views.Near]").unwrap_err().to_string();
        assert!(name.contains("cannot name a view"), "{name}");
    }
}
