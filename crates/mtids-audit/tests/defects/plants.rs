//! How a defect is put into the sound dataset.

use mtids_domain::label::{Evidence, Metastasis};
use mtids_domain::person::Sex;
use mtids_domain::pseudonym::{FoldedPatientKey, PatientKey, SeriesKey, StudyKey};
use mtids_domain::taxonomy::Station;
use mtids_patch::near_hash;
use mtids_runtime::random::rng_for;
use mtids_shards::{Measure, RowKind, RowLabels, Split};
use rand::RngExt;

use crate::Dataset;
use crate::support::sound;

/// A third of the patients are of another site, which `change`s some of its nodes.
pub(crate) fn at_a_site(d: &mut Dataset, count: usize, is_changed: fn(&RowLabels) -> bool, change: fn(&mut RowLabels)) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        row.audit.site = Some(if n / 4 < 12 { "site b" } else { "site a" }.into());
    }
    d.rows.iter_mut().take(48).filter(|row| is_changed(row)).take(count).for_each(change);
}

pub(crate) fn benign_at_a_site(d: &mut Dataset, count: usize) {
    at_a_site(
        d,
        count,
        |row| row.metastasis == Some(Metastasis::Metastatic),
        |row| {
            row.metastasis = Some(Metastasis::Benign);
        },
    );
}

pub(crate) fn unknown_at_a_site(d: &mut Dataset, count: usize) {
    at_a_site(
        d,
        count,
        |row| row.metastasis == Some(Metastasis::Metastatic),
        |row| (row.metastasis, row.evidence) = (None, Evidence::U),
    );
}

pub(crate) fn upper_at_a_site(d: &mut Dataset, count: usize) {
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
pub(crate) fn never_metastatic(d: &mut Dataset, mark: fn(&mut RowLabels)) {
    for row in d.rows.iter_mut().take(48) {
        row.metastasis = Some(Metastasis::Benign);
        mark(row);
    }
}

/// The folded id of each patient is that of another one, or its own.
pub(crate) fn folded(d: &mut Dataset, of: fn(usize) -> usize) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        row.audit.folded_patient_key = Some(FoldedPatientKey::from_stored(format!("folded{}", of(n / 4))));
    }
}

/// Every row has a hash of its own, but row 4, of another patient, has some pieces of row 0.
pub(crate) fn near(d: &mut Dataset, is_shared: fn(usize) -> bool) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        let of = |piece: usize| if n == 4 && is_shared(piece) { 0 } else { n };
        let text: String = (0..16).map(|piece| format!("{:04x}", 16 * of(piece) + piece)).collect();
        row.audit.near_hash = Some(text.parse().unwrap());
    }
}

/// Rows 0 and 4, of two patients, have the hashes of two views of scans of their own or of one: the second shifted by voxels along each axis, and
/// brighter.
pub(crate) fn shifted(d: &mut Dataset, other_scan: u64, voxels: usize, brighter_hu: i16) {
    const SIZE: [usize; 3] = [16, 48, 48];
    let hash = |scan: u64, from: usize, brighter_hu: i16| {
        let places = (0..SIZE[0]).flat_map(|d| (0..SIZE[1]).flat_map(move |h| (0..SIZE[2]).map(move |w| [d, h, w])));
        // Grain of 15 HU in tissue with a vessel: the same at the same place of the world.
        let hu = places.map(|place| {
            let [d, h, w] = place.map(|at| (at + from) as u64);
            let mut random = rng_for(scan, "grain", &[d, h, w]);
            let tissue = if (h as f64 - 30.0).hypot(w as f64 - 20.0) < 9.0 { 160 } else { 40 };
            tissue + random.random_range(-15..=15) + brighter_hu
        });
        near_hash(&hu.collect::<Vec<i16>>(), SIZE)
    };
    d.rows[0].audit.near_hash = hash(1, 4, 0);
    d.rows[4].audit.near_hash = hash(1 + other_scan, 4 + voxels, brighter_hu);
    assert!(d.rows[0].audit.near_hash.is_some() && d.rows[4].audit.near_hash.is_some());
}

