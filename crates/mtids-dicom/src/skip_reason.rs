//! Why a file adds nothing to a dataset although nothing is wrong with it.
//!
//! Invariant: the names are part of the data contract (they stand in manifests) and are never renamed.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// Stable reason for skipping a file.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
pub enum SkipReason {
    /// Content is not DICOM, and the name does not claim it.
    NotDicom,
    /// Scout, secondary capture or derived image.
    NotOriginal,
    /// A DICOM object of a class that is not read.
    OtherObject,
    /// A link; what it points to is found where it lies.
    SymbolicLink,
    /// Socket, pipe or device.
    SpecialFile,
    /// A file that an operating system or file manager leaves behind: AppleDouble (`._name`), `.DS_Store`, `Thumbs.db`.
    SystemFile,
    /// The same bytes as another file.
    IdenticalCopy,
    /// A usable CT that no annotation speaks of.
    ImageWithoutFinding,
    /// PET, while `pet` is false.
    PetNotAskedFor,
    /// PET of no CT with a finding.
    PetOfNoCtHere,
    /// PET whose values cannot be brought to SUV.
    PetWithoutSuv,
    /// DICOM SEG, while `read_segmentations` is false.
    SegmentationNotAskedFor,
    /// DICOM SEG whose image is not among the usable series.
    SegmentationOfNoSeriesHere,
    /// DICOM SEG without a set voxel.
    EmptySegmentation,
    /// Structured report, while `read_reports` is false.
    ReportNotAskedFor,
    /// Structured report that names no segment that was read, and has no coordinates in an image here.
    ReportOfNoSegmentHere,
    /// Structured report that a later one of its patient and study replaces.
    SupersededReport,
    /// RTSTRUCT, while no class rule is given.
    StructuresNotAskedFor,
    /// RTSTRUCT whose image is not among the usable series.
    StructuresOfNoSeriesHere,
    /// RTSTRUCT without a structure that a class rule asks for, or whose structures are empty.
    NoStructureOfTheseNames,
    /// Annotation object, all of whose findings the class rules leave out.
    LeftOutByClasses,
    /// Annotation object whose patient or study is not that of the image it refers to.
    AnnotationOfAnotherPatient,
    /// SEG or structured report that `mtids-train predict` wrote.
    AnswerOfPredict,
}

impl SkipReason {
    /// The reason as written in files, for example `other-object`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What was found, what it means, and what to do, in a few sentences.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::NotDicom => {
                "The content is not DICOM, and the file name does not claim it. Nothing is lost, and nothing need be done. A file named \
                 `.dcm`, `.dicom` or `.ima` without DICOM content is quarantined instead."
            }
            Self::NotOriginal => {
                "A scout, or a screen, reformatted, projected or computed image. Its pixels were not measured in this plane, so it is no slice \
                 of a volume. One or two upright images in a CT series are a scout too. If it is a measured slice, correct ImageType (0008,0008)."
            }
            Self::OtherObject => {
                "A DICOM object of a class that is not read, for example a presentation state, a dose report or an MR image. Nothing need \
                 be done. `mtids-prep inventory` shows modality and class."
            }
            Self::SymbolicLink => {
                "A symbolic link. Links are not followed, because a file would be counted twice and a loop would not end. Put the folder \
                 itself below --data, or give its real path."
            }
            Self::SpecialFile => {
                "A socket, pipe or device. It is not opened, because reading it could wait for ever. Nothing need be done."
            }
            Self::SystemFile => {
                "A file that an operating system leaves beside others: AppleDouble (`._name`), `.DS_Store`, `Thumbs.db`. It holds no image, \
                 whatever its ending says. It may be deleted."
            }
            Self::IdenticalCopy => {
                "The same bytes as another file of the same SOP instance. One of them is used. Nothing need be done."
            }
            Self::ImageWithoutFinding => {
                "The CT can be used, but no annotation speaks of it. If there should be one, compare the UIDs of the annotation with \
                 `mtids-prep inventory`, and read the rejected rows (`--rejects FILE`)."
            }
            Self::PetNotAskedFor => {
                "A PET, and `pet` is false. Set `pet = true` to add PET as the second channel of a patch."
            }
            Self::PetOfNoCtHere => {
                "A PET that lies over no CT with a finding: patient, study and frame of reference must be the same, and a finding must lie \
                 in it. If it should fit, compare the FrameOfReferenceUID of both."
            }
            Self::PetWithoutSuv => {
                "The values of this PET cannot be brought to standardised uptake values. The log names the attribute and its value. The CT is \
                 used without PET. Correct the attribute, or leave it so."
            }
            Self::SegmentationNotAskedFor => {
                "A DICOM SEG, and `read_segmentations` is false. Set it to true to read the object."
            }
            Self::SegmentationOfNoSeriesHere => {
                "A DICOM SEG whose image is not here or was refused. It is assigned by the series it refers to, then by study, patient and \
                 frame of reference together. Add the image, or see why it was quarantined."
            }
            Self::EmptySegmentation => {
                "A DICOM SEG without a set voxel. Programs that find nothing write such objects. It gives no finding, and says nothing about \
                 the status of any node."
            }
            Self::ReportNotAskedFor => {
                "A structured report, and `read_reports` is false. Set it to true to read the object."
            }
            Self::ReportOfNoSegmentHere => {
                "A structured report whose measurement groups name no segment that was read, and have no coordinates in an image here. \
                 Groups that a class rule ignores do not count. The voxels of a segment stand in a DICOM SEG: put that object below --data too. \
                 For groups with coordinates, see the rejected entries."
            }
            Self::SupersededReport => {
                "A structured report that another one here names as its predecessor (0040,A360), of the same patient and study. The later one \
                 is read, and this one gives no finding. The message names the later one. If both should count, export the later one without \
                 predecessor."
            }
            Self::StructuresNotAskedFor => {
                "An RTSTRUCT, and no class rule is given. Most structures are organs, so a rule must say which are nodes. Write [[class]] \
                 rules, and try them with `mtids-prep classes`."
            }
            Self::StructuresOfNoSeriesHere => {
                "An RTSTRUCT whose image is not here or was refused. Each structure is assigned by its frame of reference and the series \
                 it names, within its own study and patient. Add the image, or see why it was quarantined."
            }
            Self::NoStructureOfTheseNames => {
                "An RTSTRUCT without a structure that a class rule asks for, or whose structures have no contour in the image. Try the \
                 names of its structures with `mtids-prep classes`."
            }
            Self::LeftOutByClasses => {
                "Every finding of this object matches a class rule with `ignore = true`. Nothing need be done if that is meant."
            }
            Self::AnnotationOfAnotherPatient => {
                "The object refers to an image of another patient, or only to a frame of reference that another patient's image has too. \
                 A label must never move to another person. Correct PatientID and StudyInstanceUID, or list the two ids in \
                 `identity.same_person` if they are one person."
            }
            Self::AnswerOfPredict => {
                "A SEG or structured report that `mtids-train predict` wrote. An answer is no annotation, so it is not read. Nothing need be \
                 done. A copy that a person corrected in another program bears the name of that program, and is read."
            }
        }
    }
}
