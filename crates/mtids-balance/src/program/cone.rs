//! Projection on the dual cone of the task gradients, as a quadratic program of at most T unknowns.
//!
//! The dual cone {x : v_j·x ≥ 0 for all j} holds the directions that raise no task's loss to first order (UPGrad, arXiv
//! 2406.16232; GEM). With C the cosine matrix, the projection of y is y + Σ w_j v_j where w ≥ 0 minimises
//! ½ wᵀ(C + εI)w + wᵀq, q_j = v_j·y.
//!
//! # Invariants
//! * Weights are finite and ≥ 0; where nothing conflicts they are exactly 0.
//! * The ridge ε makes the weights unique, so that renaming tasks only renames weights, also with duplicate or opposite
//!   gradients, where ε = 0 lets the multipliers run off.

use super::linear::solve_subset;

/// The ridge ε on the cosine matrix, in double precision.
pub(crate) const RIDGE: f64 = 1e-8;
/// Up to this many unknowns every active set is tried: exact, deterministic, no iteration to converge.
const ENUMERATED: usize = 8;

/// The aligned directions of all tasks: x_i = Σ_j A_ij v_j.
#[derive(Debug, Clone)]
pub(crate) struct Directions {
    /// `[T, T]` row-major A, non-negative with unit diagonal.
    pub(crate) weights: Vec<f64>,
    /// ξ_i = ‖x_i‖.
    pub(crate) lengths: Vec<f64>,
    /// ‖x_i − v_i‖.
    pub(crate) changes: Vec<f64>,
}

/// Projects every unit gradient on the dual cone of the others: step 2 of DD-GB.
///
/// `cosines` is `[T, T]`; `targets` (τ, same shape) raises the bounds v_j·x_i ≥ τ_ij. The task's own constraint is left
/// out because a projection x_i on a cone has x_i·v_i = ‖x_i‖² ≥ 0.
pub(crate) fn align(cosines: &[f64], tasks: usize, targets: Option<&[f64]>) -> Directions {
    align_by(minimise, cosines, tasks, targets)
}

/// As [`align`] without targets, by [`minimise_refined`].
pub(crate) fn align_refined(cosines: &[f64], tasks: usize) -> Directions {
    align_by(minimise_refined, cosines, tasks, None)
}

type Minimiser = fn(&[f64], usize, &[f64], &[usize]) -> Vec<f64>;

fn align_by(minimise: Minimiser, cosines: &[f64], tasks: usize, targets: Option<&[f64]>) -> Directions {
    let ridged = with_ridge(cosines, tasks);
    let mut directions =
        Directions { weights: vec![0.0; tasks * tasks], lengths: vec![0.0; tasks], changes: vec![0.0; tasks] };
    for i in 0..tasks {
        let linear: Vec<f64> = (0..tasks)
            .map(|j| cosines[j * tasks + i] - targets.map_or(0.0, |targets| targets[i * tasks + j]))
            .collect();
        let unknowns: Vec<usize> = (0..tasks).filter(|&j| j != i).collect();
        let mut row = minimise(&ridged, tasks, &linear, &unknowns);
        directions.changes[i] = quadratic_form(cosines, tasks, &row).max(0.0).sqrt();
        row[i] = 1.0;
        directions.lengths[i] = quadratic_form(cosines, tasks, &row).max(0.0).sqrt();
        directions.weights[i * tasks..(i + 1) * tasks].copy_from_slice(&row);
    }
    directions
}

/// C + εI.
pub(crate) fn with_ridge(cosines: &[f64], tasks: usize) -> Vec<f64> {
    let mut ridged = cosines.to_vec();
    for i in 0..tasks {
        ridged[i * tasks + i] += RIDGE;
    }
    ridged
}

/// wᵀMw.
pub(crate) fn quadratic_form(matrix: &[f64], n: usize, w: &[f64]) -> f64 {
    (0..n).map(|i| w[i] * (0..n).map(|j| matrix[i * n + j] * w[j]).sum::<f64>()).sum()
}

