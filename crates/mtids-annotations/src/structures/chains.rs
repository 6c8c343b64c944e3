//! Pieces of slices that continue one another, and how far apart their planes were drawn.
//!
//! Invariants: a piece is continued by those that touch it on the next slice on which any does; the regular distance of a chain is its smallest
//! one, where at least two are like it. Units: mm along the stack; pixels `[j, i]`.

use std::collections::BTreeMap;

/// Largest distance of regularly drawn planes that are one node, mm: two slices of the thickest chest CT.
pub(super) const MAX_REGULAR_MM: f64 = 10.0;

/// Undrawn slices that never part a node.
pub(super) const UNDRAWN: u32 = 1;

/// How far distances of a regular stack may differ: a plane goes to the nearest slice.
const REGULAR: f64 = 1.25;

/// Planes nearer than this are one plane, mm: coordinates are written with few digits.
pub(super) const SAME_PLANE_MM: f64 = 0.05;

/// A connected piece of one slice.
pub(super) struct Piece {
    pub(super) slice: u32,
    pub(super) depth: f64,
    /// Only tips gave it.
    pub(super) is_tip: bool,
    /// `[j, i]`, sorted.
    pub(super) pixels: Vec<[u32; 2]>,
    /// Smallest and largest column.
    pub(super) columns: [u32; 2],
}

/// A piece and those that continue it on a later slice.
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: Vec<usize>,
    pub(super) distance_mm: f64,
}

/// For each piece those that continue it.
pub(super) fn links(pieces: &[Piece], step_mm: f64) -> Vec<Link> {
    let mut by_slice: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (n, piece) in pieces.iter().enumerate() {
        by_slice.entry(piece.slice).or_default().push(n);
    }
    // Farther than this nothing is joined.
    let farthest = ((MAX_REGULAR_MM / step_mm).ceil() as u32).max(UNDRAWN + 1);
    let mut links = Vec::new();
    for (from, piece) in pieces.iter().enumerate() {
        for (_, later) in by_slice.range(piece.slice + 1..=piece.slice.saturating_add(farthest)) {
            let to: Vec<usize> = later.iter().copied().filter(|&n| touches(piece, &pieces[n])).collect();
            if let Some(&first) = to.first() {
                let distance_mm = (pieces[first].depth - piece.depth).abs() * step_mm;
                links.push(Link { from, to, distance_mm });
                break;
            }
        }
    }
    links
}

/// Whether two pieces have pixels at or beside one another, as seen along the stack.
fn touches(a: &Piece, b: &Piece) -> bool {
    let rows = |piece: &Piece| Some([piece.pixels.first()?[0], piece.pixels.last()?[0]]);
    let (Some(of_a), Some(of_b)) = (rows(a), rows(b)) else { return false };
    let near = |a: [u32; 2], b: [u32; 2]| a[0] <= b[1].saturating_add(1) && b[0] <= a[1].saturating_add(1);
    if !near(of_a, of_b) || !near(a.columns, b.columns) {
        return false;
    }
    let (fewer, more) = if a.pixels.len() <= b.pixels.len() { (a, b) } else { (b, a) };
    fewer.pixels.iter().any(|&[j, i]| {
        (j.saturating_sub(1)..=j.saturating_add(1)).any(|row| {
            let at = more.pixels.partition_point(|pixel| *pixel < [row, i.saturating_sub(1)]);
            more.pixels.get(at).is_some_and(|pixel| *pixel <= [row, i.saturating_add(1)])
        })
    })
}

/// Pieces that links put together, with the distances in each chain.
pub(super) struct Chains {
    of_piece: Vec<usize>,
    distances: BTreeMap<usize, Vec<f64>>,
}

impl Chains {
    pub(super) fn new(pieces: &[Piece], links: &[Link]) -> Self {
        let mut chains = Self { of_piece: (0..pieces.len()).collect(), distances: BTreeMap::new() };
        for link in links {
            for &to in &link.to {
                let (a, b) = (chains.root(link.from), chains.root(to));
                chains.of_piece[a.max(b)] = a.min(b);
            }
        }
        for link in links {
            let chain = chains.root(link.from);
            chains.distances.entry(chain).or_default().push(link.distance_mm);
        }
        chains
    }

    fn root(&self, mut at: usize) -> usize {
        while self.of_piece[at] != at {
            at = self.of_piece[at];
        }
        at
    }

    /// Whether a link is as long as the distance of drawn planes: that of the object, or the regular one of its chain.
    pub(super) fn is_regular(&self, link: &Link, drawn_mm: Option<f64>) -> bool {
        let of_object = drawn_mm.filter(|drawn| *drawn <= MAX_REGULAR_MM);
        of_object.into_iter().chain(self.regular_mm(link.from)).any(|mm| link.distance_mm <= REGULAR * mm)
    }

    /// The regular distance of the planes of a piece's chain.
    pub(super) fn regular_mm(&self, piece: usize) -> Option<f64> {
        let distances = self.distances.get(&self.root(piece))?;
        let smallest = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let alike = distances.iter().filter(|distance| **distance <= REGULAR * smallest).count();
        (smallest <= MAX_REGULAR_MM && alike >= 2).then_some(smallest)
    }
}
