//! Rows of a series: where views are cut, their voxels, their labels and measures.
//!
//! Units: LPS mm; voxels as [`PatchRow`] says. Invariant: rows are a pure function of the volume, its findings, the configuration and the
//! secret.

use mtids_annotations::Finding;
use mtids_dicom::{InstanceHeader, LoadedVolume, Series};
use mtids_domain::geometry::{PointMm, dot};
use mtids_domain::label::{Evidence, LabelLevel};
use mtids_domain::taxonomy::Location;
use mtids_domain::volume::Volume;
use mtids_patch::{Channel, Measure, Midline, Patch, View, cut, cut_suv, mark_center, mark_mask, reach};
use mtids_report::format::counted;
use mtids_runtime::random::rng_for;
use mtids_shards::{AuditFacts, PatchRow, RowKind, RowLabels, Split};
use rand::RngExt;

use crate::config::CheckedConfig;
use crate::context::Cutting;
use crate::error::PrepError;
use crate::measure::Measurer;
use crate::negatives::sample_negatives;
use crate::origin::{facts_of, hash_of};
use crate::partition::PlannedSeries;

/// The mean within 3 mm is limited to -200 HU from below, so a mean below this has hardly a voxel of tissue.
const AIR_HU: f32 = -190.0;

/// What was cut from a series.
pub(crate) struct CutRows {
    /// Rows, in the order of the findings, then of the places without finding.
    pub(crate) rows: Vec<PatchRow>,
    /// Numbers of the findings left out at the border of the scanned field.
    pub(crate) at_border: Vec<usize>,
    /// Numbers of the findings left out because a view of theirs touches voxels that nobody measured.
    pub(crate) at_invented: Vec<usize>,
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
    /// Number of the finding in its series; of no meaning for a negative.
    finding_number: usize,
    finding_distance_mm: Option<f32>,
    /// Number of the sample of its finding; the first lies on it.
    number: u32,
}

impl SampleCenter<'_> {
    /// The place of the node itself: that of the finding, also where the sample is shifted; of a negative its own.
    fn node(&self) -> PointMm {
        self.finding.map_or(self.center, |finding| finding.center)
    }
}

