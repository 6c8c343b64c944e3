//! Layered configuration: defaults, then a TOML file, then `--set key=value`.
//!
//! Purpose: one way for all programs to turn text into checked settings, name an unknown key by its whole path, and print
//! the resolved result. Invariant: the resolved configuration alone reproduces the run; its digest identifies it.
//! Configuration types use `#[serde(default, deny_unknown_fields)]`.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::nearest::nearest;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{path} is not valid TOML: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// Line and reason.
        message: String,
    },
    /// A `--set` argument without `=`, or whose path runs through a value.
    #[error("`--set {argument}`: {reason}")]
    Set {
        /// The argument.
        argument: String,
        /// What is wrong.
        reason: String,
    },
    /// An unknown key or a value of the wrong kind.
    #[error("configuration key `{key}`: {reason}")]
    Key {
        /// Dotted path of the key or of the table that holds it.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// Loads a configuration.
///
/// `sets` are `dotted.key=value` texts; a value is read as TOML, and as a plain string where it is no TOML value.
///
/// # Errors
/// [`ConfigError`], naming the file or the key.
pub fn load<T: DeserializeOwned>(file: Option<&Path>, sets: &[String]) -> Result<T, ConfigError> {
    let mut table = toml::Table::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.display().to_string(), source })?;
        table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.display().to_string(),
            message: error.to_string(),
        })?;
    }
    for argument in sets {
        apply(&mut table, argument)?;
    }
    checked(table)
}

/// A configuration from TOML text.
///
/// # Errors
/// [`ConfigError`], naming the key; the text stands for the file in messages of syntax.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax { path: "the text".into(), message: error.to_string() };
    checked(text.parse().map_err(syntax)?)
}

fn checked<T: DeserializeOwned>(table: toml::Table) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.inner().message().trim().to_owned();
        // serde names the unknown field inside back-ticks and its path only up to the enclosing table.
        let unknown = reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        let key = match unknown {
            Some(field) if path != "." && !path.ends_with(field) => format!("{path}.{field}"),
            Some(field) if path == "." => field.to_owned(),
            _ => path,
        };
        let reason = with_suggestion(&reason).unwrap_or(reason);
        ConfigError::Key { key, reason }
    })
}

/// A message of serde about an unknown word, with the known word that it may mean before the list of all.
fn with_suggestion(reason: &str) -> Option<String> {
    let (unknown, known) = reason.split_once(", expected")?;
    let word = unknown.strip_prefix("unknown field `").or_else(|| unknown.strip_prefix("unknown variant `"))?;
    // Every second piece stands between back-ticks.
    let meant = nearest(word.trim_end_matches('`'), known.split('`').skip(1).step_by(2))?;
    Some(format!("{unknown}; did you mean `{meant}`? Expected{known}"))
}

/// The resolved configuration as TOML text.
///
/// # Errors
/// [`ConfigError::Key`] when a value has no TOML form, which is a defect of the configuration type.
pub fn to_toml<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    toml::to_string(config).map_err(|error| ConfigError::Key { key: ".".into(), reason: error.to_string() })
}

fn apply(table: &mut toml::Table, argument: &str) -> Result<(), ConfigError> {
    let fail = |reason: &str| ConfigError::Set { argument: argument.to_owned(), reason: reason.to_owned() };
    let (path, text) = argument.split_once('=').ok_or_else(|| fail("write key=value, for example epochs=5"))?;
    let value = format!("value = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()));
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(|| fail("the key is empty"))?;
    let mut at = table;
    for key in keys {
        at = at
            .entry(key)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| fail(&format!("`{key}` is a value, not a table")))?;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        epochs: u32,
        name: String,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        seed: u64,
        training: Inner,
    }

    fn sets(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn later_layers_win_and_plain_words_are_strings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, "seed = 3\n[training]\nepochs = 2\n").unwrap();
        let config: Outer = load(Some(&path), &sets(&["training.epochs=7", "training.name=tiny model"])).unwrap();
        assert_eq!(config, Outer { seed: 3, training: Inner { epochs: 7, name: "tiny model".into() } });
        let again: Outer = toml::from_str(&to_toml(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn unknown_keys_are_named_with_their_path() {
        let error = load::<Outer>(None, &sets(&["training.epoch=7"])).unwrap_err().to_string();
        assert!(error.contains("`training.epoch`"), "{error}");
        assert!(error.contains("did you mean `epochs`? Expected `epochs` or `name`"), "{error}");
        let error = load::<Outer>(None, &sets(&["sed=7"])).unwrap_err().to_string();
        assert!(error.contains("`sed`"), "{error}");
    }

    #[test]
    fn wrong_kinds_and_shapes_are_named() {
        let error = load::<Outer>(None, &sets(&["training.epochs=many"])).unwrap_err().to_string();
        assert!(error.contains("`training.epochs`"), "{error}");
        let error = load::<Outer>(None, &sets(&["seed=1", "seed.deeper=2"])).unwrap_err().to_string();
        assert!(error.contains("not a table"), "{error}");
        assert!(load::<Outer>(None, &sets(&["seed"])).is_err());
        assert!(load::<Outer>(Some(Path::new("nowhere.toml")), &[]).unwrap_err().to_string().contains("nowhere.toml"));
    }
}
