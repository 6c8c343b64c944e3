//! What only its publisher knows of a dataset: licence, place, creators and date, for catalogues.
//!
//! Purpose: Croissant 1.1 requires `license`, `url`, `creator` and `datePublished`, and the Hugging Face hub reads the licence from the head of
//! the card. Invariants: what is not given is not written; nothing here changes a row, a shard, or which work of an earlier build is used again.

use mtids_dicom::date::day;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::PrepError;

/// What the publisher says of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Publication {
    /// Name in catalogues. Default `mtids-dataset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Licence, as an SPDX identifier such as `CC-BY-4.0`, or its URL. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Page or address of the dataset. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Who made it. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub creators: Vec<Creator>,
    /// Day of publication, `YYYY-MM-DD`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_published: Option<String>,
    /// Version, such as `1.0.0`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How to cite it, mostly BibTeX. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cite_as: Option<String>,
}

/// A person or an organisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Creator {
    /// Name.
    pub name: String,
    /// Whether it is an organisation. Default false: a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_organization: bool,
    /// Page. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Publication {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// # Errors
    /// [`PrepError::Config`] naming the key.
    pub(crate) fn validate(&self) -> Result<(), PrepError> {
        let fail = |key: &str, reason: &str| {
            Err(PrepError::Config { key: format!("publication.{key}"), reason: reason.into() })
        };
        let creators = self.creators.iter().flat_map(|creator| {
            [("creators.name", Some(creator.name.as_str())), ("creators.url", creator.url.as_deref())]
        });
        let texts = [
            ("name", self.name.as_deref()),
            ("license", self.license.as_deref()),
            ("url", self.url.as_deref()),
            ("version", self.version.as_deref()),
            ("cite_as", self.cite_as.as_deref()),
        ];
        for (key, text) in texts.into_iter().chain(creators) {
            let Some(text) = text else { continue };
            if text.trim().is_empty() {
                return fail(key, "empty; leave it out instead");
            }
            if key.ends_with("url") && !["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)) {
                return fail(key, "an address that begins with http:// or https://");
            }
        }
        if self.date_published.as_deref().is_some_and(|text| !is_day(text)) {
            return fail("date_published", "a day, such as 2026-11-28");
        }
        Ok(())
    }

    /// Its properties in the words of schema.org.
    pub(crate) fn properties(&self) -> Vec<(&'static str, Value)> {
        let mut properties = Vec::new();
        let texts = [
            ("license", &self.license),
            ("url", &self.url),
            ("datePublished", &self.date_published),
            ("version", &self.version),
            ("citeAs", &self.cite_as),
        ];
        properties.extend(texts.into_iter().filter_map(|(key, text)| Some((key, Value::from(text.clone()?)))));
        if !self.creators.is_empty() {
            properties.push(("creator", self.creators.iter().map(Creator::in_words).collect()));
        }
        properties
    }
}

/// Whether a text is a day, `YYYY-MM-DD`.
fn is_day(text: &str) -> bool {
    let dashes = text.bytes().enumerate().filter(|(_, byte)| *byte == b'-').map(|(place, _)| place);
    dashes.eq([4, 7]) && text.len() == 10 && day(&text.replace('-', "")).is_some()
}

impl Creator {
    fn in_words(&self) -> Value {
        let kind = if self.is_organization { "sc:Organization" } else { "sc:Person" };
        let mut value = json!({ "@type": kind, "name": self.name });
        if let Some(url) = &self.url {
            value["url"] = Value::from(url.as_str());
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        license = "CC-BY-4.0"
        url = "https://example.org/nodes"
        date_published = "2026-11-28"
        [[creators]]
        name = "Example Hospital"
        is_organization = true
    "#;

    #[test]
    fn what_is_given_becomes_properties() {
        let publication: Publication = mtids_runtime::config::parse(WHOLE).unwrap();
        publication.validate().unwrap();
        let properties = Value::from_iter(publication.properties());
        assert_eq!(properties["license"], "CC-BY-4.0");
        assert_eq!(properties["creator"][0], json!({ "@type": "sc:Organization", "name": "Example Hospital" }));
        assert!(Publication::default().properties().is_empty() && Publication::default().is_empty());
    }

    #[test]
    fn what_no_catalogue_could_read_is_named() {
        for (from, to, key) in [
            ("CC-BY-4.0", " ", "publication.license"),
            ("https://example.org/nodes", "example.org", "publication.url"),
            ("2026-11-28", "28.11.2026", "publication.date_published"),
            ("2026-11-28", "2026-02-30", "publication.date_published"),
            ("Example Hospital", "", "publication.creators.name"),
        ] {
            let publication: Publication = mtids_runtime::config::parse(&WHOLE.replace(from, to)).unwrap();
            let error = publication.validate().unwrap_err().to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
    }
}
