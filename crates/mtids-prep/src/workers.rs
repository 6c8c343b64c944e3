//! Own threads for long jobs that wait for memory.
//!
//! A thread of a rayon pool must not wait for the memory budget: while a decoder waits inside `rayon::scope`, its thread may take up another
//! job, which then waits for memory that the first job holds further down the same stack, for ever. The threads here belong to no
//! pool, so decoders' nested work runs elsewhere, and a job that waits holds nothing.
//!
//! Invariant: results come in the order of the jobs; after the first error no further job begins.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::PrepError;

/// Stack of a worker: decoders may nest deeply.
const STACK: usize = 16 << 20;

/// Does all `jobs` on at most `workers` threads.
///
/// # Errors
/// The first error of a job, [`PrepError::Worker`] when no thread can be started or a job panics.
pub(crate) fn run_all<T: Sync, R: Send>(
    jobs: &[T],
    workers: usize,
    run: impl Fn(&T) -> Result<R, PrepError> + Sync,
) -> Result<Vec<R>, PrepError> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Vec<Mutex<Option<Result<R, PrepError>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (Some(job), Some(slot)) = (jobs.get(number), results.get(number)) else { return };
            let result = run(job);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..workers.clamp(1, jobs.len().max(1)) {
            let builder = std::thread::Builder::new().name("mtids-worker".into()).stack_size(STACK);
            match builder.spawn_scoped(scope, work) {
                Ok(thread) => threads.push(thread),
                // Fewer threads do the same work.
                Err(_) if !threads.is_empty() => break,
                Err(error) => return Err(PrepError::Worker(error.to_string())),
            }
        }
        let panicked = threads.into_iter().map(|thread| thread.join().is_err()).fold(false, |any, one| any | one);
        if panicked {
            return Err(PrepError::Worker("a worker thread panicked; please report this".into()));
        }
        Ok(())
    })?;
    let results = results.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    // Jobs that never began follow one that failed, which the collection meets.
    let mut done = Vec::with_capacity(jobs.len());
    let mut error = None;
    for result in results {
        match result {
            Some(Ok(value)) => done.push(value),
            Some(Err(first)) => error = error.or(Some(first)),
            None => {}
        }
    }
    error.map_or(Ok(done), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::budget::Budget;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn results_keep_their_order_and_an_error_stops() {
        let jobs: Vec<usize> = (0..50).collect();
        let doubled = run_all(&jobs, 3, |n| Ok(2 * n)).unwrap();
        assert_eq!(doubled, jobs.iter().map(|n| 2 * n).collect::<Vec<_>>());
        assert_eq!(run_all(&[] as &[usize], 3, |n| Ok(*n)).unwrap(), [] as [usize; 0]);
        let started = AtomicUsize::new(0);
        let failed = run_all(&jobs, 1, |n| {
            started.fetch_add(1, Ordering::Relaxed);
            if *n == 3 { Err(PrepError::Interrupted) } else { Ok(()) }
        });
        assert!(matches!(failed, Err(PrepError::Interrupted)));
        assert_eq!(started.into_inner(), 4);
    }

    /// Jobs as decoders do them: memory is held while nested rayon work runs.
    #[test]
    fn nested_rayon_work_cannot_deadlock_with_the_memory_budget() {
        let (done, finished) = mpsc::channel();
        std::thread::spawn(move || {
            let budget = Budget::new(1);
            let jobs: Vec<usize> = (0..60).collect();
            // Inside a small pool, as the programs run: the nested scopes below have few threads and must steal.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            let result = pool.install(|| {
                run_all(&jobs, 3, |n| {
                    let _held = budget.hold(1);
                    rayon::scope(|scope| {
                        for _ in 0..8 {
                            scope.spawn(|_| std::thread::sleep(Duration::from_micros(200)));
                        }
                    });
                    Ok(*n)
                })
            });
            done.send(result.map(|all| all.len()).ok()).unwrap();
        });
        assert_eq!(finished.recv_timeout(Duration::from_secs(60)), Ok(Some(60)), "a deadlock");
    }
}
