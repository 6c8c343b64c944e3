//! What a user names as the place of a dataset.
//!
//! Invariants: a text without `://` is a path, whatever else it holds; no error repeats a URL, which may hold a password.

use std::path::{Path, PathBuf};

use url::Url;

use crate::error::StoreError;

/// Where a dataset lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of a file system.
    Folder(PathBuf),
    /// Objects of an S3 bucket below a prefix, which may be empty and has no slash at its ends.
    Bucket {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: String,
    },
    /// Files of a web server below a URL without a slash at its end.
    Web(Url),
}

impl Place {
    /// Reads a path or URL.
    ///
    /// # Errors
    /// [`StoreError::Place`] with what is possible instead.
    pub(crate) fn parse(place: &Path) -> Result<Self, StoreError> {
        let refused = |text: &str| Err(StoreError::Place(text.to_owned()));
        let Some((scheme, rest)) = place.to_str().and_then(|text| text.split_once("://")) else {
            return Ok(Self::Folder(place.to_owned()));
        };
        if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return Ok(Self::Folder(place.to_owned()));
        }
        match scheme.to_ascii_lowercase().as_str() {
            "file" => match Url::parse(&format!("file://{rest}")).ok().and_then(|url| url.to_file_path().ok()) {
                Some(path) => Ok(Self::Folder(path)),
                None => refused("a file:// URL has three slashes and an absolute path, file:///data/dataset"),
            },
            "s3" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                if bucket.is_empty() || !bucket.bytes().all(named) {
                    return refused(
                        "an s3:// URL is s3://bucket/prefix; credentials and endpoint come from the environment (AWS_…)",
                    );
                }
                let prefix = prefix.trim_matches('/');
                if prefix.split('/').any(|part| part == "." || part == "..") || prefix.contains("//") {
                    return refused("the prefix of an s3:// URL has empty parts, . or ..");
                }
                Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
            }
            "http" | "https" => {
                let Ok(mut url) = Url::parse(&format!("{scheme}://{rest}")) else {
                    return refused("not a URL of a web server; write https://host/path");
                };
                if !url.username().is_empty()
                    || url.password().is_some()
                    || url.query().is_some()
                    || url.fragment().is_some()
                {
                    return refused("a web server is read without user, password, query or fragment in its URL");
                }
                let path = url.path().trim_end_matches('/').to_owned();
                url.set_path(&path);
                Ok(Self::Web(url))
            }
            "gs" | "gcs" | "az" | "azure" | "abfs" | "abfss" | "adl" => refused(
                "Google Cloud Storage and Azure are not supported, because nothing tests them here; use a folder, s3:// or https://",
            ),
            _ => refused("the URL is none of s3://bucket/prefix, http(s)://host/path (only read) and file:///path"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Place, String> {
        Place::parse(Path::new(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn paths_and_urls_are_told_apart() {
        for path in ["dataset", "/data/a b", "./s3:/x", "s3", "a/b://c", "", "C:\\data"] {
            assert_eq!(parse(path), Ok(Place::Folder(path.into())), "{path}");
        }
        assert_eq!(parse("file:///data/a%20b"), Ok(Place::Folder("/data/a b".into())));
        let bucket = |bucket: &str, prefix: &str| Ok(Place::Bucket { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!(parse("s3://lung"), bucket("lung", ""));
        assert_eq!(parse("S3://lung/"), bucket("lung", ""));
        assert_eq!(parse("s3://lung.data-1/a/b/"), bucket("lung.data-1", "a/b"));
        assert_eq!(parse("https://host:8443/data/"), Ok(Place::Web(Url::parse("https://host:8443/data").unwrap())));
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_repeating_it() {
        for (text, words) in [
            ("gs://secret/x", "Google"),
            ("az://secret/x", "Azure"),
            ("ftp://secret/x", "none of"),
            ("s3://", "s3://bucket"),
            ("s3://key:secret@bucket/x", "environment"),
            ("s3://bucket/../secret", ".."),
            ("s3://bucket/a//secret", "empty parts"),
            ("https://user:secret@host/x", "without user"),
            ("https://host/x?X-Amz-Signature=secret", "query"),
            ("https://", "not a URL"),
            ("file://secret", "three slashes"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
