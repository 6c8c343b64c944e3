//! What can go wrong between ranks, with the number of the rank concerned where the transport can tell.

/// Why ranks cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum RanksError {
    /// A rank has ended before the others.
    #[error("rank {rank} has ended, so the others cannot go on; its own message says why")]
    Lost {
        /// Its number.
        rank: usize,
    },
    /// Two ranks are not in the same place of the same program.
    #[error("rank {rank} differs from rank 0 in {what}; start all ranks with the same program, settings and dataset")]
    Differs {
        /// Number of the first that differs.
        rank: usize,
        /// What differs.
        what: String,
    },
    /// Lengths that do not fit, which is an error of this program.
    #[error("rank {rank} sent {found} bytes where {expected} were expected; please report this")]
    Length {
        /// Who sent them.
        rank: usize,
        /// Bytes that came.
        found: usize,
        /// Bytes that should have come.
        expected: usize,
    },
    /// More bytes than one message may have.
    #[error("{bytes} bytes are too many for one message between ranks; use a smaller batch or fewer ranks")]
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
    },
    /// Rows that a step takes without having said so before.
    #[error("the rows of a step are {found}, and {expected} were announced to the other ranks; please report this")]
    NotAnnounced {
        /// Rows of the step.
        found: usize,
        /// Rows that were announced.
        expected: usize,
    },
    /// Several processes were started, and this program has no transport between them.
    #[error(
        "{variable} says that {size} processes were started to train together, and this program cannot: build it with `--features mpi`, or start one"
    )]
    NotBuilt {
        /// Variable of the environment.
        variable: &'static str,
        /// Processes.
        size: usize,
    },
    /// Several processes were started, and MPI knows of one.
    #[error(
        "{variable} says that {size} processes were started, and MPI knows of one: start them by the `mpirun` of the MPI that this program was built \
         with, or by `srun --mpi=pmix`"
    )]
    Apart {
        /// Variable of the environment.
        variable: &'static str,
        /// Processes.
        size: usize,
    },
    /// MPI could not be started.
    #[error("MPI: {0}")]
    Start(&'static str),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, RanksError>;
