//! What a model of the region reads: the place of a row, in the frame of the scanner and beside the other findings of its series.
//!
//! The z of a scan has no anatomical origin, so the place is also given minus an offset of the series: how far its other findings lie, on
//! average, from the centres of their given regions, shrunk as by one finding that lies at its centre. Invariants: a row's own label never
//! reaches its inputs; centres come from the rows that a model is fitted on. Units: LPS mm, and mm² for products.

use std::collections::BTreeMap;

/// The rows whose places are read, in columns.
pub(super) struct Places<'a> {
    /// Places.
    pub(super) places: &'a [[f64; 3]],
    /// Number of the series of each row.
    pub(super) series: &'a [u32],
    /// Given regions.
    pub(super) regions: &'a [Option<usize>],
}

impl Places<'_> {
    /// Inputs of every row: both places, and squares and products of their coordinates about the mean. `fitted` are the rows that the model is
    /// fitted on.
    pub(super) fn inputs(&self, fitted: &[usize], classes: usize) -> Vec<Vec<Option<f64>>> {
        let (middle, centres) = self.centres(fitted, classes);
        let residuals: Vec<Option<[f64; 3]>> = (self.places.iter().zip(self.regions))
            .map(|(place, region)| Some(difference(place, &centres[(*region)?])))
            .map(|residual| residual.filter(|mm| mm.iter().all(|mm| mm.is_finite())))
            .collect();
        let mut sums: BTreeMap<u32, ([f64; 3], f64)> = BTreeMap::new();
        for (series, residual) in self.series.iter().zip(&residuals) {
            if let Some(residual) = residual {
                let (sum, number) = sums.entry(*series).or_default();
                *sum = std::array::from_fn(|axis| sum[axis] + residual[axis]);
                *number += 1.0;
            }
        }
        let of_row = |n: usize| {
            let (mut sum, mut number) = sums.get(&self.series[n]).copied().unwrap_or_default();
            if let Some(own) = residuals[n] {
                sum = difference(&sum, &own);
                number -= 1.0;
            }
            let place = difference(&self.places[n], &middle);
            let beside = difference(&place, &sum.map(|mm| mm / (number + 1.0)));
            let inputs = place.into_iter().chain(beside).chain(products(&place)).chain(products(&beside));
            inputs.map(|input| Some(input).filter(|input| input.is_finite())).collect()
        };
        (0..self.places.len()).map(of_row).collect()
    }

    /// Mean place of the fitted rows, and of those of each region; a region without any has the mean of all.
    fn centres(&self, fitted: &[usize], classes: usize) -> ([f64; 3], Vec<[f64; 3]>) {
        let mut sums = vec![([0.0; 3], 0.0); classes + 1];
        for &n in fitted {
            let place = self.places[n];
            if place.iter().all(|mm| mm.is_finite()) {
                for class in self.regions[n].into_iter().chain([classes]) {
                    let (sum, number) = &mut sums[class];
                    *sum = std::array::from_fn(|axis| sum[axis] + place[axis]);
                    *number += 1.0;
                }
            }
        }
        let means: Vec<Option<[f64; 3]>> =
            sums.into_iter().map(|(sum, number)| (number > 0.0).then(|| sum.map(|mm| mm / number))).collect();
        let middle = means[classes].unwrap_or_default();
        (middle, means.into_iter().take(classes).map(|mean| mean.unwrap_or(middle)).collect())
    }
}

fn difference(a: &[f64; 3], b: &[f64; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| a[axis] - b[axis])
}

fn products(mm: &[f64; 3]) -> [f64; 6] {
    let [x, y, z] = *mm;
    [x * x, y * y, z * z, x * y, x * z, y * z]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_lies_elsewhere_is_moved_back_and_no_own_label_is_read() {
        // Two regions, 40 mm apart along z; the third series lies 500 mm higher.
        let at = |z: f64| [0.0, 0.0, z];
        let places = [at(0.0), at(40.0), at(0.0), at(40.0), at(500.0), at(540.0), at(500.0)];
        let series = [0, 0, 1, 1, 2, 2, 2];
        let mut regions = [Some(0), Some(1), Some(0), Some(1), Some(0), Some(1), Some(0)];
        let inputs =
            |regions: &[Option<usize>]| Places { places: &places, series: &series, regions }.inputs(&[0, 1, 2, 3], 2);
        let found = inputs(&regions);
        assert_eq!((found[0][2], found[5][2]), (Some(-20.0), Some(520.0)), "about the mean of the fitted rows");
        // Two others say 500; with one more at its centre that is 333.
        assert!((found[5][5].unwrap() - (520.0 - 1000.0 / 3.0)).abs() < 1e-9);
        assert_eq!(found[5].len(), 18);
        regions[5] = Some(0);
        assert_eq!(inputs(&regions)[5], found[5], "its own label");
        assert_ne!(inputs(&regions)[4], found[4], "that of a neighbour");
        regions[5] = None;
        assert_eq!(inputs(&regions)[5], found[5]);
    }
}
