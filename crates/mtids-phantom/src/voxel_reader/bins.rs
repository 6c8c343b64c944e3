//! Numbers to at most 255 bins per feature, so that a tree looks for its cuts in histograms.
//!
//! Method: as scikit-learn's `HistGradientBoostingClassifier` 1.9: cuts halfway between distinct values where there are few, else at 254
//! percentiles of all values (definition 2 of Hyndman and Fan, Am Stat 1996;50:361). Invariant: a value in bin b lies above cut b − 1 and not above cut b.

/// Most bins of a feature.
const MOST_BINS: usize = 255;

/// The rows that trees are fitted to, by feature.
pub(super) struct Binned {
    /// Cuts of each feature, rising.
    cuts: Vec<Vec<f64>>,
    /// Bin of each row, by feature.
    columns: Vec<Vec<u8>>,
}

impl Binned {
    /// Rows of equal length.
    pub(super) fn new(rows: &[&[f32]]) -> Self {
        let width = rows.first().map_or(0, |row| row.len());
        let (cuts, columns) = (0..width)
            .map(|feature| {
                let values: Vec<f64> = rows.iter().map(|row| f64::from(row[feature])).collect();
                let cuts = cuts(values.clone());
                // At most 254 cuts, so the bin fits a byte.
                let bin = |value: &f64| cuts.partition_point(|cut| cut < value) as u8;
                let column = values.iter().map(bin).collect();
                (cuts, column)
            })
            .unzip();
        Self { cuts, columns }
    }

    /// Number of features.
    pub(super) fn features(&self) -> usize {
        self.columns.len()
    }

    /// Number of bins of a feature.
    pub(super) fn bins(&self, feature: usize) -> usize {
        self.cuts[feature].len() + 1
    }

    /// Bin of each row.
    pub(super) fn column(&self, feature: usize) -> &[u8] {
        &self.columns[feature]
    }

    /// The value that ends a bin, which is not a feature's last.
    pub(super) fn cut(&self, feature: usize, bin: usize) -> f64 {
        self.cuts[feature][bin]
    }
}

fn cuts(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let mut distinct = values.clone();
    distinct.dedup();
    if distinct.len() <= MOST_BINS {
        return distinct.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
    }
    (1..MOST_BINS)
        .map(|n| {
            // In whole numbers: how many values lie below the percentile, and whether it falls between two.
            let scaled = n * values.len();
            let (below, between) = (scaled / MOST_BINS, scaled.is_multiple_of(MOST_BINS));
            0.5 * (values[below - usize::from(between)] + values[below])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_cut_halfway_and_many_at_percentiles() {
        assert_eq!(cuts(vec![3.0, 1.0, 1.0, 2.0]), [1.5, 2.5]);
        assert!(cuts(vec![4.0; 9]).is_empty());
        // Four values a bin; every percentile falls between two of them.
        let many = cuts((0..1020).map(f64::from).collect());
        assert_eq!((many.len(), many[0], many[253]), (254, 3.5, 1015.5));
        let uneven = cuts((0..1021).map(f64::from).collect());
        assert_eq!((uneven[0], uneven[253]), (4.0, 1016.0));
    }

    #[test]
    fn a_value_at_a_cut_belongs_below_it() {
        let rows: Vec<[f32; 1]> = (0..1021).map(|n| [n as f32]).collect();
        let rows: Vec<&[f32]> = rows.iter().map(<[f32; 1]>::as_slice).collect();
        let binned = Binned::new(&rows);
        assert_eq!((binned.column(0)[4], binned.column(0)[5], binned.cut(0, 0)), (0, 1, 4.0));
        assert_eq!((binned.features(), binned.bins(0)), (1, 255));
    }
}
