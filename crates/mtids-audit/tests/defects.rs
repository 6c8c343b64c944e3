//! Every kind of defect that an audit finds, planted once into a sound dataset at the smallest size that its check states.
//!
//! The table says for each: the check that must find it, the errors that go with it because the defect is one of theirs too (subsumption), and,
//! where the check has a threshold, the same defect just below it, which must not be found. No other error may be reported.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use mtids_audit::audit::{Audit, audit};
use mtids_audit::config::AuditConfig;
use mtids_audit::issue::IssueCode as Code;
use mtids_audit::issue::Severity::{self, Error, Info, Warning};
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::person::Sex;
use mtids_domain::pseudonym::{FoldedPatientKey, FrameOfReferenceKey, InstanceKey, PatientKey, SeriesKey, StudyKey};
use mtids_domain::taxonomy::Station;
use mtids_shards::{Measure, RowKind, RowLabels, Split};
use support::{Published, publish_as, sound};

/// A dataset before it is written.
struct Dataset {
    rows: Vec<RowLabels>,
    published: Published,
}

type Plant = fn(&mut Dataset);

/// A kind of defect.
struct Defect {
    what: &'static str,
    severity: Severity,
    code: Code,
    /// Errors that the defect is as well.
    also: &'static [Code],
    plant: Plant,
    /// The same, just too small to be found.
    below: Option<Plant>,
}

const fn defect(what: &'static str, severity: Severity, code: Code, plant: Plant) -> Defect {
    Defect { what, severity, code, also: &[], plant, below: None }
}

impl Defect {
    const fn also(self, also: &'static [Code]) -> Self {
        Self { also, ..self }
    }

    const fn below(self, below: Plant) -> Self {
        Self { below: Some(below), ..self }
    }
}

/// Patient of row `n` is `n / 4`; patients 4, 10, … are of validation, 5, 11, … of test. Even nodes are upper (4R), odd ones subcarinal (7).
const DEFECTS: &[Defect] = &[
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
    // Gaps.
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
    // Splits against each other.
    defect("a prevalence × 1.33 in test", Warning, Code::PrevalenceDiffers, |d| {
        d.rows = larger(4);
        more_metastatic(d, 16);
    })
    .below(|d| {
        d.rows = larger(4);
        more_metastatic(d, 2);
    }),
    defect("a share of a region × 1.33 in test", Warning, Code::RegionShareDiffers, |d| {
        d.rows = larger(4);
        more_upper(d, 16);
    })
    .below(|d| {
        d.rows = larger(4);
        more_upper(d, 2);
    }),
    // What tells a label without the image of the node.
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

/// A third of the patients are of another site, which `change`s some of its nodes.
fn at_a_site(d: &mut Dataset, count: usize, is_changed: fn(&RowLabels) -> bool, change: fn(&mut RowLabels)) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        row.audit.site = Some(if n / 4 < 12 { "site b" } else { "site a" }.into());
    }
    d.rows.iter_mut().take(48).filter(|row| is_changed(row)).take(count).for_each(change);
}

fn benign_at_a_site(d: &mut Dataset, count: usize) {
    at_a_site(
        d,
        count,
        |row| row.metastasis == Some(Metastasis::Metastatic),
        |row| {
            row.metastasis = Some(Metastasis::Benign);
        },
    );
}

fn upper_at_a_site(d: &mut Dataset, count: usize) {
    at_a_site(
        d,
        count,
        |row| row.region == Some(1),
        |row| {
            (row.region, row.region_name, row.station) = (Some(0), Some("upper".into()), Some(Station::S4R));
        },
    );
}

/// Nodes of a third of the patients are benign, and of a kind of their own.
fn never_metastatic(d: &mut Dataset, mark: fn(&mut RowLabels)) {
    for row in d.rows.iter_mut().take(48) {
        row.metastasis = Some(Metastasis::Benign);
        mark(row);
    }
}

/// The folded id of each patient is that of another one, or its own.
fn folded(d: &mut Dataset, of: fn(usize) -> usize) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        row.audit.folded_patient_key = Some(FoldedPatientKey::from_stored(format!("folded{}", of(n / 4))));
    }
}

