//! The Gram matrix of task gradients, checked once, and its reduction to the tasks that take part.
//!
//! # Invariants
//! * A [`GramMatrix`] is square, finite, exactly symmetric, with a non-negative diagonal.
//! * [`ActiveTasks`] holds positive norms and cosines in [-1, 1] with an exact unit diagonal, so that rules never divide by
//!   zero and work at any scale of gradient.

use crate::error::BalanceError;
use crate::input::BalanceInput;

/// Relative asymmetry and excess over Cauchy–Schwarz that is put down to single-precision sums.
const TOLERANCE: f64 = 1e-3;
/// A gradient shorter than this share of the longest one carries no direction that can be trusted in double precision.
const NEGLIGIBLE: f64 = 1e-12;

/// Inner products of T task gradients, `[T, T]` row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct GramMatrix {
    tasks: usize,
    values: Vec<f64>,
}

impl GramMatrix {
    /// Checks and symmetrises a matrix of inner products.
    ///
    /// # Errors
    /// [`BalanceError`] when the length is not T², an entry is not finite, the diagonal is negative, or the matrix is
    /// asymmetric or breaks Cauchy–Schwarz by more than rounding in single precision explains.
    pub fn new(tasks: usize, values: &[f64]) -> Result<Self, BalanceError> {
        if values.len() != tasks * tasks {
            return Err(BalanceError::Shape {
                what: "the Gram matrix",
                tasks,
                expected: tasks * tasks,
                got: values.len(),
            });
        }
        let at = |row: usize, column: usize| values[row * tasks + column];
        for row in 0..tasks {
            for column in 0..tasks {
                let value = at(row, column);
                if !value.is_finite() {
                    return Err(BalanceError::NonFiniteGram { row, column, value });
                }
            }
            if at(row, row) < 0.0 {
                return Err(BalanceError::NotGram { row, column: row, reason: "a squared norm is negative" });
            }
        }
        let mut symmetric = values.to_vec();
        for row in 0..tasks {
            for column in 0..row {
                let (lower, upper) = (at(row, column), at(column, row));
                let bound = at(row, row).sqrt() * at(column, column).sqrt();
                // The smallest normal number: below it a product of tiny gradients has lost its digits.
                let slack = TOLERANCE * bound + f64::MIN_POSITIVE;
                if (lower - upper).abs() > slack {
                    return Err(BalanceError::NotGram { row, column, reason: "it is not symmetric" });
                }
                if lower.abs().max(upper.abs()) > bound + slack {
                    return Err(BalanceError::NotGram {
                        row,
                        column,
                        reason: "an inner product exceeds the product of the norms",
                    });
                }
                let mean = 0.5 * lower + 0.5 * upper;
                symmetric[row * tasks + column] = mean;
                symmetric[column * tasks + row] = mean;
            }
        }
        Ok(GramMatrix { tasks, values: symmetric })
    }

    /// Number of tasks T.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// The inner product of two tasks' gradients.
    ///
    /// # Panics
    /// When a task number is not below [`GramMatrix::tasks`].
    pub fn product(&self, row: usize, column: usize) -> f64 {
        assert!(row < self.tasks && column < self.tasks, "task numbers are below {}", self.tasks);
        self.values[row * self.tasks + column]
    }
}

/// The tasks that take part in a step, with their norms and cosines.
#[derive(Debug, Clone)]
pub(crate) struct ActiveTasks {
    tasks: usize,
    members: Vec<usize>,
    norms: Vec<f64>,
    cosines: Vec<f64>,
}

impl ActiveTasks {
    /// Reduces an input to its active tasks. `units` (one positive value per task) decides which gradients are
    /// negligible beside the others; norms stay raw.
    pub(crate) fn new(input: &BalanceInput<'_>, tasks: usize, units: Option<&[f64]>) -> Result<Self, BalanceError> {
        if input.active.len() != tasks {
            return Err(BalanceError::Shape {
                what: "the list of active tasks",
                tasks,
                expected: tasks,
                got: input.active.len(),
            });
        }
        if let Some(losses) = input.losses
            && losses.len() != tasks
        {
            return Err(BalanceError::Shape { what: "the list of losses", tasks, expected: tasks, got: losses.len() });
        }
        let gram = GramMatrix::new(tasks, input.gram)?;
        let norm = |task: usize| gram.product(task, task).sqrt();
        let in_units = |task: usize| norm(task) / units.map_or(1.0, |units| units[task]);
        let longest = (0..tasks).filter(|&task| input.active[task]).map(in_units).fold(0.0, f64::max);
        let members: Vec<usize> =
            (0..tasks).filter(|&task| input.active[task] && in_units(task) > NEGLIGIBLE * longest).collect();
        let norms: Vec<f64> = members.iter().map(|&task| norm(task)).collect();
        let mut cosines = Vec::with_capacity(members.len() * members.len());
        for (i, &row) in members.iter().enumerate() {
            for (j, &column) in members.iter().enumerate() {
                let cosine =
                    if i == j { 1.0 } else { (gram.product(row, column) / norms[i] / norms[j]).clamp(-1.0, 1.0) };
                cosines.push(cosine);
            }
        }
        // Division by the two norms in either order may differ in the last bit.
        let count = members.len();
        for i in 0..count {
            for j in 0..i {
                cosines[i * count + j] = cosines[j * count + i];
            }
        }
        Ok(ActiveTasks { tasks, members, norms, cosines })
    }

