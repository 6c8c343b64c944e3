//! Whether this host can start a program that is linked with the driver, cuBLAS and cuDNN, and what to do if not.
//!
//! Purpose: such a program ends in the system's loader, before it can say anything. This is asked by a program that links none of them
//! (`mtids-cuda-start`). Invariant: libraries are opened as the loader would, by the names that programs are linked with, and closed again.
#![allow(unsafe_code)]

use std::ffi::c_int;

use libloading::{Library, Symbol};

/// Something that is missing, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A library that the loader does not find.
    #[error("{library} is not found ({reason}); {cure}")]
    Library {
        /// Name of the file.
        library: &'static str,
        /// What the loader says.
        reason: String,
        /// What to do.
        cure: &'static str,
    },
    /// A driver that is older than the programs' CUDA.
    #[error(
        "the driver serves CUDA {}.{} at most, and {}.{} is needed; install a newer driver (580 or later)",
        found / 1000, found % 1000 / 10, CUDA / 1000, CUDA % 1000 / 10
    )]
    OldDriver {
        /// 1000 times the major version plus 10 times the minor one.
        found: i32,
    },
    /// A driver that finds no card.
    #[error(
        "the driver finds no NVIDIA GPU (status {status}); see that `nvidia-smi` lists one, and start a container with `--gpus all`"
    )]
    NoCard {
        /// What the driver answered.
        status: i32,
    },
}

/// The version of CUDA that the programs are built with, as the driver counts it.
const CUDA: i32 = 13_000;

const DRIVER: &str = "libcuda.so.1";
const DRIVER_CURE: &str = "there is no NVIDIA driver here: install one (580 or later), start a container with `--gpus all`, or use a program without `cuda`";
const TOOLKIT_CURE: &str = "install the CUDA 13 runtime, or add the folder that holds it to LD_LIBRARY_PATH";

/// The libraries that programs are linked with, beside the driver.
const LIBRARIES: [(&str, &str); 6] = [
    ("libcudart.so.13", TOOLKIT_CURE),
    ("libcublas.so.13", TOOLKIT_CURE),
    ("libcublasLt.so.13", TOOLKIT_CURE),
    ("libcurand.so.10", TOOLKIT_CURE),
    ("libnvrtc.so.13", TOOLKIT_CURE),
    (
        "libcudnn.so.9",
        "install cuDNN 9 for CUDA 13 (package `nvidia-cudnn-cu13` of PyPI), or add its folder to LD_LIBRARY_PATH",
    ),
];

fn open(library: &'static str, cure: &'static str) -> Result<Library, Missing> {
    // SAFETY: what runs on opening is what runs when the system's loader opens the same file for the program that is started next.
    unsafe { Library::new(library) }.map_err(|error| {
        // The loader's own words are the source of the error.
        let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Missing::Library { library, reason, cure }
    })
}

/// What the driver says of itself: old, without a card, or nothing.
fn driver(library: &Library) -> Option<Missing> {
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
    if unsafe { version(&mut number) } == 0 && number < CUDA {
        return Some(Missing::OldDriver { found: number });
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

/// Everything that is missing on this host.
pub fn missing() -> Vec<Missing> {
    let mut missing = Vec::new();
    match open(DRIVER, DRIVER_CURE) {
        Ok(library) => missing.extend(driver(&library)),
        Err(absent) => missing.push(absent),
    }
    missing.extend(LIBRARIES.into_iter().filter_map(|(library, cure)| open(library, cure).err()));
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_library_and_the_cure() {
        let absent = open("libmtids-of-no-host.so.1", TOOLKIT_CURE).unwrap_err().to_string();
        assert!(absent.starts_with("libmtids-of-no-host.so.1 is not found") && absent.ends_with("LD_LIBRARY_PATH"));
        let old = Missing::OldDriver { found: 12_040 }.to_string();
        assert!(old.contains("CUDA 12.4 at most, and 13.0 is needed"), "{old}");
        assert!(Missing::NoCard { status: 100 }.to_string().contains("no NVIDIA GPU"));
    }
}