/// argmin ½ wᵀMw + qᵀw over w ≥ 0 with w zero outside `unknowns`; M = C + εI, unit diagonal up to the ridge.
pub(crate) fn minimise(matrix: &[f64], n: usize, linear: &[f64], unknowns: &[usize]) -> Vec<f64> {
    if unknowns.iter().all(|&j| linear[j] >= 0.0) {
        return vec![0.0; n];
    }
    if unknowns.len() <= ENUMERATED {
        enumerate(matrix, n, linear, unknowns)
    } else {
        lawson_hanson(matrix, n, linear, unknowns)
    }
}

/// As [`minimise`], with the ridge's effect on the positive weights removed where [`solve_refined`] can and they stay positive.
///
/// For rules that are compared with other implementations. DD-GB keeps the ridge: which of several nearly equal supports is
/// found may depend on rounding, and only the ridged solutions on them agree to 1e-9.
pub(crate) fn minimise_refined(matrix: &[f64], n: usize, linear: &[f64], unknowns: &[usize]) -> Vec<f64> {
    let mut w = minimise(matrix, n, linear, unknowns);
    let support: Vec<usize> = (0..n).filter(|&i| w[i] > 0.0).collect();
    let target: Vec<f64> = linear.iter().map(|value| -value).collect();
    let refined = solve_refined(matrix, n, &support, &target);
    if refined.iter().all(|value| *value > 0.0) {
        support.iter().zip(&refined).for_each(|(&i, &value)| w[i] = value);
    }
    w
}

/// Solves C_SS y = rhs_S for M = C + εI where C_SS is regular enough, else M_SS y = rhs_S; S = `support`.
///
/// Iterated refinement y ← M_SS⁻¹(εy + rhs_S) tends to the solution without ridge, at a factor ε/(λ + ε) a step, λ the smallest
/// eigenvalue of C_SS. It is not taken up where its first step changes y by more than 3e-7 (λ below about 0.03) or where it
/// does not settle: there the ridge is what makes the solution unique, and rules that use it or not must agree to 1e-6.
pub(crate) fn solve_refined(matrix: &[f64], n: usize, support: &[usize], rhs: &[f64]) -> Vec<f64> {
    let ridged = solve_subset(matrix, n, support, rhs, RIDGE / 2.0);
    let mut refined = ridged.clone();
    let mut target = rhs.to_vec();
    let mut last = 3e-7;
    for _ in 0..6 {
        support.iter().zip(&refined).for_each(|(&i, value)| target[i] = RIDGE * value + rhs[i]);
        let next = solve_subset(matrix, n, support, &target, RIDGE / 2.0);
        let largest = next.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        let change = next.iter().zip(&refined).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
        if change.is_nan() || change >= last {
            break;
        }
        refined = next;
        last = change;
    }
    if last < 1e-12 { refined } else { ridged }
}

/// (Mw + q)_i, which is ≥ 0 at the solution, and 0 where w_i > 0.
fn slope(matrix: &[f64], n: usize, linear: &[f64], w: &[f64], i: usize) -> f64 {
    linear[i] + (0..n).map(|j| matrix[i * n + j] * w[j]).sum::<f64>()
}

