//! A part of a card: a title, paragraphs and a table, and their form as Markdown.
//!
//! Invariant: text means itself, whatever signs it holds; a row is one line.

/// A table of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CardTable {
    /// Names of the columns; a tab at the end marks one of numbers.
    pub(crate) columns: Vec<&'static str>,
    /// Cells.
    pub(crate) rows: Vec<Vec<String>>,
}

/// A part of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CardSection {
    /// Title.
    pub(crate) title: &'static str,
    /// Paragraphs before the table.
    pub(crate) paragraphs: Vec<String>,
    /// A table; none where words suffice.
    pub(crate) table: Option<CardTable>,
}

impl CardSection {
    /// The part as Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("\n## {}\n", self.title);
        for paragraph in &self.paragraphs {
            text.push_str(&format!("\n{}\n", plain(paragraph)));
        }
        if let Some(table) = &self.table {
            let header: Vec<&str> = table.columns.iter().map(|column| column.trim_end()).collect();
            let rule: Vec<&str> =
                table.columns.iter().map(|column| if column.ends_with('\t') { "---:" } else { "---" }).collect();
            text.push_str(&format!("\n| {} |\n|{}|\n", header.join(" | "), rule.join("|")));
            for row in &table.rows {
                let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
                text.push_str(&format!("| {} |\n", cells.join(" | ")));
            }
        }
        text
    }
}

/// Text that means itself in Markdown: on one line, without the signs that would set it otherwise.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        for letter in word.chars() {
            if matches!(letter, '|' | '*' | '_' | '`' | '<' | '[' | ']' | '\\') {
                plain.push('\\');
            }
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_has_a_row_for_each_row_and_text_means_itself() {
        let table = CardTable {
            columns: vec!["what", "n\t"],
            rows: vec![vec!["a|b\n<c>".into(), "3".into()], vec!["d_e".into(), "4".into()]],
        };
        let section = CardSection { title: "Data", paragraphs: vec!["One `word`.".into()], table: Some(table) };
        let expected = "\n## Data\n\nOne \\`word\\`.\n\n| what | n |\n|---|---:|\n| a\\|b \\<c> | 3 |\n| d\\_e | 4 |\n";
        assert_eq!(section.markdown(), expected);
    }
}
