//! Partitions: patients of one split that share a shard. They make a build restartable and incremental.
//!
//! Invariant: a partition's key is the digest of everything its bytes depend on (configuration, program, content of its files, its findings,
//! the secret), so equal keys mean equal shards.

use std::collections::BTreeMap;

use mtids_annotations::Finding;
use mtids_dicom::Series;
use mtids_domain::annotation::Mask;
use mtids_domain::pseudonym::{PatientKey, PseudonymSecret};
use mtids_domain::taxonomy::TAXONOMY_VERSION;
use mtids_runtime::digest::Digest;
use mtids_shards::{SCHEMA_VERSION, Split};

/// A series that rows will be cut from.
#[derive(Clone, Debug)]
pub struct PlannedSeries {
    /// The series.
    pub series: Series,
    /// Its findings.
    pub findings: Vec<Finding>,
    /// Pseudonym of its patient.
    pub patient_key: PatientKey,
    /// Days since the first study of its patient that has a finding.
    pub study_day: Option<i32>,
    /// Digest of the content of all its files.
    pub content: Digest,
    /// The PET that lies over it, where the configuration asks for one.
    pub pet: Option<PlannedPet>,
    /// The site of its patient by the table of sites.
    pub listed_site: Option<String>,
}

impl PlannedSeries {
    /// Key of a sample of a finding; the first sample, 0, lies on it.
    pub(crate) fn sample_key(&self, finding: &Finding, number: u32, secret: &PseudonymSecret) -> String {
        let place = finding.center.0.map(|x| format!("{x:.4}")).join(",");
        secret.other("sample", &format!("{}|{place}|{number}", self.series.name()))
    }
}

/// A PET series that is cut with a CT.
#[derive(Clone, Debug)]
pub struct PlannedPet {
    /// The series.
    pub series: Series,
    /// Digest of the content of all its files.
    pub content: Digest,
    /// Its files are accounted for here: one PET may lie over several CT series.
    pub counted: bool,
}

/// Patients of one split that share a shard.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Split.
    pub split: Split,
    /// Number of the bucket in the split.
    pub bucket: u64,
    /// Series, in the order of their pseudonyms.
    pub series: Vec<PlannedSeries>,
    /// What its bytes depend on.
    pub key: Digest,
}

/// Puts series into partitions of about `patients_per_shard` patients each, by split and bucket. `splits` says where each patient belongs.
pub(crate) fn make_partitions(
    planned: Vec<PlannedSeries>,
    splits: &BTreeMap<PatientKey, Split>,
    patients_per_shard: u32,
    config_digest: &Digest,
    secret: &PseudonymSecret,
) -> Vec<Partition> {
    let mut patients: BTreeMap<Split, u64> = BTreeMap::new();
    for split in splits.values() {
        *patients.entry(*split).or_default() += 1;
    }
    let mut buckets: BTreeMap<(Split, u64), Vec<PlannedSeries>> = BTreeMap::new();
    for series in planned {
        // Every planned series' patient was assigned to a split.
        let split = splits.get(&series.patient_key).copied().unwrap_or(Split::Train);
        let count = patients.get(&split).copied().unwrap_or(1).div_ceil(u64::from(patients_per_shard)).max(1);
        let digest = Digest::of_parts(["bucket", series.patient_key.as_str()]);
        let number = digest.as_bytes().iter().take(8).fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte));
        buckets.entry((split, number % count)).or_default().push(series);
    }
    buckets
        .into_iter()
        .map(|((split, bucket), mut series)| {
            series.sort_by_key(|planned| (planned.patient_key.clone(), secret.series(&planned.series.name())));
            let key = partition_key(split, bucket, &series, config_digest, secret);
            Partition { split, bucket, series, key }
        })
        .collect()
}

fn partition_key(
    split: Split,
    bucket: u64,
    series: &[PlannedSeries],
    config_digest: &Digest,
    secret: &PseudonymSecret,
) -> Digest {
    let mut parts: Vec<Vec<u8>> = vec![
        config_digest.as_bytes().to_vec(),
        env!("CARGO_PKG_VERSION").into(),
        SCHEMA_VERSION.into(),
        TAXONOMY_VERSION.into(),
        secret.fingerprint().into(),
        split.name().into(),
        bucket.to_le_bytes().to_vec(),
    ];
    for planned in series {
        // Two ids may be said to be one person, which changes no file.
        parts.push(planned.patient_key.as_str().into());
        parts.push(planned.content.as_bytes().to_vec());
        // Of several volumes under one UID the name says which, and keys of rows are made of it.
        parts.push(secret.series(&planned.series.name()).as_str().into());
        // Another study of the patient may come before this one.
        parts.push(format!("{:?}", planned.study_day).into_bytes());
        // A table of sites may change alone.
        parts.extend(planned.listed_site.iter().map(|site| site.clone().into_bytes()));
        // Whether its files are counted here is part of the record.
        parts.extend(planned.pet.iter().flat_map(|pet| [pet.content.as_bytes().to_vec(), vec![u8::from(pet.counted)]]));
        for finding in &planned.findings {
            // A finding's debug form holds every field, numbers to the last digit; that of its mask would be megabytes.
            let mask = finding.mask.as_deref().map(mask_digest);
            parts.push(format!("{:?} {mask:?}", Finding { mask: None, ..finding.clone() }).into_bytes());
        }
    }
    Digest::of_parts(parts)
}

/// What a mask covers, and where.
fn mask_digest(mask: &Mask) -> Digest {
    let voxels = mask.voxels.iter().map(|voxel| voxel.map(u32::to_le_bytes).concat());
    Digest::of_parts(std::iter::once(format!("{:?}", mask.affine).into_bytes()).chain(voxels))
}