/// So many patients have subcarinal nodes, all from one of six sites with six patients each.
pub(crate) fn region_of_one_site(d: &mut Dataset, patients: usize) {
    region_of_one(d, patients, true);
    d.rows.iter_mut().for_each(|row| row.audit.site = row.model.take());
}

/// A right-sided and a left-sided node of one patient, whose offsets cross by so many mm; their places do not.
pub(crate) fn crossed_by_offsets(d: &mut Dataset, by_mm: f32) {
    d.rows[2].station = Some(Station::S4L);
    d.rows[2].center_mm[0] = 40.0;
    d.rows[0].audit.midline_offset_mm = Some(by_mm / 2.0);
    d.rows[2].audit.midline_offset_mm = Some(-by_mm / 2.0);
}

pub(crate) fn rename(d: &mut Dataset, id: &str) {
    d.rows[8..12].iter_mut().for_each(|row| row.patient_key = PatientKey::from_stored(id.to_owned()));
}

pub(crate) fn same_voxels(d: &mut Dataset, one: usize, other: usize) {
    d.rows[other].voxels_digest = d.rows[one].voxels_digest.clone();
}

pub(crate) fn again(d: &mut Dataset, apart_mm: f64) {
    let mut copy = d.rows[0].clone();
    (copy.sample_key, copy.voxels_digest, copy.instance_key) = ("copy".into(), "copy".into(), None);
    copy.center_mm[1] += apart_mm;
    d.rows.push(copy);
}

pub(crate) fn crossed(d: &mut Dataset, by_mm: f64) {
    d.rows[2].station = Some(Station::S4L);
    d.rows[0].center_mm[0] = d.rows[2].center_mm[0] + by_mm;
}

pub(crate) fn negative(d: &mut Dataset, distance_mm: f32) {
    let row = &mut d.rows[0];
    (row.kind, row.finding_distance_mm) = (RowKind::Negative, Some(distance_mm));
    (row.region, row.region_name, row.station, row.metastasis) = (None, None, None, None);
    row.evidence = Evidence::U;
}

pub(crate) fn by_size(d: &mut Dataset, row: usize, short_axis: f32) {
    (d.rows[row].evidence, d.rows[row].short_axis_mm) = (Evidence::D, Some(short_axis));
}

pub(crate) fn from_size(d: &mut Dataset, rows: usize) {
    for row in &mut d.rows[..rows] {
        row.evidence = Evidence::D;
        row.short_axis_mm = Some(if is_metastatic(row) { 12.0 } else { 8.0 });
    }
}

pub(crate) fn measure(d: &mut Dataset, measure: Measure, value: f32) {
    d.rows[0].grown.set(measure, Some(value));
}

pub(crate) fn in_air(d: &mut Dataset, short_axis_mm: Option<f32>) {
    d.rows[0].short_axis_mm = short_axis_mm;
    measure(d, Measure::Shell3Hu, -200.0);
}

/// A grown region of so many voxels of the series, all of one value.
pub(crate) fn constant(d: &mut Dataset, voxels: f32) {
    let voxel_mm3 = d.rows[0].pixel_spacing_mm.powi(2) * d.rows[0].slice_step_mm;
    measure(d, Measure::Volume, voxels * voxel_mm3);
    measure(d, Measure::DeviationHu, 0.0);
}

/// A node of another status within 3 mm of the first one, in another series of its study and frame of reference.
pub(crate) fn other_series(d: &mut Dataset) {
    d.rows[2].series_key = SeriesKey::from_stored("another".to_owned());
    d.rows[2].center_mm[0] = 2.9;
}

pub(crate) fn is_metastatic(row: &RowLabels) -> bool {
    row.metastasis == Some(Metastasis::Metastatic)
}

pub(crate) fn to_upper(row: &mut RowLabels) {
    (row.region, row.region_name, row.station) = (Some(0), Some("upper".into()), Some(Station::S4R));
}

pub(crate) fn to_subcarinal(row: &mut RowLabels) {
    (row.region, row.region_name, row.station) = (Some(1), Some("subcarinal".into()), Some(Station::S7));
}

/// This many patients of validation lose their subcarinal nodes.
pub(crate) fn fewer_subcarinal(d: &mut Dataset, patients: usize) {
    d.rows.iter_mut().filter(|row| row.split == Split::Validation).take(4 * patients).for_each(to_upper);
}

