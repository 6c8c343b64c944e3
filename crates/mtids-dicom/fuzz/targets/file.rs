//! The bytes of the fuzzer as a file: the readers open files, as their users do. Kept in memory where the system offers that.

use std::path::{Path, PathBuf};

use mtids_dicom::Limits;

/// Bounds that keep one input from taking seconds.
pub fn limits() -> Limits {
    Limits { max_file_bytes: 4 << 20, max_voxels: 1 << 18, min_slices: 2, refuse_lossy: false, ..Limits::default() }
}

/// Calls `read` with a file of these bytes, alone in its folder but for what a target put there.
pub fn with_file(bytes: &[u8], ending: &str, read: impl Fn(&Path)) {
    let path = folder().join(format!("input{ending}"));
    if std::fs::create_dir_all(folder()).is_ok() && std::fs::write(&path, bytes).is_ok() {
        read(&path);
    }
}

/// The folder of this process.
pub fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    folder.join(format!("mtids-fuzz-{}", std::process::id()))
}