/// Every row has a hash of its own, but row 4, of another patient, has some pieces of row 0.
fn near(d: &mut Dataset, is_shared: fn(usize) -> bool) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        let of = |piece: usize| if n == 4 && is_shared(piece) { 0 } else { n };
        let text: String = (0..16).map(|piece| format!("{:04x}", 16 * of(piece) + piece)).collect();
        row.audit.near_hash = Some(text.parse().unwrap());
    }
}

/// So many patients have subcarinal nodes, all from one of six sites with six patients each.
fn region_of_one_site(d: &mut Dataset, patients: usize) {
    region_of_one(d, patients, true);
    d.rows.iter_mut().for_each(|row| row.audit.site = row.model.take());
}

/// A right-sided and a left-sided node of one patient, whose offsets cross by so many mm; their places do not.
fn crossed_by_offsets(d: &mut Dataset, by_mm: f32) {
    d.rows[2].station = Some(Station::S4L);
    d.rows[2].center_mm[0] = 40.0;
    d.rows[0].audit.midline_offset_mm = Some(by_mm / 2.0);
    d.rows[2].audit.midline_offset_mm = Some(-by_mm / 2.0);
}

fn rename(d: &mut Dataset, id: &str) {
    d.rows[8..12].iter_mut().for_each(|row| row.patient_key = PatientKey::from_stored(id.to_owned()));
}

fn same_voxels(d: &mut Dataset, one: usize, other: usize) {
    d.rows[other].voxels_digest = d.rows[one].voxels_digest.clone();
}

fn again(d: &mut Dataset, apart_mm: f64) {
    let mut copy = d.rows[0].clone();
    (copy.sample_key, copy.voxels_digest, copy.instance_key) = ("copy".into(), "copy".into(), None);
    copy.center_mm[1] += apart_mm;
    d.rows.push(copy);
}

fn crossed(d: &mut Dataset, by_mm: f64) {
    d.rows[2].station = Some(Station::S4L);
    d.rows[0].center_mm[0] = d.rows[2].center_mm[0] + by_mm;
}

fn negative(d: &mut Dataset, distance_mm: f32) {
    let row = &mut d.rows[0];
    (row.kind, row.finding_distance_mm) = (RowKind::Negative, Some(distance_mm));
    (row.region, row.region_name, row.station, row.metastasis) = (None, None, None, None);
    row.evidence = Evidence::U;
}

fn by_size(d: &mut Dataset, row: usize, short_axis: f32) {
    (d.rows[row].evidence, d.rows[row].short_axis_mm) = (Evidence::D, Some(short_axis));
}

fn from_size(d: &mut Dataset, rows: usize) {
    for row in &mut d.rows[..rows] {
        row.evidence = Evidence::D;
        row.short_axis_mm = Some(if is_metastatic(row) { 12.0 } else { 8.0 });
    }
}

fn measure(d: &mut Dataset, measure: Measure, value: f32) {
    d.rows[0].grown.set(measure, Some(value));
}

fn in_air(d: &mut Dataset, short_axis_mm: Option<f32>) {
    d.rows[0].short_axis_mm = short_axis_mm;
    measure(d, Measure::Shell3Hu, -200.0);
}

/// A grown region of so many voxels of the series, all of one value.
fn constant(d: &mut Dataset, voxels: f32) {
    let voxel_mm3 = d.rows[0].pixel_spacing_mm.powi(2) * d.rows[0].slice_step_mm;
    measure(d, Measure::Volume, voxels * voxel_mm3);
    measure(d, Measure::DeviationHu, 0.0);
}

/// A node of another status within 3 mm of the first one, in another series of its study and frame of reference.
fn other_series(d: &mut Dataset) {
    d.rows[2].series_key = SeriesKey::from_stored("another".to_owned());
    d.rows[2].center_mm[0] = 2.9;
}

fn is_metastatic(row: &RowLabels) -> bool {
    row.metastasis == Some(Metastasis::Metastatic)
}

fn to_upper(row: &mut RowLabels) {
    (row.region, row.region_name, row.station) = (Some(0), Some("upper".into()), Some(Station::S4R));
}

fn to_subcarinal(row: &mut RowLabels) {
    (row.region, row.region_name, row.station) = (Some(1), Some("subcarinal".into()), Some(Station::S7));
}

