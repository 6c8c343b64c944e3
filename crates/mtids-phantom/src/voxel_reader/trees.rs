//! Gradient-boosted trees for two classes.
//!
//! Method: log loss, trees grown leaf by leaf where the gain is largest, cuts found in histograms (Ke et al., LightGBM, NeurIPS 2017), in the
//! form of scikit-learn's `HistGradientBoostingClassifier`, whose probabilities a test compares. Nothing is drawn at random.
//! Invariant: sums run in the order of rows and features; among equal gains the first feature, bin and leaf wins.

use super::bins::Binned;

/// Curvature below which a leaf is not cut off.
const LEAST_CURVATURE: f64 = 1e-3;

/// How trees are grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TreeRules {
    /// Trees, one after the other. Default 300.
    pub rounds: usize,
    /// Share of a leaf's best step that is taken. Default 0.03.
    pub rate: f64,
    /// Most leaves of a tree. Default 15.
    pub leaves: usize,
    /// Weight of a leaf's squared value. Default 5.
    pub ridge: f64,
    /// Fewest rows of a leaf. Default 20.
    pub rows_per_leaf: usize,
}

impl Default for TreeRules {
    fn default() -> Self {
        Self { rounds: 300, rate: 0.03, leaves: 15, ridge: 5.0, rows_per_leaf: 20 }
    }
}

/// A sum of trees over a constant, in log odds.
#[derive(Clone, Debug, PartialEq)]
pub struct BoostedTrees {
    baseline: f64,
    trees: Vec<Vec<Knot>>,
}

/// A place in a tree; the first is its root.
#[derive(Clone, Debug, PartialEq)]
enum Knot {
    Leaf(f64),
    Fork { feature: usize, cut: f64, below: usize, above: usize },
}

/// Sums over rows: slope and curvature of the loss, and their number.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    slope: f64,
    curvature: f64,
    rows: usize,
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.slope += other.slope;
        self.curvature += other.curvature;
        self.rows += other.rows;
    }

    fn less(self, other: Sums) -> Sums {
        Sums {
            slope: self.slope - other.slope,
            curvature: self.curvature - other.curvature,
            rows: self.rows - other.rows,
        }
    }

    /// How much the loss falls, twice, if these rows share their best value.
    fn worth(self, ridge: f64) -> f64 {
        self.slope * self.slope / (self.curvature + ridge + f64::EPSILON)
    }
}

/// The best cut of a leaf.
#[derive(Clone, Copy, Debug)]
struct Cut {
    gain: f64,
    feature: usize,
    bin: usize,
    below: Sums,
}

/// A leaf while its tree grows.
struct Leaf {
    knot: usize,
    rows: Vec<usize>,
    sums: Sums,
    histogram: Vec<Sums>,
    cut: Option<Cut>,
}

impl BoostedTrees {
    /// Fits trees to rows of equal length and their classes; none without rows of both.
    pub fn fit(rows: &[&[f32]], truth: &[bool], rules: &TreeRules) -> Option<Self> {
        let positive = truth.iter().filter(|&&positive| positive).count();
        if positive == 0 || positive == truth.len() || rows.len() != truth.len() {
            return None;
        }
        let share = positive as f64 / truth.len() as f64;
        let baseline = (share / (1.0 - share)).ln();
        let binned = Binned::new(rows);
        let grower = Grower::new(&binned, rules);
        let mut odds = vec![baseline; rows.len()];
        let mut trees = Vec::with_capacity(rules.rounds);
        for _ in 0..rules.rounds {
            let losses: Vec<Sums> = odds
                .iter()
                .zip(truth)
                .map(|(&odds, &truth)| {
                    let p = logistic(odds);
                    Sums { slope: p - f64::from(u8::from(truth)), curvature: p * (1.0 - p), rows: 1 }
                })
                .collect();
            trees.push(grower.tree(&losses, &mut odds));
        }
        Some(Self { baseline, trees })
    }

    /// Probability of the class `true`. A feature that the row lacks counts as 0.
    pub fn probability(&self, row: &[f32]) -> f64 {
        logistic(self.baseline + self.trees.iter().map(|tree| value(tree, row)).sum::<f64>())
    }
}

