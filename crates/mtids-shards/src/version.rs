//! Versions of the layout and of the rows: which are written, and which are read.

/// Version of the layout: which files a dataset has, and what the manifest says of them. 6: a row has named views.
pub const LAYOUT_VERSION: u32 = 6;
/// Version of the rows: columns and voxels. 5: one voxel column per view, and columns of measures. 5.1: columns for audits, which rows of
/// version 5 are read without.
pub const SCHEMA_VERSION: &str = "5.1";

/// The layout before [`LAYOUT_VERSION`].
pub(crate) const PREVIOUS_LAYOUT: u32 = 5;
/// Version of the rows of [`PREVIOUS_LAYOUT`].
pub(crate) const PREVIOUS_SCHEMA: &str = "4";

/// The versions of rows that are read, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowsVersion {
    /// Of layout 5: one patch.
    Patches,
    /// Named views, and measures.
    Views,
    /// With columns for audits.
    Audited,
}

impl RowsVersion {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Patches, Self::Views, Self::Audited];

    /// The layout that has such rows.
    pub(crate) fn layout(self) -> u32 {
        if self == Self::Patches { PREVIOUS_LAYOUT } else { LAYOUT_VERSION }
    }

    /// Its name in a manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Patches => PREVIOUS_SCHEMA,
            Self::Views => "5",
            Self::Audited => SCHEMA_VERSION,
        }
    }
}
