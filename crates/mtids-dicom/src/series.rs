//! Headers become series: slices that can form one volume.
//!
//! Invariants: grouping never looks at file names or order; the result is the same for any order of the input. Slices of one
//! series UID that differ in orientation, size, spacing, kernel or frame of reference are different series here. Identical copies are dropped and listed; two
//! different instances under one UID refuse the whole series.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mtids_runtime::digest::Digest;

use crate::error::ReasonCode;
use crate::image_header::{AcquisitionFacts, InstanceHeader};
use crate::outcome::{FileOutcome, Refused};
use crate::scout;

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
    /// Frame of Reference UID.
    pub frame_of_reference_uid: Option<Arc<str>>,
    /// StudyDate in days since 1970-01-01, of the first slice.
    pub study_day: Option<i32>,
    /// Modality.
    pub modality: Arc<str>,
    /// Slices in the order of their position along the normal.
    pub instances: Vec<InstanceHeader>,
    /// Facts of the first slice.
    pub facts: Arc<AcquisitionFacts>,
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
    let mut rest = headers.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut instances = vec![first];
        while let Some(next) = rest.next_if(|next| series(next) == series(&instances[0])) {
            instances.push(next);
        }
        match without_copies(instances) {
            Ok((unique, copies)) => {
                outcome.duplicates.extend(copies);
                match split(unique) {
                    Ok(series) => keep_files_whole(series, &mut outcome),
                    Err(refused) => outcome.refused.extend(refused),
                }
            }
            Err(conflicting) => outcome.refused.extend(conflicting),
        }
    }
    outcome
}

/// Refuses files whose frames ended in several series: a file is used or left as a whole, so that every file is accounted for once.
fn keep_files_whole(series: Vec<Series>, outcome: &mut GroupingOutcome) {
    let mut parts: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for path in series.iter().flat_map(Series::files) {
        *parts.entry(path.to_owned()).or_default() += 1;
    }
    let is_whole = |instance: &InstanceHeader| parts.get(&instance.path) == Some(&1);
    let (mut refused, mut scouts): (Vec<InstanceHeader>, usize) = (Vec::new(), 0);
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
    let detail = "the frames of this file belong to several volumes; split it into single-frame images";
    outcome.refused.extend(refuse_all(refused, ReasonCode::MixedGeometry, detail));
}

/// Refuses the files of these slices, each once.
fn refuse_all(instances: Vec<InstanceHeader>, reason: ReasonCode, detail: &str) -> Vec<Refused> {
    let mut refused: BTreeMap<PathBuf, Refused> = BTreeMap::new();
    for header in instances {
        let (series_uid, patient_id) =
            (Some(header.series_uid.as_ref().to_owned()), Some(header.patient_id.as_ref().to_owned()));
        let one = Refused { path: header.path.clone(), series_uid, patient_id, reason, detail: detail.to_owned() };
        refused.insert(header.path, one);
    }
    refused.into_values().collect()
}

/// Drops identical copies; two different files under one SOP UID refuse all. The instances are sorted by SOP UID, frame and path.
fn without_copies(instances: Vec<InstanceHeader>) -> Result<(Vec<InstanceHeader>, BTreeSet<PathBuf>), Vec<Refused>> {
    let mut copies = BTreeSet::new();
    let mut is_copy = vec![false; instances.len()];
    let mut kept = 0;
    for n in 1..instances.len() {
        let (last, header) = (&instances[kept], &instances[n]);
        if (&last.sop_instance_uid, last.frame) != (&header.sop_instance_uid, header.frame) {
            kept = n;
            continue;
        }
        // All frames of a file share its fate; an unreadable file gives no digest and counts as different.
        let same = copies.contains(&header.path)
            || matches!((Digest::of_file(&last.path), Digest::of_file(&header.path)), (Ok(a), Ok(b)) if a == b);
        if !same {
            let detail =
                format!("two different files claim SOP instance {}; remove the wrong one", header.sop_instance_uid);
            return Err(refuse_all(instances, ReasonCode::ConflictingInstances, &detail));
        }
        copies.insert(header.path.clone());
        is_copy[n] = true;
    }
    let mut flags = is_copy.into_iter();
    // One flag for each instance, in their order.
    let unique = instances.into_iter().filter(|_| flags.next() == Some(false)).collect();
    Ok((unique, copies))
}

