//! A named view of a place: what is cut around it, and how it is stored.
//!
//! A row of a dataset holds one or more views of the same centre, each with its own extent and spacing: a near one tells what a node is, a
//! wide one where it lies. Invariants: names are unique in a list and sorted, so a list has one form; the centres of all views of a row
//! are one point. Units: as [`PatchGeometry`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::PatchGeometry;

/// What a channel of a view holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// CT in HU.
    Ct,
    /// PET in hundredths of an SUV by body weight; 0 where there is none, which the column `pet` tells from no uptake.
    Pet,
    /// 1000 at the centre of the node, falling to 0 at 5 mm from it; 0 elsewhere.
    Center,
    /// Share of the voxel that the node's mask covers, in thousandths; 0 everywhere where the annotation has no mask.
    Mask,
}

impl Channel {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Ct => "ct",
            Channel::Pet => "pet",
            Channel::Center => "center",
            Channel::Mask => "mask",
        }
    }
}

/// The name of a view: a lower-case letter, then letters, digits and `_`, 32 characters at most; a part of its column's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ViewName(String);

/// A name that no view can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a view: use a lower-case letter, then letters, digits and `_`, 32 characters at most")]
pub struct ViewNameError(String);

impl ViewName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ViewName {
    type Error = ViewNameError;

    fn try_from(name: String) -> Result<Self, ViewNameError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if starts && name.len() <= 32 && name.chars().all(plain) { Ok(Self(name)) } else { Err(ViewNameError(name)) }
    }
}

impl From<ViewName> for String {
    fn from(name: ViewName) -> Self {
        name.0
    }
}

impl std::fmt::Display for ViewName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One view of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Its name, unique in the dataset.
    pub name: ViewName,
    /// Size, spacing and planes.
    pub geometry: PatchGeometry,
    /// Channels in the order of its voxels; the first is the CT.
    pub channels: Vec<Channel>,
}

impl View {
    /// Voxels of one row over all channels.
    pub fn voxels(&self) -> usize {
        self.channels.len() * self.geometry.len()
    }

    /// Shape `[C, D, H, W]` of one row.
    pub fn shape(&self) -> [usize; 4] {
        let [depth, height, width] = self.geometry.size;
        [self.channels.len(), depth, height, width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_of_column_names() {
        for name in ["near", "wide_2", "patch"] {
            assert_eq!(ViewName::try_from(name.to_owned()).unwrap().to_string(), name);
        }
        for name in ["", "Near", "2d", "a-b", "a b", &"x".repeat(33)] {
            assert!(ViewName::try_from(name.to_owned()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_view_counts_its_voxels_over_channels() {
        let geometry = PatchGeometry { size: [2, 3, 4], ..PatchGeometry::default() };
        let name = ViewName::try_from("near".to_owned()).unwrap();
        let view = View { name, geometry, channels: vec![Channel::Ct, Channel::Pet] };
        assert_eq!((view.voxels(), view.shape()), (48, [2, 2, 3, 4]));
    }
}
