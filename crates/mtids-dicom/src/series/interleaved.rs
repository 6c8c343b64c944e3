//! Stretches of the stack that parts of a series share. Units: mm along the normal of the slices.

use crate::steps::SAME_HEIGHT_MM;

/// Most acquisitions whose slices interleave without sharing a place: with more, each has steps that no scan has.
pub(super) const MAX_INTERLEAVED: usize = 8;

/// The lowest and the highest of heights.
pub(super) fn span(heights: impl Iterator<Item = f64>) -> (f64, f64) {
    heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), height| (low.min(height), high.max(height)))
}

/// Whether two parts, by their heights, share a stretch of the stack.
pub(super) fn share_a_stretch(parts: &[Vec<f64>]) -> bool {
    let mut spans: Vec<(f64, f64)> = parts.iter().map(|part| span(part.iter().copied())).collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    spans.windows(2).any(|pair| pair[1].0 < pair[0].1 + SAME_HEIGHT_MM)
}
