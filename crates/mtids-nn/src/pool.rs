//! Adaptive average pooling by one constant matrix.
//!
//! Purpose: from a feature map to a fixed number of cells, 1 × 1 being the global average. A patch is centred on its node,
//! so a coarse grid of cells tells the trunk *where around the node* something lies, which the region depends on.
//! Invariant: each output cell is the mean of the map cells in rows `[floor(i H / g), ceil((i + 1) H / g))`, columns likewise.

use candle_core::{DType, Device, Tensor};

use crate::error::{NnError, Result};

/// Pools `[B, C, H, W]` to `[B, C, grid * grid]`.
#[derive(Clone, Debug)]
pub struct AveragePool {
    matrix: Tensor,
    cells: usize,
}

impl AveragePool {
    /// A pooling for maps of `height` × `width` to `grid` × `grid` cells.
    ///
    /// # Errors
    /// When the constant matrix cannot be created.
    pub fn new(height: usize, width: usize, grid: usize, dtype: DType, device: &Device) -> Result<Self> {
        let range = |i: usize, size: usize| (i * size / grid)..((i + 1) * size).div_ceil(grid);
        let cells = grid * grid;
        let mut matrix = vec![0f64; height * width * cells];
        for cell in 0..cells {
            let (rows, columns) = (range(cell / grid, height), range(cell % grid, width));
            let share = 1.0 / (rows.len() * columns.len()) as f64;
            for row in rows {
                for column in columns.clone() {
                    matrix[(row * width + column) * cells + cell] = share;
                }
            }
        }
        let matrix = Tensor::from_vec(matrix, (height * width, cells), &Device::Cpu)?;
        Ok(Self { matrix: matrix.to_dtype(dtype)?.to_device(device)?, cells })
    }

    /// Applies the pooling.
    ///
    /// # Errors
    /// [`NnError::Shape`] when the map has another size.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        if height * width != self.matrix.dim(0)? {
            return Err(NnError::Shape {
                what: "feature map",
                found: x.dims().to_vec(),
                expected: format!("{} cells per channel", self.matrix.dim(0)?),
            });
        }
        let rows = x.reshape((batch * channels, height * width))?;
        Ok(rows.matmul(&self.matrix)?.reshape((batch, channels, self.cells))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cell_is_the_global_average_and_a_grid_splits_the_map() {
        let x = Tensor::arange(0f64, 24.0, &Device::Cpu).unwrap().reshape((1, 1, 4, 6)).unwrap();
        let global = AveragePool::new(4, 6, 1, DType::F64, &Device::Cpu).unwrap().forward(&x).unwrap();
        assert!((global.flatten_all().unwrap().to_vec1::<f64>().unwrap()[0] - 11.5).abs() < 1e-12);
        let grid = AveragePool::new(4, 6, 2, DType::F64, &Device::Cpu).unwrap().forward(&x).unwrap();
        let cells = grid.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for (found, expected) in cells.iter().zip([4.0, 7.0, 16.0, 19.0]) {
            assert!((found - expected).abs() < 1e-12, "{cells:?}");
        }
    }
}
