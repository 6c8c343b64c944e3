//! Crashes and failing disks, simulated at every point where a program writes.
//!
//! Purpose: tests run a program again and again, each time with a failure one point later, until a run reaches none; so every point is
//! tried, whatever is added later. `MTIDS_FAILPOINT=kill:7` ends the process at the seventh point without any clean-up, as SIGKILL or a
//! power cut would; `enospc:7` and `eio:7` make that point fail as a full or a broken disk does. Invariant: only builds with debug
//! assertions look at the variable; in a release build a point is nothing.

use std::io;

/// Passes a point where a program writes.
///
/// # Errors
/// The error that a test asked for at this point.
#[cfg(debug_assertions)]
pub fn reach() -> io::Result<()> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ASKED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);
    let asked = ASKED.get_or_init(|| {
        let text = std::env::var("MTIDS_FAILPOINT").ok()?;
        let (what, number) = text.split_once(':')?;
        Some((what.to_owned(), number.parse().ok()?))
    });
    let Some((what, number)) = asked else { return Ok(()) };
    if REACHED.fetch_add(1, Ordering::SeqCst) + 1 != *number {
        return Ok(());
    }
    match what.as_str() {
        "kill" => std::process::abort(),
        "enospc" => Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device (simulated)")),
        _ => Err(io::Error::other("input/output error (simulated)")),
    }
}

/// Passes a point where a program writes: nothing, in a release build.
///
/// # Errors
/// None.
#[cfg(not(debug_assertions))]
pub fn reach() -> io::Result<()> {
    Ok(())
}
