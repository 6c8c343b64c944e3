//! The way from the device to the host inside a step.
//!
//! Purpose: on a GPU every read waits until all work given to it is done, so values that the host wants are gathered in one small tensor on
//! the device and come in one read. Invariants: values pass through double precision, which changes none of them; nothing in this
//! crate reads a tensor of a step but this module and, for tensors on the CPU, its neighbours (a test looks for other places).

use std::ops::Range;

use candle_core::{DType, Device, Tensor, WithDType};

use super::types::{GateMeans, StepReport};
use crate::error::Result;
use crate::types::{GatesTogether, Outputs};
use mtids_layers::mean_of_rows;
use mtids_layers::optimizer::Gradients;
use mtids_ranks::Ranks;

/// Where what is not part of the graph is worked out: inner products, norm and clipping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The tensors are in the host's memory: read where they lie.
    Host,
    /// They are on a device: worked out there, and only the results come over.
    Device,
}

impl Side {
    pub(super) fn of(device: &Device) -> Self {
        if device.is_cpu() { Self::Host } else { Self::Device }
    }
}

/// How often the host waited for values.
#[derive(Debug, Default)]
pub(crate) struct Reads(pub(super) usize);

/// Values that the host wants, still on their device.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    parts: Vec<Tensor>,
    length: usize,
}

/// What a read brought.
#[derive(Debug)]
pub(crate) struct Values(Vec<f64>);

impl Gathered {
    /// Adds all entries of a tensor, and says where they will be among the values.
    pub(crate) fn add(&mut self, values: &Tensor) -> Result<Range<usize>> {
        let part = values.detach().flatten_all()?.to_dtype(DType::F64)?;
        let from = self.length;
        self.length += part.elem_count();
        self.parts.push(part);
        Ok(from..self.length)
    }

    /// Waits for the device once; not at all where nothing was gathered.
    pub(crate) fn read(self, reads: &mut Reads) -> Result<Values> {
        if self.parts.is_empty() {
            return Ok(Values(Vec::new()));
        }
        reads.0 += 1;
        Ok(Values(Tensor::cat(&self.parts, 0)?.to_vec1()?))
    }
}

impl Values {
    /// The sums of the ranks' values.
    pub(crate) fn over(mut self, ranks: &Ranks) -> Result<Self> {
        ranks.sum(&mut self.0)?;
        Ok(self)
    }

    /// The values that [`Gathered::add`] promised to be here.
    pub(crate) fn at(&self, range: &Range<usize>) -> &[f64] {
        self.0.get(range.clone()).unwrap_or_default()
    }

    /// The first of them.
    pub(crate) fn first(&self, range: &Range<usize>) -> Option<f64> {
        self.at(range).first().copied()
    }
}

/// All entries of several tensors, one after the other; one read.
pub(super) fn whole<T: WithDType>(tensors: &[Tensor], reads: &mut Reads) -> Result<Vec<T>> {
    if tensors.is_empty() {
        return Ok(Vec::new());
    }
    reads.0 += 1;
    Ok(Tensor::cat(tensors, 0)?.to_vec1()?)
}

/// Means of one gate's decisions.
#[derive(Debug)]
struct GateRanges {
    branch: Range<usize>,
    shared: Option<Range<usize>>,
    private: Option<Range<usize>>,
    others: Option<Range<usize>>,
}

/// What a step only reports: gathered while it goes on, read once when it is done.
#[derive(Debug, Default)]
pub(super) struct Late {
    gathered: Gathered,
    regulariser: Option<Range<usize>>,
    pooled: Option<Range<usize>>,
    gates: Vec<GateRanges>,
    ranks: Ranks,
    squares: Vec<Range<usize>>,
}

impl Late {
    /// Of a step of these ranks.
    pub(super) fn of(ranks: &Ranks) -> Self {
        Self { ranks: ranks.clone(), ..Self::default() }
    }