/// Largest difference of a direction cosine, and of a pixel step in mm, between slices of one volume. A hundredth of a degree is far above
/// the noise of writing and far below a different plane.
const PLANE_TOLERANCE: f64 = 2e-4;

/// Most volumes that are told apart under one series UID.
const MAX_PARTS: usize = 256;

/// True when two slices can stand in one volume.
fn same_plane(a: &InstanceHeader, b: &InstanceHeader) -> bool {
    let near = |a: &f64, b: &f64| (a - b).abs() <= PLANE_TOLERANCE;
    a.rows == b.rows
        && a.columns == b.columns
        && a.facts.kernel == b.facts.kernel
        && a.frame_of_reference_uid == b.frame_of_reference_uid
        && a.orientation.iter().flatten().zip(b.orientation.iter().flatten()).all(|(a, b)| near(a, b))
        && a.pixel_spacing.iter().zip(&b.pixel_spacing).all(|(a, b)| near(a, b))
}

/// Splits the instances of one series UID, sorted by SOP UID, by what cannot share a volume.
fn split(instances: Vec<InstanceHeader>) -> Result<Vec<Series>, Vec<Refused>> {
    // Compared with the first of each part, not by rounded keys: noise around a rounding border must not split a series.
    let mut parts: Vec<Vec<InstanceHeader>> = Vec::new();
    let mut headers = instances.into_iter();
    while let Some(header) = headers.next() {
        match parts.iter_mut().find(|part| part.first().is_some_and(|first| same_plane(first, &header))) {
            Some(part) => part.push(header),
            None => parts.push(vec![header]),
        }
        if parts.len() > MAX_PARTS {
            let detail = format!("one series UID holds more than {MAX_PARTS} volumes");
            let all = parts.into_iter().flatten().chain(headers).collect();
            return Err(refuse_all(all, ReasonCode::MixedGeometry, &detail));
        }
    }
    let mut series = Vec::new();
    for part in parts {
        for mut instances in split_acquisitions(part) {
            instances.sort_by(|a, b| {
                a.along_normal()
                    .total_cmp(&b.along_normal())
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
                frame_of_reference_uid: first.frame_of_reference_uid.clone(),
                study_day: first.study_day,
                modality: first.modality.clone(),
                facts: first.facts.clone(),
                instances,
            });
        }
    }
    Ok(series)
}

/// Where positions repeat, the acquisition number tells the volumes apart, if it does.
fn split_acquisitions(part: Vec<InstanceHeader>) -> Vec<Vec<InstanceHeader>> {
    let position = |header: &InstanceHeader| (header.along_normal() * 1e3).round() as i64;
    let distinct = |part: &[InstanceHeader]| part.iter().map(position).collect::<BTreeSet<_>>().len();
    if distinct(&part) == part.len() {
        return vec![part];
    }
    let mut by_acquisition: BTreeMap<Option<u32>, Vec<InstanceHeader>> = BTreeMap::new();
    for header in &part {
        by_acquisition.entry(header.acquisition_number).or_default().push(header.clone());
    }
    if by_acquisition.len() > 1 && by_acquisition.values().all(|part| distinct(part) == part.len()) {
        return by_acquisition.into_values().collect();
    }
    vec![part]
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
        assert_eq!(group(frames).series.len(), 2);
        let mut phases: Vec<_> = (0..40).map(|n| slice(n, "B30")).collect();
        for (n, header) in phases.iter_mut().enumerate() {
            Arc::make_mut(&mut header.shared).acquisition_number = Some(n as u32 / 20);
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

    proptest! {
        #[test]
        fn the_order_of_files_does_not_matter(order in Just((0..40u32).collect::<Vec<_>>()).prop_shuffle()) {
            let kernel = |n: u32| if n < 20 { "B30" } else { "B70" };
            let expected = group((0..40).map(|n| slice(n, kernel(n))).collect());
            let shuffled = group(order.into_iter().map(|n| slice(n, kernel(n))).collect());
            prop_assert_eq!(shuffled, expected);
        }
    }
}
