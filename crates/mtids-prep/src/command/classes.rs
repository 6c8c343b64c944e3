//! `mtids-prep classes`: what names become, before a build.

use std::io::Read;
use std::path::PathBuf;

use crate::config::BuildConfig;
use crate::names::{NameMeaning, meanings};
use clap::Args;
use mtids_annotations::ClassFile;
use mtids_annotations::table::{NamedText, lines_of, read_names};
use mtids_report::table::{Align, Table};
use mtids_runtime::config;
use mtids_runtime::exit::{Exit, ExitError};
use mtids_runtime::text::one_line;

use super::common::{Settings, print};

/// Most bytes that are read from standard input.
const MAX_INPUT: u64 = 64 << 20;

/// Show what names of findings become under the class rules
///
/// Cells of a station column are shown under the station map.
///
/// Example: mtids-prep classes --test names.txt --classes rules.toml
#[derive(Debug, Args)]
pub(super) struct Classes {
    /// Text with one name per line, or a table with a column `finding` or `station`; - reads lines from standard input
    #[arg(long, value_name = "FILE")]
    test: PathBuf,
    /// Rules that map names to labels (TOML, [[class]]), before those of the configuration
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Classes {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let mut config: BuildConfig = config::load(self.settings.config.as_deref(), &self.settings.sets)?;
        if let Some(path) = &self.classes {
            let rules: ClassFile = config::load(Some(path), &[])?;
            config.classes.splice(0..0, rules.classes);
        }
        let names = self.names()?;
        let found = meanings(&config, &names)?;
        print(&if self.json { serde_json::to_string_pretty(&found)? + "\n" } else { words(&found) })?;
        Ok(Exit::Done)
    }

    fn names(&self) -> anyhow::Result<Vec<NamedText>> {
        if self.test.as_os_str() != "-" {
            return Ok(read_names(&self.test).map_err(crate::error::PrepError::from)?);
        }
        let mut bytes = Vec::new();
        std::io::stdin().take(MAX_INPUT).read_to_end(&mut bytes)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| ExitError::usage("--test -: standard input is not UTF-8 text".to_owned()))?;
        Ok(lines_of(&text))
    }
}

fn words(found: &[NameMeaning]) -> String {
    let mut table = Table::new([
        ("name", Align::Left),
        ("rule", Align::Right),
        ("outcome", Align::Left),
        ("station", Align::Left),
        ("region", Align::Left),
        ("status", Align::Left),
        ("as a cell of `station`", Align::Left),
    ]);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    for one in found {
        let outcome = if one.column == "station" { "cell of `station`" } else { one.outcome };
        table.row([
            one.name.clone(),
            one.rule.map_or_else(String::new, |number| number.to_string()),
            outcome.to_owned(),
            text(&one.station),
            text(&one.region),
            one.metastasis.unwrap_or_default().to_owned(),
            text(&one.as_station),
        ]);
    }
    let mut words = table.render();
    for one in found.iter().filter(|one| one.note.is_some()) {
        let note = format!("line {}, `{}`: {}", one.line, one.name, text(&one.note));
        words.push_str(&format!("  {}\n", one_line(&note)));
    }
    words
}
