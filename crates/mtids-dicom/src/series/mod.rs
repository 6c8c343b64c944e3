//! Headers become series: slices that can form one volume.
//!
//! Invariants: grouping never looks at file names or order; the result is the same for any order of the input. Slices of one series UID that
//! differ in plane, kernel, frame of reference or acquisition are different series here; what is missing contradicts nothing. Identical
//! copies are dropped and listed; different instances under one UID refuse the whole series, unless position alone tells them apart.

mod acquisitions;
mod copies;
mod interleaved;
mod parts;
pub(crate) mod planes;
pub(crate) mod refusal;
mod signs;
mod uid_per_file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mtids_domain::geometry::dot;

use crate::error::ReasonCode;
use crate::image_header::{AcquisitionFacts, InstanceHeader};
use crate::outcome::{FileOutcome, Refused};
use crate::scout;
use crate::series::acquisitions::Acquisitions;
use crate::series::parts::{MAX_PARTS, Part};
use crate::series::refusal::refuse_all;

pub(crate) use acquisitions::describe as describe_acquisitions;

/// Slices of one volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// PatientID.
    pub patient_id: Arc<str>,
    /// Study Instance UID.
    pub study_uid: Arc<str>,
    /// Series Instance UID.
    pub series_uid: Arc<str>,
    /// Number of this part where one series UID holds several volumes, from 0.
    pub part: usize,
    /// Frame of Reference UID; `None` also where it differs in every slice.
    pub frame_of_reference_uid: Option<Arc<str>>,
    /// StudyDate in days since 1970-01-01, of the first slice.
    pub study_day: Option<i32>,
    /// Modality.
    pub modality: Arc<str>,
    /// Slices in the order of their position along the normal.
    pub instances: Vec<InstanceHeader>,
    /// Facts of the first slice; its kernel is that of the first slice which names one.
    pub facts: Arc<AcquisitionFacts>,
    /// What an operator may want to know; nothing here makes the series unusable.
    pub warnings: Vec<String>,
    /// How the slices under this series UID were divided, where they were: a sentence for refusals.
    pub division: Option<Arc<str>>,
}

impl Series {
    /// A name that is unique in a study: the UID, with the part where there are several.
    pub fn name(&self) -> String {
        match self.part {
            0 => self.series_uid.as_ref().to_owned(),
            part => format!("{}#{part}", self.series_uid),
        }
    }

    /// Its files, each once: fewer than slices where a file holds several frames.
    pub fn files(&self) -> Vec<&Path> {
        let files: BTreeSet<&Path> = self.instances.iter().map(|instance| instance.path.as_path()).collect();
        files.into_iter().collect()
    }

    /// The slice whose plane is that of the series: where slices write one plane with different digits, the one with most.
    pub(crate) fn plane(&self) -> Option<&InstanceHeader> {
        planes::finest(&self.instances)
    }
}

/// What became of a set of headers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupingOutcome {
    /// Series, sorted by patient, study, series and part.
    pub series: Vec<Series>,
    /// Files that were refused while grouping.
    pub refused: Vec<Refused>,
    /// Identical copies that were dropped.
    pub duplicates: Vec<PathBuf>,
    /// Scouts, which are skipped.
    pub scouts: Vec<FileOutcome>,
}

/// Gathers headers into series.
pub fn group(mut headers: Vec<InstanceHeader>) -> GroupingOutcome {
    fn series(header: &InstanceHeader) -> (&str, &str, &str) {
        (&header.patient_id, &header.study_uid, &header.series_uid)
    }
    headers.sort_by(|a, b| {
        series(a)
            .cmp(&series(b))
            .then_with(|| a.sop_instance_uid.cmp(&b.sop_instance_uid))
            .then_with(|| (a.frame, &a.path).cmp(&(b.frame, &b.path)))
    });
    let mut outcome = GroupingOutcome::default();
    let mut single = Vec::new();
    let mut rest = headers.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut instances = vec![first];
        while let Some(next) = rest.next_if(|next| series(next) == series(&instances[0])) {
            instances.push(next);
        }
        if instances.len() == 1 {
            single.append(&mut instances);
        } else {
            gather(instances, &mut outcome);
        }
    }
    let (alone, refused) = uid_per_file::refuse(single);
    outcome.refused.extend(refused);
    if !alone.is_empty() {
        alone.into_iter().for_each(|slice| gather(vec![slice], &mut outcome));
        let key = |one: &Series| (one.patient_id.clone(), one.study_uid.clone(), one.series_uid.clone(), one.part);
        outcome.series.sort_by_cached_key(key);
    }
    outcome
}

