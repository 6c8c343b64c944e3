//! Names of devices: `cpu`, `cuda:0`.
//!
//! Purpose: a program built without the feature `cuda` says so instead of failing inside a tensor operation. What a bench asks of a card is named here
//! too: its memory at the highest, and how its convolutions are computed.

use candle_core::{DType, Device, DeviceLocation, Tensor};

use crate::error::{LayerError, Result};

pub use mtids_cuda::log::plans_of;
pub use mtids_cuda::memory::{Peak, peak};

/// Whether convolutions on a GPU are those of cuDNN. Without it none rounds to TF32, and there is one algorithm.
pub const HAS_CUDNN: bool = cfg!(feature = "cuda");

/// Whether the kernels of `mtids-cuda` take a tensor like this one, so that what is some launches of candle's operations is one.
pub(crate) fn at_once(tensor: &Tensor) -> bool {
    HAS_CUDNN && tensor.device().is_cuda() && matches!(tensor.dtype(), DType::F32 | DType::F64)
}

/// The device with this name: `cpu`, `cuda` (the first GPU) or `cuda:N`.
///
/// # Errors
/// [`LayerError::Device`] for any other name, for a GPU in a program built without the feature `cuda`, and when the driver
/// cannot open the GPU.
pub fn device(name: &str) -> Result<Device> {
    let fail = |reason: String| LayerError::Device { name: name.to_owned(), reason };
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let number = match name.strip_prefix("cuda") {
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|digits| digits.parse::<usize>().ok()),
        None => None,
    };
    let Some(number) = number else {
        return Err(fail("unknown; write cpu or cuda:0".into()));
    };
    if !cfg!(feature = "cuda-basic") {
        return Err(fail("this program was built without GPU support; rebuild with `--features cuda`".into()));
    }
    let device = Device::new_cuda(number).map_err(|error| fail(error.to_string()))?;
    if HAS_CUDNN {
        // Before the first tensor, which would have events already.
        mtids_cuda::memory::prepare(&device).map_err(|error| fail(error.to_string()))?;
    }
    Ok(device)
}

/// The name of a device as [`device`] takes it.
pub fn name_of(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        // The only other kind that `device` opens.
        _ => "cpu".to_owned(),
    }
}

/// Whether an error says that the memory of a GPU is full. candle, the driver, cuBLAS and cuDNN each say so in their own words, and candle keeps
/// the errors of the others as text.
pub fn lacks_memory(error: &(dyn std::error::Error + 'static)) -> bool {
    const WORDS: [&str; 4] = ["OUT_OF_MEMORY", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED"];
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).any(|text| WORDS.iter().any(|word| text.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_memory_is_told_from_other_errors() {
        let says = |text: &str| lacks_memory(&LayerError::from(candle_core::Error::Msg(text.into())));
        assert!(says("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"));
        assert!(says("CublasError(CUBLAS_STATUS_ALLOC_FAILED)"));
        assert!(says(
            "the card has no 4096 bytes for the work space: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
        ));
        assert!(!says("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access was encountered\")"));
        assert!(!lacks_memory(&std::io::Error::other("shape mismatch")));
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(name_of(&device("cpu").unwrap()), "cpu");
        for name in ["gpu", "cuda:x", "cuda0", ""] {
            assert!(device(name).unwrap_err().to_string().contains("write cpu or cuda:0"), "{name}");
        }
        if !cfg!(feature = "cuda-basic") {
            assert!(device("cuda:0").unwrap_err().to_string().contains("--features cuda"));
        }
    }
}
