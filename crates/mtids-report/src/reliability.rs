//! A reliability diagram: how often comes true what is said, with intervals, about the diagonal on which both agree.
//!
//! Invariants: as those of [`crate::chart`]. Both axes are shares, 0 to 1.

use std::fmt::Write as _;

use crate::chart::{escape, open};

/// One bin of what is said.
#[derive(Clone, Debug, PartialEq)]
pub struct ReliabilityPoint {
    /// Mean of what is said.
    pub said: f64,
    /// Share that came true.
    pub found: f64,
    /// Interval of that share.
    pub interval: Option<(f64, f64)>,
    /// What a reader sees who points at it.
    pub label: String,
}

/// The diagram; names of the axes, then the bins.
pub fn reliability(title: &str, said: &str, found: &str, points: &[ReliabilityPoint]) -> String {
    let (side, left, top, bottom, right) = (300.0, 54.0, 12.0, 42.0, 14.0);
    let x = |share: f64| left + share.clamp(0.0, 1.0) * side;
    let y = |share: f64| top + (1.0 - share.clamp(0.0, 1.0)) * side;
    let (width, height) = (left + side + right, top + side + bottom);
    let mut svg = open(width, height, title, &format!("{found} over {said}, {} bins", points.len()));
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let _ = write!(
            svg,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"var(--line)\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\">{share}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\">{share}</text>",
            x(0.0),
            x(1.0),
            y(share),
            y(share),
            left - 6.0,
            y(share) + 4.0,
            x(share),
            top + side + 16.0
        );
    }
    let _ = write!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"currentColor\" stroke-dasharray=\"4 3\"/>",
        x(0.0),
        y(0.0),
        x(1.0),
        y(1.0)
    );
    for point in points.iter().filter(|point| point.said.is_finite() && point.found.is_finite()) {
        if let Some((low, high)) = point.interval.filter(|(low, high)| low.is_finite() && high.is_finite()) {
            let _ = write!(
                svg,
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\" stroke=\"var(--a)\" stroke-width=\"2\"/>",
                x(point.said),
                y(low),
                y(high)
            );
        }
        let _ = write!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"var(--a)\"><title>{}</title></circle>",
            x(point.said),
            y(point.found),
            escape(&point.label)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"12\">{}</text>\
         <text transform=\"translate(13 {:.1}) rotate(-90)\" text-anchor=\"middle\" font-size=\"12\">{}</text></svg>",
        x(0.5),
        height - 6.0,
        escape(said),
        y(0.5),
        escape(found)
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_lie_where_their_shares_are_and_broken_ones_are_left_out() {
        let point = |said: f64, found: f64, interval: Option<(f64, f64)>| ReliabilityPoint {
            said,
            found,
            interval,
            label: "3 < 4".into(),
        };
        let points = [point(0.5, 1.0, Some((0.5, 1.0))), point(f64::NAN, 0.5, None), point(0.0, 0.0, None)];
        let svg = reliability("t", "said & done", "found", &points);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches("stroke-width=\"2\"").count(), 1, "one of them has an interval");
        assert!(svg.contains("cx=\"204.0\" cy=\"12.0\""), "half of 300 to the right, at the top: {svg}");
        assert!(svg.contains("said &amp; done") && svg.contains("3 &lt; 4") && !svg.contains("NaN"));
        assert!(reliability("t", "x", "y", &[]).ends_with("</svg>"));
    }
}
