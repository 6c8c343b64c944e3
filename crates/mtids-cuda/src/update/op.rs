//! Norm, clipping and updates as functions of tensors.
//!
//! Purpose: takes the addresses of tensors while they are locked, and has a kernel walk over them. Invariants: all tensors have one type and lie on one
//! device; what is written is contiguous, and shares its memory with nothing else that is named; it stays locked for writing until the work is
//! given to the device, and what is read for reading.
#![allow(unsafe_code)]

use std::cell::RefCell;

use candle_core::{CpuStorage, CustomOp1, DType, InplaceOp1, Layout, Shape, Storage, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaDevice, CudaStorage, backend::BackendStorage, cuda_backend::CudaStorageSlice};
#[cfg(feature = "cuda")]
use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut};

use super::launch;
use super::table::{Kernel, Rule, Table};

/// A tensor that is updated.
#[derive(Clone, Debug)]
pub struct Held {
    /// What the update reads, a gradient.
    pub source: Tensor,
    /// What it writes.
    pub values: Tensor,
    /// States of the rule, which it writes too.
    pub states: Vec<Tensor>,
    /// The tensor's own number, see [`Rule`].
    pub factor: f64,
}

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

/// Updates all tensors in place, by one launch.
///
/// # Errors
/// As [`squared_norm`]; for states that are not those of the rule, shapes that differ, and memory that two of the tensors share.
pub fn update(rule: Rule, held: &[Held]) -> candle_core::Result<()> {
    let Some(one) = held.first() else { return Ok(()) };
    let mut written = Vec::new();
    for held in held {
        if held.states.len() != rule.states() {
            candle_core::bail!("{} states where the rule has {}", held.states.len(), rule.states());
        }
        let own = || std::iter::once(&held.values).chain(&held.states);
        for tensor in own().chain([&held.source]) {
            if tensor.dims() != held.values.dims() {
                candle_core::bail!("an update of {:?} with {:?}", held.values.shape(), tensor.shape());
            }
            same(&one.values, tensor)?;
        }
        written.extend(own());
    }
    // Each is locked once, so sharing would wait for itself.
    let memory = |tensor: &Tensor| &raw const *tensor.storage_and_layout().0 as usize;
    let mut places: Vec<usize> = written.iter().map(|tensor| memory(tensor)).collect();
    places.sort_unstable();
    let shared = places.windows(2).any(|pair| pair[0] == pair[1])
        || held.iter().any(|held| places.binary_search(&memory(&held.source)).is_ok());
    if shared {
        candle_core::bail!("an update of tensors that share their memory");
    }
    let found = RefCell::new(Vec::new());
    lock(&written, &Writing { rest: &[], found: &found, held, rule })
}

fn same(one: &Tensor, other: &Tensor) -> candle_core::Result<()> {
    if one.dtype() != other.dtype() || !one.device().same_device(other.device()) {
        candle_core::bail!("tensors of several types or devices");
    }
    Ok(())
}

/// Bytes of an entry.
fn width(dtype: DType) -> candle_core::Result<usize> {
    match dtype {
        DType::F32 | DType::F64 => Ok(dtype.size_in_bytes()),
        other => candle_core::bail!("an update needs f32 or f64, not {other:?}"),
    }
}

/// Where the entries of a contiguous tensor start and end in its storage.
fn range(layout: &Layout) -> candle_core::Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(range) => Ok(range),
        None => candle_core::bail!("an update needs contiguous tensors"),
    }
}

/// Locks of tensors that are read, and their addresses.
macro_rules! read {
    ($tensors:expr, $guards:ident, $addresses:ident, $variant:ident, $address:expr) => {
        let $guards: Vec<_> = $tensors.map(Tensor::storage_and_layout).collect();
        let mut $addresses = Vec::with_capacity($guards.len());
        for (storage, layout) in &$guards {
            let Storage::$variant(storage) = &**storage else { candle_core::bail!("tensors of several devices") };
            $addresses.push($address(storage, range(layout)?)?);
        }
    };
}

/// Address of entries of the host that are read.
fn host_address(storage: &CpuStorage, (start, end): (usize, usize)) -> candle_core::Result<u64> {
    Ok(match storage {
        CpuStorage::F32(entries) => entries[start..end].as_ptr() as u64,
        CpuStorage::F64(entries) => entries[start..end].as_ptr() as u64,
        _ => candle_core::bail!("an update needs f32 or f64"),
    })
}