/// This many patients of validation lose their metastatic nodes.
pub(crate) fn fewer_metastatic(d: &mut Dataset, patients: usize) {
    let of_validation = d.rows.iter_mut().filter(|row| row.split == Split::Validation);
    of_validation.take(4 * patients).for_each(|row| row.metastasis = Some(Metastasis::Benign));
}

/// A row of a study whose other rows have a patient, under pseudonyms of folded ids.
pub(crate) fn nobodys(d: &mut Dataset, id: &str) {
    folded(d, |patient| patient);
    d.rows[0].patient_key = PatientKey::from_stored(id.to_owned());
}

/// Two rows of a patient, a woman, of whom the first says otherwise.
pub(crate) fn sexes(d: &mut Dataset, first: Sex) {
    (d.rows[0].audit.sex, d.rows[1].audit.sex) = (Some(first), Some(Sex::F));
}

pub(crate) fn unknown(d: &mut Dataset, rows: usize, region: bool) {
    for row in d.rows.iter_mut().filter(|row| row.split == Split::Test).take(rows) {
        if region {
            (row.region, row.region_name, row.station) = (None, None, None);
        } else {
            (row.metastasis, row.evidence) = (None, Evidence::U);
        }
    }
}

/// All but the first patients get one status for all their nodes. Chance would give both to 31.5 of the 36.
pub(crate) fn status_of_patient(d: &mut Dataset, but: usize) {
    for (n, row) in d.rows.iter_mut().enumerate().skip(4 * but) {
        row.metastasis = Some(if n / 4 % 2 == 0 { Metastasis::Benign } else { Metastasis::Metastatic });
    }
}

/// Each row is of another series.
pub(crate) fn series_of_its_own(d: &mut Dataset) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        row.series_key = SeriesKey::from_stored(format!("reconstruction{n}"));
    }
}

pub(crate) fn benign_in_subcarinal(d: &mut Dataset, split: Split) {
    let cell = d.rows.iter_mut().filter(|row| row.split == split && row.region == Some(1));
    cell.for_each(|row| row.metastasis = Some(Metastasis::Benign));
}

pub(crate) fn more_of_one_patient(d: &mut Dataset, rows: usize) {
    for n in 0..rows {
        let mut row = d.rows[n % 4].clone();
        (row.sample_key, row.voxels_digest) = (format!("more{n}"), format!("more{n}"));
        row.center_mm[1] += 100.0 * (1 + n / 4) as f64;
        d.rows.push(row);
    }
}

/// The sound dataset several times over, each time with other patients.
pub(crate) fn larger(times: usize) -> Vec<RowLabels> {
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
pub(crate) fn more_metastatic(d: &mut Dataset, patients: usize) {
    let test = d.rows.iter_mut().filter(|row| row.split == Split::Test);
    let mut rows: Vec<&mut RowLabels> = test.collect();
    for of_patient in rows.chunks_mut(4).take(patients) {
        let benign = of_patient.iter_mut().find(|row| !is_metastatic(row)).unwrap();
        benign.metastasis = Some(Metastasis::Metastatic);
    }
}

/// One subcarinal node of this many test patients becomes upper.
pub(crate) fn more_upper(d: &mut Dataset, patients: usize) {
    let test = d.rows.iter_mut().filter(|row| row.split == Split::Test);
    let mut rows: Vec<&mut RowLabels> = test.collect();
    rows.chunks_mut(4).take(patients).for_each(|of_patient| to_upper(of_patient[1]));
}

/// `of_six` of six metastatic nodes have a mask, and as many benign ones have none.
pub(crate) fn masks(d: &mut Dataset, of_six: usize) {
    let mut seen = [0, 0];
    for row in &mut d.rows {
        let side = usize::from(is_metastatic(row));
        let is_masked = if side == 1 { seen[1] % 6 < of_six } else { seen[0] % 6 >= of_six };
        seen[side] += 1;
        row.mask = is_masked.then(|| row.grown.clone());
    }
}

/// Sizes of 8 to 14 mm, those of metastatic nodes by so many mm more.
pub(crate) fn sizes(d: &mut Dataset, more_mm: usize) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        let more = if is_metastatic(row) { more_mm as f32 / 2.0 } else { 0.0 };
        row.short_axis_mm = Some(8.0 + (n % 7) as f32 + more);
    }
}

