//! One small picture per rule: the paths from the five starts over the sum of the tasks, and the front.

use std::fmt::Write as _;

use crate::problem::{Point, Toy};
use crate::run::Path;

const COLUMNS: usize = 4;
const PANEL: (f64, f64) = (220.0, 170.0);
const GAP: (f64, f64) = (14.0, 30.0);
const TOP: f64 = 66.0;
/// Shown part of the plane: x₁ and x₂ from −11 to 11.
const REACH: f64 = 11.0;
const COLOURS: [&str; 5] = ["#c2410c", "#0369a1", "#15803d", "#7e22ce", "#a16207"];

fn place([x, y]: Point) -> (f64, f64) {
    let clip = |value: f64| value.clamp(-REACH, REACH);
    ((clip(x) + REACH) / (2.0 * REACH) * PANEL.0, (REACH - clip(y)) / (2.0 * REACH) * PANEL.1)
}

/// The whole picture.
pub(crate) fn picture(toy: &Toy, panels: &[(String, Vec<Path>)]) -> String {
    let rows = panels.len().div_ceil(COLUMNS);
    let width = 20.0 + COLUMNS as f64 * (PANEL.0 + GAP.0);
    let height = TOP + rows as f64 * (PANEL.1 + GAP.1) + 6.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#1f2937\"><title>Paths of every rule on the two-task toy</title>\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\
         <text x=\"17\" y=\"24\" font-size=\"16\" font-weight=\"600\">Two tasks, five starts, Adam at 1e-3: where each rule goes in 35 000 steps</text>\
         <text x=\"17\" y=\"44\" fill=\"#4b5563\">Hollow: start. Filled: end. Black: the Pareto front. Darker ground: lower sum of the two losses. \
         “4/5”: starts that reached the front.</text><defs><g id=\"ground\">"
    );
    ground(&mut svg, toy);
    svg.push_str("</g></defs>\n");
    for (n, (label, paths)) in panels.iter().enumerate() {
        let x = 17.0 + (n % COLUMNS) as f64 * (PANEL.0 + GAP.0);
        let y = TOP + (n / COLUMNS) as f64 * (PANEL.1 + GAP.1);
        let reached = paths.iter().filter(|path| path.reached.is_some()).count();
        let _ = write!(
            svg,
            "<g transform=\"translate({x} {y})\"><text y=\"11\">{label}</text><text x=\"{}\" y=\"11\" text-anchor=\"end\" font-weight=\"600\" \
             fill=\"{}\">{reached}/{}</text><g transform=\"translate(0 17)\"><use href=\"#ground\"/>",
            PANEL.0,
            if reached == paths.len() { "#15803d" } else { "#b91c1c" },
            paths.len()
        );
        for (path, colour) in paths.iter().zip(COLOURS) {
            let mut line = String::new();
            let mut last = (f64::INFINITY, f64::INFINITY);
            for &point in path.points.iter().chain([&path.end]) {
                let at = place(point);
                // Points nearer than a third of a pixel would only make the file larger.
                if (at.0 - last.0).hypot(at.1 - last.1) > 0.35 {
                    let _ = write!(line, "{:.1},{:.1} ", at.0, at.1);
                    last = at;
                }
            }
            let (start, end) = (place(path.points[0]), place(path.end));
            let _ = write!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-linejoin=\"round\"/>\
                 <circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.6\" fill=\"#fff\" stroke=\"{colour}\" stroke-width=\"1.3\"/>\
                 <circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.8\" fill=\"{colour}\"/>",
                line.trim_end(),
                start.0,
                start.1,
                end.0,
                end.1
            );
        }
        svg.push_str("</g></g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// Shades by rank of the sum of both losses, cells of one shade joined along a row, and the front.
fn ground(svg: &mut String, toy: &Toy) {
    const CELLS: usize = 44;
    const SHADES: usize = 8;
    let value = |i: usize, j: usize| {
        let at = |n: usize| -REACH + (n as f64 + 0.5) * 2.0 * REACH / CELLS as f64;
        let [a, b] = toy.at([at(i), -at(j)]).losses;
        a + b
    };
    let mut sorted: Vec<f64> = (0..CELLS * CELLS).map(|n| value(n % CELLS, n / CELLS)).collect();
    sorted.sort_by(f64::total_cmp);
    let shade = |value: f64| SHADES * sorted.partition_point(|other| *other < value) / sorted.len();
    let (w, h) = (PANEL.0 / CELLS as f64, PANEL.1 / CELLS as f64);
    let _ = write!(svg, "<rect width=\"{}\" height=\"{}\" fill=\"#f8fafc\"/>", PANEL.0, PANEL.1);
    for j in 0..CELLS {
        let mut i = 0;
        while i < CELLS {
            let own = shade(value(i, j)).min(SHADES - 1);
            let end = (i..CELLS).find(|&k| shade(value(k, j)).min(SHADES - 1) != own).unwrap_or(CELLS);
            if own < SHADES - 1 {
                // From a light to a dark slate; opaque, so that cells may overlap without seams.
                let depth = (SHADES - 1 - own) as f64 / SHADES as f64;
                let mix = |light: f64, dark: f64| (light + (dark - light) * 0.6 * depth).round();
                let _ = write!(
                    svg,
                    "<path d=\"M{:.1} {:.1}h{:.1}v{:.2}h-{:.1}z\" fill=\"rgb({},{},{})\"/>",
                    i as f64 * w,
                    j as f64 * h,
                    (end - i) as f64 * w,
                    h + 0.3,
                    (end - i) as f64 * w,
                    mix(248.0, 100.0),
                    mix(250.0, 116.0),
                    mix(252.0, 139.0)
                );
            }
            i = end;
        }
    }
    let points: Vec<String> = (0..=28)
        .map(|k| {
            let x = -6.999 + 13.998 * f64::from(k) / 28.0;
            let at = place([x, toy.front(x)]);
            format!("{:.1},{:.1}", at.0, at.1)
        })
        .collect();
    let _ =
        write!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#111\" stroke-width=\"2.4\"/>", points.join(" "));
}