/// Solves for every subset of positive unknowns and keeps the one that breaks the optimality conditions least. M is positive
/// definite, so exactly one solution meets them; "least" instead of "not at all" makes rounding harmless.
fn enumerate(matrix: &[f64], n: usize, linear: &[f64], unknowns: &[usize]) -> Vec<f64> {
    let negated: Vec<f64> = linear.iter().map(|value| -value).collect();
    let mut best = (f64::INFINITY, vec![0.0; n]);
    for mask in 0_usize..1 << unknowns.len() {
        let chosen = |position: usize| mask >> position & 1 == 1;
        let subset: Vec<usize> =
            unknowns.iter().enumerate().filter(|&(position, _)| chosen(position)).map(|(_, &index)| index).collect();
        let solution = solve_subset(matrix, n, &subset, &negated, RIDGE / 2.0);
        let largest = solution.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
        let lowest = solution.iter().fold(0.0_f64, |least, value| least.min(*value));
        let mut violation = -lowest / largest;
        if violation >= best.0 {
            continue;
        }
        let mut w = vec![0.0; n];
        for (&index, value) in subset.iter().zip(&solution) {
            w[index] = value.max(0.0);
        }
        for (position, &index) in unknowns.iter().enumerate() {
            if !chosen(position) {
                violation = violation.max(-slope(matrix, n, linear, &w, index));
            }
        }
        if violation < best.0 {
            best = (violation, w);
            if violation == 0.0 {
                break;
            }
        }
    }
    best.1
}

