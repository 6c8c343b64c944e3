//! The coarse grid at the end of a backbone: averages by a constant matrix, maxima axis by axis.

use mtids_layers::pool::{GridPool, GridPooling, grid_cell};
use mtids_layers::{DType, Device, LayerError};

use crate::builder::Builder;
use crate::error::Result;
use crate::graph::Value;

impl Builder {
    /// Pools a map `[C, ..]` to `grid` cells along each axis and to one axis: all averages, then all maxima, as far as asked for.
    pub(crate) fn grid_pool(&mut self, x: &Value, grid: usize, pooling: GridPooling) -> Result<Value> {
        let channels = x.axes().first().copied().unwrap_or(0);
        let size = x.axes().get(1..).unwrap_or_default().to_vec();
        let mut parts = Vec::new();
        if let Some(matrix) = GridPool::new(&size, grid, pooling, DType::F32, &Device::Cpu)?.averaging() {
            let shape = matrix.dims().to_vec();
            let entries = matrix.flatten_all().and_then(|matrix| matrix.to_vec1()).map_err(LayerError::from)?;
            let rows = self.graph.reshape(x, &[channels, size.iter().product()])?;
            let cells = shape.last().copied().unwrap_or(0);
            let matrix = self.graph.floats(&shape, entries);
            let inputs = vec![rows.name().to_owned(), matrix];
            let averages = self.graph.node("MatMul", inputs, Vec::new(), vec![channels, cells]);
            parts.push(self.flatten(&averages)?);
        }
        if pooling != GridPooling::Average {
            let largest = self.grid_maxima(x, grid)?;
            parts.push(self.flatten(&largest)?);
        }
        self.graph.concat(&parts, 0)
    }

    /// The largest entry of a box is the largest of the largest along its axes.
    fn grid_maxima(&mut self, x: &Value, grid: usize) -> Result<Value> {
        let mut map = x.clone();
        for axis in 1..x.axes().len() {
            let length = x.axes()[axis];
            let mut cells = Vec::with_capacity(grid);
            for cell in 0..grid {
                let range = grid_cell(cell, length, grid);
                let part = self.graph.slice(&map, axis, range.start, range.len())?;
                cells.push(self.graph.largest(&part, axis)?);
            }
            map = self.graph.concat(&cells, axis)?;
        }
        Ok(map)
    }
}
