//! What the annotation table says of a node, which need not be true.
//!
//! Grades after the domain: A histology, B needle, C uptake in PET, D size. Invariant: the truth never changes here. Anchors: a negative
//! needle is weak evidence (PMC5711568); SUV 2.5 and 10 mm are the common limits.

use mtids_domain::label::{Evidence, Metastasis};
use rand::RngExt;

use crate::config::Interference;
use crate::node::Node;

/// Limit of uptake for evidence C, SUV.
const UPTAKE_LIMIT: f64 = 2.5;
/// Limit of the short axis for evidence D, mm.
const SIZE_LIMIT_MM: f64 = 10.0;

/// Label and evidence of a node; `pet` tells whether the patient has one.
pub(crate) fn draw(
    knobs: &Interference,
    node: &Node,
    pet: bool,
    random: &mut impl rand::Rng,
) -> (Option<Metastasis>, Evidence) {
    let grades = [Evidence::A, Evidence::B, Evidence::C, Evidence::D];
    let mut left = random.random_range(0.0..knobs.evidence.iter().sum::<f64>());
    let mut grade = Evidence::A;
    for (candidate, weight) in grades.into_iter().zip(knobs.evidence) {
        if weight > 0.0 {
            grade = candidate;
            if left < weight {
                break;
            }
            left -= weight;
        }
    }
    // Without PET nobody calls by uptake.
    if grade == Evidence::C && !pet {
        grade = Evidence::D;
    }
    // Drawn whether needed or not, so that one knob does not move the draws of another.
    let [missed, wrong, open] =
        [knobs.needle_miss, knobs.label_noise, knobs.unknown_fraction].map(|share| random.random_bool(share));
    let called = |positive: bool| if positive { Metastasis::Metastatic } else { Metastasis::Benign };
    let metastatic = node.metastasis == Metastasis::Metastatic;
    let label = match grade {
        Evidence::B => called(metastatic && !missed),
        Evidence::C => called(node.appearance.uptake_suv >= UPTAKE_LIMIT),
        Evidence::D => called(node.appearance.short_axis_mm >= SIZE_LIMIT_MM),
        _ => node.metastasis,
    };
    if open {
        return (None, Evidence::U);
    }
    (Some(if wrong { called(label != Metastasis::Metastatic) } else { label }), grade)
}
