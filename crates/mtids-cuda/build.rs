//! Compiles the kernels: by the host's compiler for the host, and with the feature `cuda` by nvcc for the card.
//!
//! nvcc is `NVCC`, or the one in the search path. The result is PTX of the generation `CUDA_COMPUTE_CAP` (80 unless set), which the driver
//! translates for it and for every later one.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=kernels");
    let mut host = cc::Build::new();
    // The extension says CUDA, so the language is said too. Products and sums stay apart, as they are written.
    host.flag("-xc").flag("-ffp-contract=off").std("c11").opt_level(2).warnings(true).extra_warnings(true);
    host.flag_if_supported("-Wno-unused-parameter")
        .file("kernels/norm.cu")
        .file("kernels/rows.cu")
        .file("kernels/update.cu")
        .compile("mtids_kernels");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        for variable in ["NVCC", "CUDA_COMPUTE_CAP"] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
        let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
        for name in ["norm", "rows", "update"] {
            let ptx = PathBuf::from(variable("OUT_DIR", ".")).join(format!("{name}.ptx"));
            let mut nvcc = Command::new(variable("NVCC", "nvcc"));
            nvcc.arg("--ptx").arg(format!("-arch=compute_{}", variable("CUDA_COMPUTE_CAP", "80")));
            nvcc.args(["-O3", "-Werror", "all-warnings", "-o"]).arg(&ptx).arg(format!("kernels/{name}.cu"));
            let status = nvcc.status();
            assert!(
                status.as_ref().is_ok_and(std::process::ExitStatus::success),
                "{nvcc:?}: {status:?}; set NVCC to the compiler of a CUDA toolkit"
            );
        }
    }
}
