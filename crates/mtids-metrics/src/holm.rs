//! Many tests at once: Holm's step-down procedure (Scand J Statist 1979;6:65), which keeps the chance of any false claim below the level.

/// Adjusted p-values, in the order of `p`: the smallest level at which Holm's procedure rejects each hypothesis.
///
/// Invariants: none is below its own p-value or above 1; their order is that of `p`.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        least = least.max((p.len() - rank) as f64 * p[index]).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_test_is_not_adjusted() {
        assert_eq!(holm(&[0.03]), [0.03]);
        assert!(holm(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn order_and_bounds_are_kept(p in prop::collection::vec(0.0_f64..=1.0, 1..20)) {
            let adjusted = holm(&p);
            for a in 0..p.len() {
                prop_assert!(adjusted[a] >= p[a] && adjusted[a] <= 1.0);
                for b in 0..p.len() {
                    prop_assert!(p[a] > p[b] || adjusted[a] <= adjusted[b]);
                }
            }
        }
    }
}