/// Address of entries of the card, and what tells cudarc when they are no longer used.
#[cfg(feature = "cuda")]
fn card_address<'s>(
    storage: &'s CudaStorage,
    (start, end): (usize, usize),
    stream: &'s cudarc::driver::CudaStream,
) -> candle_core::Result<(u64, cudarc::driver::SyncOnDrop<'s>)> {
    macro_rules! of {
        ($slice:ident, $type:ty) => {{
            if end > $slice.len() {
                candle_core::bail!("entries {start} to {end} of {}", $slice.len());
            }
            let (address, used) = $slice.device_ptr(stream);
            Ok((address + (start * size_of::<$type>()) as u64, used))
        }};
    }
    match &storage.slice {
        CudaStorageSlice::F32(slice) => of!(slice, f32),
        CudaStorageSlice::F64(slice) => of!(slice, f64),
        _ => candle_core::bail!("an update needs f32 or f64"),
    }
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

/// An update whose tensors are being locked, one after the other.
struct Writing<'a> {
    /// Those that are not locked yet.
    rest: &'a [&'a Tensor],
    /// Addresses of those that are.
    found: &'a RefCell<Vec<u64>>,
    held: &'a [Held],
    rule: Rule,
}

/// Locks the first of the tensors, in whose operation the others are locked.
fn lock(tensors: &[&Tensor], writing: &Writing<'_>) -> candle_core::Result<()> {
    match tensors.split_first() {
        Some((first, rest)) => first.inplace_op1(&Writing { rest, ..*writing }),
        None => Ok(()),
    }
}

impl Writing<'_> {
    /// Keeps an address, and whether all are there.
    fn keep(&self, address: u64) -> bool {
        self.found.borrow_mut().push(address);
        self.rest.is_empty()
    }

    fn table(&self, sources: &[u64]) -> Table {
        let (mut table, found) = (Table::default(), self.found.borrow());
        let own = found.chunks(1 + self.rule.states());
        for ((held, source), own) in self.held.iter().zip(sources).zip(own) {
            let at = |place: usize| own.get(place).copied().unwrap_or(0);
            table.push([*source, at(0), at(1), at(2)], held.values.elem_count(), held.factor);
        }
        table
    }
}

impl InplaceOp1 for Writing<'_> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (start, end) = range(layout)?;
        let (address, double) = match storage {
            CpuStorage::F32(entries) => (entries[start..end].as_mut_ptr() as u64, false),
            CpuStorage::F64(entries) => (entries[start..end].as_mut_ptr() as u64, true),
            _ => candle_core::bail!("an update needs f32 or f64"),
        };
        if !self.keep(address) {
            return lock(self.rest, self);
        }
        read!(self.held.iter().map(|held| &held.source), guards, sources, Cpu, host_address);
        let (table, kernel) = (self.table(&sources), Kernel::Update(self.rule));
        // SAFETY: all addresses are those of contiguous entries of one type, of the shape of their values. What is written is borrowed mutably by the
        // operations that this one is called in, and shares its memory with nothing that is named; sources are locked for reading.
        unsafe {
            if double {
                launch::on_host::<f64>(kernel, &table, &[], &mut [])
            } else {
                launch::on_host::<f32>(kernel, &table, &[], &mut [])
            }
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> candle_core::Result<()> {
        let (start, end) = range(layout)?;
        let device = storage.device.clone();
        let stream = device.cuda_stream();
        macro_rules! of {
            ($slice:ident, $type:ty) => {{
                if end > $slice.len() {
                    candle_core::bail!("entries {start} to {end} of {}", $slice.len());
                }
                let (address, used) = $slice.device_ptr_mut(&stream);
                (address + (start * size_of::<$type>()) as u64, used)
            }};
        }
        let ((address, _used), double) = match &mut storage.slice {
            CudaStorageSlice::F32(slice) => (of!(slice, f32), false),
            CudaStorageSlice::F64(slice) => (of!(slice, f64), true),
            _ => candle_core::bail!("an update needs f32 or f64"),
        };
        if !self.keep(address) {
            return lock(self.rest, self);
        }
        let address = |storage, range| card_address(storage, range, &stream);
        read!(self.held.iter().map(|held| &held.source), guards, used, Cuda, address);
        let sources: Vec<u64> = used.iter().map(|(address, _)| *address).collect();
        let (table, kernel) = (self.table(&sources), Kernel::Update(self.rule));
        let words = device.clone_htod(table.words())?;
        // SAFETY: neither is touched by an update.
        let (total, mut parts) = unsafe { (device.alloc::<f64>(1)?, device.alloc::<f64>(1)?) };
        // SAFETY: as on the host; cudarc frees memory in the order of the stream, and the guards of addresses tell it that they are used.
        unsafe {
            if double {
                launch::on_card::<f64>(&device, kernel, &table, &words, &total, &mut parts)
            } else {
                launch::on_card::<f32>(&device, kernel, &table, &words, &total, &mut parts)
            }
        }
    }
}
