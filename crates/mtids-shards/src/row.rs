//! A patch and its labels, as a value.
//!
//! Invariant: `None` means unknown, which is null on disk. Units: mm, HU, kV; `center_voxel` is (i, j, k).

use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::person::{AgeBand, Sex};
use mtids_domain::pseudonym::{FoldedPatientKey, FrameOfReferenceKey, InstanceKey, PatientKey, SeriesKey, StudyKey};
use mtids_domain::repair::Repair;
use mtids_domain::taxonomy::Station;
use mtids_patch::{Measures, NearHash};
use mtids_runtime::digest::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The part of a dataset that a patient belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For learning.
    Train,
    /// For choosing.
    Validation,
    /// For judging.
    Test,
}

impl Split {
    /// All splits.
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }

    /// The split with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|split| split.name() == name)
    }
}

/// What a row is cut around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RowKind {
    /// An annotated finding.
    Finding,
    /// A place at a stated distance from every finding of its series. It is unlabelled: a place without annotation is not benign.
    Negative,
}

impl RowKind {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            RowKind::Finding => "finding",
            RowKind::Negative => "negative",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Finding, Self::Negative].into_iter().find(|kind| kind.name() == name)
    }
}

/// What an audit asks of a row besides its labels: whose it is, from where, on which side, and whether its scan occurs twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditFacts {
    /// Site: a pseudonym, or its name where the build was told to write names.
    pub site: Option<String>,
    /// Sex of the patient.
    pub sex: Option<Sex>,
    /// Age of the patient at the study, in bands of ten years.
    pub age_band: Option<AgeBand>,
    /// Pseudonym of the patient's id without regard to case, blanks at its ends and width.
    pub folded_patient_key: Option<FoldedPatientKey>,
    /// Offset of the node, also of a shifted sample's, from the midline of the body at its height, mm towards the left.
    pub midline_offset_mm: Option<f32>,
    /// Hash of the near view that copies of a scan share.
    #[serde(with = "hash_text")]
    pub near_hash: Option<NearHash>,
}

/// A hash as its text.
mod hash_text {
    use mtids_patch::NearHash;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &Option<NearHash>, serializer: S) -> Result<S::Ok, S::Error> {
        hash.map(|hash| hash.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NearHash>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// Everything of a row but its voxels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowLabels {
    /// Key of the sample, unique in the dataset.
    pub sample_key: String,
    /// What it is cut around.
    pub kind: RowKind,
    /// Pseudonym of the patient.
    pub patient_key: PatientKey,
    /// Pseudonym of the study.
    pub study_key: StudyKey,
    /// Pseudonym of the series.
    pub series_key: SeriesKey,
    /// Pseudonym of the frame of reference; `None` where the image names none.
    pub frame_of_reference_key: Option<FrameOfReferenceKey>,
    /// Pseudonym of the SOP instance whose slice lies nearest to the centre; `None` where it is not known.
    pub instance_key: Option<InstanceKey>,
    /// Split.
    pub split: Split,
    /// Centre as continuous voxel index (i, j, k) of the series.
    pub center_voxel: [f64; 3],
    /// Centre in LPS mm.
    pub center_mm: [f64; 3],
    /// Code of the region.
    pub region: Option<i8>,
    /// Name of the region.
    pub region_name: Option<String>,
    /// Station.
    pub station: Option<Station>,
    /// Metastasis status.
    pub metastasis: Option<Metastasis>,
    /// Evidence of the status.
    pub evidence: Evidence,
    /// What the status was given for.
    pub level: LabelLevel,
    /// Form of the annotation.
    pub label_source: String,
    /// Short axis in mm.
    pub short_axis_mm: Option<f32>,
    /// For a negative: distance of its centre from the nearest finding of its series, mm; `None` for findings.
    pub finding_distance_mm: Option<f32>,
    /// Days since the patient's first study with a finding; `None` where the study bears no date, or one that is not believed.
    pub study_day: Option<i32>,
    /// Manufacturer of the scanner.
    pub manufacturer: Option<String>,
    /// Model of the scanner.
    pub model: Option<String>,
    /// Convolution kernel.
    pub kernel: Option<String>,
    /// Nominal slice thickness in mm.
    pub slice_thickness_mm: Option<f32>,
    /// Measured distance of slices in mm.
    pub slice_step_mm: f32,
    /// In-plane voxel size in mm.
    pub pixel_spacing_mm: f32,
    /// What resampling made the grid of the series regular; `None` where it is that of the files.
    pub repaired: Option<Repair>,
    /// Tube voltage in kV.
    pub kvp: Option<f32>,
    /// Contrast agent given.
    pub contrast: Option<bool>,
    /// A PET of the same study covers at least half of every view that has a PET channel; without such a view, of the first one.
    pub pet: bool,
    /// Largest share of a view outside the scanned field.
    pub pad_fraction: f32,
    /// Sampling weight.
    pub weight: f32,
    /// First 16 hexadecimal digits of the BLAKE3 digest of the voxels, one view behind the other.
    pub voxels_digest: String,
    /// What an audit asks besides.
    #[serde(default)]
    pub audit: AuditFacts,
    /// Measures of the region grown from the point.
    pub grown: Measures,
    /// Measures of the annotation's mask; `None` where it has none.
    pub mask: Option<Measures>,
}

/// A row: labels and voxels.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchRow {
    /// Labels.
    pub labels: RowLabels,
    /// Voxels of each view in the order of the description, `[C, D, H, W]`, w fastest.
    pub views: Vec<Vec<i16>>,
}

impl PatchRow {
    /// A row whose `voxels_digest` is that of its voxels.
    pub fn new(mut labels: RowLabels, views: Vec<Vec<i16>>) -> Self {
        let bytes: Vec<u8> = views.iter().flat_map(|voxels| to_le_bytes(voxels)).collect();
        labels.voxels_digest = Digest::of_bytes(&bytes).short();
        Self { labels, views }
    }
}

/// Voxels as they lie on disk.
pub(crate) fn to_le_bytes(voxels: &[i16]) -> Vec<u8> {
    voxels.iter().flat_map(|voxel| voxel.to_le_bytes()).collect()
}
