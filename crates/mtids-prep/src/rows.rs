//! One unit becomes one shard: volumes are decoded one at a time, patches cut, rows sorted and written, a receipt left.
//!
//! Invariants: the receipt is written after its shard, so a receipt whose shard is intact stands for finished work; memory holds
//! one CT with its PET and the rows of one shard per worker, and all workers together no more voxels than the budget.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mtids_annotations::Finding;
use mtids_dicom::{DicomError, Series, load_pet, load_volume};
use mtids_domain::geometry::PointMm;
use mtids_domain::label::{Evidence, LabelLevel};
use mtids_domain::pseudonym::PseudonymSecret;
use mtids_domain::taxonomy::RegionScheme;
use mtids_domain::volume::Volume;
use mtids_patch::{cut, cut_suv};
use mtids_runtime::budget::Budget;
use mtids_runtime::digest::Digest;
use mtids_runtime::random::rng_for;
use mtids_runtime::storage::Storage;
use mtids_shards::{DatasetDescription, PatchRow, QuarantineRecord, RowKind, RowLabels, ShardEntry, write_shard};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Stage};
use crate::config::BuildConfig;
use crate::error::PrepError;
use crate::negatives::choose;
use crate::plan::{PlannedSeries, Unit};

/// What a finished unit left behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Key of the unit.
    pub key: Digest,
    /// The shard, unless no row came out.
    pub shard: Option<ShardEntry>,
    /// Labels of its rows, in file order.
    pub rows: Vec<RowLabels>,
    /// Files whose content is in the shard.
    pub used_files: u64,
    /// Findings left out at the border of the scanned field.
    pub findings_at_border: u64,
    /// Files that turned out unusable.
    pub quarantined: Vec<QuarantineRecord>,
}

/// What all units share.
pub struct Shared<'a> {
    /// The dataset.
    pub out: &'a dyn Storage,
    /// Settings.
    pub config: &'a BuildConfig,
    /// Description of the dataset.
    pub description: &'a DatasetDescription,
    /// Classes of the region dimension.
    pub regions: &'a RegionScheme,
    /// Secret of the pseudonyms.
    pub secret: &'a PseudonymSecret,
    /// Bytes of decoded voxels that all workers share.
    pub memory: Budget,
    /// Where the time goes.
    pub clock: &'a Clock,
}

impl Shared<'_> {
    /// Pseudonym of an input file: of its place in the data folder, wherever that folder lies.
    pub fn file_key(&self, path: &Path) -> String {
        let inside = self.config.data.as_deref().and_then(|data| path.strip_prefix(data).ok()).unwrap_or(path);
        self.secret.other("file", &inside.to_string_lossy())
    }
}

/// Where receipts lie.
pub const RECEIPTS: &str = ".work/receipts/";

/// Name of the receipt of a unit.
pub fn receipt_name(key: &Digest) -> String {
    format!("{RECEIPTS}{key}.json")
}

/// A receipt as it lies in the storage: the digest of what follows, then JSON. The index is made of receipts, so that one flipped bit here
/// would become another label.
fn sealed(receipt: &Receipt) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_string(receipt)?;
    Ok(format!("{}\n{json}", Digest::of_bytes(json.as_bytes())).into_bytes())
}

/// The receipt of [`sealed`] bytes, if they are whole.
fn unsealed(bytes: &[u8]) -> Option<Receipt> {
    let (digest, json) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let digest: Digest = digest.parse().ok()?;
    if digest != Digest::of_bytes(json.as_bytes()) {
        return None;
    }
    serde_json::from_str(json).ok()
}

/// A finished unit, if its receipt and its shard are intact.
pub fn finished(out: &dyn Storage, unit: &Unit) -> Option<Receipt> {
    let receipt = unsealed(&out.get(&receipt_name(&unit.key)).ok()?)?;
    let intact = match &receipt.shard {
        None => true,
        Some(shard) => out.digest(&shard.path).is_ok_and(|digest| digest == shard.digest),
    };
    (receipt.key == unit.key && intact).then_some(receipt)
}

