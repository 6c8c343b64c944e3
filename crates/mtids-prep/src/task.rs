//! Which share of a build a job works off: said on the command line, or by a scheduler's variables.
//!
//! Invariants: shares of one count do not overlap and together are everything; a scheduler's numbering may start anywhere and have steps.

use serde::Serialize;

use crate::error::PrepError;

/// Share `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// From 0.
    pub index: usize,
    /// At least 1.
    pub count: usize,
}

impl Task {
    /// The share from what the user said, else from Slurm's array variables (`SLURM_ARRAY_TASK_ID`, `_COUNT`, `_MIN`, `_STEP`), or
    /// Kubernetes' `JOB_COMPLETION_INDEX`, which needs the count to be said. `None` where nobody asks for a share.
    ///
    /// # Errors
    /// [`PrepError::Config`] for a share that is none.
    pub fn find(
        index: Option<usize>,
        count: Option<usize>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, PrepError> {
        let fail = |reason: String| Err(PrepError::Config { key: "--task-index, --task-count".into(), reason });
        let number = |name: &str| -> Result<Option<usize>, PrepError> {
            let Some(text) = variable(name) else { return Ok(None) };
            text.trim().parse().map(Some).map_err(|_| PrepError::Config {
                key: name.into(),
                reason: format!("`{text}` in the environment is no number"),
            })
        };
        let (index, count) = match (index, count) {
            (Some(index), Some(count)) => (index, count),
            (Some(_), None) => return fail("an index needs the count: --task-count".into()),
            (None, said) => {
                let slurm = number("SLURM_ARRAY_TASK_ID")?;
                if let (Some(id), Some(counted)) = (slurm, number("SLURM_ARRAY_TASK_COUNT")?) {
                    let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
                    let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
                    let last = number("SLURM_ARRAY_TASK_MAX")?.unwrap_or(first + step * counted.saturating_sub(1));
                    match said {
                        // A part of an array that is run again keeps the numbers of the whole.
                        Some(count) if count != counted => (id, count),
                        _ if last.saturating_sub(first) / step + 1 != counted => {
                            return fail(
                                "this array has gaps: say of how many tasks the whole is, with --task-count".into(),
                            );
                        }
                        _ => (id.saturating_sub(first) / step, counted),
                    }
                } else if let Some(index) = number("JOB_COMPLETION_INDEX")? {
                    match said {
                        Some(count) => (index, count),
                        None => {
                            return fail(
                                "JOB_COMPLETION_INDEX is set, but not of how many: give --task-count, or unset it to build alone"
                                    .into(),
                            );
                        }
                    }
                } else {
                    match said {
                        Some(_) => return fail("a count needs the index: --task-index".into()),
                        None => return Ok(None),
                    }
                }
            }
        };
        if count == 0 || index >= count {
            return fail(format!("task {index} of {count}: the index runs from 0 to count − 1"));
        }
        Ok(Some(Self { index, count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(index: Option<usize>, count: Option<usize>, set: &[(&str, &str)]) -> Result<Option<Task>, String> {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Task::find(index, count, &variable).map_err(|error| error.to_string())
    }

    #[test]
    fn the_share_is_said_or_found() {
        assert_eq!(find(None, None, &[]), Ok(None));
        assert_eq!(find(Some(2), Some(5), &[("SLURM_ARRAY_TASK_ID", "9")]), Ok(Some(Task { index: 2, count: 5 })));
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "14"),
            ("SLURM_ARRAY_TASK_COUNT", "6"),
            ("SLURM_ARRAY_TASK_MIN", "4"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
        ];
        assert_eq!(find(None, None, &slurm), Ok(Some(Task { index: 5, count: 6 })));
        // Tasks 3 and 7 of ten, run again.
        let again = [
            ("SLURM_ARRAY_TASK_ID", "7"),
            ("SLURM_ARRAY_TASK_COUNT", "2"),
            ("SLURM_ARRAY_TASK_MIN", "3"),
            ("SLURM_ARRAY_TASK_MAX", "7"),
        ];
        assert_eq!(find(None, Some(10), &again), Ok(Some(Task { index: 7, count: 10 })));
        assert!(find(None, None, &again).unwrap_err().contains("gaps"));
        assert_eq!(find(None, Some(8), &[("JOB_COMPLETION_INDEX", "7")]), Ok(Some(Task { index: 7, count: 8 })));
    }

    #[test]
    fn half_a_share_is_refused() {
        assert!(find(Some(1), None, &[]).unwrap_err().contains("--task-count"));
        assert!(find(None, Some(4), &[]).unwrap_err().contains("--task-index"));
        assert!(find(Some(4), Some(4), &[]).unwrap_err().contains("count − 1"));
        assert!(find(None, None, &[("JOB_COMPLETION_INDEX", "1")]).unwrap_err().contains("--task-count"));
        assert!(find(None, Some(2), &[("JOB_COMPLETION_INDEX", "x")]).unwrap_err().contains("no number"));
    }
}
