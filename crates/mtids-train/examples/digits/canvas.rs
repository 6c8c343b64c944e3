//! The images of the benchmark: "region × state" from handwritten digits.
//!
//! A canvas of 28 × 28 pixels holds a bright and a dark blob (the landmarks) and one digit of 8 × 8 pixels. The digit's place *relative to
//! the landmarks* is the region (five places, priors .30 .25 .20 .15 .10, jitter ± 1); landmarks and digit move together by up to
//! four pixels each way, and places lie five to ten apart, so that the place on the canvas alone does not tell the region. Digits 0, 6,
//! 8 and 9 are "metastatic" (prevalence .30). Noise of standard deviation .15 lies over all. Invariants: a canvas is a function of seed,
//! split and index; no source digit is in both splits.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use mtids_models::TargetBatch;
use mtids_runtime::random::{Rng, rng_for};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

/// Pixels along a side of the canvas.
pub(crate) const SIDE: usize = 28;
/// Number of places.
pub(crate) const REGIONS: usize = 5;
/// Source digits of the training split; the rest are for the test split.
const TRAINING_SOURCES: usize = 1000;
const DIGIT: usize = 8;
const LARGEST_GREY: f32 = 16.0;
/// Upper left corner (row, column) of the digit in each place, before the common shift.
const PLACES: [[i32; 2]; REGIONS] = [[5, 5], [5, 15], [15, 5], [15, 15], [10, 10]];
const PRIORS: [f64; REGIONS] = [0.30, 0.25, 0.20, 0.15, 0.10];
/// Centre (row, column) and height of each landmark, before the common shift.
const LANDMARKS: [([f32; 2], f32); 2] = [([13.5, 4.0], 1.0), ([4.0, 13.5], -1.0)];
const LANDMARK_DEVIATION: f32 = 1.5;
const SHIFT: i32 = 4;
const JITTER: i32 = 1;
const PREVALENCE: f64 = 0.30;
const NOISE: f32 = 0.15;
const METASTATIC: [u8; 4] = [0, 6, 8, 9];

/// One handwritten digit, grey values in [0, 1].
pub(crate) struct Digit {
    metastatic: bool,
    pixels: Vec<f32>,
}

/// The digits of a CSV that `scripts/digits/data.py` wrote.
pub(crate) fn read(path: &Path) -> Result<Vec<Digit>> {
    let mut table = csv::Reader::from_path(path).with_context(|| path.display().to_string())?;
    let mut digits = Vec::new();
    for row in table.deserialize::<(u8, Vec<f32>)>() {
        let (digit, mut pixels) = row.with_context(|| path.display().to_string())?;
        ensure!(digit < 10 && pixels.len() == DIGIT * DIGIT, "{}: not a digit of 8 × 8 pixels", path.display());
        pixels.iter_mut().for_each(|pixel| *pixel /= LARGEST_GREY);
        digits.push(Digit { metastatic: METASTATIC.contains(&digit), pixels });
    }
    ensure!(digits.len() > TRAINING_SOURCES, "{}: {} digits are too few", path.display(), digits.len());
    Ok(digits)
}

/// Images and labels of one split.
pub(crate) struct Canvases {
    /// `[N, 28, 28]`.
    pub(crate) pixels: Vec<f32>,
    /// Region and state of each.
    pub(crate) labels: TargetBatch,
}

impl Canvases {
    /// Training and test canvases of one seed.
    pub(crate) fn splits(digits: &[Digit], seed: u64, [training, test]: [usize; 2]) -> Result<[Canvases; 2]> {
        let mut sources: Vec<&Digit> = digits.iter().collect();
        sources.shuffle(&mut rng_for(seed, "digits/sources", &[]));
        let (for_training, for_test) = sources.split_at(TRAINING_SOURCES.min(sources.len()));
        Ok([
            Self::draw(for_training, seed, "digits/training", training)?,
            Self::draw(for_test, seed, "digits/test", test)?,
        ])
    }

    fn draw(sources: &[&Digit], seed: u64, purpose: &str, count: usize) -> Result<Self> {
        let (metastatic, benign): (Vec<&Digit>, Vec<&Digit>) = sources.iter().partition(|digit| digit.metastatic);
        ensure!(!metastatic.is_empty() && !benign.is_empty(), "a split needs digits of both states");
        let mut canvases = Self { pixels: Vec::with_capacity(count * SIDE * SIDE), labels: TargetBatch::default() };
        for index in 0..count {
            let mut random = rng_for(seed, purpose, &[index as u64]);
            let region = region(random.random());
            let is_metastatic = random.random_bool(PREVALENCE);
            let choice = if is_metastatic { &metastatic } else { &benign };
            let digit = choice[random.random_range(0..choice.len())];
            canvases.pixels.extend(canvas(digit, region, &mut random));
            canvases.labels.region.push(Some(region as u32));
            canvases.labels.metastasis.push(Some(u32::from(is_metastatic)));
        }
        Ok(canvases)
    }

