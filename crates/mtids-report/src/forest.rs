//! A forest plot: estimates with their intervals, one below the other, about a line of no difference.
//!
//! Invariants: as those of [`crate::chart`]; the scale is common to all rows and holds 0.

use std::fmt::Write as _;

use crate::chart::{escape, open};

/// One row of the plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Name at its left.
    pub name: String,
    /// The estimate.
    pub value: f64,
    /// Lower and upper end of its interval.
    pub interval: (f64, f64),
    /// Text at its right.
    pub label: String,
}

/// The plot; `axis` names what is measured, and in which direction.
pub fn forest(title: &str, axis: &str, rows: &[Estimate]) -> String {
    let (row, top, bottom, width, right) = (26.0, 12.0, 44.0, 760.0, 190.0);
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let left = (24.0 + 7.2 * longest as f64).min(320.0);
    let height = top + bottom + row * rows.len() as f64;
    let ends = || rows.iter().flat_map(|row| [row.interval.0, row.interval.1, row.value]).filter(|end| end.is_finite());
    let (low, high) = ends().fold((0.0_f64, 0.0_f64), |(low, high), end| (low.min(end), high.max(end)));
    let margin = 0.05 * (high - low).max(1e-6);
    let (low, high) = (low - margin, high + margin);
    let x = |value: f64| left + (value - low) / (high - low) * (width - left - right);
    let mut svg = open(width, height, title, &format!("{} estimates with intervals", rows.len()));
    let foot = height - bottom;
    for tick in 0..=4 {
        let value = low + (high - low) * f64::from(tick) / 4.0;
        let _ = write!(
            svg,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top}\" y2=\"{foot:.1}\" stroke=\"var(--line)\"/>\
             <text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\" font-size=\"11\">{2}</text>",
            x(value),
            foot + 16.0,
            crate::format::signed(Some(value))
        );
    }
    let _ = write!(
        svg,
        "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top}\" y2=\"{foot:.1}\" stroke=\"currentColor\" stroke-dasharray=\"4 3\"/>\
         <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"middle\" font-size=\"12\">{3}</text>",
        x(0.0),
        (left + width - right) / 2.0,
        height - 8.0,
        escape(axis)
    );
    for (n, estimate) in rows.iter().enumerate() {
        let y = top + row * (n as f64 + 0.5);
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 10.0,
            y + 4.5,
            escape(&estimate.name)
        );
        if [estimate.value, estimate.interval.0, estimate.interval.1].iter().all(|end| end.is_finite()) {
            let _ = write!(
                svg,
                "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"var(--a)\" stroke-width=\"2\"/>\
                 <rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\" fill=\"var(--a)\"/>",
                x(estimate.interval.0),
                x(estimate.interval.1),
                x(estimate.value) - 4.0,
                y - 4.0
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            width - right + 12.0,
            y + 4.5,
            escape(&estimate.label)
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_lie_about_the_line_of_no_difference() {
        let row = |name: &str, value: f64| Estimate {
            name: name.into(),
            value,
            interval: (value - 0.01, value + 0.01),
            label: "tie <1>".into(),
        };
        let svg = forest("status AUROC", "above 0: the reference is better", &[row("a & b", 0.02), row("c", -0.03)]);
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains("a &amp; b") && svg.contains("tie &lt;1&gt;"), "{svg}");
        let broken = forest("t", "x", &[Estimate { interval: (f64::NAN, 1.0), ..row("a", 0.5) }]);
        assert!(!broken.contains("NaN") && !broken.contains("<rect"), "{broken}");
        assert!(forest("t", "x", &[]).ends_with("</svg>"));
    }
}