/// This many patients of validation lose their subcarinal nodes.
fn fewer_subcarinal(d: &mut Dataset, patients: usize) {
    d.rows.iter_mut().filter(|row| row.split == Split::Validation).take(4 * patients).for_each(to_upper);
}

/// This many patients of validation lose their metastatic nodes.
fn fewer_metastatic(d: &mut Dataset, patients: usize) {
    let of_validation = d.rows.iter_mut().filter(|row| row.split == Split::Validation);
    of_validation.take(4 * patients).for_each(|row| row.metastasis = Some(Metastasis::Benign));
}

/// A row of a study whose other rows have a patient, under pseudonyms of folded ids.
fn nobodys(d: &mut Dataset, id: &str) {
    folded(d, |patient| patient);
    d.rows[0].patient_key = PatientKey::from_stored(id.to_owned());
}

/// Two rows of a patient, a woman, of whom the first says otherwise.
fn sexes(d: &mut Dataset, first: Sex) {
    (d.rows[0].audit.sex, d.rows[1].audit.sex) = (Some(first), Some(Sex::F));
}

fn unknown(d: &mut Dataset, rows: usize, region: bool) {
    for row in d.rows.iter_mut().filter(|row| row.split == Split::Test).take(rows) {
        if region {
            (row.region, row.region_name, row.station) = (None, None, None);
        } else {
            (row.metastasis, row.evidence) = (None, Evidence::U);
        }
    }
}

fn benign_in_subcarinal(d: &mut Dataset, split: Split) {
    let cell = d.rows.iter_mut().filter(|row| row.split == split && row.region == Some(1));
    cell.for_each(|row| row.metastasis = Some(Metastasis::Benign));
}

fn more_of_one_patient(d: &mut Dataset, rows: usize) {
    for n in 0..rows {
        let mut row = d.rows[n % 4].clone();
        (row.sample_key, row.voxels_digest) = (format!("more{n}"), format!("more{n}"));
        row.center_mm[1] += 100.0 * (1 + n / 4) as f64;
        d.rows.push(row);
    }
}

/// The sound dataset several times over, each time with other patients.
fn larger(times: usize) -> Vec<RowLabels> {
    let copy = |n: usize| {
        sound().into_iter().map(move |row| RowLabels {
            sample_key: format!("{} {n}", row.sample_key),
            patient_key: PatientKey::from_stored(format!("{} {n}", row.patient_key.as_str())),
            study_key: StudyKey::from_stored(format!("{} {n}", row.study_key.as_str())),
            series_key: SeriesKey::from_stored(format!("{} {n}", row.series_key.as_str())),
            frame_of_reference_key: None,
            instance_key: None,
            voxels_digest: format!("{} {n}", row.voxels_digest),
            ..row
        })
    };
    (0..times).flat_map(copy).collect()
}

/// One benign node of this many test patients becomes metastatic.
fn more_metastatic(d: &mut Dataset, patients: usize) {
    let test = d.rows.iter_mut().filter(|row| row.split == Split::Test);
    let mut rows: Vec<&mut RowLabels> = test.collect();
    for of_patient in rows.chunks_mut(4).take(patients) {
        let benign = of_patient.iter_mut().find(|row| !is_metastatic(row)).unwrap();
        benign.metastasis = Some(Metastasis::Metastatic);
    }
}

/// One subcarinal node of this many test patients becomes upper.
fn more_upper(d: &mut Dataset, patients: usize) {
    let test = d.rows.iter_mut().filter(|row| row.split == Split::Test);
    let mut rows: Vec<&mut RowLabels> = test.collect();
    rows.chunks_mut(4).take(patients).for_each(|of_patient| to_upper(of_patient[1]));
}

/// `of_six` of six metastatic nodes have a mask, and as many benign ones have none.
fn masks(d: &mut Dataset, of_six: usize) {
    let mut seen = [0, 0];
    for row in &mut d.rows {
        let side = usize::from(is_metastatic(row));
        let is_masked = if side == 1 { seen[1] % 6 < of_six } else { seen[0] % 6 >= of_six };
        seen[side] += 1;
        row.mask = is_masked.then(|| row.grown.clone());
    }
}