/// Works a unit off. `tick` is called once per series.
///
/// # Errors
/// [`PrepError`] when the shard or the receipt cannot be written.
pub fn work(unit: &Unit, shared: &Shared<'_>, tick: &(dyn Fn() + Sync)) -> Result<Receipt, PrepError> {
    let mut rows = Vec::new();
    let mut used_files = 0;
    let mut findings_at_border = 0;
    let mut quarantined = Vec::new();
    for planned in &unit.series {
        let limits = shared.config.limits();
        let mut refuse = |series: &Series, error: &DicomError| {
            // Paths and raw identifiers are for the operator only.
            tracing::warn!(series = &*series.series_uid, reason = error.reason().as_str(), "{error}");
            // Each file once, known by its first instance: a receipt depends on what files hold, not on where they lie.
            let mut seen = BTreeSet::new();
            let firsts = series.instances.iter().filter(|slice| seen.insert(&slice.path));
            quarantined.extend(firsts.map(|slice| QuarantineRecord {
                reason: error.reason().to_string(),
                file_key: shared.secret.other("file", &slice.sop_instance_uid),
                series_key: Some(shared.secret.series(&series.series_uid).as_str().to_owned()),
                patient_key: Some(planned.patient_key.as_str().to_owned()),
            }));
        };
        let _held = shared.memory.hold(decoded_bytes(planned));
        // Read even where the CT turns out unusable: its files must be accounted for.
        let pet = planned.pet.as_ref().and_then(|pet| {
            match shared.clock.time(Stage::Decode, || load_pet(&pet.series, &limits)) {
                Ok(loaded) => {
                    used_files += if pet.counted { pet.series.files().len() as u64 } else { 0 };
                    Some(loaded.volume)
                }
                Err(error) => {
                    if pet.counted {
                        refuse(&pet.series, &error);
                    }
                    None
                }
            }
        });
        match shared.clock.time(Stage::Decode, || load_volume(&planned.series, &limits)) {
            Ok(loaded) => {
                used_files += planned.series.files().len() as u64;
                let (cut, left_out) = shared
                    .clock
                    .time(Stage::Resample, || cut_rows(unit, planned, &loaded.volume, pet.as_ref(), shared));
                rows.extend(cut);
                findings_at_border += left_out;
            }
            Err(error) => refuse(&planned.series, &error),
        }
        tick();
    }
    // A row group holds rows of one kind.
    rows.sort_by(|a, b| (a.labels.kind, &a.labels.sample_key).cmp(&(b.labels.kind, &b.labels.sample_key)));
    let shard = if rows.is_empty() {
        None
    } else {
        let name = format!("shards/{}/part-{:04}-{}.parquet", unit.split.name(), unit.bucket, unit.key.short());
        let options = shared.config.shard_options();
        let (entry, seconds) = write_shard(shared.out, &name, unit.split, &rows, shared.description, &options)?;
        shared.clock.add(Stage::Compress, seconds.encode);
        shared.clock.add(Stage::Write, seconds.put);
        Some(entry)
    };
    let rows = rows.into_iter().map(|row| row.labels).collect();
    let receipt = Receipt { key: unit.key, shard, rows, used_files, findings_at_border, quarantined };
    let name = receipt_name(&unit.key);
    let text = sealed(&receipt)?;
    // A receipt that a power cut tears does not fit its digest, and one that outlives its shard not that: the unit is worked off again.
    shared
        .clock
        .time(Stage::Write, || shared.out.put_unsynced(&name, &text))
        .map_err(|source| PrepError::Write { path: shared.out.place(&name), source })?;
    Ok(receipt)
}

/// Bytes that a series and its PET take once decoded: HU as i16, SUV as f32.
fn decoded_bytes(planned: &PlannedSeries) -> u64 {
    let voxels = |series: &Series| -> u64 {
        series.instances.iter().map(|slice| u64::from(slice.rows) * u64::from(slice.columns)).sum()
    };
    2 * voxels(&planned.series) + planned.pet.as_ref().map_or(0, |pet| 4 * voxels(&pet.series))
}

/// A place to cut at, and what is known of it.
struct Wanted<'a> {
    center: PointMm,
    sample_key: String,
    weight: f32,
    finding: Option<&'a Finding>,
    finding_distance_mm: Option<f32>,
    /// Number of the sample of its finding; the first lies on it.
    sample: u32,
}

/// All places of a series: each finding with its shifted copies, then places without finding.
fn wanted<'a>(planned: &'a PlannedSeries, volume: &Volume, shared: &Shared<'_>) -> Vec<Wanted<'a>> {
    let config = shared.config;
    let name = planned.series.name();
    let samples = config.samples_per_finding;
    let mut list = Vec::new();
    for finding in &planned.findings {
        let place = finding.center.0.map(|x| format!("{x:.4}")).join(",");
        for sample in 0..samples {
            let sample_key = shared.secret.other("sample", &format!("{name}|{place}|{sample}"));
            let center = jittered(finding.center, sample, &sample_key, config);
            let weight = 1.0 / samples as f32;
            list.push(Wanted { center, sample_key, weight, finding: Some(finding), finding_distance_mm: None, sample });
        }
    }
    let key = shared.secret.series(&name);
    let negatives = choose(volume, &planned.findings, &config.negatives, config.split.seed, key.as_str());
    for (n, negative) in negatives.into_iter().enumerate() {
        list.push(Wanted {
            center: negative.center,
            sample_key: shared.secret.other("sample", &format!("{name}|negative|{n}")),
            weight: 1.0,
            finding: None,
            finding_distance_mm: Some(negative.distance_mm as f32),
            sample: 0,
        });
    }
    list
}

