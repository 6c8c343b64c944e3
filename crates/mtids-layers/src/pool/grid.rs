//! Pooling to a coarse grid: averages by one constant matrix, maxima cell by cell.
//!
//! Purpose: from a feature map to a fixed number of cells, 1 per axis being the whole map. A patch is centred on its node,
//! so a coarse grid of cells tells the backbone *where around the node* something lies, which the region depends on. The average of a
//! cell dilutes what fills little of it; the maximum does not, see [`GridPooling`].
//! Invariant: each output cell is the mean or the largest of the map cells in rows `[floor(i H / g), ceil((i + 1) H / g))`, other
//! axes likewise.

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::pool_regions;
use super::window::{Kind, Regions, grid_cell};
use crate::error::{LayerError, Result};

/// What is kept of a cell of the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GridPooling {
    /// The average.
    #[default]
    Average,
    /// The largest value.
    Maximum,
    /// Both: all averages, then all maxima.
    AverageAndMaximum,
}

impl GridPooling {
    /// Numbers per cell.
    pub fn numbers(self) -> usize {
        if self == Self::AverageAndMaximum { 2 } else { 1 }
    }
}

/// Pools `[B, C, H, W]` to `[B, C, grid²]`, or `[B, C, D, H, W]` to `[B, C, grid³]`; with both averages and maxima `[B, 2 C, ..]`.
#[derive(Clone, Debug)]
pub struct GridPool {
    size: Vec<usize>,
    grid: usize,
    cells: usize,
    pooling: GridPooling,
    /// `[map cells, grid cells]`; absent where no average is asked for.
    matrix: Option<Tensor>,
}

impl GridPool {
    /// A pooling for maps of this size (two or three axes) to `grid` cells along each axis.
    ///
    /// # Errors
    /// When the constant matrix cannot be created.
    pub fn new(size: &[usize], grid: usize, pooling: GridPooling, dtype: DType, device: &Device) -> Result<Self> {
        let cells = size.iter().fold(1, |cells, _| cells * grid);
        let averages = pooling != GridPooling::Maximum;
        let matrix = averages.then(|| averaging(size, grid, cells)?.to_dtype(dtype)?.to_device(device)).transpose()?;
        Ok(Self { size: size.to_vec(), grid, cells, pooling, matrix })
    }

    /// What averages are made with, `[map cells, grid cells]`; absent where none is asked for.
    pub fn averaging(&self) -> Option<&Tensor> {
        self.matrix.as_ref()
    }

    /// Applies the pooling.
    ///
    /// # Errors
    /// [`LayerError::Shape`] when the map has another size.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels) = match x.dims() {
            [batch, channels, axes @ ..] if axes == self.size => (*batch, *channels),
            other => {
                return Err(LayerError::Shape {
                    what: "feature map",
                    found: other.to_vec(),
                    expected: format!("[B, C] and {:?}", self.size),
                });
            }
        };
        let averages = match &self.matrix {
            Some(matrix) => {
                let rows = x.reshape((batch * channels, matrix.dim(0)?))?;
                Some(rows.matmul(matrix)?.reshape((batch, channels, self.cells))?)
            }
            None => None,
        };
        let maxima = if self.pooling == GridPooling::Average {
            None
        } else {
            let grid = if self.size.len() == 2 { [1, self.grid, self.grid] } else { [self.grid; 3] };
            Some(pool_regions(x, Regions::Grid(grid), Kind::Maximum)?.reshape((batch, channels, self.cells))?)
        };
        let parts: Vec<Tensor> = averages.into_iter().chain(maxima).collect();
        Ok(Tensor::cat(&parts, 1)?)
    }
}

/// `[map cells, grid cells]`: one over the number of map cells that a grid cell has, where it has this one.
fn averaging(size: &[usize], grid: usize, cells: usize) -> candle_core::Result<Tensor> {
    let count: usize = size.iter().product();
    let mut matrix = vec![0f64; count * cells];
    for cell in 0..cells {
        let mut together = 1;
        // Positions of the map cells of this grid cell, axis by axis from the first.
        let mut positions = vec![0];
        let mut below = cells;
        for &length in size {
            below /= grid;
            let i = cell / below % grid;
            let range = grid_cell(i, length, grid);
            together *= range.len();
            positions = positions.iter().flat_map(|at| range.clone().map(move |i| at * length + i)).collect();
        }
        for position in positions {
            matrix[position * cells + cell] = 1.0 / together as f64;
        }
    }
    Tensor::from_vec(matrix, (count, cells), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(shape: &[usize], grid: usize, pooling: GridPooling) -> Vec<f64> {
        let count: usize = shape.iter().product();
        let x = Tensor::arange(0f64, count as f64, &Device::Cpu).unwrap().reshape(shape).unwrap();
        let pool = GridPool::new(&shape[2..], grid, pooling, DType::F64, &Device::Cpu).unwrap();
        pool.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn one_cell_is_the_global_average_and_a_grid_splits_the_map() {
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
            assert_eq!(found.len(), expected.len());
        };
        let average = GridPooling::Average;
        close(pooled(&[1, 1, 4, 6], 1, average), &[11.5]);
        close(pooled(&[1, 1, 4, 6], 2, average), &[4.0, 7.0, 16.0, 19.0]);
        close(pooled(&[1, 1, 2, 2, 3], 1, average), &[5.5]);
        // Cells of an odd axis overlap by one.
        close(pooled(&[1, 1, 2, 2, 3], 2, average), &[0.5, 1.5, 3.5, 4.5, 6.5, 7.5, 9.5, 10.5]);
        close(pooled(&[1, 1, 4, 6], 2, GridPooling::Maximum), &[8.0, 11.0, 20.0, 23.0]);
        close(pooled(&[1, 1, 2, 2, 3], 2, GridPooling::Maximum), &[1.0, 2.0, 4.0, 5.0, 7.0, 8.0, 10.0, 11.0]);
        // All channels' averages, then all channels' maxima.
        close(pooled(&[1, 2, 1, 3], 1, GridPooling::AverageAndMaximum), &[1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn a_map_of_another_size_is_refused() {
        let pool = GridPool::new(&[2, 2], 1, GridPooling::Average, DType::F64, &Device::Cpu).unwrap();
        assert!(pool.forward(&Tensor::zeros((1, 1, 4, 1), DType::F64, &Device::Cpu).unwrap()).is_err());
    }
}
