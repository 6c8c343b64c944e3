//! A place for a node in its station, clear of vessels and airways where there is room.
//!
//! Invariant: the centre lies within the borders of the station, and the node without its bumps touches no other node. Large nodes may dent
//! what they touch, as they do in patients. Units: LPS mm.

use mtids_domain::geometry::PointMm;
use mtids_domain::taxonomy::Station;
use rand::RngExt;

use super::Node;
use crate::anatomy::Anatomy;
use crate::borders;
use crate::shape::Shape;

/// Vessels, airways, organs and bone: fat and lung give way to a node.
#[derive(Debug)]
pub(crate) struct Obstacles(Vec<(Shape, [f64; 3], [f64; 3])>);

impl Obstacles {
    pub(crate) fn new(anatomy: &Anatomy, random: &mut impl rand::Rng) -> Self {
        let solid = |hu: f64| !(-900.0..=0.0).contains(&hu);
        let structures = anatomy.mediastinum(random).into_iter().chain(anatomy.skeleton());
        let shapes = structures.filter(|structure| solid(structure.tissue.hu)).map(|structure| structure.shape);
        Self(
            shapes
                .map(|shape| {
                    let (low, high) = shape.bounds();
                    (shape, low, high)
                })
                .collect(),
        )
    }

    /// Distance from a place to the nearest of them, at most `enough`.
    fn clearance(&self, place: [f64; 3], enough: f64) -> f64 {
        self.0
            .iter()
            .filter(|(_, low, high)| {
                (0..3).all(|axis| place[axis] > low[axis] - enough && place[axis] < high[axis] + enough)
            })
            .map(|(shape, ..)| shape.distance(place))
            .fold(enough, f64::min)
    }
}

/// Moves `node` to a place in `station`; false if other nodes leave no room.
pub(crate) fn place(
    node: &mut Node,
    station: Station,
    others: &[Node],
    obstacles: &Obstacles,
    anatomy: &Anatomy,
    random: &mut impl rand::Rng,
) -> bool {
    let Some((middle, half)) = borders::reach(anatomy, station) else { return false };
    let wanted = 0.45 * node.appearance.short_axis_mm;
    let mut best: Option<(f64, [f64; 3])> = None;
    for _ in 0..60 {
        let at = std::array::from_fn(|axis| middle[axis] + half[axis] * random.random_range(-1.0..1.0));
        let center = anatomy.place(at);
        if borders::of_place(anatomy, center) != Some(station) {
            continue;
        }
        let apart =
            |other: &Node| PointMm(other.center_mm).distance(PointMm(center)) > other.reach() + node.reach() + 1.0;
        if !others.iter().all(apart) {
            continue;
        }
        let clearance = obstacles.clearance(center, wanted);
        if best.is_none_or(|(most, _)| clearance > most) {
            best = Some((clearance, center));
        }
        if clearance >= wanted {
            break;
        }
    }
    if let Some((_, center)) = best {
        node.center_mm = center;
        node.station = station;
    }
    best.is_some()
}