/// Sizes of 8 to 14 mm, those of metastatic nodes by so many mm more.
fn sizes(d: &mut Dataset, more_mm: usize) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        let more = if is_metastatic(row) { more_mm as f32 / 2.0 } else { 0.0 };
        row.short_axis_mm = Some(8.0 + (n % 7) as f32 + more);
    }
}

/// All nodes of every other patient are metastatic; of six sick and six healthy patients, so many have the scanner of their kind.
fn sick_by_scanner(d: &mut Dataset, of_six: usize) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        let (patient, is_sick) = (n / 4, n / 4 % 2 == 1);
        row.metastasis = Some(if is_sick { Metastasis::Metastatic } else { Metastasis::Benign });
        let of_its_kind = patient / 2 % 6 < of_six;
        row.manufacturer = Some(if is_sick == of_its_kind { "hospital" } else { "screening" }.to_owned());
    }
}

/// Every other patient has upper nodes only, the others subcarinal ones; of six of each, so many have the kernel of their kind.
fn kernel_by_region(d: &mut Dataset, of_six: usize) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        let (patient, is_upper) = (n / 4, n / 4 % 2 == 1);
        if is_upper {
            to_upper(row);
        } else {
            to_subcarinal(row);
        }
        row.kernel = Some(if is_upper == (patient / 2 % 6 < of_six) { "soft" } else { "sharp" }.to_owned());
    }
}

/// So many patients have subcarinal nodes, all from one of six scanners with six patients each.
fn region_of_one(d: &mut Dataset, patients: usize, by_model: bool) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        let (scanner, of_scanner) = (n / 4 % 6, n / 4 / 6);
        let name = Some(format!("scanner {scanner}"));
        if by_model {
            row.model = name;
        } else {
            row.manufacturer = name;
        }
        // The patients of the first scanner, numbers 0, 6, 12, …, are of training.
        if scanner > 0 || of_scanner >= patients {
            to_upper(row);
        }
    }
}

fn audited(plant: Option<Plant>) -> Audit {
    let folder = tempfile::tempdir().unwrap();
    let mut dataset = Dataset { rows: sound(), published: Published::default() };
    plant.into_iter().for_each(|plant| plant(&mut dataset));
    publish_as(folder.path(), &dataset.rows, &dataset.published);
    audit(folder.path(), &AuditConfig::default()).unwrap()
}

fn errors(audit: &Audit) -> Vec<Code> {
    audit.issues.iter().filter(|issue| issue.severity == Error).map(|issue| issue.code).collect()
}

#[test]
fn each_kind_of_defect_is_found_by_its_check_and_by_no_other_error() {
    let clean = audited(None);
    assert!(clean.issues.iter().all(|issue| issue.severity == Info), "{:?}", clean.issues);
    assert!(DEFECTS.len() >= 35, "{} kinds", DEFECTS.len());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let parts = DEFECTS.chunks(DEFECTS.len().div_ceil(threads));
        let started: Vec<_> = parts
            .map(|part| scope.spawn(|| part.iter().flat_map(|one| wrong(one, &clean)).collect::<Vec<_>>()))
            .collect();
        started.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is not as the table says.
fn wrong(defect: &Defect, clean: &Audit) -> Vec<String> {
    let Defect { what, severity, code, also, plant, below } = defect;
    let has = |audit: &Audit| audit.issues.iter().any(|one| one.code == *code && one.severity == *severity);
    let found = audited(Some(*plant));
    let mut wrong = Vec::new();
    if !has(&found) || has(clean) {
        wrong.push(format!("{what}: {} was not found, but {:?}", code.name(), found.issues));
    }
    for error in errors(&found).iter().filter(|error| *error != code && !also.contains(error)) {
        wrong.push(format!("{what}: also {}", error.name()));
    }
    for expected in also.iter().filter(|expected| !errors(&found).contains(expected)) {
        wrong.push(format!("{what}: {} is said to go with it, and does not", expected.name()));
    }
    let mut issues = found.issues.iter().filter(|issue| issue.code == *code);
    if issues.any(|issue| issue.advice.is_empty() || issue.message.is_empty()) {
        wrong.push(format!("{what}: {} does not say what to do", code.name()));
    }
    if below.is_some_and(|below| has(&audited(Some(below)))) {
        wrong.push(format!("{what}: {} is found below its threshold", code.name()));
    }
    wrong
}