/// The series under one UID, from its slices sorted by SOP UID, frame and path.
fn gather(instances: Vec<InstanceHeader>, outcome: &mut GroupingOutcome) {
    let unique = match copies::without_copies(instances) {
        Ok(unique) => unique,
        Err(conflicting) => return outcome.refused.extend(conflicting),
    };
    outcome.duplicates.extend(unique.copies);
    let Divided { mut series, mixed, why } = match split(unique.instances) {
        Ok(divided) => divided,
        Err(refused) => return outcome.refused.extend(refused),
    };
    if !mixed.is_empty() {
        // A file is refused as a whole.
        let files: BTreeSet<PathBuf> = mixed.iter().map(|instance| instance.path.clone()).collect();
        let with_them = series.iter_mut().flat_map(|one| {
            one.instances.extract_if(.., |instance| files.contains(&instance.path)).collect::<Vec<_>>()
        });
        let all = mixed.into_iter().chain(with_them).collect();
        outcome.refused.extend(refuse_all(all, ReasonCode::MixedAcquisitions, &why));
        series.retain(|one| !one.instances.is_empty());
    }
    series.iter_mut().for_each(|one| one.warnings.extend(unique.warning.clone()));
    keep_files_whole(series, outcome);
}

/// The slices of one series UID, divided.
struct Divided {
    series: Vec<Series>,
    /// Slices of acquisitions that cannot be told apart, and why.
    mixed: Vec<InstanceHeader>,
    why: String,
}

/// Refuses files whose frames ended in several series: a file is used or left as a whole, so that every file is accounted for once.
fn keep_files_whole(series: Vec<Series>, outcome: &mut GroupingOutcome) {
    let mut parts: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for path in series.iter().flat_map(Series::files) {
        *parts.entry(path.to_owned()).or_default() += 1;
    }
    let is_whole = |instance: &InstanceHeader| parts.get(&instance.path) == Some(&1);
    let (mut refused, mut scouts): (Vec<InstanceHeader>, usize) = (Vec::new(), 0);
    let division = series.first().and_then(|one| one.division.clone());
    for mut one in series {
        refused.extend(one.instances.extract_if(.., |instance| !is_whole(instance)));
        if let Some(detail) = scout::sentence(&one.modality, &one.instances) {
            outcome.scouts.extend(scout::skip(one.files(), &detail));
            scouts += 1;
        } else if !one.instances.is_empty() {
            // A scout is no part: the volume beside it bears the plain name of the series.
            one.part -= scouts;
            outcome.series.push(one);
        }
    }
    // All parts together, so that each file is refused once.
    let detail = format!(
        "the frames of this file belong to several volumes ({}); split it into single-frame images",
        division.as_deref().unwrap_or_default()
    );
    outcome.refused.extend(refuse_all(refused, ReasonCode::MixedGeometry, &detail));
}

