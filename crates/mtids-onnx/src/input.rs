//! From a row of a dataset to the input of the network, as an evaluation does it: crop, windows, symmetries.
//!
//! Units: what is stored (HU, hundredths of an SUV, thousandths of a mark) in, 0…1 out. Order of axes: channels, d (to the head), h (to the
//! back), w (to the left). Symmetries move voxels and change none, so they may stand behind the windows.

use serde::Serialize;

use crate::builder::Builder;
use crate::error::{OnnxError, Result};
use crate::graph::Value;

/// What becomes of a stored channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredChannel {
    /// One input channel per window, `(x − low) · scale` within 0…1.
    Windows(Vec<[f32; 2]>),
    /// One input channel, `x / full` within 0…1.
    Share {
        /// The stored value that becomes 1.
        full: f32,
    },
    /// The network does not see it.
    Unused,
}

/// A view as it is stored, and what is done before the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredView {
    /// Its name in the dataset and in the graph.
    pub name: String,
    /// Stored voxels along (d, h, w).
    pub size: [usize; 3],
    /// Stored channels, in order.
    pub channels: Vec<StoredChannel>,
    /// First voxel of the crop along (d, h, w).
    pub crop_start: [usize; 3],
    /// Voxels of the crop along (d, h, w).
    pub crop_size: [usize; 3],
    /// Whether it takes the symmetries over which an evaluation averages; otherwise it is the same in all of them.
    pub turns: bool,
}

/// A symmetry: rows and columns exchanged where asked for, then axes flipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// Flips along (d, h, w).
    pub flips: [bool; 3],
    /// Whether h and w are exchanged before.
    pub transposes: bool,
}

impl StoredView {
    /// Shape `[S, D, H, W]` of the stored voxels.
    pub(crate) fn stored(&self) -> [usize; 4] {
        let [d, h, w] = self.size;
        [self.channels.len(), d, h, w]
    }
}

impl Builder {
    /// Stored voxels `[S, D, H, W]` to the input `[C, d, h, w]`.
    pub(crate) fn prepare(&mut self, view: &StoredView, voxels: &Value) -> Result<Value> {
        let mut cropped = voxels.clone();
        for axis in 0..3 {
            cropped = self.graph.slice(&cropped, axis + 1, view.crop_start[axis], view.crop_size[axis])?;
        }
        let mut channels = Vec::new();
        for (place, channel) in view.channels.iter().enumerate() {
            let shares = match channel {
                StoredChannel::Unused => continue,
                StoredChannel::Share { full } => {
                    let stored = self.graph.slice(&cropped, 0, place, 1)?;
                    self.graph.with_number("Div", &stored, *full)
                }
                StoredChannel::Windows(windows) => {
                    let stored = self.graph.slice(&cropped, 0, place, 1)?;
                    let mut part = |at: usize| {
                        let entries = windows.iter().map(|window| window[at]).collect();
                        self.graph.same_for_all(&[windows.len(), 1, 1, 1], entries)
                    };
                    let (low, scale) = (part(0), part(1));
                    let above = self.graph.combine("Sub", &stored, &low)?;
                    self.graph.combine("Mul", &above, &scale)?
                }
            };
            channels.push(self.graph.clip(&shares, 0.0, 1.0));
        }
        if channels.is_empty() {
            let reason = "the network sees none of its channels".to_owned();
            return Err(OnnxError::View { view: view.name.clone(), reason });
        }
        self.graph.concat(&channels, 0)
    }

    /// A turned input.
    pub(crate) fn turn(&mut self, input: &Value, turn: Turn) -> Result<Value> {
        let mut turned = if turn.transposes { self.graph.exchange_last(input)? } else { input.clone() };
        for (axis, flips) in turn.flips.into_iter().enumerate() {
            if flips {
                let length = turned.axes().get(axis + 1).copied().unwrap_or(0);
                let places: Vec<usize> = (0..length).rev().collect();
                turned = self.graph.gather(&turned, axis + 1, &places)?;
            }
        }
        Ok(turned)
    }
}