/// All nodes of every other patient are metastatic; of six sick and six healthy patients, so many have the scanner of their kind.
pub(crate) fn sick_by_scanner(d: &mut Dataset, of_six: usize) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        let (patient, is_sick) = (n / 4, n / 4 % 2 == 1);
        row.metastasis = Some(if is_sick { Metastasis::Metastatic } else { Metastasis::Benign });
        let of_its_kind = patient / 2 % 6 < of_six;
        row.manufacturer = Some(if is_sick == of_its_kind { "hospital" } else { "screening" }.to_owned());
    }
}

/// Every other patient has upper nodes only, the others subcarinal ones; of six of each, so many have the kernel of their kind.
pub(crate) fn kernel_by_region(d: &mut Dataset, of_six: usize) {
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
pub(crate) fn region_of_one(d: &mut Dataset, patients: usize, by_model: bool) {
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

pub(crate) fn named_site(d: &mut Dataset, name: &str) {
    d.rows.iter_mut().for_each(|row| row.audit.site = Some(name.to_owned()));
}

pub(crate) fn no_status(d: &mut Dataset) {
    d.rows.iter_mut().for_each(|row| (row.metastasis, row.evidence) = (None, Evidence::U));
}

/// Of the six test patients so many are of a site of their own; of all others one.
pub(crate) fn test_of_site(d: &mut Dataset, of_six: usize) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        let (patient, is_test) = (n / 4, row.split == Split::Test);
        let is_own = if is_test { patient / 6 < of_six } else { patient == 0 };
        row.audit.site = Some(if is_own { "site b" } else { "site a" }.to_owned());
    }
}

/// A third of the patients are of another site, where all but so many statuses follow from 10 mm: 20 benign nodes, 28 metastatic ones.
pub(crate) fn by_ruler(d: &mut Dataset, exceptions: usize) {
    at_a_site(d, 0, |_| false, |_| ());
    for (n, row) in d.rows.iter_mut().take(48).enumerate() {
        let is_large = n % 12 >= 5;
        let is_exception = n % 12 == 5 && n / 12 < exceptions;
        row.short_axis_mm = Some(if is_large && !is_exception { 10.0 } else { 9.9 });
        row.metastasis = Some(if is_large { Metastasis::Metastatic } else { Metastasis::Benign });
    }
}

/// Statuses of nodes below a short axis are open.
pub(crate) fn open_by_size(d: &mut Dataset, below_mm: f32) {
    let small = d.rows.iter_mut().filter(|row| row.short_axis_mm.is_some_and(|axis| axis < below_mm));
    small.for_each(|row| (row.metastasis, row.evidence) = (None, Evidence::U));
}

/// Benign rows have this weight, metastatic ones 1.
pub(crate) fn weigh(d: &mut Dataset, benign: f32) {
    let of_benign = d.rows.iter_mut().filter(|row| !is_metastatic(row));
    of_benign.for_each(|row| row.weight = benign);
}

/// No size is known; so many of the 144 findings lie in air, the others in tissue.
pub(crate) fn unknown_in_air(d: &mut Dataset, rows: usize) {
    for (n, row) in d.rows.iter_mut().enumerate() {
        row.short_axis_mm = None;
        row.grown.set(Measure::Shell3Hu, Some(if n < rows { -800.0 } else { 40.0 }));
    }
}

/// A short axis of so many times that of its mask, which has 10 mm.
pub(crate) fn of_mask(d: &mut Dataset, times: f32) {
    let row = &mut d.rows[0];
    row.short_axis_mm = Some(10.0 * times);
    let mut mask = row.grown.clone();
    mask.set(Measure::ShortAxis, Some(10.0));
    row.mask = Some(mask);
}

/// Benign nodes of so many patients have no size.
pub(crate) fn sized_if_metastatic(d: &mut Dataset, patients: usize) {
    let benign = d.rows.iter_mut().take(4 * patients).filter(|row| !is_metastatic(row));
    benign.for_each(|row| row.short_axis_mm = None);
}