/// Splits the instances of one series UID, sorted by SOP UID, by what cannot share a volume.
fn split(instances: Vec<InstanceHeader>) -> Result<Divided, Vec<Refused>> {
    let parts = parts::divide(instances)
        .map_err(|undivided| refuse_all(undivided.instances, ReasonCode::MixedGeometry, &undivided.detail))?;
    let mut volumes: Vec<Part> = Vec::new();
    let (mut mixed, mut why): (Vec<InstanceHeader>, String) = Default::default();
    for Part { instances, frame_of_reference_uid, warnings } in parts {
        match acquisitions::divide(instances) {
            Ok(Acquisitions { parts, warning }) => volumes.extend(parts.into_iter().map(|instances| Part {
                instances,
                frame_of_reference_uid: frame_of_reference_uid.clone(),
                warnings: warnings.iter().chain(&warning).cloned().collect(),
            })),
            // Another part of the series is not touched by it. The sentence is that of the first.
            Err((instances, detail)) => {
                mixed.extend(instances);
                if why.is_empty() {
                    why = detail;
                }
            }
        }
    }
    if volumes.len() > MAX_PARTS {
        let detail = format!("one series UID holds more than {MAX_PARTS} volumes; export each as a series of its own");
        let all = volumes.into_iter().flat_map(|part| part.instances).chain(mixed).collect();
        return Err(refuse_all(all, ReasonCode::MixedGeometry, &detail));
    }
    let division: Option<Arc<str>> = (volumes.len() > 1).then(|| divided(&volumes).into());
    let mut series: Vec<Series> = Vec::new();
    for Part { mut instances, frame_of_reference_uid, warnings } in volumes {
        let normal = planes::finest(&instances).map(InstanceHeader::normal).unwrap_or_default();
        instances.sort_by(|a, b| {
            dot(normal, a.position.0)
                .total_cmp(&dot(normal, b.position.0))
                .then_with(|| (&a.sop_instance_uid, a.frame).cmp(&(&b.sop_instance_uid, b.frame)))
        });
        // They stay until their volume is cut: room for more would stay with them.
        instances.shrink_to_fit();
        let Some(first) = instances.first() else { continue };
        series.push(Series {
            patient_id: first.patient_id.clone(),
            study_uid: first.study_uid.clone(),
            series_uid: first.series_uid.clone(),
            part: series.len(),
            frame_of_reference_uid,
            study_day: first.study_day,
            modality: first.modality.clone(),
            facts: with_kernel(&instances),
            warnings,
            division: division.clone(),
            instances,
        });
    }
    Ok(Divided { series, mixed, why })
}

/// The facts of the first slice, with the kernel of the first one that names it.
fn with_kernel(instances: &[InstanceHeader]) -> Arc<AcquisitionFacts> {
    let facts = instances.first().map(|first| first.facts.clone()).unwrap_or_default();
    let kernel = || instances.iter().find_map(|instance| instance.facts.kernel.clone());
    match facts.kernel {
        Some(_) => facts,
        None => match kernel() {
            None => facts,
            kernel => Arc::new(AcquisitionFacts { kernel, ..facts.as_ref().clone() }),
        },
    }
}