/// All places of a series: each finding with its shifted copies, then places without finding.
fn sample_centers<'a>(planned: &'a PlannedSeries, volume: &Volume, context: Cutting<'_>) -> Vec<SampleCenter<'a>> {
    let config = context.config;
    let name = planned.series.name();
    let samples = config.samples_per_finding;
    let mut list = Vec::new();
    for (finding_number, finding) in planned.findings.iter().enumerate() {
        for number in 0..samples {
            let sample_key = planned.sample_key(finding, number, context.secret);
            let center = shift_center(finding.center, number, &sample_key, config);
            let weight = 1.0 / samples as f32;
            let finding = Some(finding);
            let finding_distance_mm = None;
            list.push(SampleCenter {
                center,
                sample_key,
                weight,
                finding,
                finding_number,
                finding_distance_mm,
                number,
            });
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
            finding_number: 0,
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
    context: Cutting<'_>,
) -> Result<CutRows, PrepError> {
    let volume = &ct.volume;
    let series = &planned.series;
    let [column_mm, _, step_mm] = volume.affine().spacing();
    let facts = &series.facts;
    let views = context.config.views();
    let measurer = Measurer::new(volume, pet);
    let mut midline = Midline::new(volume);
    let known = facts_of(planned, &context.config.site, context.secret);
    let mut rows = Vec::new();
    let samples = sample_centers(planned, volume, context);
    let touching = touching_invented(&samples, ct, views);
    let (mut left_out, mut at_invented) = (Vec::new(), Vec::new());
    // Whether the finding whose samples are being cut is left out: said by its unshifted views, for all of them.
    let mut at_border = false;
    // Those of the node: what is measured at its first sample holds for the shifted ones.
    let mut measures = Default::default();
    for (sample, touches) in samples.into_iter().zip(touching) {
        context.check_interrupt()?;
        let SampleCenter { center, finding, .. } = sample;
        if touches {
            at_invented.extend((finding.is_some() && sample.number == 0).then_some(sample.finding_number));
            continue;
        }
        if sample.number > 0 && at_border {
            continue;
        }
        let cut = cut_views(volume, pet, &sample, views);
        if sample.number == 0 {
            at_border = f64::from(cut.pad_fraction) > context.config.max_pad_fraction;
            if at_border {
                left_out.extend(finding.is_some().then_some(sample.finding_number));
                continue;
            }
            measures = measurer.of(center, finding);
        }
        let (grown, mask) = measures.clone();
        // Of the node: a shifted sample says on which side that is.
        let midline_offset_mm = midline.offset_mm(sample.node()).map(|mm| mm as f32);
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
            instance_key: nearest_slice(series, center)
                .map(|(_, slice)| context.secret.instance(&slice.sop_instance_uid)),
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
            pet: cut.has_pet,
            pad_fraction: cut.pad_fraction,
            weight: sample.weight,
            voxels_digest: String::new(),
            audit: AuditFacts { midline_offset_mm, near_hash: hash_of(views, &cut.views), ..known.clone() },
            grown,
            mask,
        };
        rows.push(PatchRow::new(labels, cut.views));
    }
    if let Some(sentence) = places_in_air(&rows) {
        tracing::warn!(series = &*series.series_uid, "{sentence}");
    }
    Ok(CutRows { rows, at_border: left_out, at_invented })
}

/// A sentence about the findings of a series that have no tissue within 3 mm, if there are any.
fn places_in_air(rows: &[PatchRow]) -> Option<String> {
    let is_in_air = |labels: &RowLabels| {
        labels.kind == RowKind::Finding && labels.grown.get(Measure::Shell3Hu).is_some_and(|hu| hu < AIR_HU)
    };
    let count = rows.iter().filter(|row| is_in_air(&row.labels)).count() as u64;
    let first = rows.iter().map(|row| &row.labels).find(|labels| is_in_air(labels))?;
    let [x, y, z] = first.center_mm.map(|mm| format!("{mm:.1}"));
    let which = if count == 1 { "at" } else { "the first at" };
    Some(format!(
        "{} in air or lung ({which} {x}, {y}, {z} mm): is it the place of another image, mirrored, or a voxel index?",
        counted(count, "row lies", "rows lie")
    ))
}

/// All views of a place.
struct CutViews {
    /// Voxels of each view, `[C, D, H, W]`.
    views: Vec<Vec<i16>>,
    /// Largest share of a view outside the scanned field.
    pad_fraction: f32,
    /// A PET covers the views.
    has_pet: bool,
}

/// Cuts every view at the centre of a sample. A PET that ends before a view does is none for the row: what lies outside would read as no
/// uptake. It has to cover at least half of each view with a PET channel; where no view has one, of the first.
fn cut_views(volume: &Volume, pet: Option<&Volume<f32>>, sample: &SampleCenter<'_>, views: &[View]) -> CutViews {
    let center = sample.center;
    let has_channel = |view: &View| view.channels.contains(&Channel::Pet);
    let none_has = !views.iter().any(has_channel);
    // The SUV over each view that is asked for one.
    let over: Vec<Option<Patch>> = views
        .iter()
        .enumerate()
        .map(|(n, view)| {
            let is_asked = has_channel(view) || (none_has && n == 0);
            pet.filter(|_| is_asked).map(|pet| cut_suv(pet, center, &view.geometry))
        })
        .collect();
    let has_pet = pet.is_some() && over.iter().flatten().all(|over| over.pad_fraction < 0.5);
    let mut pad_fraction = 0.0_f32;
    let voxels_of = |(view, over): (&View, Option<Patch>)| {
        let mut voxels = Vec::with_capacity(view.voxels());
        let mut over = over.filter(|_| has_pet);
        for channel in &view.channels {
            match channel {
                Channel::Ct => {
                    let patch = cut(volume, center, &view.geometry);
                    pad_fraction = pad_fraction.max(patch.pad_fraction);
                    voxels.extend(patch.voxels);
                }
                Channel::Pet => match over.take() {
                    Some(over) => voxels.extend(over.voxels),
                    None => voxels.resize(voxels.len() + view.geometry.len(), 0),
                },
                Channel::Center => voxels.extend(mark_center(sample.node(), center, &view.geometry)),
                Channel::Mask => {
                    let mask = sample.finding.and_then(|finding| finding.mask.as_deref());
                    voxels.extend(mark_mask(mask, center, &view.geometry));
                }
            }
        }
        voxels
    };
    let views = views.iter().zip(over).map(voxels_of).collect();
    CutViews { views, pad_fraction, has_pet }
}

/// For each sample whether it is left out, because a view of it, or of another of the same finding, touches voxels that nobody measured.
fn touching_invented(samples: &[SampleCenter<'_>], ct: &LoadedVolume, views: &[View]) -> Vec<bool> {
    let volume = &ct.volume;
    let touches = |sample: &SampleCenter<'_>| {
        let reads = views.iter().map(|view| reach(volume.affine(), sample.center, &view.geometry));
        reads.into_iter().any(|read| ct.invented.touches(&read, volume.dimensions()))
    };
    // A finding's samples follow its first; a negative has one.
    let of_one = |_: &SampleCenter<'_>, next: &SampleCenter<'_>| next.number > 0;
    let groups = samples.chunk_by(of_one);
    groups.flat_map(|group| std::iter::repeat_n(group.iter().any(touches), group.len())).collect()
}

/// The slice that lies nearest to a point, with its number in the series from 0.
pub(crate) fn nearest_slice(series: &Series, point: PointMm) -> Option<(usize, &InstanceHeader)> {
    let away = |slice: &InstanceHeader| (dot(slice.normal(), point.0) - slice.along_normal()).abs();
    series.instances.iter().enumerate().min_by(|(_, a), (_, b)| away(a).total_cmp(&away(b)))
}

/// Sample 0 lies on the finding; the others are shifted by a keyed draw.
fn shift_center(center: PointMm, sample: u32, sample_key: &str, config: &CheckedConfig) -> PointMm {
    if sample == 0 || config.jitter_mm == 0.0 {
        return center;
    }
    let mut random = rng_for(config.split.seed, &format!("jitter {sample_key}"), &[]);
    PointMm(center.0.map(|x| x + random.random_range(-config.jitter_mm..=config.jitter_mm)))
}
