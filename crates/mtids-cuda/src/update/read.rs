//! What is made of many tensors without writing one of them: norm, clipped copies, one list.
//!
//! Invariants: all tensors have one type and lie on one device; they stay locked for reading until the work is given to the device.
#![allow(unsafe_code)]

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Storage, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaDevice, CudaStorage, backend::BackendStorage, cuda_backend::CudaStorageSlice};
#[cfg(feature = "cuda")]
use cudarc::driver::{CudaSlice, DevicePtrMut};

#[cfg(feature = "cuda")]
use super::address::card_address;
use super::address::{host_address, range, read, same, width};
use super::launch;
use super::table::{Kernel, Table};

/// The squared Euclidean norm over all tensors, `[1]` in `f64` where they lie.
///
/// # Errors
/// For no tensor, for other types than `f32` and `f64`, and for tensors of several types or devices.
pub fn squared_norm(tensors: &[Tensor]) -> candle_core::Result<Tensor> {
    let (first, reading) = Reading::new(tensors, Task::Norm)?;
    first.apply_op1_no_bwd(&reading)
}

/// The tensors times `min(1, limit / norm)`, as parts of one new buffer; `squared_norm` is what the function of this name gave. None is written in place.
///
/// # Errors
/// As [`squared_norm`].
pub fn clip(tensors: &[Tensor], squared_norm: &Tensor, limit: f64) -> candle_core::Result<Vec<Tensor>> {
    if squared_norm.dtype() != DType::F64 || squared_norm.elem_count() != 1 {
        candle_core::bail!("a squared norm is one number in f64, not {squared_norm:?}");
    }
    let task = Task::Buffer { kernel: Kernel::Clip { limit }, squared_norm: Some(squared_norm.clone()) };
    let (first, reading) = Reading::new(tensors, task)?;
    let buffer = first.apply_op1_no_bwd(&reading)?;
    let mut from = 0;
    let part = |tensor: &Tensor| {
        let length = tensor.elem_count();
        let part = buffer.narrow(0, from, length)?.reshape(tensor.shape());
        from += length;
        part
    };
    tensors.iter().map(part).collect()
}

/// All entries of all tensors, one behind the other, in one new list.
///
/// # Errors
/// As [`squared_norm`].
pub fn gather(tensors: &[Tensor]) -> candle_core::Result<Tensor> {
    let (first, reading) = Reading::new(tensors, Task::Buffer { kernel: Kernel::Gather, squared_norm: None })?;
    first.apply_op1_no_bwd(&reading)
}

/// What is made of many tensors.
enum Task {
    Norm,
    /// A buffer with a part for each tensor.
    Buffer {
        kernel: Kernel,
        squared_norm: Option<Tensor>,
    },
}

/// A task on tensors of which the first is the operand.
struct Reading {
    tensors: Vec<Tensor>,
    task: Task,
}

impl Reading {
    /// The task, and the tensor that it is applied to.
    fn new(tensors: &[Tensor], task: Task) -> candle_core::Result<(Tensor, Self)> {
        let Some(first) = tensors.first() else { candle_core::bail!("a norm of no tensors") };
        width(first.dtype())?;
        tensors.iter().try_for_each(|tensor| same(first, tensor))?;
        if let Task::Buffer { squared_norm: Some(squared_norm), .. } = &task
            && !squared_norm.device().same_device(first.device())
        {
            candle_core::bail!("tensors of several devices");
        }
        let contiguous: candle_core::Result<Vec<Tensor>> = tensors.iter().map(Tensor::contiguous).collect();
        let tensors = contiguous?;
        Ok((tensors[0].clone(), Self { tensors, task }))
    }

    fn entries(&self) -> usize {
        self.tensors.iter().map(Tensor::elem_count).sum()
    }

    fn shape(&self) -> Shape {
        match self.task {
            Task::Norm => 1.into(),
            Task::Buffer { .. } => self.entries().into(),
        }
    }

    /// The table for results that begin at `buffer`; 0 where nothing is written.
    fn table(&self, addresses: &[u64], buffer: u64) -> candle_core::Result<Table> {
        let mut table = Table::default();
        let mut into = buffer;
        for (tensor, &address) in self.tensors.iter().zip(addresses) {
            let entries = tensor.elem_count();
            table.push([address, into, 0, 0], entries, 0.0);
            if buffer != 0 {
                into += (entries * width(tensor.dtype())?) as u64;
            }
        }
        Ok(table)
    }

