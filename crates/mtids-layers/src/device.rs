//! Names of devices: `cpu`, `cuda:0`.
//!
//! Purpose: a program built without the feature `cuda` says so instead of failing inside a tensor operation.

use candle_core::{DType, Device, Tensor};

use crate::error::{LayerError, Result};

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
    Device::new_cuda(number).map_err(|error| fail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(device("cpu").unwrap().is_cpu());
        for name in ["gpu", "cuda:x", "cuda0", ""] {
            assert!(device(name).unwrap_err().to_string().contains("write cpu or cuda:0"), "{name}");
        }
        if !cfg!(feature = "cuda-basic") {
            assert!(device("cuda:0").unwrap_err().to_string().contains("--features cuda"));
        }
    }
}