    pub(super) fn regulariser(&mut self, value: &Tensor) -> Result<()> {
        self.regulariser = Some(self.gathered.add(value)?);
        Ok(())
    }

    pub(super) fn pooled(&mut self, value: &Tensor) -> Result<()> {
        self.pooled = Some(self.gathered.add(value)?);
        Ok(())
    }

    /// Mean decision of each gate over the batch.
    pub(super) fn gates(&mut self, outputs: &Outputs) -> Result<()> {
        for gate in &outputs.gates {
            let mut mean = |tensor: &Tensor| self.gathered.add(&mean_of_rows(&tensor.detach(), &self.ranks)?);
            let ranges = GateRanges {
                branch: mean(&gate.branch)?,
                shared: gate.shared.as_ref().map(&mut mean).transpose()?,
                private: gate.private.as_ref().map(&mut mean).transpose()?,
                others: gate.others.as_ref().map(&mut mean).transpose()?,
            };
            self.gates.push(ranges);
        }
        match &outputs.gates_together {
            Some(gates) => self.gates_together(gates),
            None => Ok(()),
        }
    }

    fn gates_together(&mut self, gates: &GatesTogether) -> Result<()> {
        let mut means = |values: &Tensor| -> Result<Vec<Range<usize>>> {
            let means = gates.means(&values.detach())?;
            let (all, width) = (self.gathered.add(&means)?, means.dim(1)?);
            Ok(all.clone().step_by(width).map(|from| from..from + width).collect())
        };
        let branch = means(&gates.gate.branch)?;
        let mut within = |values: &Option<Tensor>| values.as_ref().map(&mut means).transpose();
        let (shared, private) = (within(&gates.gate.shared)?, within(&gates.gate.private)?);
        let of = |ranges: &Option<Vec<Range<usize>>>, task: usize| ranges.as_ref()?.get(task).cloned();
        self.gates.extend(branch.into_iter().enumerate().map(|(task, branch)| GateRanges {
            branch,
            shared: of(&shared, task),
            private: of(&private, task),
            others: None,
        }));
        Ok(())
    }

    /// Squared norms of the gradients.
    pub(super) fn squares(&mut self, squares: &[Tensor]) -> Result<()> {
        let ranges: Result<Vec<_>> = squares.iter().map(|square| self.gathered.add(square)).collect();
        self.squares = ranges?;
        Ok(())
    }

    /// Reads everything into the report.
    pub(super) fn read(self, report: &mut StepReport, reads: &mut Reads) -> Result<()> {
        let Self { gathered, regulariser, pooled, gates, squares, ranks } = self;
        let values = gathered.read(reads)?;
        let value = |range: &Range<usize>| values.first(range);
        let list =
            |range: &Option<Range<usize>>| range.as_ref().map_or_else(Vec::new, |range| values.at(range).to_vec());
        report.regulariser = regulariser.as_ref().and_then(value).unwrap_or(0.0);
        let pooled = pooled.as_ref().and_then(value);
        report.pooled_loss = pooled.map(|share| ranks.sum_of(share)).transpose()?;
        report.gates = gates
            .iter()
            .map(|gate| {
                let branch = values.at(&gate.branch);
                GateMeans {
                    shared_branch: branch.first().copied().unwrap_or(0.0),
                    private_branch: branch.get(1).copied().unwrap_or(0.0),
                    other_branch: branch.get(2).copied(),
                    shared_experts: list(&gate.shared),
                    private_experts: list(&gate.private),
                    other_experts: list(&gate.others),
                }
            })
            .collect();
        report.gradient_norm = squares.iter().filter_map(value).fold(0.0, |sum, square| sum + square).sqrt();
        Ok(())
    }
}

/// A gradient pass: what it gave, and what is still to be read.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) gradients: Gradients,
    pub(super) report: StepReport,
    pub(super) late: Late,
    pub(super) reads: Reads,
}
