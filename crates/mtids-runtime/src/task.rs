//! Which share of a batch of work a process does: said on the command line, or by a scheduler's variables where the user asks for them.
//!
//! Invariants: variables of the environment alone never turn a whole into a share; shares of one count do not overlap and together are everything; a scheduler's numbering may start anywhere and have steps, but for
//! a part of an array that is run again: its numbers are taken for shares, so that the whole array must have begun at 0.

use serde::Serialize;

/// A share that is none.
#[derive(Debug, thiserror::Error)]
#[error("configuration, `{key}`: {reason}")]
pub struct TaskError {
    /// The argument or the variable.
    pub key: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// Share `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// From 0.
    pub index: usize,
    /// At least 1.
    pub count: usize,
}

impl Task {
    /// The share of a process; `None` for all of the work.
    ///
    /// `index` and `count` say it. With `from_env` what is missing comes from Slurm's array variables (`SLURM_ARRAY_TASK_ID`, `_COUNT`,
    /// `_MIN`, `_STEP`), or Kubernetes' `JOB_COMPLETION_INDEX`, which needs the count. Without `from_env` no variable is read.
    ///
    /// # Errors
    /// [`TaskError`] for a share that is none.
    pub fn find(
        index: Option<usize>,
        count: Option<usize>,
        from_env: bool,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TaskError> {
        let fail = |reason: String| Err(TaskError { key: "--task-index, --task-count".into(), reason });
        let number = |name: &str| -> Result<Option<usize>, TaskError> {
            let Some(text) = variable(name) else { return Ok(None) };
            text.trim().parse().map(Some).map_err(|_| TaskError {
                key: name.into(),
                reason: format!("`{text}` in the environment is not a number"),
            })
        };
        let (index, count) = match (index, count) {
            (Some(index), Some(count)) => (index, count),
            (Some(_), None) => return fail("--task-index needs --task-count".into()),
            (None, None) if !from_env => return Ok(None),
            (None, Some(_)) if !from_env => {
                return fail("--task-count needs --task-index, or --task-from-env for the scheduler's".into());
            }
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
                                "this array has gaps; set --task-count to the number of tasks of the whole array"
                                    .into(),
                            );
                        }
                        _ => (id.saturating_sub(first) / step, counted),
                    }
                } else if let Some(index) = number("JOB_COMPLETION_INDEX")? {
                    match said {
                        Some(count) => (index, count),
                        None => {
                            return fail("JOB_COMPLETION_INDEX has no count; set --task-count".into());
                        }
                    }
                } else {
                    return fail(
                        "--task-from-env finds neither SLURM_ARRAY_TASK_ID with SLURM_ARRAY_TASK_COUNT nor JOB_COMPLETION_INDEX: start it \
                         as a job array, or set --task-index and --task-count"
                            .into(),
                    );
                }
            }
        };
        if count == 0 || index >= count {
            return fail(format!("task {index} of {count}: the index must be 0 to count − 1"));
        }
        Ok(Some(Self { index, count }))
    }
}

/// The variable of a job array that is set, for a hint to who forgot `--task-from-env`.
pub fn array_variable(variable: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"].into_iter().find(|name| variable(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = Result<Option<Task>, String>;

    fn found(index: Option<usize>, count: Option<usize>, from_env: bool, set: &[(&str, &str)]) -> Found {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Task::find(index, count, from_env, &variable).map_err(|error| error.to_string())
    }

    fn find(index: Option<usize>, count: Option<usize>, set: &[(&str, &str)]) -> Found {
        found(index, count, true, set)
    }

    #[test]
    fn variables_that_nobody_asked_for_make_no_share() {
        let slurm = [("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_TASK_COUNT", "5")];
        let kubernetes = [("JOB_COMPLETION_INDEX", "3")];
        for set in [slurm.as_slice(), &kubernetes] {
            assert_eq!(found(None, None, false, set), Ok(None));
            assert!(found(None, Some(5), false, set).unwrap_err().contains("--task-from-env"));
            assert_eq!(found(Some(1), Some(2), false, set), Ok(Some(Task { index: 1, count: 2 })));
            let variable =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
            assert_eq!(array_variable(&variable), Some(set[0].0));
        }
        assert_eq!(found(None, None, false, &[]), Ok(None));
        assert!(found(None, None, true, &[]).unwrap_err().contains("SLURM_ARRAY_TASK_ID"));
    }

    #[test]
    fn the_share_is_said_or_found() {
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
        assert!(find(None, Some(2), &[("JOB_COMPLETION_INDEX", "x")]).unwrap_err().contains("is not a number"));
    }
}
