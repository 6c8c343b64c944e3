//! Lengths of a report that hardly any node has, or that the report itself contradicts.

use mtids_domain::geometry::Voxel;

use crate::report_places::{SLICES, of_groups};
use crate::sr_content::{Item, LONG_AXIS, SHORT_AXIS, coded, group, number, scoord, scoord_3d};
use crate::written::grid;

fn point() -> Item {
    scoord_3d("POINT", &grid().to_mm(Voxel([20.0, 30.0, 1.0])).0.map(|mm| mm as f32), "2.25.2")
}

/// The short axis that a group of this content gives, and what is told of it.
fn of(content: Vec<Item>) -> (Option<f64>, Option<String>) {
    let resolved = of_groups(vec![group("LN 4R", content)], &[]);
    let told: Vec<&String> = resolved.told.iter().filter(|told| told.contains("`LN 4R`: ")).collect();
    assert!(told.len() < 2, "{told:?}");
    (resolved.findings[0][0].short_axis_mm, told.first().map(|told| (*told).clone()))
}

#[test]
fn short_axes_that_hardly_any_node_has_are_read_and_told() {
    for (mm, words) in [
        (0.9, "smaller than any node"),
        (1.2, "smaller than any node"),
        (75.0, "larger than lymph nodes are"),
        (99.0, "larger than lymph nodes are"),
        (299.0, "larger than lymph nodes are"),
    ] {
        let (read, told) = of(vec![number(SHORT_AXIS, mm, Vec::new()), point()]);
        let told = told.unwrap();
        assert!(read == Some(mm) && told.contains(words), "{told}");
    }
    for mm in [1.5, 8.0, 74.0] {
        assert_eq!(of(vec![number(SHORT_AXIS, mm, Vec::new()), point()]), (Some(mm), None));
    }
    let both = |short: f64, long: f64| {
        of(vec![number(SHORT_AXIS, short, Vec::new()), number(LONG_AXIS, long, Vec::new()), point()])
    };
    assert!(both(15.0, 8.0).1.unwrap().contains("15 mm is longer than the long axis of 8 mm"));
    assert_eq!(both(8.0, 15.0).1, None);
}

#[test]
fn a_short_axis_is_as_long_as_its_line() {
    // Pixels of 0.7 mm.
    let line = |columns: f32| scoord("POLYLINE", &[10.5, 20.5, 10.5 + columns, 20.5], SLICES[1]);
    let (read, told) = of(vec![number(SHORT_AXIS, 4.0, vec![line(40.0)])]);
    let told = told.unwrap();
    assert!(read == Some(4.0) && told.contains("4 mm is stated, and its line is 28.0 mm long"), "{told}");
    assert!(of(vec![number(SHORT_AXIS, 30.0, vec![line(10.0)])]).1.is_some());
    assert_eq!(of(vec![number(SHORT_AXIS, 7.4, vec![line(10.0)])]), (Some(7.4), None));
}

#[test]
fn a_change_is_no_short_axis() {
    let derived = |how: &str| coded(("121401", "DCM"), ("1", "99X"), how);
    let of = |how: &str| of(vec![number(SHORT_AXIS, 3.0, vec![derived(how)]), point()]);
    for how in ["Difference from prior", "Standard deviation", "Percent change"] {
        let (read, told) = of(how);
        let told = told.unwrap();
        assert!(read.is_none() && told.contains(&format!("`3` is derived as `{how}`")), "{told}");
    }
    assert_eq!(of("Mean"), (Some(3.0), None));
}
