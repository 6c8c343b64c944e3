//! Jobs that are done two at a time, their results in the order of the jobs.
//!
//! Purpose: a question to polars works on all processors, and what comes before and behind it on one; a second job fills the gaps. Two, because
//! each may hold columns of the whole index. Invariants: results and the error that is told do not depend on who was first; the jobs run on threads of
//! their own, since a worker of a pool that waits may be given another job meanwhile, and hold columns of a third.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Jobs that run at a time.
const WORKERS: usize = 2;

/// Does all jobs, or those before the first that failed.
///
/// # Errors
/// That of the first job, in their order, that failed.
pub(crate) fn two_at_once<T: Send, E: Send>(jobs: &[&(dyn Fn() -> Result<T, E> + Sync)]) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<T, E>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        // Jobs are taken in their order, so whatever lies before a failed one is done or at work.
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(job), Some(place)) = (jobs.get(at), done.get(at)) else { break };
            let result = job();
            if result.is_err() {
                next.store(jobs.len(), Ordering::Relaxed);
            }
            if let Ok(mut place) = place.lock() {
                *place = Some(result);
            }
        }
    };
    // A panic of a job is one of the audit.
    thread::scope(|scope| (0..WORKERS).for_each(|_| _ = scope.spawn(work)));
    done.into_iter().map_while(|place| place.into_inner().ok().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type Job<'a> = &'a (dyn Fn() -> Result<u32, u32> + Sync);

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let jobs: Vec<Box<dyn Fn() -> Result<u32, u32> + Sync>> = (0..9)
            .map(|n| -> Box<dyn Fn() -> Result<u32, u32> + Sync> {
                Box::new(move || {
                    thread::sleep(Duration::from_millis(u64::from(9 - n)));
                    Ok(n)
                })
            })
            .collect();
        let jobs: Vec<Job<'_>> = jobs.iter().map(|job| &**job).collect();
        assert_eq!(two_at_once(&jobs), Ok((0..9).collect()));
        assert_eq!(two_at_once::<u32, u32>(&[]), Ok(Vec::new()));
    }

    #[test]
    fn of_two_errors_the_first_in_order_is_told_and_no_job_begins_behind_it() {
        let begun = AtomicUsize::new(0);
        let slow = || {
            thread::sleep(Duration::from_millis(30));
            Err(1)
        };
        let (fast, other) = (|| Err(2), || Ok(begun.fetch_add(1, Ordering::Relaxed) as u32));
        let jobs: [Job<'_>; 4] = [&slow, &fast, &other, &other];
        assert_eq!(two_at_once(&jobs), Err(1));
        assert_eq!(begun.into_inner(), 0);
    }
}
