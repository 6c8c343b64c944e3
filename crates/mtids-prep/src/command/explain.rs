//! `mtids-prep explain`: what a reason code means, and what to do.

use crate::explain::{Explanation, all, of};
use clap::Args;
use mtids_report::table::{Align, Table};
use mtids_runtime::exit::{Exit, ExitError};
use mtids_runtime::nearest::nearest;

use super::common::print;

/// Explain a reason code: what was found, and what to do
///
/// Without a code, list all codes. Codes stand in the output of `build` and `inventory`, in quarantine.jsonl, in manifest.json, and in --rejects FILE.
///
/// Example: mtids-prep explain missing-slices
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Reason code
    code: Option<String>,
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(code) = self.code else {
            let mut table = Table::new([("code", Align::Left), ("said of a file or entry that was", Align::Left)]);
            for one in all() {
                table.row([one.code, one.kind.name()]);
            }
            print(&table.render())?;
            return Ok(Exit::Done);
        };
        let known = of(code.trim());
        if known.is_empty() {
            let meant = nearest(code.trim(), all().iter().map(|one| one.code));
            let meant = meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
            let message = format!("`{code}` is not a reason code; {meant}`mtids-prep explain` lists all codes");
            return Err(ExitError::usage(message).into());
        }
        for one in &known {
            print(&paragraph(one))?;
        }
        Ok(Exit::Done)
    }
}

/// Widest line of a paragraph.
const WIDTH: usize = 100;

fn paragraph(one: &Explanation) -> String {
    let mut text = format!("{} ({})\n", one.code, one.kind.name());
    let mut line = String::new();
    for word in one.text.split_whitespace() {
        if line.len() + word.len() > WIDTH {
            text.push_str(&format!(" {line}\n"));
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&format!(" {line}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_paragraph_of_lines_that_fit() {
        for one in all() {
            let text = paragraph(&one);
            assert!(text.lines().count() > 1 && text.lines().all(|line| line.len() <= WIDTH + 3), "{text}");
            assert!(one.text.ends_with('.'), "{}", one.code);
            assert!(of(one.code).contains(&one));
        }
    }
}
