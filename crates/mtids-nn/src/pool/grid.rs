//! Average pooling to a coarse grid, by one constant matrix.
//!
//! Purpose: from a feature map to a fixed number of cells, 1 per axis being the global average. A patch is centred on its node,
//! so a coarse grid of cells tells the trunk *where around the node* something lies, which the region depends on.
//! Invariant: each output cell is the mean of the map cells in rows `[floor(i H / g), ceil((i + 1) H / g))`, other axes likewise.

use candle_core::{DType, Device, Tensor};

use crate::error::{NnError, Result};

/// Pools `[B, C, H, W]` to `[B, C, grid²]`, or `[B, C, D, H, W]` to `[B, C, grid³]`.
#[derive(Clone, Debug)]
pub struct GridPool {
    matrix: Tensor,
    cells: usize,
}

impl GridPool {
    /// A pooling for maps of this size (two or three axes) to `grid` cells along each axis.
    ///
    /// # Errors
    /// When the constant matrix cannot be created.
    pub fn new(size: &[usize], grid: usize, dtype: DType, device: &Device) -> Result<Self> {
        let cells = size.iter().fold(1, |cells, _| cells * grid);
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
                let range = (i * length / grid)..((i + 1) * length).div_ceil(grid);
                together *= range.len();
                positions = positions.iter().flat_map(|at| range.clone().map(move |i| at * length + i)).collect();
            }
            for position in positions {
                matrix[position * cells + cell] = 1.0 / together as f64;
            }
        }
        let matrix = Tensor::from_vec(matrix, (count, cells), &Device::Cpu)?;
        Ok(Self { matrix: matrix.to_dtype(dtype)?.to_device(device)?, cells })
    }

    /// Applies the pooling.
    ///
    /// # Errors
    /// [`NnError::Shape`] when the map has another size.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let count = self.matrix.dim(0)?;
        match x.dims() {
            [batch, channels, axes @ ..] if axes.iter().product::<usize>() == count => {
                let rows = x.reshape((batch * channels, count))?;
                Ok(rows.matmul(&self.matrix)?.reshape((*batch, *channels, self.cells))?)
            }
            other => Err(NnError::Shape {
                what: "feature map",
                found: other.to_vec(),
                expected: format!("{count} cells per channel"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(shape: &[usize], grid: usize) -> Vec<f64> {
        let count: usize = shape.iter().product();
        let x = Tensor::arange(0f64, count as f64, &Device::Cpu).unwrap().reshape(shape).unwrap();
        let pool = GridPool::new(&shape[2..], grid, DType::F64, &Device::Cpu).unwrap();
        pool.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn one_cell_is_the_global_average_and_a_grid_splits_the_map() {
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
            assert_eq!(found.len(), expected.len());
        };
        close(pooled(&[1, 1, 4, 6], 1), &[11.5]);
        close(pooled(&[1, 1, 4, 6], 2), &[4.0, 7.0, 16.0, 19.0]);
        close(pooled(&[1, 1, 2, 2, 3], 1), &[5.5]);
        // Cells of an odd axis overlap by one.
        close(pooled(&[1, 1, 2, 2, 3], 2), &[0.5, 1.5, 3.5, 4.5, 6.5, 7.5, 9.5, 10.5]);
        assert!(
            GridPool::new(&[2, 2], 1, DType::F64, &Device::Cpu)
                .unwrap()
                .forward(&Tensor::zeros((1, 1, 3, 2), DType::F64, &Device::Cpu).unwrap())
                .is_err()
        );
    }
}
