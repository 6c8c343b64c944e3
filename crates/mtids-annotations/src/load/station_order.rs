//! Stations of one table that lie in another order than in a body.
//!
//! Purpose: slices counted from the other end, and a coordinate of the other sign, give places that lie in the image too. Pairs of rows of one image are
//! compared, whose stations are far apart on the map. Invariant: rows are only told. Units: LPS mm.

use std::collections::BTreeMap;

use mtids_domain::geometry::PointMm;
use mtids_domain::taxonomy::{Location, Station};

/// Places nearer than this along the axis tell nothing, mm.
const NEAR_MM: f64 = 10.0;
/// So many pairs contradict the order of a body before anything is told.
const FEWEST_PAIRS: usize = 4;
/// And so many times those that agree: single rows are wrong in good tables.
const MOST_OF_PAIRS: usize = 3;
/// Rows of one image that are compared.
const MOST_ROWS: usize = 200;

/// Place, station and line of a row.
type Placed = (PointMm, Station, u64);

/// The rows of a table that have one station, by series.
#[derive(Debug, Default)]
pub(super) struct StationOrder(BTreeMap<usize, Vec<Placed>>);

/// Pairs that agree with the order of a body, those that contradict it, and the lines of the first of these.
#[derive(Default)]
struct Order {
    agreeing: usize,
    contradicting: usize,
    first: Option<[u64; 2]>,
}

impl StationOrder {
    pub(super) fn add(&mut self, series: usize, station: Option<Location>, place: PointMm, line: u64) {
        let rows = self.0.entry(series).or_default();
        if let Some(station) = station.and_then(Location::station).filter(|_| rows.len() < MOST_ROWS) {
            rows.push((place, station, line));
        }
    }

    /// A sentence for each axis along which most pairs contradict the order of a body.
    pub(super) fn sentences(&self) -> Vec<String> {
        let upright =
            self.order(2, |upper, lower| level(lower)?.checked_sub(level(upper)?).filter(|steps| *steps >= 2));
        let sides = self.order(0, |left, right| (is_left(left)? && !is_left(right)?).then_some(2));
        let told = |order: Order, what: &str| {
            let [a, b] = order.first?;
            let is_told = order.contradicting >= FEWEST_PAIRS && order.contradicting >= MOST_OF_PAIRS * order.agreeing;
            is_told.then(|| {
                format!(
                    "{} of {} pairs of rows of one image {what} (first: lines {a} and {b})",
                    order.contradicting,
                    order.contradicting + order.agreeing
                )
            })
        };
        let upright = told(
            upright,
            "have the lower station above the higher one: were slices counted from the other end, or is the sign of z turned?",
        );
        let sides = told(sides, "have the station of the left on the right: is the sign of x turned (RAS, LPS)?");
        [upright, sides].into_iter().flatten().collect()
    }

    /// Compares pairs of rows, of which `is_greater` says whether the first lies farther along the axis in a body.
    fn order(&self, axis: usize, is_greater: impl Fn(Station, Station) -> Option<i32>) -> Order {
        let mut order = Order::default();
        for rows in self.0.values() {
            for (a, one, line) in rows {
                for (b, other, other_line) in rows {
                    let along = a.0[axis] - b.0[axis];
                    if along.abs() < NEAR_MM || is_greater(*one, *other).is_none() {
                        continue;
                    }
                    if along > 0.0 {
                        order.agreeing += 1;
                    } else {
                        order.contradicting += 1;
                        order.first.get_or_insert([*line.min(other_line), *line.max(other_line)]);
                    }
                }
            }
        }
        order
    }
}

/// How low a station lies in a body, in steps; `None` for those that span several, or lie beside others.
fn level(station: Station) -> Option<i32> {
    use Station::*;
    match station {
        S1R | S1L => Some(0),
        S2R | S2L => Some(1),
        S4R | S4L => Some(2),
        S7 => Some(4),
        S8 | S8R | S8L => Some(5),
        S9 | S9R | S9L => Some(6),
        _ => None,
    }
}

/// Whether a sided station is of the left; `None` without side.
fn is_left(station: Station) -> Option<bool> {
    let code = station.code();
    (code.ends_with('L') || code.ends_with('R')).then(|| code.ends_with('L'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [(Station, [f64; 3]); 6] = [
        (Station::S2R, [-20.0, 0.0, 90.0]),
        (Station::S4R, [-25.0, 0.0, 60.0]),
        (Station::S4L, [15.0, 0.0, 55.0]),
        (Station::S7, [0.0, 0.0, 30.0]),
        (Station::S10L, [40.0, 0.0, 25.0]),
        (Station::S8, [5.0, 0.0, -20.0]),
    ];

    fn said(change: impl Fn([f64; 3]) -> [f64; 3]) -> Vec<String> {
        let mut order = StationOrder::default();
        for (line, (station, place)) in (2..).zip(NODES) {
            order.add(0, Some(station.into()), PointMm(change(place)), line);
        }
        order.sentences()
    }

    #[test]
    fn a_table_with_an_axis_turned_is_told_and_a_right_one_is_not() {
        assert_eq!(said(|place| place), Vec::<String>::new());
        let upside_down = said(|[x, y, z]| [x, y, -z]);
        assert!(upside_down.len() == 1 && upside_down[0].contains("sign of z"), "{upside_down:?}");
        assert!(upside_down[0].contains("lines 2 and 5"), "{upside_down:?}");
        let mirrored = said(|[x, y, z]| [-x, y, z]);
        assert!(mirrored.len() == 1 && mirrored[0].contains("sign of x"), "{mirrored:?}");
        assert_eq!(said(|[x, y, z]| [x / 10.0, y, z / 20.0]), Vec::<String>::new(), "near each other");
    }
}
