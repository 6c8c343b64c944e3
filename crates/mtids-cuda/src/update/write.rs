//! Updates of many tensors in place.
//!
//! Purpose: takes the addresses of tensors while they are locked, and has a kernel walk over them. Invariants: all tensors have one type and lie on one
//! device; what is written is contiguous, and shares its memory with nothing else that is named; it stays locked for writing until the work is
//! given to the device, and what is read for reading.
#![allow(unsafe_code)]

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Storage, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, cuda_backend::CudaStorageSlice};
#[cfg(feature = "cuda")]
use cudarc::driver::DevicePtrMut;

#[cfg(feature = "cuda")]
use super::address::card_address;
use super::address::{host_address, range, read, same};
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

/// Updates all tensors in place, by one launch.
///
/// # Errors
/// As [`super::squared_norm`]; for states that are not those of the rule, shapes that differ, and memory that two of the tensors share.
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