fn logistic(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

fn value(tree: &[Knot], row: &[f32]) -> f64 {
    let mut at = 0;
    loop {
        match tree[at] {
            Knot::Leaf(value) => return value,
            Knot::Fork { feature, cut, below, above } => {
                let low = f64::from(row.get(feature).copied().unwrap_or(0.0)) <= cut;
                at = if low { below } else { above };
            }
        }
    }
}

/// Grows trees on the same rows.
struct Grower<'a> {
    binned: &'a Binned,
    rules: &'a TreeRules,
    /// First bin of each feature in a histogram, and at the end the number of bins.
    starts: Vec<usize>,
}

impl<'a> Grower<'a> {
    fn new(binned: &'a Binned, rules: &'a TreeRules) -> Self {
        let mut starts = vec![0];
        for feature in 0..binned.features() {
            starts.push(starts[feature] + binned.bins(feature));
        }
        Self { binned, rules, starts }
    }

    /// One tree against the losses of the rows; adds its values to their `odds`.
    fn tree(&self, losses: &[Sums], odds: &mut [f64]) -> Vec<Knot> {
        let rows: Vec<usize> = (0..losses.len()).collect();
        let mut sums = Sums::default();
        losses.iter().for_each(|&loss| sums.add(loss));
        let histogram = self.histogram(&rows, losses);
        let mut tree = vec![Knot::Leaf(0.0)];
        let mut leaves = vec![self.leaf(0, rows, sums, histogram)];
        while leaves.len() < self.rules.leaves {
            let mut best: Option<(usize, Cut)> = None;
            for (n, leaf) in leaves.iter().enumerate() {
                if let Some(cut) = leaf.cut
                    && best.is_none_or(|(_, other)| cut.gain > other.gain)
                {
                    best = Some((n, cut));
                }
            }
            let Some((n, cut)) = best else { break };
            let parent = leaves.swap_remove(n);
            leaves.extend(self.split(parent, cut, losses, &mut tree));
        }
        for leaf in leaves {
            let value = -self.rules.rate * leaf.sums.slope / (leaf.sums.curvature + self.rules.ridge + f64::EPSILON);
            leaf.rows.iter().for_each(|&row| odds[row] += value);
            tree[leaf.knot] = Knot::Leaf(value);
        }
        tree
    }

    fn split(&self, parent: Leaf, cut: Cut, losses: &[Sums], tree: &mut Vec<Knot>) -> [Leaf; 2] {
        let column = self.binned.column(cut.feature);
        let (low, high): (Vec<usize>, Vec<usize>) =
            parent.rows.iter().partition(|&&row| usize::from(column[row]) <= cut.bin);
        let (below, above) = (tree.len(), tree.len() + 1);
        let value = self.binned.cut(cut.feature, cut.bin);
        tree[parent.knot] = Knot::Fork { feature: cut.feature, cut: value, below, above };
        tree.extend([Knot::Leaf(0.0), Knot::Leaf(0.0)]);
        // The histogram of the larger part is what the smaller one leaves of the parent's.
        let smaller = self.histogram(if low.len() < high.len() { &low } else { &high }, losses);
        let mut rest = parent.histogram;
        rest.iter_mut().zip(&smaller).for_each(|(all, part)| *all = all.less(*part));
        let [low_histogram, high_histogram] = if low.len() < high.len() { [smaller, rest] } else { [rest, smaller] };
        [
            self.leaf(below, low, cut.below, low_histogram),
            self.leaf(above, high, parent.sums.less(cut.below), high_histogram),
        ]
    }

    fn leaf(&self, knot: usize, rows: Vec<usize>, sums: Sums, histogram: Vec<Sums>) -> Leaf {
        let cut = self.best_cut(sums, &histogram);
        Leaf { knot, rows, sums, histogram, cut }
    }

