//! The cosines between the tasks' gradients as a picture: one square for each two tasks, in the order of their names.
//!
//! Colours: blue where gradients conflict (−1), white at 0, orange where they agree (1); grey where nothing is known. Colour-blind people tell
//! the ends apart. Invariants: the picture is symmetric, its diagonal 1; the same logs give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use mtids_report::picture::Picture;

/// Side of a square, pixels.
const SQUARE: usize = 32;
/// The ends of the colours, −1 and 1, and no value.
const CONFLICT: [f64; 3] = [0.0, 90.0, 181.0];
const AGREEMENT: [f64; 3] = [230.0, 97.0, 0.0];
const UNKNOWN: [u8; 3] = [128; 3];

/// Cosines of several steps, by pairs `one/other`.
#[derive(Clone, Debug, Default)]
pub(super) struct MeanCosines(BTreeMap<String, (f64, u32)>);

impl MeanCosines {
    /// Adds those of a step.
    pub(super) fn add(&mut self, cosines: &BTreeMap<String, f64>) {
        for (pair, cosine) in cosines {
            let (sum, count) = self.0.entry(pair.clone()).or_default();
            *sum += cosine;
            *count += 1;
        }
    }

    /// The picture of their means; `None` without any.
    pub(super) fn picture(self) -> Option<CosinePicture> {
        let of_pair = |(pair, (sum, count)): (&String, &(f64, u32))| {
            let (one, other) = pair.split_once('/')?;
            Some(((one.to_owned(), other.to_owned()), sum / f64::from(*count)))
        };
        let means: BTreeMap<(String, String), f64> = self.0.iter().filter_map(of_pair).collect();
        let tasks: BTreeSet<&String> = means.keys().flat_map(|(one, other)| [one, other]).collect();
        let tasks: Vec<String> = tasks.into_iter().cloned().collect();
        let side = SQUARE * tasks.len();
        let mut picture = Picture::grey(side, side, &[]);
        for (row, one) in tasks.iter().enumerate() {
            for (column, other) in tasks.iter().enumerate() {
                let pair = |a: &String, b: &String| means.get(&(a.clone(), b.clone())).copied();
                let cosine = if row == column { Some(1.0) } else { pair(one, other).or_else(|| pair(other, one)) };
                let color = cosine.map_or(UNKNOWN, color_of);
                for place in 0..SQUARE * SQUARE {
                    picture.paint(column * SQUARE + place % SQUARE, row * SQUARE + place / SQUARE, color);
                }
            }
        }
        // Without any pair there are no pixels.
        Some(CosinePicture { side, png: picture.png().ok()?, tasks })
    }
}

fn color_of(cosine: f64) -> [u8; 3] {
    let end = if cosine < 0.0 { CONFLICT } else { AGREEMENT };
    let share = cosine.abs().min(1.0);
    end.map(|value| (255.0 + share * (value - 255.0)).round() as u8)
}

/// A square picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CosinePicture {
    /// Width and height, pixels.
    pub(super) side: usize,
    /// The file.
    pub(super) png: Vec<u8>,
    /// The tasks of its rows and columns.
    pub(super) tasks: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_blue_agreement_is_orange_and_the_picture_has_a_square_for_each_pair() {
        assert_eq!([-1.0, 0.0, 1.0].map(color_of), [[0, 90, 181], [255; 3], [230, 97, 0]]);
        let step = |one: f64, other: f64| BTreeMap::from([("a/b".to_owned(), one), ("a/c".to_owned(), other)]);
        let mut cosines = MeanCosines::default();
        cosines.add(&step(-1.0, 0.5));
        cosines.add(&step(0.0, 0.5));
        let picture = cosines.clone().picture().unwrap();
        assert_eq!((picture.side, picture.tasks.join(" ")), (3 * SQUARE, "a b c".to_owned()));
        let mut swapped = MeanCosines::default();
        swapped.add(&BTreeMap::from([("b/a".to_owned(), -0.5), ("c/a".to_owned(), 0.5)]));
        assert_eq!(swapped.picture().unwrap().png, picture.png, "a pair is the same in either order");
        assert_eq!(MeanCosines::default().picture(), None);
    }
}
