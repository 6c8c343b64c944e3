//! Rows of a series: where patches are cut, their voxels and their labels.
//!
//! Units: LPS mm; voxels as [`PatchRow`] says. Invariant: rows are a pure function of the volume, its findings, the configuration and the
//! secret.

use mtids_annotations::Finding;
use mtids_dicom::{InstanceHeader, LoadedVolume, Series};
use mtids_domain::geometry::{PointMm, dot};
use mtids_domain::label::{Evidence, LabelLevel};
use mtids_domain::taxonomy::Location;
use mtids_domain::volume::Volume;
use mtids_patch::{PatchGeometry, cut, cut_suv, reach};
use mtids_runtime::random::rng_for;
use mtids_shards::{PatchRow, RowKind, RowLabels, Split};
use rand::RngExt;

use crate::config::CheckedConfig;
use crate::context::BuildContext;
use crate::error::PrepError;
use crate::negatives::sample_negatives;
use crate::partition::PlannedSeries;

/// What was cut from a series.
pub(crate) struct CutRows {
    /// Rows, in the order of the findings, then of the places without finding.
    pub(crate) rows: Vec<PatchRow>,
    /// Findings left out at the border of the scanned field.
    pub(crate) at_border: u64,
    /// Findings left out because their patch touches voxels that nobody measured.
    pub(crate) at_invented: u64,
}

/// The volumes of a series.
pub(crate) struct Loaded<'a> {
    /// The CT, with what was repaired of it.
    pub(crate) ct: &'a LoadedVolume,
    /// The PET over it, in SUV.
    pub(crate) pet: Option<&'a Volume<f32>>,
}

/// A place to cut at, and what is known of it.
struct SampleCenter<'a> {
    center: PointMm,
    sample_key: String,
    weight: f32,
    finding: Option<&'a Finding>,
    finding_distance_mm: Option<f32>,
    /// Number of the sample of its finding; the first lies on it.
    number: u32,
}

/// All places of a series: each finding with its shifted copies, then places without finding.
fn sample_centers<'a>(
    planned: &'a PlannedSeries,
    volume: &Volume,
    context: &BuildContext<'_>,
) -> Vec<SampleCenter<'a>> {
    let config = context.config;
    let name = planned.series.name();
    let samples = config.samples_per_finding;
    let mut list = Vec::new();
    for finding in &planned.findings {
        let place = finding.center.0.map(|x| format!("{x:.4}")).join(",");
        for number in 0..samples {
            let sample_key = context.secret.other("sample", &format!("{name}|{place}|{number}"));
            let center = shift_center(finding.center, number, &sample_key, config);
            let weight = 1.0 / samples as f32;
            let finding = Some(finding);
            list.push(SampleCenter { center, sample_key, weight, finding, finding_distance_mm: None, number });
        }
    }
    let key = context.secret.series(&name);
    let negatives = sample_negatives(volume, &planned.findings, &config.negatives, config.split.seed, key.as_str());
    for (n, negative) in negatives.into_iter().enumerate() {
        list.push(SampleCenter {
            center: negative.center,
            sample_key: context.secret.other("sample", &format!("{name}|negative|{n}")),
            weight: 1.0,
            finding: None,
            finding_distance_mm: Some(negative.distance_mm as f32),
            number: 0,
        });
    }
    list
}

