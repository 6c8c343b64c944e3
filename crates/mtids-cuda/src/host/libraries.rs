//! Which libraries of CUDA a program asks for, as the system's loader lists them, and what each is good for.
//!
//! Purpose: programs are linked with the libraries of CUDA 12 or of CUDA 13, by what was there when they were built. So the program itself is asked, and
//! not a list. Invariant: pure functions of the loader's text; nothing is opened here.

use std::path::PathBuf;

/// A library that a program is linked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Name of the file, such as `libcublas.so.13`.
    pub name: String,
    /// Where the loader finds it; none where it does not.
    pub path: Option<PathBuf>,
}

/// What cuDNN opens by itself at its first call: a program that finds `libcudnn.so.9` alone starts, and fails there. Those for recurrent networks and
/// attention are not among them.
pub(super) const OF_CUDNN: [&str; 6] = [
    "libcudnn_graph.so.9",
    "libcudnn_ops.so.9",
    "libcudnn_cnn.so.9",
    "libcudnn_heuristic.so.9",
    "libcudnn_engines_precompiled.so.9",
    "libcudnn_engines_runtime_compiled.so.9",
];

/// The newest CUDA that programs are built with; taken where a program does not say.
const NEWEST: u32 = 13;

/// The driver's library and those of CUDA in the loader's list, each once.
pub(super) fn listed(text: &str) -> Vec<Linked> {
    let mut found = Vec::<Linked>::new();
    for line in text.lines() {
        let Some((name, rest)) = line.trim().split_once(" => ") else { continue };
        // A path is followed by an address.
        let path = rest.split(" (").next().filter(|path| path.starts_with('/')).map(PathBuf::from);
        if package(name, NEWEST).is_some() && found.iter().all(|linked| linked.name != name) {
            found.push(Linked { name: name.to_owned(), path });
        }
    }
    found
}

/// What a program of this version of CUDA is linked with; taken where the loader cannot say.
pub(super) fn usual() -> Vec<Linked> {
    let names = [
        "libcudart.so.13",
        "libcublas.so.13",
        "libcublasLt.so.13",
        "libcurand.so.10",
        "libnvrtc.so.13",
        "libcudnn.so.9",
    ];
    names.map(|name| Linked { name: name.to_owned(), path: None }).to_vec()
}

/// The major version of CUDA that the libraries belong to.
pub(super) fn version(linked: &[Linked]) -> u32 {
    let numbered = ["libcublas", "libcudart", "libcublasLt", "libnvrtc"];
    let of = |library: &&str| {
        let found = linked.iter().find_map(|linked| linked.name.strip_prefix(library)?.strip_prefix(".so."))?;
        found.split('.').next()?.parse().ok()
    };
    numbered.iter().find_map(of).unwrap_or(NEWEST)
}

/// The package of PyPI that brings a library for this version of CUDA; empty for the driver's own, none for a library that is not of CUDA.
pub(super) fn package(name: &str, version: u32) -> Option<String> {
    let (library, _) = name.split_once(".so")?;
    // Packages of CUDA 13 have no number in their name.
    let numbered = |package: &str| if version < 13 { format!("{package}-cu{version}") } else { package.to_owned() };
    Some(match library {
        "libcuda" => String::new(),
        "libcudart" => numbered("nvidia-cuda-runtime"),
        "libcublas" | "libcublasLt" => numbered("nvidia-cublas"),
        "libcurand" => numbered("nvidia-curand"),
        "libnvrtc" => numbered("nvidia-cuda-nvrtc"),
        "libnccl" => format!("nvidia-nccl-cu{version}"),
        library if library.starts_with("libcudnn") => format!("nvidia-cudnn-cu{version}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_CUDA_12: &str = "\tlinux-vdso.so.1 (0x00007ffd)
\tlibcudnn.so.9 => /opt/nvidia/cudnn/lib/libcudnn.so.9 (0x00007f01)
\tlibcublas.so.12 => not found
\tlibcublas.so.12 => not found
\tlibcurand.so.10 => not found
\tlibcuda.so.1 => /lib/libcuda.so.1 (0x00007f02)
\tlibm.so.6 => /lib/libm.so.6 (0x00007f03)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f04)";

    #[test]
    fn the_loaders_list_names_what_is_of_cuda_once_and_whether_it_is_there() {
        let linked = |name: &str, path: Option<&str>| Linked { name: name.into(), path: path.map(PathBuf::from) };
        let found = listed(OF_CUDA_12);
        let expected = [
            linked("libcudnn.so.9", Some("/opt/nvidia/cudnn/lib/libcudnn.so.9")),
            linked("libcublas.so.12", None),
            linked("libcurand.so.10", None),
            linked("libcuda.so.1", Some("/lib/libcuda.so.1")),
        ];
        assert_eq!(found, expected);
        assert_eq!(version(&found), 12);
        assert!(listed("\tstatically linked").is_empty());
    }

    #[test]
    fn packages_are_those_of_the_version() {
        assert_eq!(version(&usual()), 13);
        assert_eq!(version(&[]), 13, "the number of libcurand says nothing");
        assert_eq!(package("libcublasLt.so.12", 12).as_deref(), Some("nvidia-cublas-cu12"));
        assert_eq!(package("libcublasLt.so.13", 13).as_deref(), Some("nvidia-cublas"));
        assert_eq!(package("libcurand.so.10", 12).as_deref(), Some("nvidia-curand-cu12"));
        assert_eq!(package("libcudnn_ops.so.9", 13).as_deref(), Some("nvidia-cudnn-cu13"));
        assert_eq!(package("libm.so.6", 13), None);
    }
}
