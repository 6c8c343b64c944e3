//! Manifests of the layout before this one: a row was one patch, described by four fields.
//!
//! Invariants: such a dataset is read as one view named `patch`, whose voxels lie in a column `voxels` of fixed width; written again as
//! JSON its manifest is what it was, so that its digest stays the same. Units: as [`DatasetDescription`].

use mtids_domain::taxonomy::RegionScheme;
use mtids_patch::{Channel, Interpolation, PatchGeometry, Planes, View, ViewName};
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use serde::{Deserialize, Serialize};

use crate::description::{DatasetDescription, Manifest, ShardEntry, Totals};
use crate::file::FileEntry;
use crate::version::PREVIOUS_LAYOUT;

/// Name of its one view.
const VIEW: &str = "patch";

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PreviousDescription {
    schema_version: String,
    taxonomy_version: String,
    regions: RegionScheme,
    channels: Vec<Channel>,
    patch_views: Planes,
    patch_size: [usize; 3],
    patch_spacing_mm: [f64; 3],
    config_digest: Digest,
    program: Program,
}

/// A manifest of [`PREVIOUS_LAYOUT`].
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviousManifest {
    layout: u32,
    description: PreviousDescription,
    pseudonym_fingerprint: String,
    totals: Totals,
    shards: Vec<ShardEntry>,
    files: Vec<FileEntry>,
}

impl From<PreviousManifest> for Manifest {
    fn from(previous: PreviousManifest) -> Self {
        let PreviousManifest { layout, description, pseudonym_fingerprint, totals, shards, files } = previous;
        let geometry = PatchGeometry {
            size: description.patch_size,
            spacing_mm: description.patch_spacing_mm,
            // Not stated by the manifest; the resolved configuration beside it states it.
            interpolation: Interpolation::default(),
            planes: description.patch_views,
        };
        let views = ViewName::try_from(VIEW.to_owned()).ok().map(|name| View {
            name,
            geometry,
            channels: description.channels,
        });
        let description = DatasetDescription {
            schema_version: description.schema_version,
            taxonomy_version: description.taxonomy_version,
            regions: description.regions,
            views: views.into_iter().collect(),
            config_digest: description.config_digest,
            program: description.program,
        };
        Self { layout, description, pseudonym_fingerprint, totals, shards, files }
    }
}

impl PreviousManifest {
    /// The form in which a manifest was written, where that was the previous layout.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        let Manifest { layout, description, pseudonym_fingerprint, totals, shards, files } = manifest.clone();
        let [view]: [View; 1] = (layout == PREVIOUS_LAYOUT).then_some(description.views)?.try_into().ok()?;
        let description = PreviousDescription {
            schema_version: description.schema_version,
            taxonomy_version: description.taxonomy_version,
            regions: description.regions,
            channels: view.channels,
            patch_views: view.geometry.planes,
            patch_size: view.geometry.size,
            patch_spacing_mm: view.geometry.spacing_mm,
            config_digest: description.config_digest,
            program: description.program,
        };
        Some(Self { layout, description, pseudonym_fingerprint, totals, shards, files })
    }
}
