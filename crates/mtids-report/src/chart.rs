//! SVG charts, written by hand: bars, lines and heat maps.
//!
//! Colours are the CSS variables `--a` … `--e` of [`crate::page`], so that charts follow the page's light or dark theme. Invariants: text
//! is escaped; the same data gives the same text; numbers that are not finite are left out.

use std::fmt::Write as _;

/// Names of the series colours.
const COLOURS: [&str; 5] = ["var(--a)", "var(--b)", "var(--c)", "var(--d)", "var(--e)"];

/// A series of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Values: of the categories of a bar chart, or (x, y) points of a line chart.
    pub points: Vec<(f64, f64)>,
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(crate) fn open(width: f64, height: f64, title: &str, description: &str) -> String {
    format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"inherit\" font-size=\"13\" fill=\"currentColor\">\
         <title>{}</title><desc>{}</desc>",
        escape(title),
        escape(description)
    )
}

fn legend(svg: &mut String, names: &[&str], x: f64, y: f64) {
    let mut at = x;
    for (name, colour) in names.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(
            svg,
            "<rect x=\"{at:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            y - 10.0,
            at + 16.0,
            escape(name)
        );
        at += 34.0 + 7.2 * name.chars().count() as f64;
    }
}

/// Horizontal bars, stacked by group: `values[category][group]`.
pub fn stacked_bars(title: &str, categories: &[String], groups: &[&str], values: &[Vec<f64>]) -> String {
    let (row, left, width) = (26.0, 150.0, 560.0);
    let height = row * categories.len() as f64 + 34.0;
    let total = |row: &[f64]| row.iter().filter(|value| value.is_finite()).sum::<f64>();
    let most = values.iter().map(|row| total(row)).fold(1e-12, f64::max);
    let scale = (width - left - 60.0) / most;
    let mut svg = open(width, height, title, &format!("{} categories, groups {}", categories.len(), groups.join(", ")));
    legend(&mut svg, groups, left, 14.0);
    for (n, (category, row_values)) in categories.iter().zip(values).enumerate() {
        let y = 28.0 + row * n as f64;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            y + 14.0,
            escape(category)
        );
        let mut x = left;
        for ((value, group), colour) in row_values.iter().zip(groups).zip(COLOURS.iter().cycle()) {
            let length = scale * value.max(0.0);
            if length.is_finite() && length > 0.0 {
                let _ = write!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"18\" fill=\"{colour}\"><title>{}: {} {value}</title></rect>",
                    escape(category),
                    escape(group)
                );
                x += length;
            }
        }
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 6.0, y + 14.0, total(row_values));
    }
    svg.push_str("</svg>");
    svg
}

/// Lines over a common x axis. `y_range` fixes the vertical axis; without it the data does.
pub fn lines(title: &str, x_name: &str, y_name: &str, series: &[Series], y_range: Option<(f64, f64)>) -> String {
    let (width, height, left, right, top, bottom) = (560.0, 300.0, 54.0, 14.0, 30.0, 40.0);
    let finite = || series.iter().flat_map(|s| &s.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    let bounds = |pick: fn(&(f64, f64)) -> f64| {
        let (low, high) = finite().map(pick).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low < high {
            (low, high)
        } else if low.is_finite() {
            (low - 0.5, low + 0.5)
        } else {
            (0.0, 1.0)
        }
    };
    let (x0, x1) = bounds(|p| p.0);
    let (y0, y1) = y_range.unwrap_or_else(|| bounds(|p| p.1));
    let px = |x: f64| left + (x - x0) / (x1 - x0) * (width - left - right);
    let py = |y: f64| height - bottom - (y.clamp(y0, y1) - y0) / (y1 - y0) * (height - top - bottom);
    let mut svg = open(width, height, title, &format!("{y_name} over {x_name}, {} lines", series.len()));
    legend(&mut svg, &series.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), left, 14.0);
    for tick in 0..=4 {
        let (x, y) = (x0 + (x1 - x0) * f64::from(tick) / 4.0, y0 + (y1 - y0) * f64::from(tick) / 4.0);
        let _ = write!(
            svg,
            "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"var(--line)\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\">{}</text>",
            width - right,
            py(y),
            py(y),
            left - 6.0,
            py(y) + 4.0,
            short(y),
            px(x),
            height - bottom + 16.0,
            short(x)
        );
    }
    for (line, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<String> = line
            .points
            .iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|&(x, y)| format!("{:.1},{:.1}", px(x), py(y)))
            .collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"/>",
            points.join(" ")
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"12\">{}</text>\
         <text transform=\"translate(13 {:.1}) rotate(-90)\" text-anchor=\"middle\" font-size=\"12\">{}</text></svg>",
        (left + width - right) / 2.0,
        height - 6.0,
        escape(x_name),
        (top + height - bottom) / 2.0,
        escape(y_name)
    );
    svg
}