    /// Number of canvases.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Pixels and labels of some of them.
    pub(crate) fn batch(&self, indices: &[usize]) -> (Vec<f32>, TargetBatch) {
        let area = SIDE * SIDE;
        let pixels = indices.iter().flat_map(|&index| &self.pixels[index * area..(index + 1) * area]).copied();
        let region = indices.iter().map(|&index| self.labels.region[index]);
        let metastasis = indices.iter().map(|&index| self.labels.metastasis[index]);
        let labels =
            TargetBatch { region: region.collect(), metastasis: metastasis.collect(), ..TargetBatch::default() };
        (pixels.collect(), labels)
    }
}

/// The place whose part of [0, 1) holds `uniform`.
fn region(uniform: f64) -> usize {
    let mut below = 0.0;
    for (region, prior) in PRIORS.iter().enumerate() {
        below += prior;
        if uniform < below {
            return region;
        }
    }
    // Rounding of the sum.
    REGIONS - 1
}

fn canvas(digit: &Digit, region: usize, random: &mut Rng) -> Vec<f32> {
    let mut offset = |most: i32| [random.random_range(-most..=most), random.random_range(-most..=most)];
    let (shift, jitter) = (offset(SHIFT), offset(JITTER));
    let mut pixels: Vec<f32> = (0..SIDE * SIDE)
        .map(|_| {
            let unit: f32 = StandardNormal.sample(random);
            NOISE * unit
        })
        .collect();
    for (at, pixel) in pixels.iter_mut().enumerate() {
        let (row, column) = ((at / SIDE) as f32, (at % SIDE) as f32);
        for ([r, c], height) in LANDMARKS {
            let distance = (row - r - shift[0] as f32).powi(2) + (column - c - shift[1] as f32).powi(2);
            *pixel += height * (-distance / (2.0 * LANDMARK_DEVIATION * LANDMARK_DEVIATION)).exp();
        }
    }
    // Between 0 and 20 for every place, shift and jitter, so the digit lies on the canvas.
    let corner = [0, 1].map(|axis| (PLACES[region][axis] + shift[axis] + jitter[axis]) as usize);
    for (at, grey) in digit.pixels.iter().enumerate() {
        pixels[(corner[0] + at / DIGIT) * SIDE + corner[1] + at % DIGIT] += grey;
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every digit differs from every other in its grey value.
    fn digits() -> Vec<Digit> {
        let digit = |n: usize| Digit { metastatic: n.is_multiple_of(3), pixels: vec![n as f32; DIGIT * DIGIT] };
        (0..1200).map(digit).collect()
    }

    #[test]
    fn canvases_depend_on_the_seed_alone_and_have_the_stated_labels() {
        let make = |seed| Canvases::splits(&digits(), seed, [2000, 100]).unwrap();
        let [training, test] = make(1);
        assert_eq!(training.pixels, make(1)[0].pixels);
        assert_ne!(training.pixels, make(2)[0].pixels);
        assert_eq!((training.len(), test.len()), (2000, 100));
        let share = |matches: &dyn Fn(usize) -> bool| (0..2000).filter(|&n| matches(n)).count() as f64 / 2000.0;
        for (region, prior) in PRIORS.iter().enumerate() {
            let found = share(&|n| training.labels.region[n] == Some(region as u32));
            assert!((found - prior).abs() < 0.04, "{region}: {found}");
        }
        assert!((share(&|n| training.labels.metastasis[n] == Some(1)) - PREVALENCE).abs() < 0.04);
    }

    #[test]
    fn no_source_digit_is_in_both_splits() {
        let [training, test] = Canvases::splits(&digits(), 3, [1500, 600]).unwrap();
        // The median of the digit's 64 pixels, which are the brightest ones, tells the digit: noise and a landmark's edge are below 1/2.
        let sources = |canvases: &Canvases| -> std::collections::BTreeSet<i64> {
            let area = SIDE * SIDE;
            let middle = |pixels: &[f32]| {
                let mut sorted = pixels.to_vec();
                sorted.sort_by(f32::total_cmp);
                sorted[area - DIGIT * DIGIT / 2].round() as i64
            };
            canvases.pixels.chunks(area).map(middle).filter(|&source| source > 3).collect()
        };
        let (training, test) = (sources(&training), sources(&test));
        assert!(training.len() > 400 && test.len() > 100);
        assert!(training.is_disjoint(&test));
    }

    #[test]
    fn batches_are_rows_of_the_split() {
        let [training, _] = Canvases::splits(&digits(), 3, [5, 1]).unwrap();
        let (pixels, labels) = training.batch(&[4, 0]);
        assert_eq!(pixels[..SIDE * SIDE], training.pixels[4 * SIDE * SIDE..]);
        assert_eq!(labels.region, [training.labels.region[4], training.labels.region[0]]);
    }
}