    fn on_host<T: launch::Real>(&self, addresses: &[u64]) -> candle_core::Result<(Vec<f64>, Vec<T>)> {
        match &self.task {
            Task::Norm => {
                let table = self.table(addresses, 0)?;
                let (mut parts, mut sum) = (vec![0.0; table.blocks()], vec![0.0]);
                // SAFETY: the addresses are those of contiguous entries of `T`, locked for reading by the caller; nothing of the table is written.
                unsafe {
                    launch::on_host::<T>(Kernel::SquareParts, &table, &[], &mut parts)?;
                    launch::on_host::<T>(Kernel::SquareJoin, &table, &parts, &mut sum)?;
                }
                Ok((sum, Vec::new()))
            }
            Task::Buffer { kernel, squared_norm } => {
                let mut buffer = vec![T::default(); self.entries()];
                let table = self.table(addresses, buffer.as_mut_ptr() as u64)?;
                let total = match squared_norm {
                    Some(squared_norm) => squared_norm.flatten_all()?.to_vec1::<f64>()?,
                    None => Vec::new(),
                };
                // SAFETY: as above; the parts of the buffer that are written have the lengths of the tensors and follow each other within it.
                unsafe { launch::on_host::<T>(*kernel, &table, &total, &mut [])? };
                Ok((Vec::new(), buffer))
            }
        }
    }

    #[cfg(feature = "cuda")]
    fn on_card<T: launch::Real + cudarc::driver::DeviceRepr>(
        &self,
        device: &CudaDevice,
        addresses: &[u64],
    ) -> candle_core::Result<(CudaSlice<f64>, CudaSlice<T>)> {
        let stream = device.cuda_stream();
        // SAFETY: both are written before they are read, but for the stand-ins of one entry, which are not read.
        let (mut parts, mut buffer) = unsafe {
            match self.task {
                Task::Norm => (device.alloc::<f64>(self.table(addresses, 0)?.blocks())?, device.alloc::<T>(1)?),
                Task::Buffer { .. } => (device.alloc::<f64>(1)?, device.alloc::<T>(self.entries())?),
            }
        };
        match &self.task {
            Task::Norm => {
                let table = self.table(addresses, 0)?;
                let words = device.clone_htod(table.words())?;
                // SAFETY: the kernel writes it.
                let (nothing, mut sum) = unsafe { (device.alloc::<f64>(1)?, device.alloc::<f64>(1)?) };
                // SAFETY: as on the host; cudarc frees memory in the order of the stream.
                unsafe {
                    launch::on_card::<T>(device, Kernel::SquareParts, &table, &words, &nothing, &mut parts)?;
                    launch::on_card::<T>(device, Kernel::SquareJoin, &table, &words, &parts, &mut sum)?;
                }
                Ok((sum, buffer))
            }
            Task::Buffer { kernel, squared_norm } => {
                // SAFETY: only a kernel without a squared norm is given it, and does not read it.
                let nothing = unsafe { device.alloc::<f64>(1)? };
                let guard = squared_norm.as_ref().map(Tensor::storage_and_layout);
                let total = match &guard {
                    None => &nothing,
                    Some((storage, layout)) => match (&**storage, layout.start_offset()) {
                        (Storage::Cuda(storage), 0) => storage.as_cuda_slice::<f64>()?,
                        _ => candle_core::bail!("a squared norm that is a part of another tensor"),
                    },
                };
                {
                    let (start, _used) = buffer.device_ptr_mut(&stream);
                    let table = self.table(addresses, start)?;
                    let words = device.clone_htod(table.words())?;
                    // SAFETY: as on the host; cudarc frees memory in the order of the stream.
                    unsafe { launch::on_card::<T>(device, *kernel, &table, &words, total, &mut parts)? };
                }
                Ok((parts, buffer))
            }
        }
    }
}

impl CustomOp1 for Reading {
    fn name(&self) -> &'static str {
        "many-tensors"
    }

    fn cpu_fwd(&self, _first: &CpuStorage, _layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        read!(self.tensors.iter(), guards, addresses, Cpu, host_address);
        let norm = matches!(self.task, Task::Norm);
        let storage = match self.tensors[0].dtype() {
            DType::F32 => {
                let (sum, buffer) = self.on_host::<f32>(&addresses)?;
                if norm { CpuStorage::F64(sum) } else { CpuStorage::F32(buffer) }
            }
            _ => {
                let (sum, buffer) = self.on_host::<f64>(&addresses)?;
                CpuStorage::F64(if norm { sum } else { buffer })
            }
        };
        Ok((storage, self.shape()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, first: &CudaStorage, _layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let device = first.device();
        let stream = device.cuda_stream();
        let address = |storage, range| card_address(storage, range, &stream);
        read!(self.tensors.iter(), guards, used, Cuda, address);
        let addresses: Vec<u64> = used.iter().map(|(address, _)| *address).collect();
        let norm = matches!(self.task, Task::Norm);
        let slice = match self.tensors[0].dtype() {
            DType::F32 => {
                let (sum, buffer) = self.on_card::<f32>(device, &addresses)?;
                if norm { CudaStorageSlice::F64(sum) } else { CudaStorageSlice::F32(buffer) }
            }
            _ => {
                let (sum, buffer) = self.on_card::<f64>(device, &addresses)?;
                CudaStorageSlice::F64(if norm { sum } else { buffer })
            }
        };
        Ok((CudaStorage { slice, device: device.clone() }, self.shape()))
    }
}
