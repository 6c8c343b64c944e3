//! Layered configuration: defaults, then a TOML file, then `--set key=value`.
//!
//! Purpose: one way for all programs to turn text into checked settings, name an unknown key by its whole path, and print
//! the resolved result. Invariant: the resolved configuration alone reproduces the run; its digest identifies it.
//! Configuration types use `#[serde(default, deny_unknown_fields)]`.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

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
    let table = toml::Value::Table(table);
    serde_path_to_error::deserialize(table.clone()).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.inner().message().trim().to_owned();
        let reason = too_large(&reason).or_else(|| allowed::<T>(&reason, error.path(), table)).unwrap_or(reason);
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

/// Why a whole number that TOML cannot hold was refused: it was taken for a word, which serde would tell of.
fn too_large(reason: &str) -> Option<String> {
    let word = reason.strip_prefix("invalid type: string \"")?.split('"').next()?;
    let (digits, direction, limit) = match word.strip_prefix('-') {
        Some(digits) => (digits, "smaller", i64::MIN),
        None => (word, "larger", i64::MAX),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && word.parse::<i64>().is_err()).then(|| format!("{word} is {direction} than {limit}"))
}

/// The words that a setting of words takes, where it was given something else: serde tells only that it is no word, and lists them for an
/// unknown one.
fn allowed<T: DeserializeOwned>(
    reason: &str,
    path: &serde_path_to_error::Path,
    mut table: toml::Value,
) -> Option<String> {
    if !reason.contains("unit variant") {
        return None;
    }
    let mut at = &mut table;
    for segment in path {
        at = match segment {
            Segment::Map { key } => at.get_mut(key)?,
            Segment::Seq { index } => at.get_mut(*index)?,
            Segment::Enum { .. } | Segment::Unknown => return None,
        };
    }
    let kind = at.type_str();
    *at = toml::Value::String(String::new());
    let error = serde_path_to_error::deserialize::<_, T>(table).err()?;
    let known = error.inner().message().trim().strip_prefix("unknown variant ``, expected ")?.to_owned();
    Some(format!("expected {known}; this is a value of the kind {kind}"))
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
    fn a_number_that_no_setting_holds_is_told_by_its_size() {
        let refused = |set: &str| load::<Outer>(None, &sets(&[set])).unwrap_err().to_string();
        let said = refused("seed=18446744073709551615");
        assert!(said.contains("`seed`: 18446744073709551615 is larger than 9223372036854775807"), "{said}");
        let said = refused("seed=-9223372036854775809");
        assert!(said.contains("smaller than -9223372036854775808"), "{said}");
        assert!(refused("seed=12ab").contains("invalid type: string"), "a word stays one");
        let named: Outer = load(None, &sets(&["training.name=18446744073709551615"])).unwrap();
        assert_eq!(named.training.name, "18446744073709551615", "and as a text it is taken");
    }

    #[test]
    fn words_are_listed_where_something_else_was_given() {
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum Method {
            #[default]
            Stratified,
            ByHash,
        }
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Split {
            method: Method,
            others: Vec<Method>,
        }
        for set in ["method=3", "method=true", "method=[1]", "others=[\"by-hash\", 3]"] {
            let said = load::<Split>(None, &sets(&[set])).unwrap_err().to_string();
            assert!(said.contains("expected `stratified` or `by-hash`"), "{set}: {said}");
            assert!(!said.contains("variant"), "{set}: {said}");
        }
        let split: Split = load(None, &sets(&["method=by-hash"])).unwrap();
        assert!(matches!(split.method, Method::ByHash) && split.others.is_empty());
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
