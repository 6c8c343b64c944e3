//! How a process learns that it is one of several.
//!
//! Invariant: a process that was started as one of several trains with the others or is refused; it never trains beside them by mistake.

use crate::error::{RanksError, Result};
use crate::ranks::Ranks;

/// What starters set for each process: the number of processes. The first that is set counts: an inner starter is asked before an outer one.
const SIZES: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// A process that has joined the others, until it is dropped. To be dropped on the thread that joined.
#[derive(Debug)]
pub struct Joined {
    ranks: Ranks,
    #[cfg(feature = "mpi")]
    _universe: Option<crate::mpi_world::Universe>,
}

impl Joined {
    /// This process among the others.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }
}

/// How many processes were started together, and which variable says so.
fn announced(variable: impl Fn(&str) -> Option<String>) -> Option<(&'static str, usize)> {
    SIZES.into_iter().find_map(|name| Some((name, variable(name)?.trim().parse().ok()?)))
}

/// Joins the other processes of a training, where there are any.
///
/// # Errors
/// [`RanksError::NotBuilt`] without the feature `mpi`; [`RanksError::Apart`] where MPI does not know of the others; [`RanksError::Start`].
pub fn join() -> Result<Joined> {
    joined(announced(|name| std::env::var(name).ok()))
}

#[cfg(not(feature = "mpi"))]
fn joined(announced: Option<(&'static str, usize)>) -> Result<Joined> {
    match announced {
        Some((variable, size)) if size > 1 => Err(RanksError::NotBuilt { variable, size }),
        _ => Ok(Joined { ranks: Ranks::alone() }),
    }
}

#[cfg(feature = "mpi")]
fn joined(announced: Option<(&'static str, usize)>) -> Result<Joined> {
    let Some((variable, size)) = announced.filter(|(_, size)| *size > 1) else {
        return Ok(Joined { ranks: Ranks::alone(), _universe: None });
    };
    let (universe, world) = crate::mpi_world::start()?;
    let ranks = Ranks::over(Box::new(world));
    if ranks.is_alone() {
        Err(RanksError::Apart { variable, size })
    } else {
        Ok(Joined { ranks, _universe: Some(universe) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(set: &[(&str, &str)]) -> Option<(&'static str, usize)> {
        announced(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_inner_starter_is_believed() {
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("SLURM_NTASKS", "8")]), None, "a job's script runs once, however many tasks it may start");
        assert_eq!(found(&[("SLURM_STEP_NUM_TASKS", "8")]), Some(("SLURM_STEP_NUM_TASKS", 8)));
        let nested = [("SLURM_STEP_NUM_TASKS", "2"), ("OMPI_COMM_WORLD_SIZE", "16")];
        assert_eq!(found(&nested), Some(("OMPI_COMM_WORLD_SIZE", 16)));
        assert_eq!(found(&[("PMI_SIZE", "a few")]), None);
    }

    #[cfg(not(feature = "mpi"))]
    #[test]
    fn several_processes_are_refused_by_a_program_without_mpi() {
        assert!(joined(None).unwrap().ranks().is_alone());
        assert!(joined(Some(("PMI_SIZE", 1))).unwrap().ranks().is_alone());
        let refused = joined(Some(("PMI_SIZE", 4))).unwrap_err().to_string();
        assert!(refused.contains("4 processes") && refused.contains("--features mpi"), "{refused}");
    }
}
