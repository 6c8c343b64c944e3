//! An issue of a dataset: what is wrong or worth knowing, how much of it, and what to do.
//!
//! Invariant: codes are stable and part of the public surface; examples are pseudonyms and sample keys only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// How much an issue matters.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Severity {
    /// Figures from this dataset would be wrong.
    Error,
    /// Figures need care.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What kind of issue it is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum IssueCode {
    /// A patient's rows lie in two splits.
    PatientInTwoSplits,
    /// A study has rows of two patients.
    StudyOfTwoPatients,
    /// A series has rows of two patients.
    SeriesOfTwoPatients,
    /// A SOP instance has rows of two patients.
    InstanceOfTwoPatients,
    /// A frame of reference has rows of two patients.
    FrameOfTwoPatients,
    /// Two rows share a key.
    DuplicateSample,
    /// Two rows have the same voxels.
    DuplicateVoxels,
    /// Patches of the same place carry different labels.
    ConflictingLabels,
    /// The index or a count differs from the manifest.
    IndexDiffersFromManifest,
    /// A class of validation or test is missing from training.
    ClassMissingFromTrain,
    /// A split has no row.
    EmptySplit,
    /// A class has few patients in a split.
    SmallClass,
    /// Too few patients for any conclusion.
    FewPatients,
    /// Many labels are unknown.
    UnknownLabels,
    /// Labels derived from size, which the input shows.
    LabelsFromSize,
    /// Labels given for a station or a patient, not for the node.
    WeakLabels,
    /// Nodes of a patient have one status, nearly always.
    OneStatusPerPatient,
    /// No label, or one alone, can be learned.
    NothingToLearn,
    /// Splits differ in their share of metastatic rows.
    PrevalenceDiffers,
    /// The short axis alone predicts metastasis.
    SizeConfounder,
    /// A property of the acquisition predicts metastasis.
    AcquisitionConfounder,
    /// Masks exist for nodes of one status more than for the other.
    MasksTellStatus,
    /// Patches that reach beyond the scanned field.
    PaddedPatches,
    /// Quarantined input files.
    QuarantinedInput,
    /// Annotations without image.
    UnmatchedFindings,
    /// Rows with the same voxels carry different labels.
    SameVoxelsOtherLabels,
    /// Two findings of a series lie at one place.
    DuplicateFinding,
    /// A status contradicts the rule of its evidence.
    StatusAgainstEvidence,
    /// Evidence is named, and the status is unknown.
    EvidenceWithoutStatus,
    /// A status is known without evidence.
    StatusWithoutEvidence,
    /// Benign and metastatic statuses come from different evidence.
    EvidenceTellsStatus,
    /// All patients of a class come from one scanner.
    ScannerOnlyClass,
    /// Statuses of a site, source or kind of evidence follow from size.
    SizeRuleOfGroup,
    /// Nodes of unknown status are smaller or larger than the others.
    UnknownBySize,
    /// Patients are in a split by their scanner, site or kind of evidence.
    SplitFollowsGroup,
    /// Metastatic rows weigh more or less than benign ones.
    WeightsTellStatus,
    /// A name looks like that of a person, or holds a date.
    NameMayIdentify,
    /// A region and a status occur in a split, never together.
    EmptyCell,
    /// A finding lies in air or lung.
    PlaceWithoutTissue,
    /// Tissue around a finding has one value only.
    ConstantTissue,
    /// Patient ids differ by case or blanks alone.
    IdsDifferBySpelling,
    /// Names of scanners differ by case or blanks alone.
    NamesDifferBySpelling,
    /// The code and the name of a region are not those of the manifest.
    RegionDiffersFromManifest,
    /// A station does not belong to its region.
    StationOutsideRegion,
    /// A place without finding bears a label.
    LabelledNegative,
    /// A place without finding lies at a finding.
    NegativeNearFinding,
    /// Findings of right-sided and left-sided stations lie on the wrong side of each other.
    SidesCrossed,
    /// A finding of a sided station lies on the other side of the body's midline.
    SideAgainstMidline,
    /// Views of two patients may be copies of one scan, though not voxel by voxel.
    NearCopies,
    /// All patients of a class come from one site.
    SiteOnlyClass,
    /// A short axis that no node has.
    ImplausibleSize,
    /// The short axes of annotation and mask contradict each other.
    SizeAgainstMask,
    /// That a size or a station is known tells the status.
    KnownTellsStatus,
    /// A tube voltage or a distance of slices that no chest CT has.
    ImplausibleAcquisition,
    /// Blood with values that no blood has.
    ImplausibleBlood,
    /// One patient has a large part of a split.
    PatientDominates,
    /// Splits differ in the share of a region.
    RegionShareDiffers,
    /// Benign and metastatic nodes come from different forms of source.
    SourceTellsStatus,
    /// A property of the acquisition predicts the region.
    AcquisitionTellsRegion,
    /// A site, scanner or source has another share of metastatic rows than all others.
    StatusShareOfGroup,
    /// A site or scanner has another share of unknown statuses than all others.
    UnknownShareOfGroup,
    /// A site or scanner has another share of a region than all others.
    RegionShareOfGroup,
    /// Rows name no patient.
    RowWithoutPatient,
    /// A column of words or codes holds one that is none of them.
    UnknownValue,
    /// A row lacks a value that every row has.
    MissingValue,
    /// A number is NaN or infinite.
    NotFinite,
    /// A number that its quantity cannot have, as a negative spacing.
    ImpossibleNumber,
    /// A patient is said to be a woman and a man.
    PatientOfTwoSexes,
    /// A series is said to come from two scanners.
    SeriesOfTwoScanners,
    /// A check could not be made, because no row has what it asks.
    NotChecked,
    /// Two datasets were built with different secrets.
    DifferentSecrets,
    /// A part of the description differs between two datasets.
    DescriptionDiffers,
    /// One of two datasets has columns that the other has not.
    ColumnsDiffer,
    /// Patients are in another split than before.
    PatientMovedSplit,
    /// Rows belong to another patient than before.
    PatientChanged,
    /// Rows are of another kind than before.
    KindChanged,
    /// Rows have another size, source, scanner, person or weight than before.
    FactsChanged,
    /// Rows that were there before are missing.
    RemovedRows,
    /// Rows that were not there before.
    AddedRows,
    /// Findings whose place is another than before.
    MovedFindings,
    /// Shifted samples and negatives that lie elsewhere than before.
    MovedSamples,
    /// Rows whose label is another than before.
    Relabelled,
    /// Corrections that were recorded before, and are not any more.
    CorrectionsWithdrawn,
    /// Rows at the same place whose voxels are others than before.
    ChangedVoxels,
    /// A column or the share of a label is another than before, beyond chance.
    Drift,
}