    fn histogram(&self, rows: &[usize], losses: &[Sums]) -> Vec<Sums> {
        let mut histogram = vec![Sums::default(); self.starts.last().copied().unwrap_or(0)];
        for feature in 0..self.binned.features() {
            let column = self.binned.column(feature);
            let cells = &mut histogram[self.starts[feature]..self.starts[feature + 1]];
            rows.iter().for_each(|&row| cells[usize::from(column[row])].add(losses[row]));
        }
        histogram
    }

    fn best_cut(&self, all: Sums, histogram: &[Sums]) -> Option<Cut> {
        let least = self.rules.rows_per_leaf.max(1);
        if all.rows < 2 * least || all.curvature < LEAST_CURVATURE {
            return None;
        }
        let ridge = self.rules.ridge;
        let mut best: Option<Cut> = None;
        for feature in 0..self.binned.features() {
            let mut below = Sums::default();
            let cells = &histogram[self.starts[feature]..self.starts[feature + 1]];
            // Nothing lies above the last bin.
            for (bin, &cell) in cells.iter().enumerate().take(cells.len() - 1) {
                below.add(cell);
                let above = all.less(below);
                if below.rows < least || below.curvature < LEAST_CURVATURE {
                    continue;
                }
                if above.rows < least || above.curvature < LEAST_CURVATURE {
                    break;
                }
                let gain = below.worth(ridge) + above.worth(ridge) - all.worth(ridge);
                if gain > best.map_or(0.0, |best| best.gain) {
                    best = Some(Cut { gain, feature, bin, below });
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_metrics::auroc;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    /// Rows of four features, two of which tell the class, by their product alone.
    fn drawn(count: usize, purpose: &str) -> (Vec<[f32; 4]>, Vec<bool>) {
        let mut random = rng_for(5, purpose, &[]);
        (0..count)
            .map(|_| {
                let row: [f32; 4] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
                (row, row[1] * row[2] > 0.0)
            })
            .unzip()
    }

    #[test]
    fn an_interaction_is_learned_and_holds_on_other_rows() {
        let [(rows, truth), (others, wanted)] = ["train", "test"].map(|purpose| drawn(800, purpose));
        let rows: Vec<&[f32]> = rows.iter().map(<[f32; 4]>::as_slice).collect();
        let trees = BoostedTrees::fit(&rows, &truth, &TreeRules { rounds: 100, ..TreeRules::default() }).unwrap();
        let scored: Vec<(f64, bool)> =
            others.iter().zip(&wanted).map(|(row, &truth)| (trees.probability(row), truth)).collect();
        let found = auroc(&scored).unwrap();
        assert!(found > 0.95, "{found}");
    }

    #[test]
    fn few_rows_and_one_class_give_the_share_or_nothing() {
        let (rows, mut truth) = drawn(30, "few");
        let rows: Vec<&[f32]> = rows.iter().map(<[f32; 4]>::as_slice).collect();
        truth.fill(false);
        assert!(BoostedTrees::fit(&rows, &truth, &TreeRules::default()).is_none());
        truth[..6].fill(true);
        // Thirty rows cannot be cut into two leaves of twenty.
        let trees = BoostedTrees::fit(&rows, &truth, &TreeRules::default()).unwrap();
        assert!((trees.probability(rows[29]) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn a_tree_keeps_to_its_leaves_and_rows() {
        let (rows, truth) = drawn(500, "rules");
        let rows: Vec<&[f32]> = rows.iter().map(<[f32; 4]>::as_slice).collect();
        let rules = TreeRules { rounds: 3, leaves: 4, ..TreeRules::default() };
        let trees = BoostedTrees::fit(&rows, &truth, &rules).unwrap();
        let mut most = 0;
        for tree in &trees.trees {
            let leaves: Vec<f64> =
                tree.iter().filter_map(|knot| if let Knot::Leaf(value) = knot { Some(*value) } else { None }).collect();
            assert_eq!(tree.len(), 2 * leaves.len() - 1);
            most = most.max(leaves.len());
            for leaf in leaves {
                assert!(rows.iter().filter(|row| value(tree, row) == leaf).count() >= 20);
            }
        }
        assert_eq!(most, 4);
    }
}
