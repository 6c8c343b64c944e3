//! Tables for a terminal: aligned, without frames, readable in a log file too.
//!
//! Invariant: a row is one line, and no cell commands the terminal: cells hold names of files and identifiers of headers.

use mtids_runtime::text::one_line;

/// Alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table of text cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = (S, Align)>) -> Self {
        Self { columns: columns.into_iter().map(|(name, align)| (name.into(), align)).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, surplus ones are dropped. Control characters are replaced.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        let mut row: Vec<String> = cells.into_iter().map(|cell| one_line(&cell.into()).into_owned()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
        self
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, indented by two spaces, with a rule under the header.
    pub fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.columns[column].0.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::from(" ");
            for ((cell, width), (_, align)) in cells.zip(&widths).zip(&self.columns) {
                let padding = " ".repeat(width - cell.chars().count());
                match align {
                    Align::Left => text.push_str(&format!(" {cell}{padding} ")),
                    Align::Right => text.push_str(&format!(" {padding}{cell} ")),
                }
            }
            format!("{}\n", text.trim_end())
        };
        let mut text = line(&mut self.columns.iter().map(|(name, _)| name.as_str()));
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        text.push_str(&line(&mut rule.iter().map(String::as_str)));
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_align() {
        let mut table = Table::new([("name", Align::Left), ("n", Align::Right)]);
        table.row(["upper", "12"]).row(["subcarinal", "3"]);
        insta::assert_snapshot!(table.render(), @r"
          name         n
          ──────────  ──
          upper       12
          subcarinal   3
        ");
    }

    #[test]
    fn a_cell_is_one_line_and_commands_no_terminal() {
        let mut table = Table::new([("file", Align::Left), ("n", Align::Right)]);
        table.row(["\u{1b}[2Ja\nb", "1"]).row(["c", "2"]);
        let text = table.render();
        assert!(!text.contains('\u{1b}') && text.contains("�[2Ja�b  1\n"), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn missing_cells_are_empty_and_letters_count_as_one_column() {
        let mut table = Table::new([("région", Align::Left), ("Cramér's V", Align::Right), ("n", Align::Right)]);
        table.row(["supérieure", "0.12"]).row(["–", "1", "1 234", "dropped"]);
        insta::assert_snapshot!(table.render(), @r"
          région      Cramér's V      n
          ──────────  ──────────  ─────
          supérieure        0.12
          –                    1  1 234
        ");
    }
}