    /// Number of active tasks.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Number of all tasks.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks
    }

    /// Task numbers of the active tasks, ascending.
    pub(crate) fn members(&self) -> &[usize] {
        &self.members
    }

    /// Norms of the raw gradients of the active tasks.
    pub(crate) fn norms(&self) -> &[f64] {
        &self.norms
    }

    /// Cosines between active tasks, row-major.
    pub(crate) fn cosines(&self) -> &[f64] {
        &self.cosines
    }

    /// One cosine.
    pub(crate) fn cosine(&self, i: usize, j: usize) -> f64 {
        self.cosines[i * self.len() + j]
    }

    /// v_i · Gᵀc for every active task, with weights c for the raw gradients.
    pub(crate) fn combined_projections(&self, weights: &[f64]) -> Vec<f64> {
        (0..self.len())
            .map(|i| (0..self.len()).map(|j| self.cosine(i, j) * (weights[j] * self.norms[j])).sum())
            .collect()
    }

    /// ‖Gᵀc‖ with weights c for the raw gradients.
    pub(crate) fn combined_norm(&self, weights: &[f64]) -> f64 {
        let pull = self.combined_projections(weights);
        // ‖Gᵀc‖² = Σ_i c_i n_i (v_i·u); rounding may leave a tiny negative value when u vanishes. Scaled, so that squares
        // of very large or small norms neither overflow nor vanish.
        let scale = pull.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        if scale <= 0.0 {
            return 0.0;
        }
        let square: f64 = (0..self.len()).map(|i| weights[i] * self.norms[i] / scale * (pull[i] / scale)).sum();
        scale * square.max(0.0).sqrt()
    }

    /// Values of active tasks in their places among all tasks, 0 elsewhere.
    pub(crate) fn spread(&self, values: &[f64]) -> Vec<f64> {
        let mut all = vec![0.0; self.tasks];
        for (&task, &value) in self.members.iter().zip(values) {
            all[task] = value;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_gram_matrix_is_refused() {
        assert!(matches!(GramMatrix::new(2, &[1.0; 3]), Err(BalanceError::Shape { expected: 4, got: 3, .. })));
        assert!(matches!(
            GramMatrix::new(2, &[1.0, f64::NAN, 0.0, 1.0]),
            Err(BalanceError::NonFiniteGram { row: 0, column: 1, .. })
        ));
        let reason = |values: &[f64]| GramMatrix::new(2, values).unwrap_err().to_string();
        assert!(reason(&[1.0, 0.5, 0.4, 1.0]).contains("symmetric"));
        assert!(reason(&[1.0, 1.5, 1.5, 1.0]).contains("exceeds"));
        assert!(reason(&[-1.0, 0.0, 0.0, 1.0]).contains("negative"));
    }

    #[test]
    fn single_precision_rounding_is_evened_out() {
        let gram = GramMatrix::new(2, &[1.0, 0.5 + 1e-7, 0.5, 1.0]).unwrap();
        assert_eq!(gram.product(0, 1), gram.product(1, 0));
        assert_eq!(gram.tasks(), 2);
    }

    #[test]
    fn negligible_and_unlabelled_tasks_are_left_out() {
        let gram = [1.0, 0.0, 0.0, 0.0, 1e-30, 0.0, 0.0, 0.0, 4.0];
        let input = BalanceInput { gram: &gram, losses: None, active: &[true, true, true] };
        let active = ActiveTasks::new(&input, 3, None).unwrap();
        assert_eq!(active.members(), [0, 2]);
        assert_eq!(active.spread(&[7.0, 8.0]), [7.0, 0.0, 8.0]);
        // In units of its own tiny loss the second gradient is as long as the others.
        let active = ActiveTasks::new(&input, 3, Some(&[1.0, 1e-15, 1.0])).unwrap();
        assert_eq!(active.members(), [0, 1, 2]);
        let input = BalanceInput { gram: &gram, losses: None, active: &[false, true, false] };
        assert_eq!(ActiveTasks::new(&input, 3, None).unwrap().members(), [1]);
    }

    #[test]
    fn scale_does_not_reach_the_cosines() {
        for scale in [1e-150, 1.0, 1e150] {
            let gram = [18.0 * scale * scale, -22.0 * scale * scale, -22.0 * scale * scale, 38.0 * scale * scale];
            let input = BalanceInput { gram: &gram, losses: None, active: &[true, true] };
            let active = ActiveTasks::new(&input, 2, None).unwrap();
            assert!((active.cosine(0, 1) + 22.0 / (18.0_f64 * 38.0).sqrt()).abs() < 1e-12);
        }
    }
}