/// How the slices of one series UID were divided: `the slices under this SeriesInstanceUID form 2 volumes: 20 slices of 512 × 512, kernel
/// B30, acquisition 1; …`.
fn divided(volumes: &[Part]) -> String {
    const SHOWN: usize = 6;
    let mut listed: Vec<String> = volumes
        .iter()
        .take(SHOWN)
        .filter_map(|part| {
            let first = planes::finest(&part.instances)?;
            let [row_step, column_step] = first.pixel_spacing;
            let kernel = with_kernel(&part.instances).kernel.clone().unwrap_or_else(|| "not named".into());
            let number = first.acquired.number.map_or_else(|| "not named".to_owned(), |number| number.to_string());
            Some(format!(
                "{} slices of {} × {} pixels of {row_step} × {column_step} mm, kernel {kernel}, acquisition {number}",
                part.instances.len(),
                first.columns,
                first.rows
            ))
        })
        .collect();
    if volumes.len() > SHOWN {
        listed.push(format!("and {} others", volumes.len() - SHOWN));
    }
    format!("the slices under this SeriesInstanceUID form {} volumes: {}", volumes.len(), listed.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::geometry::PointMm;
    use proptest::prelude::*;

    fn slice(n: u32, kernel: &str) -> InstanceHeader {
        InstanceHeader {
            path: format!("{n}.dcm").into(),
            sop_instance_uid: format!("1.{n}"),
            position: PointMm::new(0.0, 0.0, f64::from(n % 20) * 2.5),
            ..InstanceHeader::for_tests()
        }
        .with(|facts| {
            facts.facts = Arc::new(AcquisitionFacts { kernel: Some(kernel.into()), ..AcquisitionFacts::default() });
        })
    }

    #[test]
    fn writing_noise_does_not_split_a_series() {
        let headers: Vec<_> = (0..20)
            .map(|n| {
                // Both sides of a border of rounding to four digits.
                let noise = if n % 2 == 0 { 1e-7 } else { -1e-7 };
                slice(n, "B30").with(|facts| facts.orientation[0][1] = 0.000_05 + noise)
            })
            .collect();
        assert_eq!(group(headers).series.len(), 1);
    }

    #[test]
    fn kernel_frame_and_acquisition_split_a_series() {
        let two_kernels = (0..20).map(|n| slice(n, "B30")).chain((20..40).map(|n| slice(n, "B70"))).collect();
        assert_eq!(group(two_kernels).series.iter().map(|s| s.instances.len()).collect::<Vec<_>>(), [20, 20]);
        let mut frames: Vec<_> = (0..20).map(|n| slice(n, "B30")).collect();
        Arc::make_mut(&mut frames[3].shared).frame_of_reference_uid = None;
        assert_eq!(group(frames.clone()).series.len(), 1, "what is missing contradicts nothing");
        Arc::make_mut(&mut frames[3].shared).frame_of_reference_uid = Some("1.5".into());
        assert_eq!(group(frames).series.len(), 2);
        let mut phases: Vec<_> = (0..40).map(|n| slice(n, "B30")).collect();
        for (n, header) in phases.iter_mut().enumerate() {
            header.acquired.number = Some(n as u32 / 20);
        }
        let outcome = group(phases);
        assert_eq!(outcome.series.iter().map(|s| s.part).collect::<Vec<_>>(), [0, 1]);
        assert_ne!(outcome.series[0].name(), outcome.series[1].name());
    }

    #[test]
    fn a_file_whose_frames_belong_to_two_volumes_is_refused_once() {
        let mut frames: Vec<_> = (0..20).map(|n| slice(n, if n < 10 { "B30" } else { "B70" })).collect();
        for (n, header) in (0..).zip(&mut frames) {
            (header.path, header.sop_instance_uid, header.frame) = ("many.dcm".into(), "1.9".into(), n);
        }
        let outcome = group(frames.clone());
        assert!(outcome.series.is_empty());
        assert_eq!(outcome.refused.iter().map(|one| one.reason).collect::<Vec<_>>(), [ReasonCode::MixedGeometry]);
        // Two such files: each is refused once.
        let mut two = frames.clone();
        two.extend(frames.iter().cloned().map(|mut header| {
            (header.path, header.sop_instance_uid) = ("more.dcm".into(), "1.10".into());
            header.position.0[2] += 100.0;
            header
        }));
        let refused = group(two).refused;
        assert_eq!(refused.iter().map(|one| one.path.to_str().unwrap()).collect::<Vec<_>>(), ["many.dcm", "more.dcm"]);
        frames.truncate(10);
        let outcome = group(frames);
        assert_eq!((outcome.series.len(), outcome.series[0].files().len()), (1, 1));
    }

    /// Two scans that interleave, one of which has a slice without kernel; and a series UID for each of four files.
    fn mixed(n: u32) -> InstanceHeader {
        let (scan, k) = (n % 2, n / 2);
        let mut header = slice(n, if n == 7 { "" } else { "B30" });
        header.sop_instance_uid = format!("1.{n:02}");
        header.position.0[2] = 2.5 * f64::from(k) + 1.1 * f64::from(scan);
        header.acquired.number = Some(scan);
        header.with(|facts| {
            if n == 7 {
                facts.facts = Arc::default();
            }
            if n >= 36 {
                facts.series_uid = format!("1.2.{n}").into();
            }
        })
    }

    #[test]
    fn interleaved_scans_are_two_series_that_know_of_each_other() {
        let outcome = group((0..36).map(mixed).collect());
        assert_eq!(outcome.series.iter().map(|one| one.instances.len()).collect::<Vec<_>>(), [18, 18]);
        let division = outcome.series[0].division.as_deref().unwrap();
        assert!(division.contains("form 2 volumes: 18 slices of 4 × 4 pixels"), "{division}");
        assert!(outcome.series[1].warnings[0].contains("ConvolutionKernel is missing in 1 of 36 slices"));
        assert!(outcome.series.iter().all(|one| one.facts.kernel.as_deref() == Some("B30")));
    }

    proptest! {
        #[test]
        fn the_order_of_mixed_files_does_not_matter(order in Just((0..40u32).collect::<Vec<_>>()).prop_shuffle()) {
            let expected = group((0..40).map(mixed).collect());
            prop_assert_eq!(group(order.into_iter().map(mixed).collect()), expected);
        }

        #[test]
        fn the_order_of_files_does_not_matter(order in Just((0..40u32).collect::<Vec<_>>()).prop_shuffle()) {
            let kernel = |n: u32| if n < 20 { "B30" } else { "B70" };
            let expected = group((0..40).map(|n| slice(n, kernel(n))).collect());
            let shuffled = group(order.into_iter().map(|n| slice(n, kernel(n))).collect());
            prop_assert_eq!(shuffled, expected);
        }
    }
}