/// Rows of a series, and how many findings were left out at the border.
fn cut_rows(
    unit: &Unit,
    planned: &PlannedSeries,
    volume: &Volume,
    pet: Option<&Volume<f32>>,
    shared: &Shared<'_>,
) -> (Vec<PatchRow>, u64) {
    let series = &planned.series;
    let [column_mm, _, step_mm] = volume.affine().spacing();
    let facts = &series.facts;
    let geometry = &shared.config.patch;
    let mut rows = Vec::new();
    let mut left_out = 0;
    // Whether the finding whose samples are being cut is left out: said by its unshifted patch, for all of them.
    let mut at_border = false;
    for wanted in wanted(planned, volume, shared) {
        let Wanted { center, finding, .. } = wanted;
        if wanted.sample > 0 && at_border {
            continue;
        }
        let mut patch = cut(volume, center, geometry);
        if wanted.sample == 0 {
            at_border = f64::from(patch.pad_fraction) > shared.config.max_pad_fraction;
            if at_border {
                left_out += u64::from(finding.is_some());
                continue;
            }
        }
        // A PET that ends before the patch does is none for it: what lies outside would read as no uptake.
        let over = pet.map(|pet| cut_suv(pet, center, geometry)).filter(|over| over.pad_fraction < 0.5);
        let has_pet = over.is_some();
        if shared.config.pet {
            match over {
                Some(over) => patch.voxels.extend(over.voxels),
                None => patch.voxels.resize(2 * geometry.len(), 0),
            }
        }
        let station = finding.and_then(|finding| finding.station);
        let region = station.and_then(|station| shared.regions.code_of(station));
        let labels = RowLabels {
            sample_key: wanted.sample_key,
            kind: if finding.is_some() { RowKind::Finding } else { RowKind::Negative },
            patient_key: planned.patient_key.clone(),
            study_key: shared.secret.study(&series.study_uid),
            series_key: shared.secret.series(&series.name()),
            split: unit.split,
            center_voxel: volume.affine().to_voxel(center).0,
            center_mm: center.0,
            region,
            region_name: region.and_then(|code| shared.regions.name_of(code)).map(str::to_owned),
            station,
            metastasis: finding.and_then(|finding| finding.metastasis),
            evidence: finding.map_or(Evidence::U, |finding| finding.evidence),
            level: finding.map_or(LabelLevel::Node, |finding| finding.level),
            label_source: finding.map_or("none", |finding| finding.source.name()).to_owned(),
            short_axis_mm: finding.and_then(|finding| finding.short_axis_mm).map(|mm| mm as f32),
            finding_distance_mm: wanted.finding_distance_mm,
            study_day: planned.study_day,
            manufacturer: facts.manufacturer.clone(),
            model: facts.model.clone(),
            kernel: facts.kernel.clone(),
            slice_thickness_mm: facts.slice_thickness_mm,
            slice_step_mm: step_mm as f32,
            pixel_spacing_mm: column_mm as f32,
            kvp: facts.kvp,
            contrast: facts.contrast,
            pet: has_pet,
            pad_fraction: patch.pad_fraction,
            weight: wanted.weight,
            voxels_digest: String::new(),
        };
        rows.push(PatchRow::new(labels, patch.voxels));
    }
    (rows, left_out)
}

/// Sample 0 lies on the finding; the others are shifted by a keyed draw.
fn jittered(center: PointMm, sample: u32, sample_key: &str, config: &BuildConfig) -> PointMm {
    if sample == 0 || config.jitter_mm == 0.0 {
        return center;
    }
    let mut random = rng_for(config.split.seed, &format!("jitter {sample_key}"), &[]);
    PointMm(center.0.map(|x| x + random.random_range(-config.jitter_mm..=config.jitter_mm)))
}

/// Number of rows by (region name, status, split), for the card and the summary; rows without finding stand under their own name.
pub fn counts<'a>(rows: impl IntoIterator<Item = &'a RowLabels>) -> BTreeMap<(String, String, String), u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        let (region, status) = match row.kind {
            RowKind::Finding => (
                row.region_name.clone().unwrap_or_else(|| "unknown".into()),
                row.metastasis.map_or("unknown", |status| status.name()),
            ),
            RowKind::Negative => ("no finding here".to_owned(), "-"),
        };
        *counts.entry((region, status.to_owned(), row.split.name().to_owned())).or_default() += 1;
    }
    counts
}
