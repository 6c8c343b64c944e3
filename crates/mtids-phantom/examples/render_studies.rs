//! Speed of voxel synthesis: small studies per second on one thread, and one study at full size on all of them.
//!
//! Prints `small STUDIES_PER_SECOND` for 128 × 128 × 64 voxels, and `large SECONDS THREADS` for 512 × 512 × 300; nothing is written.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use mtids_phantom::{PhantomConfig, render_all};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let small =
        PhantomConfig { dimensions: [128, 128, 64], spacing_mm: [2.5, 2.5, 4.0], patients: 60, ..Default::default() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let start = Instant::now();
    let voxels = pool.install(|| render_all(&small))?;
    println!("small {:.1} ({voxels} voxels)", f64::from(small.patients) / start.elapsed().as_secs_f64());

    let large =
        PhantomConfig { dimensions: [512, 512, 300], spacing_mm: [0.7, 0.7, 1.0], patients: 1, ..Default::default() };
    let start = Instant::now();
    let voxels = render_all(&large)?;
    println!("large {:.2} {} ({voxels} voxels)", start.elapsed().as_secs_f64(), rayon::current_num_threads());
    Ok(())
}