/// Non-negative least squares in normal-equation form (Lawson and Hanson 1974; Bro and de Jong 1997).
fn lawson_hanson(matrix: &[f64], n: usize, linear: &[f64], unknowns: &[usize]) -> Vec<f64> {
    let negated: Vec<f64> = linear.iter().map(|value| -value).collect();
    let mut w = vec![0.0; n];
    let mut passive: Vec<usize> = Vec::new();
    // An index whose own step came out non-positive is noise; it waits until the passive set changes.
    let mut barred: Vec<usize> = Vec::new();
    // Each round either enlarges the passive set or bars an index; the bound only guards against cycling by rounding.
    for _ in 0..20 * unknowns.len() {
        let tolerance = 1e-14 * w.iter().fold(1.0_f64, |most, value| most.max(*value));
        let entering = unknowns
            .iter()
            .filter(|index| !passive.contains(index) && !barred.contains(index))
            .map(|&index| (slope(matrix, n, linear, &w, index), index))
            .filter(|&(slope, _)| slope < -tolerance)
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, entering)) = entering else { break };
        passive.push(entering);
        passive.sort_unstable();
        let mut accepted = false;
        while !passive.is_empty() {
            let solution = solve_subset(matrix, n, &passive, &negated, RIDGE / 2.0);
            let own = passive.iter().position(|&index| index == entering).map(|position| solution[position]);
            if !accepted && own.is_some_and(|value| value <= 0.0) {
                passive.retain(|&index| index != entering);
                barred.push(entering);
                break;
            }
            if !accepted {
                barred.clear();
                accepted = true;
            }
            if solution.iter().all(|&value| value > 0.0) {
                for (&index, &value) in passive.iter().zip(&solution) {
                    w[index] = value;
                }
                break;
            }
            // Walk towards the solution until the first weight reaches zero, and drop it.
            let share = passive
                .iter()
                .zip(&solution)
                .filter(|&(_, &value)| value <= 0.0)
                .map(|(&index, &value)| w[index] / (w[index] - value))
                .filter(|share| share.is_finite())
                .fold(1.0, f64::min);
            let mut kept = Vec::with_capacity(passive.len());
            for (&index, &value) in passive.iter().zip(&solution) {
                let moved = w[index] + share * (value - w[index]);
                if value <= 0.0 && moved <= 1e-15 * w[index].max(1.0) {
                    w[index] = 0.0;
                } else {
                    w[index] = moved.max(0.0);
                    kept.push(index);
                }
            }
            if kept.len() == passive.len() {
                break;
            }
            passive = kept;
        }
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cosines(rows: &[Vec<f64>]) -> Vec<f64> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        rows.iter()
            .flat_map(|a| rows.iter().map(|b| (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0)))
            .collect()
    }

    #[test]
    fn golden_direction_weights() {
        let c = cosines(&[vec![1.0, 0.0, 0.0], vec![-0.5, 2.0, 0.0], vec![0.0, -1.0, 4.0]]);
        let directions = align(&c, 3, None);
        let a = [1.0, 0.256750, 0.060412, 0.242536, 1.0, 0.235294, 0.060634, 0.25, 1.0];
        for (found, expected) in directions.weights.iter().zip(a) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        for (found, expected) in directions.lengths.iter().zip([0.968364, 0.941176, 0.970143]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn refinement_removes_the_ridge_and_only_where_that_is_possible() {
        // Cosine −0.8 exactly: w = 0.8 and the length is 0.6.
        let directions = align_refined(&[1.0, -0.8, -0.8, 1.0], 2);
        assert!((directions.weights[1] - 0.8).abs() < 1e-15 && (directions.lengths[0] - 0.6).abs() < 1e-15);
        assert!((align(&[1.0, -0.8, -0.8, 1.0], 2, None).weights[1] - 0.8).abs() > 1e-9);
        // Two equal tasks against a third: the ridge shares the weight equally.
        let twice = [1.0, 1.0, -0.5, 1.0, 1.0, -0.5, -0.5, -0.5, 1.0];
        let third = &align_refined(&twice, 3).weights[6..];
        assert!((third[0] - third[1]).abs() < 1e-12 && (third[0] - 0.25).abs() < 1e-7, "{third:?}");
    }

    #[test]
    fn without_conflict_nothing_moves() {
        let c = cosines(&[vec![1.0, 0.2], vec![0.3, 1.0], vec![1.0, 1.0]]);
        let directions = align(&c, 3, None);
        assert_eq!(directions.weights, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(directions.changes, [0.0; 3]);
    }

    #[test]
    fn targets_raise_the_cosine() {
        let c = [1.0, 0.1, 0.1, 1.0];
        let targets = [0.0, 0.4, 0.4, 0.0];
        let directions = align(&c, 2, Some(&targets));
        let product = c[1] + directions.weights[1];
        assert!((product - 0.4).abs() < 1e-7, "x_0·v_1 = {product}");
    }

    fn rows(tasks: impl Strategy<Value = usize>) -> impl Strategy<Value = Vec<Vec<f64>>> {
        (tasks, 1_usize..6).prop_flat_map(|(tasks, width)| {
            prop::collection::vec(prop::collection::vec((-100_i32..100).prop_map(|x| f64::from(x) + 0.5), width), tasks)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn both_solvers_agree(rows in rows(2_usize..9)) {
            let n = rows.len();
            let c = cosines(&rows);
            let ridged = with_ridge(&c, n);
            for i in 0..n {
                let linear: Vec<f64> = (0..n).map(|j| c[j * n + i]).collect();
                let unknowns: Vec<usize> = (0..n).filter(|&j| j != i).collect();
                let mut first = enumerate(&ridged, n, &linear, &unknowns);
                let mut second = lawson_hanson(&ridged, n, &linear, &unknowns);
                // The weights of duplicates are ill-conditioned; the projected vector is what counts.
                first.iter_mut().zip(&mut second).for_each(|(a, b)| *a -= *b);
                let distance = quadratic_form(&c, n, &first).max(0.0).sqrt();
                prop_assert!(distance < 1e-6, "task {}: {}", i, distance);
            }
        }

        #[test]
        fn optimality_conditions_hold_for_many_tasks(rows in rows(9_usize..40)) {
            let n = rows.len();
            let c = cosines(&rows);
            let ridged = with_ridge(&c, n);
            let unknowns: Vec<usize> = (1..n).collect();
            let linear: Vec<f64> = (0..n).map(|j| c[j * n]).collect();
            let w = minimise(&ridged, n, &linear, &unknowns);
            prop_assert!(w.iter().all(|value| value.is_finite() && *value >= 0.0));
            let largest = w.iter().fold(1.0_f64, |most, value| most.max(*value));
            for &j in &unknowns {
                let slope = slope(&ridged, n, &linear, &w, j);
                prop_assert!(slope > -1e-9 * largest, "slope {}", slope);
                prop_assert!(w[j] == 0.0 || slope.abs() < 1e-9 * largest, "slack {} {}", w[j], slope);
            }
        }
    }
}
