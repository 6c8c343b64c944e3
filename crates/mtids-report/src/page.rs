//! A self-contained HTML page: no external resource, light and dark, on a narrow screen and on paper (A4).
//!
//! Its one script sorts and searches tables. Invariant: without the script the page says the same.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A section of a page.
#[derive(Clone, Debug)]
pub struct Section {
    id: String,
    title: String,
    body: Markup,
}

impl Section {
    /// A section; `id` is its anchor.
    pub fn new(id: impl Into<String>, title: impl Into<String>, body: Markup) -> Self {
        Self { id: id.into(), title: title.into(), body }
    }

    /// Its anchor.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Letters of the longest word that is kept whole in a table.
const LONGEST_WORD: usize = 30;

const STYLE: &str = "
:root{--paper:#fbfbf9;--ink:#1d2328;--soft:#5c6770;--line:#d9dcd8;--panel:#ffffff;--a:#1f6f8b;--b:#c8553d;--c:#6a8532;--d:#8a5a9e;--e:#b98b00;--good:#2f7d4f;--bad:#b3372a;--warn:#a86a00}
@media screen and (prefers-color-scheme:dark){:root{--paper:#14181b;--ink:#e4e7e6;--soft:#9aa5ab;--line:#333b40;--panel:#1b2125;--a:#5cb3d0;--b:#ec8a70;--c:#a6c463;--d:#c59ad6;--e:#e6c04a;--good:#6cc48f;--bad:#f0877a;--warn:#e0ac50}}
*{box-sizing:border-box}body{margin:0;overflow-wrap:break-word;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,'DejaVu Sans',sans-serif}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 24px}header{padding-top:36px}h1{font-size:1.7rem;margin:0}h2{font-size:1.15rem;margin:0 0 12px}h3{font-size:1rem;margin:20px 0 6px}
.lead{color:var(--soft);margin:6px 0 0;max-width:75ch}nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:18px 0;padding:10px 0;border-block:1px solid var(--line);font-size:.92rem}
nav a,a{color:var(--a);text-decoration:none}section{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:20px 22px;margin:0 0 20px}
.wide{overflow-x:auto}table{overflow-wrap:normal;border-collapse:collapse;width:100%;font-size:.93rem;font-variant-numeric:tabular-nums}th,td{padding:5px 10px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{color:var(--soft);font-weight:600;white-space:nowrap}th button{all:unset;cursor:pointer}th button:hover,th[aria-sort]{color:var(--ink)}th button:focus-visible{outline:2px solid var(--a);outline-offset:2px}th[aria-sort=ascending] button::after{content:' \\2191'}th[aria-sort=descending] button::after{content:' \\2193'}
.search{font:inherit;font-size:.9rem;width:min(22em,100%);margin:0 0 8px;padding:4px 8px;color:var(--ink);background:var(--paper);border:1px solid var(--line);border-radius:4px}td.n,th.n{text-align:right;white-space:nowrap}td.t:first-child{min-width:11em}td.prose{min-width:15em}.id{overflow-wrap:anywhere}td.id{min-width:9em}tr:last-child td{border-bottom:0}.note{color:var(--soft);font-size:.9rem;max-width:80ch}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 12px}.facts div{border-left:3px solid var(--a);padding-left:12px}.facts dt{color:var(--soft);font-size:.85rem}.facts dd{margin:0;font-size:1.25rem}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:20px}figure{margin:0}figcaption{font-weight:600;font-size:.95rem;margin-bottom:6px}svg{display:block;max-width:100%;height:auto}
.error{color:var(--bad)}.warning{color:var(--warn)}.info{color:var(--soft)}.good{color:var(--good)}code{font:.88em ui-monospace,'DejaVu Sans Mono',monospace;overflow-wrap:anywhere}footer{color:var(--soft);font-size:.88rem;padding-bottom:36px}
@media screen and (max-width:520px){main,header,footer{padding:0 12px}section{padding:14px}.two{grid-template-columns:minmax(0,1fr)}td.t,td.t:first-child{min-width:6.5em}}
@media screen{.two td,.two th{padding:5px 6px}}
@page{size:A4;margin:14mm}
@media print{:root{font-size:13px;--paper:#fff;--soft:#3f484e;--line:#b9beba}body{font-size:1rem}main,header,footer{max-width:none;padding:0}nav,.search{display:none}section{border:0;border-top:1px solid var(--line);border-radius:0;padding:10px 0 0;margin:14px 0 0}
figure,tr,.facts div{break-inside:avoid}h2,h3,figcaption{break-after:avoid}p,li{orphans:3;widows:3}.two{grid-template-columns:1fr 1fr;gap:14px}.wide{overflow:visible}table{font-size:8pt}th,td{padding:2px 5px}th,th.n{white-space:normal}td.t:first-child{min-width:0}td .note{font-size:inherit}.note,.lead{max-width:none}}
";

/// Sorts and searches tables.
const SCRIPT: &str = include_str!("page.js");

/// The whole page as text.
pub fn page(title: &str, lead: &str, sections: &[Section]) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p class="lead" { (lead) }
                    nav { @for section in sections { a href=(format!("#{}", section.id)) { (section.title) } } }
                }
                main {
                    @for section in sections {
                        section id=(section.id) { h2 { (section.title) } (section.body) }
                    }
                }
                footer { p { "Research software, not for diagnosis." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

/// Key figures in a row.
pub fn facts(pairs: &[(&str, String)]) -> Markup {
    html! { dl class="facts" { @for (name, value) in pairs { div { dt { (name) } dd { (value) } } } } }
}

/// Something that scrolls by itself where the page is too narrow for it, so that its words stay whole.
pub fn scrolling(body: Markup) -> Markup {
    html! { div class="wide" { (body) } }
}

/// A digest or an identifier: no word has as many letters, and it may be broken anywhere.
fn is_identifier(cell: &str) -> bool {
    cell.split_whitespace().any(|word| word.chars().count() > LONGEST_WORD)
}

/// A table; columns whose name ends in a tab character hold numbers and are set to the right.
pub fn table(columns: &[&str], rows: &[Vec<String>]) -> Markup {
    let numeric: Vec<bool> = columns.iter().map(|column| column.ends_with('\t')).collect();
    let class = |column: usize| if numeric.get(column).copied().unwrap_or(false) { "n" } else { "t" };
    let cell_class = |column: usize, cell: &str| match class(column) {
        "t" if is_identifier(cell) => "t id",
        other => other,
    };
    scrolling(html! {
        table {
            thead { tr { @for (n, column) in columns.iter().enumerate() { th class=(class(n)) { (column.trim_end()) } } } }
            tbody { @for row in rows { tr { @for (n, cell) in row.iter().enumerate() { td class=(cell_class(n, cell)) { (cell) } } } } }
        }
    })
}

/// A chart with its caption.
pub fn figure(caption: &str, svg: &str) -> Markup {
    html! { figure { figcaption { (caption) } (PreEscaped(svg.to_owned())) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Series, heat_map, lines, stacked_bars};

    #[test]
    fn text_is_escaped_and_the_page_stands_alone() {
        let text = page(
            "A <title>",
            "lead",
            &[Section::new("one", "One & two", table(&["name", "n\t"], &[vec!["<b>".into(), "3".into()]]))],
        );
        assert!(text.contains("A &lt;title&gt;") && text.contains("&lt;b&gt;") && text.contains("One &amp; two"));
        assert!(text.matches("<script").count() == 1 && !SCRIPT.contains('<') && !text.contains("http"));
        assert!(text.contains("not for diagnosis"));
        assert!(text.contains("<td class=\"n\">3</td>"));
    }

    #[test]
    fn words_stay_whole_and_identifiers_may_break() {
        let digest = "8a0519de01370967b14eb7e4c8de3a8acf6f03ae708ce08b0884abe3977dc0f3";
        let rows = [vec!["architecture and configuration".to_owned(), digest.to_owned(), digest.to_owned()]];
        let text = table(&["what", "which", "n\t"], &rows).into_string();
        assert!(text.starts_with("<div class=\"wide\"><table>"), "{text}");
        assert!(text.contains("<td class=\"t\">architecture"), "{text}");
        assert!(text.contains(&format!("<td class=\"t id\">{digest}")), "{text}");
        assert!(text.contains(&format!("<td class=\"n\">{digest}")), "{text}");
    }

    #[test]
    fn a_page_with_every_element_is_the_one_of_the_snapshot() {
        let names = ["upper".to_owned(), "subcarinal".to_owned()];
        let bars = stacked_bars("Bars", &names, &["benign", "metastatic"], &[vec![3.0, 1.0], vec![0.0, 2.0]]);
        let heat = heat_map("Heat", "row", "column", &names, &names, &[vec![3.0, 1.0], vec![0.0, 2.0]]);
        let series = [Series { name: "one".into(), points: vec![(0.0, 0.0), (1.0, 0.5), (2.0, 1.0)] }];
        let curve = lines("Lines", "x, mm", "share", &series, Some((0.0, 1.0)));
        let body = html! {
            (facts(&[("Patients", "3".to_owned()), ("Share", "50 %".to_owned())]))
            (table(&["name", "n\t"], &[vec!["upper".into(), "3".into()], vec!["subcarinal".into(), "1".into()]]))
            (figure("Bars", &bars)) (figure("Heat", &heat)) (figure("Lines", &curve))
        };
        let text = page("Title", "Lead.", &[Section::new("one", "One", body)]);
        // One element a line, so that a change shows as few lines.
        insta::assert_snapshot!(text.replace("><", ">\n<"));
    }
}