/// Cuts the rows of a series.
///
/// # Errors
/// [`PrepError::Interrupted`] after a signal.
pub(crate) fn cut_rows(
    split: Split,
    planned: &PlannedSeries,
    Loaded { ct, pet }: Loaded<'_>,
    context: &BuildContext<'_>,
) -> Result<CutRows, PrepError> {
    let volume = &ct.volume;
    let series = &planned.series;
    let [column_mm, _, step_mm] = volume.affine().spacing();
    let facts = &series.facts;
    let geometry = &context.config.patch;
    let mut rows = Vec::new();
    let samples = sample_centers(planned, volume, context);
    let touching = touching_invented(&samples, ct, geometry);
    let (mut left_out, mut at_invented) = (0, 0);
    // Whether the finding whose samples are being cut is left out: said by its unshifted patch, for all of them.
    let mut at_border = false;
    for (sample, touches) in samples.into_iter().zip(touching) {
        context.check_interrupt()?;
        let SampleCenter { center, finding, .. } = sample;
        if touches {
            at_invented += u64::from(finding.is_some() && sample.number == 0);
            continue;
        }
        if sample.number > 0 && at_border {
            continue;
        }
        let mut patch = cut(volume, center, geometry);
        if sample.number == 0 {
            at_border = f64::from(patch.pad_fraction) > context.config.max_pad_fraction;
            if at_border {
                left_out += u64::from(finding.is_some());
                continue;
            }
        }
        // A PET that ends before the patch does is none for it: what lies outside would read as no uptake.
        let over = pet.map(|pet| cut_suv(pet, center, geometry)).filter(|over| over.pad_fraction < 0.5);
        let has_pet = over.is_some();
        if context.config.pet {
            match over {
                Some(over) => patch.voxels.extend(over.voxels),
                None => patch.voxels.resize(2 * geometry.len(), 0),
            }
        }
        let place = finding.and_then(|finding| finding.station);
        let region = place.and_then(|place| context.description.regions.code_of(place));
        let labels = RowLabels {
            sample_key: sample.sample_key,
            kind: if finding.is_some() { RowKind::Finding } else { RowKind::Negative },
            patient_key: planned.patient_key.clone(),
            study_key: context.secret.study(&series.study_uid),
            series_key: context.secret.series(&series.name()),
            frame_of_reference_key: series
                .frame_of_reference_uid
                .as_deref()
                .map(|uid| context.secret.frame_of_reference(uid)),
            instance_key: nearest_instance(series, center).map(|uid| context.secret.instance(uid)),
            split,
            center_voxel: volume.affine().to_voxel(center).0,
            center_mm: center.0,
            region,
            region_name: region.and_then(|code| context.description.regions.name_of(code)).map(str::to_owned),
            station: place.and_then(Location::station),
            metastasis: finding.and_then(|finding| finding.metastasis),
            evidence: finding.map_or(Evidence::U, |finding| finding.evidence),
            level: finding.map_or(LabelLevel::Node, |finding| finding.level),
            label_source: finding.map_or("none", |finding| finding.source.name()).to_owned(),
            short_axis_mm: finding.and_then(|finding| finding.short_axis_mm).map(|mm| mm as f32),
            finding_distance_mm: sample.finding_distance_mm,
            study_day: planned.study_day,
            manufacturer: facts.manufacturer.clone(),
            model: facts.model.clone(),
            kernel: facts.kernel.clone(),
            slice_thickness_mm: facts.slice_thickness_mm,
            slice_step_mm: step_mm as f32,
            pixel_spacing_mm: column_mm as f32,
            repaired: ct.repaired,
            kvp: facts.kvp,
            contrast: facts.contrast,
            pet: has_pet,
            pad_fraction: patch.pad_fraction,
            weight: sample.weight,
            voxels_digest: String::new(),
        };
        rows.push(PatchRow::new(labels, patch.voxels));
    }
    Ok(CutRows { rows, at_border: left_out, at_invented })
}

/// For each sample whether it is left out, because its patch, or another of the same finding, touches voxels that nobody measured.
fn touching_invented(samples: &[SampleCenter<'_>], ct: &LoadedVolume, geometry: &PatchGeometry) -> Vec<bool> {
    let volume = &ct.volume;
    let touches = |sample: &SampleCenter<'_>| {
        let read = reach(volume.affine(), sample.center, geometry);
        ct.invented.touches(&read, volume.dimensions())
    };
    // A finding's samples follow its first; a negative has one.
    let of_one = |_: &SampleCenter<'_>, next: &SampleCenter<'_>| next.number > 0;
    let groups = samples.chunk_by(of_one);
    groups.flat_map(|group| std::iter::repeat_n(group.iter().any(touches), group.len())).collect()
}

/// The SOP instance whose slice lies nearest to a point.
fn nearest_instance(series: &Series, point: PointMm) -> Option<&str> {
    let away = |slice: &InstanceHeader| (dot(slice.normal(), point.0) - slice.along_normal()).abs();
    let nearest = series.instances.iter().min_by(|a, b| away(a).total_cmp(&away(b)))?;
    Some(&nearest.sop_instance_uid)
}

/// Sample 0 lies on the finding; the others are shifted by a keyed draw.
fn shift_center(center: PointMm, sample: u32, sample_key: &str, config: &CheckedConfig) -> PointMm {
    if sample == 0 || config.jitter_mm == 0.0 {
        return center;
    }
    let mut random = rng_for(config.split.seed, &format!("jitter {sample_key}"), &[]);
    PointMm(center.0.map(|x| x + random.random_range(-config.jitter_mm..=config.jitter_mm)))
}