impl IssueCode {
    /// The code as written in JSON and shown to people.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What to ask the source of a row that such an issue names; `None` where its labels are not in question.
    pub fn question(self) -> Option<&'static str> {
        match self {
            Self::ConflictingLabels => {
                Some("A row at this place says something else: which region and status are right?")
            }
            Self::SameVoxelsOtherLabels => {
                Some("A row with the same voxels says something else: which region and status are right?")
            }
            Self::DuplicateVoxels => {
                Some("The same image stands under another patient, split or finding: is it one node of one person?")
            }
            Self::DuplicateFinding => Some("Another finding lies here: are these two nodes?"),
            Self::StatusAgainstEvidence => {
                Some("The status contradicts the size rule that it is said to come from: which of both is wrong?")
            }
            Self::EvidenceWithoutStatus => Some("Evidence is named: what did it show?"),
            Self::PlaceWithoutTissue => Some("This place is in air or lung: where is the node?"),
            Self::ConstantTissue => Some("The image is constant here: is the series usable?"),
            Self::StationOutsideRegion => Some("The station does not belong to the region: which of both is right?"),
            Self::SidesCrossed => Some("A node of the other side lies further out here: which side is right?"),
            Self::SideAgainstMidline => Some("This place lies on the other side of the body: which side is right?"),
            Self::NearCopies => Some("A view of another patient may show the same scan: are both one person?"),
            Self::SizeAgainstMask => {
                Some("The mask has another short axis than the table: which is right, and in which unit?")
            }
            Self::ImplausibleSize => Some("No node has this short axis: what is it in mm?"),
            _ => None,
        }
    }
}

/// An issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditIssue {
    /// How much it matters.
    pub severity: Severity,
    /// What kind it is.
    pub code: IssueCode,
    /// What was found, in one sentence.
    pub message: String,
    /// What to do about it.
    pub advice: String,
    /// How many rows, patients or files it concerns; the message says which.
    pub count: u64,
    /// A few of them: keys or names, sorted.
    pub examples: Vec<String>,
    /// Keys of rows to look at, sorted: all of them where the worklist asks about them, at most 1000 otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<String>,
}

/// Most examples of an issue.
const EXAMPLES: usize = 5;
/// Most rows of an issue that the worklist does not ask about.
pub(crate) const ROWS: usize = 1000;

impl AuditIssue {
    /// An issue without examples.
    pub(crate) fn new(
        severity: Severity,
        code: IssueCode,
        count: u64,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (message, advice) = (message.into(), advice.into());
        Self { severity, code, message, advice, count, examples: Vec::new(), rows: Vec::new() }
    }

    /// The same with keys of rows to look at, and the first few of them as examples where there are none.
    pub(crate) fn with_rows(mut self, keys: impl IntoIterator<Item = String>) -> Self {
        let sorted: std::collections::BTreeSet<String> = keys.into_iter().collect();
        let most = if self.code.question().is_some() { usize::MAX } else { ROWS };
        self.rows = sorted.into_iter().take(most).collect();
        if self.examples.is_empty() {
            self.examples = self.rows.iter().take(EXAMPLES).cloned().collect();
        }
        self
    }

    /// The same with the first few of `examples`, in sorted order.
    pub(crate) fn with_examples(mut self, examples: impl IntoIterator<Item = String>) -> Self {
        let sorted: std::collections::BTreeSet<String> = examples.into_iter().collect();
        self.examples = sorted.into_iter().take(EXAMPLES).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json_form() {
        for code in IssueCode::VARIANTS {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
        for severity in Severity::VARIANTS {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
    }

    #[test]
    fn every_row_is_kept_that_someone_is_asked_about() {
        let rows = |code| {
            let issue = AuditIssue::new(Severity::Info, code, 1, "m", "a").with_rows((0..1500).map(|n| n.to_string()));
            (issue.rows.len(), issue.examples.len())
        };
        assert_eq!(rows(IssueCode::PlaceWithoutTissue), (1500, 5));
        assert_eq!(rows(IssueCode::AddedRows), (1000, 5));
    }

    #[test]
    fn examples_are_few_and_sorted() {
        let issue = AuditIssue::new(Severity::Info, IssueCode::SmallClass, 9, "m", "a")
            .with_examples((0..9).rev().map(|n| n.to_string()));
        assert_eq!(issue.examples, ["0", "1", "2", "3", "4"]);
    }
}