/// A matrix of counts, rows against columns, shaded by the share of its row.
pub fn heat_map(
    title: &str,
    row_name: &str,
    column_name: &str,
    rows: &[String],
    columns: &[String],
    values: &[Vec<f64>],
) -> String {
    let (cell_width, cell, left, top) = (64.0, 34.0, 150.0, 74.0);
    // Room behind the last column for its slanted name.
    let width = left + cell_width * columns.len() as f64 + 46.0;
    let height = top + cell * rows.len() as f64 + 10.0;
    let mut svg = open(width, height, title, &format!("{row_name} in rows, {column_name} in columns"));
    let _ = write!(
        svg,
        "<text x=\"{left}\" y=\"14\" font-size=\"12\" fill=\"var(--soft)\">{} → · {} ↓</text>",
        escape(column_name),
        escape(row_name)
    );
    for (n, column) in columns.iter().enumerate() {
        let x = left + cell_width * (n as f64 + 0.5);
        let _ = write!(
            svg,
            "<text transform=\"translate({x:.1} {:.1}) rotate(-28)\" font-size=\"11\">{}</text>",
            top - 8.0,
            escape(column)
        );
    }
    for (r, (row, row_values)) in rows.iter().zip(values).enumerate() {
        let y = top + cell * r as f64;
        let total: f64 = row_values.iter().sum::<f64>().max(1e-12);
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            y + 22.0,
            escape(row)
        );
        for (c, value) in row_values.iter().enumerate() {
            let x = left + cell_width * c as f64;
            let share = (value / total).clamp(0.0, 1.0);
            // Counts may be estimates; a cell has room for one decimal.
            let shown = (value * 10.0).round() / 10.0;
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"var(--a)\" fill-opacity=\"{:.2}\" stroke=\"var(--line)\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{shown}</text>",
                cell_width - 2.0,
                cell - 2.0,
                0.06 + 0.6 * share,
                x + cell_width / 2.0 - 1.0,
                y + 21.0
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

fn short(value: f64) -> String {
    if value == value.round() && value.abs() < 1e6 {
        format!("{value}")
    } else if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_labelled_and_escaped() {
        let svg = stacked_bars("t", &["a<b".into(), "c".into()], &["x", "y"], &[vec![1.0, 2.0], vec![0.0, 1.0]]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
        assert_eq!(svg.matches("<rect").count(), 2 + 3, "two in the legend, three bars");
    }

    #[test]
    fn empty_and_infinite_data_draw_an_empty_chart() {
        let series = [Series { name: "s".into(), points: vec![(0.0, f64::NAN), (1.0, f64::INFINITY)] }];
        let svg = lines("t", "x", "y", &series, None);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(!lines("t", "x", "y", &[], None).contains("NaN"));
    }

    #[test]
    fn a_heat_map_shows_its_numbers() {
        let svg =
            heat_map("t", "true", "predicted", &["r".into()], &["p".into(), "q".into()], &[vec![3.0, 16.0 / 11.0]]);
        assert!(svg.contains(">3</text>") && svg.contains(">1.5</text>"), "{svg}");
    }
}
