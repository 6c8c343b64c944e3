//! Whether this host can start a program that is linked with the driver, cuBLAS and cuDNN, and what to do if not.
//!
//! Purpose: such a program ends in the system's loader, before it can say anything. This is asked by a program that links none of them
//! (`mtids-cuda-start`). Invariant: the system's own loader says what the program is linked with (`libraries`); libraries are opened as it would, and
//! closed again.
#![allow(unsafe_code)]

mod libraries;

use std::ffi::{OsStr, c_int};
use std::path::{Path, PathBuf};
use std::process::Command;

use libloading::{Library, Symbol};

pub use libraries::Linked;
use libraries::{OF_CUDNN, listed, package, usual, version};

/// Something that is missing, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The driver's library.
    #[error(
        "{DRIVER} is not found ({reason}): there is no NVIDIA driver here; install one ({} or later), start a container with `--gpus all`, or use a program without `cuda`",
        driver_of(*version)
    )]
    Driver {
        /// What the loader says.
        reason: String,
        /// Major version of CUDA that the program is built with.
        version: u32,
    },
    /// A library that the loader does not find.
    #[error(
        "{library} is not found ({reason}); install the package `{package}` of PyPI or the CUDA {version} runtime, and add the folder that holds it to LD_LIBRARY_PATH"
    )]
    Library {
        /// Name of the file.
        library: String,
        /// What the loader says.
        reason: String,
        /// Package that brings it.
        package: String,
        /// Major version of CUDA that the program is built with.
        version: u32,
    },
    /// A driver that is older than the programs' CUDA.
    #[error(
        "the driver serves CUDA {}.{} at most, and {version}.0 is needed; install a newer driver ({} or later)",
        found / 1000, found % 1000 / 10, driver_of(*version)
    )]
    OldDriver {
        /// 1000 times the major version plus 10 times the minor one.
        found: i32,
        /// Major version of CUDA that the program is built with.
        version: u32,
    },
    /// A driver that finds no card.
    #[error(
        "no card: the driver finds no NVIDIA GPU (status {status}); see that `nvidia-smi` lists one, and start a container with `--gpus all`"
    )]
    NoCard {
        /// What the driver answered.
        status: i32,
    },
}

const DRIVER: &str = "libcuda.so.1";

/// The first driver that serves a version of CUDA.
fn driver_of(version: u32) -> u32 {
    if version < 13 { 525 } else { 580 }
}

fn open(library: &OsStr) -> Result<Library, String> {
    // SAFETY: what runs on opening is what runs when the system's loader opens the same file for the program that is started next.
    unsafe { Library::new(library) }.map_err(|error| {
        // The loader's own words are the source of the error.
        std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
    })
}

/// What the driver says of itself: old, without a card, or nothing.
fn driver(library: &Library, needed: u32) -> Option<Missing> {
    type Ask = unsafe extern "C" fn(*mut c_int) -> c_int;
    type Start = unsafe extern "C" fn(u32) -> c_int;
    let mut number = 0;
    // SAFETY: the three functions have these types in every version of the driver's interface; the number is written and not kept.
    let (version, start, count) = unsafe {
        let version: Symbol<'_, Ask> = library.get(b"cuDriverGetVersion\0").ok()?;
        let start: Symbol<'_, Start> = library.get(b"cuInit\0").ok()?;
        let count: Symbol<'_, Ask> = library.get(b"cuDeviceGetCount\0").ok()?;
        (version, start, count)
    };
    // SAFETY: as above.
    if unsafe { version(&mut number) } == 0 && number / 1000 < needed as i32 {
        return Some(Missing::OldDriver { found: number, version: needed });
    }
    // SAFETY: as above; the driver is started before it is asked for cards.
    let status = unsafe {
        match start(0) {
            0 => count(&mut number),
            failed => failed,
        }
    };
    (status != 0 || number == 0).then_some(Missing::NoCard { status })
}

/// The file that a name stands for, as a shell would find it.
fn found_in_path(program: &OsStr) -> PathBuf {
    let path = Path::new(program);
    let folders = std::env::var_os("PATH").filter(|_| path.components().count() == 1).unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(path)).find(|file| file.is_file()).unwrap_or(path.into())
}

/// What a program is linked with. Its loader lists that without starting it; where it does not (a script, another system), what programs usually are.
fn linked(program: &OsStr) -> Vec<Linked> {
    let loader = format!("/lib64/ld-linux-{}.so.2", std::env::consts::ARCH.replace('_', "-"));
    let loader = if Path::new(&loader).exists() { loader } else { "/lib/ld-linux-aarch64.so.1".into() };
    // With this variable it lists and starts nothing; its option `--list` ends at the first library that is missing.
    let listing = Command::new(loader).env("LD_TRACE_LOADED_OBJECTS", "1").arg(found_in_path(program)).output();
    let found = listing.map(|listing| listed(&String::from_utf8_lossy(&listing.stdout))).unwrap_or_default();
    if found.is_empty() { usual() } else { found }
}

/// Everything that is missing on this host for a program.
pub fn missing(program: &OsStr) -> Vec<Missing> {
    let linked = linked(program);
    let version = version(&linked);
    let mut missing = Vec::new();
    match open(OsStr::new(DRIVER)) {
        Ok(library) => missing.extend(driver(&library, version)),
        Err(reason) => missing.push(Missing::Driver { reason, version }),
    }
    missing.extend(missing_libraries(&linked, version));
    missing
}

/// The libraries that are missing beside the driver's: those the program is linked with, and those that cuDNN opens by itself.
fn missing_libraries(linked: &[Linked], version: u32) -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut check = |name: &str, beside: Option<&Path>| {
        let there = beside.map(|folder| folder.join(name)).filter(|file| file.is_file());
        let file = there.as_deref().map_or(OsStr::new(name), Path::as_os_str);
        let Err(reason) = open(file) else { return true };
        let package = package(name, version).unwrap_or_default();
        missing.push(Missing::Library { library: name.to_owned(), reason, package, version });
        false
    };
    for Linked { name, path } in linked.iter().filter(|linked| !linked.name.starts_with("libcuda.so")) {
        let found = check(name, path.as_deref().and_then(Path::parent));
        if found && name.starts_with("libcudnn.so") {
            // cuDNN looks beside itself first.
            OF_CUDNN.iter().for_each(|part| {
                check(part, path.as_deref().and_then(Path::parent));
            });
        }
    }
    missing
}

#[cfg(test)]
mod tests;
