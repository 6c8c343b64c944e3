//! The kinds of defect.

use mtids_audit::issue::IssueCode as Code;
use mtids_audit::issue::Severity::{Error, Info, Warning};
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::person::Sex;
use mtids_domain::pseudonym::{FrameOfReferenceKey, InstanceKey, SeriesKey, StudyKey};
use mtids_domain::taxonomy::Station;
use mtids_shards::{Measure, RowKind, Split};

use crate::plants::*;
use crate::{Defect, defect};

/// Patient of row `n` is `n / 4`; patients 4, 10, … are of validation, 5, 11, … of test. Even nodes are upper (4R), odd ones subcarinal (7).
pub(crate) const DEFECTS: &[Defect] = &[
    // Who is who.
    defect("a patient in two splits", Error, Code::PatientInTwoSplits, |d| d.rows[0].split = Split::Test),
    defect("a study of two patients", Error, Code::StudyOfTwoPatients, |d| {
        d.rows[4].study_key = StudyKey::from_stored("study0".to_owned());
    }),
    defect("a series of two patients", Error, Code::SeriesOfTwoPatients, |d| {
        d.rows[4].series_key = SeriesKey::from_stored("series0".to_owned());
        d.rows[4].center_mm[1] = 50.0;
    }),
    defect("a SOP instance of two patients", Error, Code::InstanceOfTwoPatients, |d| {
        d.rows[4].instance_key = Some(InstanceKey::from_stored("instance0".to_owned()));
    }),
    defect("a frame of reference of two patients", Warning, Code::FrameOfTwoPatients, |d| {
        d.rows[4].frame_of_reference_key = Some(FrameOfReferenceKey::from_stored("frame0".to_owned()));
    }),
    defect("a patient id in another case", Error, Code::IdsDifferBySpelling, |d| rename(d, "PATIENT0")),
    defect("a patient id with a blank before it", Error, Code::IdsDifferBySpelling, |d| rename(d, " patient0")),
    defect("a patient id with a blank behind it", Error, Code::IdsDifferBySpelling, |d| rename(d, "patient0 ")),
    defect("a manufacturer in another case", Warning, Code::NamesDifferBySpelling, |d| {
        d.rows[0].manufacturer = Some("MAKER 0".into());
    }),
    defect("a model with two blanks for one", Warning, Code::NamesDifferBySpelling, |d| {
        d.rows.iter_mut().for_each(|row| row.model = Some("scanner a".into()));
        d.rows[0].model = Some("scanner  a".into());
    }),
    defect("a patient id in another spelling, under pseudonyms", Error, Code::IdsDifferBySpelling, |d| {
        folded(d, |patient| if patient == 2 { 0 } else { patient });
    })
    .below(|d| folded(d, |patient| patient)),
    defect("a site in two spellings", Warning, Code::NamesDifferBySpelling, |d| {
        d.rows.iter_mut().for_each(|row| row.audit.site = Some("north".into()));
        d.rows[0].audit.site = Some("North ".into());
    }),
    defect("a form of source in two spellings", Warning, Code::NamesDifferBySpelling, |d| {
        d.rows[0].label_source = "Table".into();
    })
    .also(&[Code::UnknownValue]),
    defect("a row without patient", Error, Code::RowWithoutPatient, |d| nobodys(d, "")),
    defect("a row of a blank patient", Error, Code::RowWithoutPatient, |d| nobodys(d, " ")),
    defect("a patient of two sexes", Warning, Code::PatientOfTwoSexes, |d| sexes(d, Sex::M))
        .below(|d| sexes(d, Sex::O)),
    defect("a series of two manufacturers", Warning, Code::SeriesOfTwoScanners, |d| {
        d.rows[0].manufacturer = Some("maker 1".into());
    })
    .below(|d| d.rows[0].manufacturer = Some("Maker 0 ".into())),
    defect("a series of two models", Warning, Code::SeriesOfTwoScanners, |d| {
        (d.rows[0].model, d.rows[1].model) = (Some("a".into()), Some("b".into()));
    })
    .below(|d| d.rows[0].model = Some("a".into())),
    defect("a series of two kernels", Warning, Code::SeriesOfTwoScanners, |d| {
        (d.rows[0].kernel, d.rows[1].kernel) = (Some("soft".into()), Some("sharp".into()));
    })
    .below(|d| d.rows[0].kernel = Some("soft".into())),
    defect("a series of two studies", Warning, Code::SeriesOfTwoScanners, |d| {
        d.rows[0].study_key = StudyKey::from_stored("another".to_owned());
    }),
    defect("a series of two distances of slices", Warning, Code::SeriesOfTwoScanners, |d| {
        d.rows[0].slice_step_mm = 2.0;
    }),
    defect("a form of source that nobody writes", Error, Code::UnknownValue, |d| {
        d.rows[0].label_source = "guess".into();
    }),
    // Numbers that are none, or that their quantity cannot have.
    defect("a short axis that is NaN", Error, Code::NotFinite, |d| d.rows[0].short_axis_mm = Some(f32::NAN))
        .below(|d| d.rows[0].short_axis_mm = Some(f32::MAX)),
    defect("a place that is infinite", Error, Code::NotFinite, |d| d.rows[0].center_mm[0] = f64::INFINITY)
        .below(|d| d.rows[0].center_mm[0] = -1e6),
    defect("a voltage that is NaN", Error, Code::NotFinite, |d| d.rows[0].kvp = Some(f32::NAN))
        .below(|d| d.rows[0].kvp = Some(80.0)),
    defect("a negative's weight that is NaN", Error, Code::NotFinite, |d| {
        negative(d, 20.0);
        d.rows[0].weight = f32::NAN;
    }),
    defect("slices without distance", Error, Code::ImpossibleNumber, |d| d.rows[0].slice_step_mm = 0.0)
        .below(|d| d.rows[0].slice_step_mm = 0.1),
    defect("a negative size of voxels", Error, Code::ImpossibleNumber, |d| d.rows[0].pixel_spacing_mm = -0.7)
        .below(|d| d.rows[0].pixel_spacing_mm = 0.1),
    defect("a negative weight", Error, Code::ImpossibleNumber, |d| d.rows[0].weight = -0.1)
        .below(|d| d.rows[0].weight = 0.0),
    defect("a share above one", Error, Code::ImpossibleNumber, |d| d.rows[0].pad_fraction = 1.01)
        .below(|d| d.rows[0].pad_fraction = 1.0),
    defect("a share below nothing", Error, Code::ImpossibleNumber, |d| d.rows[0].pad_fraction = -0.01),
    // The same thing twice.
    defect("a view of another patient that shares the last four pieces", Warning, Code::NearCopies, |d| {
        near(d, |piece| piece >= 12);
    })
    .below(|d| near(d, |piece| piece >= 13)),
    defect("a view shifted by 2 voxels, and 20 HU brighter, under another patient", Warning, Code::NearCopies, |d| {
        shifted(d, 0, 2, 20);
    })
    .below(|d| shifted(d, 1, 2, 20)),
    defect("a view of another patient that shares four pieces far apart", Warning, Code::NearCopies, |d| {
        near(d, |piece| piece % 5 == 0);
    })
    .below(|d| near(d, |piece| piece % 6 == 0)),
    defect("a sample key twice", Error, Code::DuplicateSample, |d| d.rows[1].sample_key = "sample0".into()),
    defect("the same voxels under two patients", Error, Code::DuplicateVoxels, |d| same_voxels(d, 0, 8)),
    defect("the same voxels in two splits", Error, Code::DuplicateVoxels, |d| same_voxels(d, 0, 16)),
    defect("the same voxels twice in a patient", Warning, Code::DuplicateVoxels, |d| {
        d.rows[2].metastasis = d.rows[0].metastasis;
        same_voxels(d, 0, 2);
    }),
    defect("the same voxels with another status", Error, Code::SameVoxelsOtherLabels, |d| same_voxels(d, 0, 4))
        .also(&[Code::DuplicateVoxels]),
    defect("the same voxels with another region", Error, Code::SameVoxelsOtherLabels, |d| same_voxels(d, 0, 1)),
    defect("one place with two statuses", Error, Code::ConflictingLabels, |d| d.rows[2].center_mm[0] = 2.9)
        .below(|d| d.rows[2].center_mm[0] = 3.0),
    defect("one place with two regions", Error, Code::ConflictingLabels, |d| d.rows[1].center_mm[0] = 2.9)
        .below(|d| d.rows[1].center_mm[0] = 3.0),
    defect("one place with two statuses, in two series of a frame of reference", Error, Code::ConflictingLabels, |d| {
        other_series(d);
    })
    .below(|d| {
        other_series(d);
        d.rows[2].frame_of_reference_key = None;
    }),
    defect("one place with two statuses, of rows of weight 0.99", Error, Code::ConflictingLabels, |d| {
        d.rows[2].center_mm[0] = 2.9;
        d.rows.iter_mut().for_each(|row| row.weight = 0.99);
    }),
    defect(
        "one place with two statuses, of rows that are no samples and weigh a half",
        Error,
        Code::ConflictingLabels,
        |d| {
            d.rows[2].center_mm[0] = 2.9;
            d.rows.iter_mut().for_each(|row| row.weight = 0.5);
        },
    ),
    defect("a finding given twice", Warning, Code::DuplicateFinding, |d| again(d, 2.9)).below(|d| again(d, 3.0)),
    // Labels against what defines them.
    defect("a code of a region beside another name", Error, Code::RegionDiffersFromManifest, |d| {
        d.rows[0].region = Some(1);
    }),
    defect("a region that the manifest does not have", Error, Code::RegionDiffersFromManifest, |d| {
        d.rows[0].region_name = Some("Upper region".into());
    }),
    defect("a region without code", Error, Code::RegionDiffersFromManifest, |d| d.rows[0].region = None),
    defect("a station of another region", Warning, Code::StationOutsideRegion, |d| {
        d.rows[0].station = Some(Station::S7);
    }),
    defect("a side against that of another node", Warning, Code::SidesCrossed, |d| crossed(d, 15.1))
        .below(|d| crossed(d, 15.0)),
    defect("a right-sided node on the left of the midline", Warning, Code::SideAgainstMidline, |d| {
        d.rows[0].audit.midline_offset_mm = Some(20.1);
    })
    .below(|d| d.rows[0].audit.midline_offset_mm = Some(20.0)),
    defect("a left-sided node on the right of the midline", Warning, Code::SideAgainstMidline, |d| {
        (d.rows[0].station, d.rows[0].audit.midline_offset_mm) = (Some(Station::S4L), Some(-20.1));
    })
    .below(|d| {
        (d.rows[0].station, d.rows[0].audit.midline_offset_mm) = (Some(Station::S4L), Some(-20.0));
        d.rows[1].audit.midline_offset_mm = Some(90.0);
    }),
    defect("a region of one site", Warning, Code::SiteOnlyClass, |d| region_of_one_site(d, 5))
        .below(|d| region_of_one_site(d, 4)),
    defect("a side against that of another node, by their offsets", Warning, Code::SidesCrossed, |d| {
        crossed_by_offsets(d, 15.1);
    })
    .below(|d| crossed_by_offsets(d, 15.0)),
    defect("a negative with labels", Error, Code::LabelledNegative, |d| d.rows[0].kind = RowKind::Negative),
    defect("a negative at a finding, whatever its column says", Warning, Code::NegativeNearFinding, |d| {
        negative(d, 40.0);
        d.rows[0].center_mm[0] = d.rows[1].center_mm[0] + 2.9;
    })
    .below(|d| {
        negative(d, 40.0);
        d.rows[0].center_mm[0] = d.rows[1].center_mm[0] + 3.0;
    }),
    defect("a negative at a finding", Warning, Code::NegativeNearFinding, |d| negative(d, 2.9))
        .below(|d| negative(d, 3.0)),
    defect("a benign node of 10 mm by the size rule", Warning, Code::StatusAgainstEvidence, |d| by_size(d, 0, 10.0))
        .below(|d| by_size(d, 0, 9.9)),
    defect("a metastatic node below 10 mm by the size rule", Warning, Code::StatusAgainstEvidence, |d| {
        by_size(d, 2, 9.9);
    })
    .below(|d| by_size(d, 2, 10.0)),
    defect("evidence without status", Info, Code::EvidenceWithoutStatus, |d| d.rows[0].metastasis = None),
    defect("a status without evidence", Info, Code::StatusWithoutEvidence, |d| d.rows[0].evidence = Evidence::U),
    defect("a status of a station", Info, Code::WeakLabels, |d| d.rows[0].level = LabelLevel::Station),
    defect("a tenth of the statuses from size", Warning, Code::LabelsFromSize, |d| from_size(d, 15))
        .below(|d| from_size(d, 14)),
    // Images.
    defect("a finding in air", Warning, Code::PlaceWithoutTissue, |d| measure(d, Measure::Shell3Hu, -150.1))
        .below(|d| measure(d, Measure::Shell3Hu, -150.0)),
    defect("a finding of 6 mm in air", Warning, Code::PlaceWithoutTissue, |d| in_air(d, Some(6.0)))
        .below(|d| in_air(d, Some(5.9))),
    defect("a finding of known size in air", Warning, Code::PlaceWithoutTissue, |d| in_air(d, Some(20.0)))
        .below(|d| in_air(d, None)),
    defect("more than a tenth of the findings of unknown size in air", Warning, Code::PlaceWithoutTissue, |d| {
        unknown_in_air(d, 15);
    })
    .below(|d| unknown_in_air(d, 14)),
    defect("eight voxels of tissue of one value", Warning, Code::ConstantTissue, |d| constant(d, 8.0))
        .below(|d| constant(d, 7.0)),
    defect("tissue of one value", Warning, Code::ConstantTissue, |d| measure(d, Measure::DeviationHu, 0.0))
        .below(|d| measure(d, Measure::DeviationHu, 0.1)),
    defect("blood below 0 HU: no rescale", Warning, Code::ImplausibleBlood, |d| measure(d, Measure::AortaHu, -0.1))
        .below(|d| measure(d, Measure::AortaHu, 0.0)),
    defect("blood above 700 HU: rescale twice", Warning, Code::ImplausibleBlood, |d| {
        measure(d, Measure::AortaHu, 700.1);
    })
    .below(|d| measure(d, Measure::AortaHu, 700.0)),
    defect("a short axis in cm", Warning, Code::ImplausibleSize, |d| d.rows[0].short_axis_mm = Some(0.99))
        .below(|d| d.rows[0].short_axis_mm = Some(1.0)),
    defect("a short axis above three times that of its mask", Warning, Code::SizeAgainstMask, |d| of_mask(d, 3.01))
        .below(|d| of_mask(d, 3.0)),
    defect("a short axis below a third of that of its mask", Warning, Code::SizeAgainstMask, |d| of_mask(d, 0.33))
        .below(|d| of_mask(d, 0.34)),
    defect("a short axis in µm", Warning, Code::ImplausibleSize, |d| d.rows[0].short_axis_mm = Some(100.1))
        .below(|d| d.rows[0].short_axis_mm = Some(100.0)),
    defect("a tube voltage that no scanner has", Warning, Code::ImplausibleAcquisition, |d| d.rows[0].kvp = Some(59.0))
        .below(|d| d.rows[0].kvp = Some(60.0)),
    defect("slices too far apart", Warning, Code::ImplausibleAcquisition, |d| d.rows[0].slice_step_mm = 10.1)
        .below(|d| d.rows[0].slice_step_mm = 10.0),
    defect("slices without thickness", Warning, Code::ImplausibleAcquisition, |d| {
        d.rows[0].slice_thickness_mm = Some(0.0);
    })
    .below(|d| d.rows[0].slice_thickness_mm = Some(0.1)),
    defect("a patch beyond the scanned field", Info, Code::PaddedPatches, |d| d.rows[0].pad_fraction = 0.26)
        .below(|d| d.rows[0].pad_fraction = 0.25),
    defect("a quarantined file", Info, Code::QuarantinedInput, |d| {
        (d.published.totals.inputs, d.published.totals.quarantined) = (1, 1);
        d.published.totals.quarantined_by_reason.insert("not-an-image".into(), 1);
    }),
    defect("an annotation without image", Info, Code::UnmatchedFindings, |d| d.published.totals.unmatched_findings = 1),
    defect("a row that the index lacks", Error, Code::IndexDiffersFromManifest, |d| d.published.unlisted = 1),
    defect("a patient that the index lacks", Error, Code::IndexDiffersFromManifest, |d| {
        d.published.unlisted_patients = 1;
    }),
    defect("a site with a person's name", Warning, Code::NameMayIdentify, |d| named_site(d, "Doe^Jane"))
        .below(|d| named_site(d, "Br40^3")),
    defect("a model with a date of birth", Warning, Code::NameMayIdentify, |d| {
        d.rows[0].model = Some("scan of 1954-03-21".into());
    })
    .below(|d| d.rows[0].model = Some("scan of 1954-03".into())),
    // Gaps.
    defect("no finding at all", Error, Code::NothingToLearn, |d| d.rows.clear()),
    defect("one status and one region", Error, Code::NothingToLearn, |d| {
        d.rows.iter_mut().for_each(|row| row.metastasis = Some(Metastasis::Benign));
        d.rows.iter_mut().for_each(to_upper);
    }),
    defect("one status alone", Warning, Code::NothingToLearn, |d| {
        d.rows.iter_mut().for_each(|row| row.metastasis = Some(Metastasis::Benign));
    })
    .below(|d| {
        let of_first = d.rows.iter_mut().take(4);
        of_first.for_each(|row| row.metastasis = Some(Metastasis::Metastatic));
        d.rows.iter_mut().skip(4).for_each(|row| row.metastasis = Some(Metastasis::Benign));
    }),
    defect("one region, and no status", Error, Code::NothingToLearn, |d| {
        no_status(d);
        d.rows.iter_mut().for_each(to_upper);
    })
    .below(no_status),
    defect("a region that training lacks", Error, Code::ClassMissingFromTrain, |d| {
        d.rows.iter_mut().filter(|row| row.station == Some(Station::S7)).skip(11).for_each(to_upper);
        d.rows.iter_mut().filter(|row| row.split == Split::Train).for_each(to_upper);
    }),
    defect("a status that training lacks", Error, Code::ClassMissingFromTrain, |d| {
        let of_train = d.rows.iter_mut().filter(|row| row.split == Split::Train);
        of_train.for_each(|row| row.metastasis = Some(Metastasis::Benign));
    }),
    defect("a status that training lacks, of nine patients", Error, Code::ClassMissingFromTrain, |d| {
        d.rows.truncate(36);
        let of_train = d.rows.iter_mut().filter(|row| row.split == Split::Train);
        of_train.for_each(|row| row.metastasis = Some(Metastasis::Benign));
    })
    .below(|d| d.rows.truncate(36)),
    defect("a region that validation lacks", Warning, Code::SmallClass, |d| {
        d.rows.iter_mut().filter(|row| row.split == Split::Validation).for_each(to_upper);
    }),
    defect("a region with four patients in a split", Warning, Code::SmallClass, |d| fewer_subcarinal(d, 2))
        .below(|d| fewer_subcarinal(d, 1)),
    defect("a status with four patients in a split", Warning, Code::SmallClass, |d| fewer_metastatic(d, 2))
        .below(|d| fewer_metastatic(d, 1)),
    defect("an empty split", Warning, Code::EmptySplit, |d| d.rows.retain(|row| row.split != Split::Validation)),
    defect("nine patients", Warning, Code::FewPatients, |d| d.rows.truncate(36)).below(|d| d.rows.truncate(40)),
    defect("more than half of the statuses of a split unknown", Warning, Code::UnknownLabels, |d| {
        unknown(d, 13, false);
    })
    .below(|d| unknown(d, 12, false)),
    defect("more than half of the regions of a split unknown", Warning, Code::UnknownLabels, |d| unknown(d, 13, true))
        .below(|d| unknown(d, 12, true)),
    defect("a region and a status that never meet in training", Warning, Code::EmptyCell, |d| {
        benign_in_subcarinal(d, Split::Train);
    }),
    defect("a region and a status that never meet in training, of nine patients", Warning, Code::EmptyCell, |d| {
        d.rows.truncate(36);
        benign_in_subcarinal(d, Split::Train);
    })
    .below(|d| {
        d.rows.truncate(16);
        benign_in_subcarinal(d, Split::Train);
    }),
    defect("a region and a status that never meet in test", Info, Code::EmptyCell, |d| {
        benign_in_subcarinal(d, Split::Test);
    }),
    defect("a patient with five equal shares of a split of 24", Warning, Code::PatientDominates, |d| {
        more_of_one_patient(d, 21);
    })
    .below(|d| more_of_one_patient(d, 20)),
    defect("a patient with a fifth of a split of 48", Warning, Code::PatientDominates, |d| {
        d.rows = larger(2);
        more_of_one_patient(d, 44);
    })
    .below(|d| {
        d.rows = larger(2);
        more_of_one_patient(d, 43);
    }),
    defect("statuses of patients, written to each node", Warning, Code::OneStatusPerPatient, |d| {
        status_of_patient(d, 3);
    })
    .below(|d| status_of_patient(d, 4)),
    // Splits against each other.
    defect("a prevalence × 1.3 in test", Warning, Code::PrevalenceDiffers, |d| {
        d.rows = larger(5);
        more_metastatic(d, 18);
    })
    .below(|d| {
        d.rows = larger(5);
        more_metastatic(d, 2);
    }),
    defect("a share of a region × 1.3 in test", Warning, Code::RegionShareDiffers, |d| {
        d.rows = larger(5);
        more_upper(d, 18);
    })
    .below(|d| {
        d.rows = larger(5);
        more_upper(d, 2);
    }),
    defect("test patients of another site", Warning, Code::SplitFollowsGroup, |d| test_of_site(d, 3))
        .below(|d| test_of_site(d, 2)),
    defect("test patients of other evidence", Warning, Code::SplitFollowsGroup, |d| {
        let of_test = d.rows.iter_mut().filter(|row| row.split == Split::Test);
        of_test.for_each(|row| row.evidence = Evidence::B);
    }),
    // What tells a label without the image of the node.
    defect("a site whose statuses are those of a ruler", Warning, Code::SizeRuleOfGroup, |d| by_ruler(d, 1))
        .below(|d| by_ruler(d, 2)),
    defect("nodes of unknown status that are the smaller ones", Warning, Code::UnknownBySize, |d| {
        open_by_size(d, 11.0);
    })
    .below(|d| {
        for (n, row) in d.rows.iter_mut().enumerate().filter(|(n, _)| n % 3 == 0) {
            (row.metastasis, row.short_axis_mm) = (None, Some(8.0 + (n % 5) as f32));
        }
    }),
    defect("metastatic rows that weigh more", Warning, Code::WeightsTellStatus, |d| weigh(d, 0.66))
        .below(|d| weigh(d, 0.67)),
    defect("rows without a site that find fewer metastases", Warning, Code::StatusShareOfGroup, |d| {
        benign_at_a_site(d, 20);
        d.rows.iter_mut().take(48).for_each(|row| row.audit.site = None);
    })
    .below(|d| {
        benign_at_a_site(d, 15);
        d.rows.iter_mut().take(48).for_each(|row| row.audit.site = None);
    }),
    defect("statuses by two kinds of evidence", Warning, Code::EvidenceTellsStatus, |d| {
        d.rows.iter_mut().for_each(|row| row.evidence = if is_metastatic(row) { Evidence::B } else { Evidence::C });
    }),
    defect("statuses by two forms of source", Warning, Code::SourceTellsStatus, |d| {
        d.rows.iter_mut().filter(|row| is_metastatic(row)).for_each(|row| row.label_source = "segmentation".into());
    }),
    defect("masks for two of three metastatic and one of three benign nodes", Warning, Code::MasksTellStatus, |d| {
        masks(d, 4);
    })
    .below(|d| masks(d, 3)),
    defect("sizes of metastatic nodes alone", Warning, Code::KnownTellsStatus, |d| {
        sized_if_metastatic(d, 36);
    })
    .below(|d| sized_if_metastatic(d, 6)),
    defect("stations of metastatic nodes alone", Warning, Code::KnownTellsStatus, |d| {
        d.rows.iter_mut().filter(|row| !is_metastatic(row)).for_each(|row| row.station = None);
    }),
    defect("a PET that tells the status of patients", Warning, Code::AcquisitionConfounder, |d| {
        sick_by_scanner(d, 5);
        for row in &mut d.rows {
            row.pet = row.manufacturer.take().is_some_and(|scanner| scanner == "hospital");
        }
    }),
    defect("a short axis that tells the status", Warning, Code::SizeConfounder, |d| sizes(d, 10))
        .below(|d| sizes(d, 4)),
    defect("a scanner that tells the status of patients", Warning, Code::AcquisitionConfounder, |d| {
        sick_by_scanner(d, 5);
    })
    .below(|d| sick_by_scanner(d, 3)),
    defect("a kernel that tells the region", Warning, Code::AcquisitionTellsRegion, |d| kernel_by_region(d, 5))
        .below(|d| kernel_by_region(d, 3)),
    defect("a region of one manufacturer", Warning, Code::ScannerOnlyClass, |d| region_of_one(d, 5, false))
        .below(|d| region_of_one(d, 4, false)),
    defect("a region of one site, by its scanner's model", Warning, Code::ScannerOnlyClass, |d| {
        region_of_one(d, 5, true);
    })
    .below(|d| region_of_one(d, 4, true)),
    defect("a site that finds fewer metastases", Warning, Code::StatusShareOfGroup, |d| benign_at_a_site(d, 20))
        .below(|d| benign_at_a_site(d, 15)),
    defect("a site that leaves statuses open", Warning, Code::UnknownShareOfGroup, |d| unknown_at_a_site(d, 15))
        .below(|d| unknown_at_a_site(d, 14)),
    defect("a source that never says metastatic", Warning, Code::StatusShareOfGroup, |d| {
        never_metastatic(d, |row| row.label_source = "segmentation".into());
    }),
    defect("an evidence that never says metastatic", Warning, Code::StatusShareOfGroup, |d| {
        never_metastatic(d, |row| row.evidence = Evidence::B);
    }),
    defect("a site that names stations by another map", Warning, Code::RegionShareOfGroup, |d| upper_at_a_site(d, 22))
        .below(|d| upper_at_a_site(d, 15)),
    defect("statuses that are exchanged", Warning, Code::SizeConfounder, |d| {
        for row in &mut d.rows {
            row.short_axis_mm = Some(if row.metastasis == Some(Metastasis::Metastatic) { 8.0 } else { 12.0 });
        }
    }),
];
