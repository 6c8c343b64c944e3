//! The secret of the pseudonyms: where it comes from, and when the phantoms' public key will not do.

use std::io::Read;
use std::path::Path;

use mtids_domain::pseudonym::PseudonymSecret;
use mtids_phantom::{PATIENT_PREFIX, SCANNER_MODEL};

use crate::accounts::Accounts;
use crate::config::PseudonymConfig;
use crate::error::PrepError;
use crate::plan::Plan;

/// Largest file of a key, in bytes.
const MAX_KEY: u64 = 1 << 20;

/// Reads the secret.
///
/// # Errors
/// [`PrepError::Config`] where none is given or what is given is no file of a key, [`PrepError::Pseudonym`] for one that is too short or cannot be read.
pub(crate) fn read_secret(config: &PseudonymConfig) -> Result<PseudonymSecret, PrepError> {
    if config.demo {
        return Ok(PseudonymSecret::from_bytes(b"public key of the mtids phantoms, no secret")?);
    }
    if let Some(path) = &config.key_file {
        return secret_of_file(path, "pseudonym.key_file");
    }
    match std::env::var("MTIDS_PSEUDONYM_KEY") {
        Ok(text) => Ok(PseudonymSecret::from_bytes(text.as_bytes())?),
        Err(_) => Err(PrepError::Config {
            key: "pseudonym.key_file".into(),
            reason: "identities are replaced by keyed pseudonyms, and no key is given. Make one outside the dataset and keep it for the \
                     whole project: head -c 32 /dev/urandom | base64 > project.key; then --set pseudonym.key_file=project.key, or put it \
                     into the environment variable MTIDS_PSEUDONYM_KEY"
                .into(),
        }),
    }
}

/// Reads the secret for a fetch: of a file, or of the environment.
///
/// # Errors
/// As [`read_secret`].
pub(crate) fn fetch_secret(file: Option<&Path>) -> Result<PseudonymSecret, PrepError> {
    match (file, std::env::var("MTIDS_PSEUDONYM_KEY")) {
        (Some(path), _) => secret_of_file(path, "--key-file"),
        (None, Ok(text)) => Ok(PseudonymSecret::from_bytes(text.as_bytes())?),
        (None, Err(_)) => Err(PrepError::Config {
            key: "--pseudonymise".into(),
            reason: "no key is given; say --key-file FILE (one is made by: head -c 32 /dev/urandom | base64 > project.key), or put it into \
                     the environment variable MTIDS_PSEUDONYM_KEY"
                .into(),
        }),
    }
}

/// Reads the secret from a file. A device without end, or a study given by mistake, is not read into memory. `key` names the setting.
fn secret_of_file(path: &Path, key: &str) -> Result<PseudonymSecret, PrepError> {
    // What cannot be looked at is told by the error of reading it.
    let Ok(there) = std::fs::metadata(path) else { return Ok(PseudonymSecret::from_file(path)?) };
    let what = if there.is_dir() {
        "a folder"
    } else {
        // A key may come from a pipe, which has no length.
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(MAX_KEY + 1).read_to_end(&mut bytes));
        match read {
            Ok(length) if length as u64 <= MAX_KEY => return Ok(PseudonymSecret::from_bytes(&bytes)?),
            Ok(_) => "larger than 1 MiB",
            Err(_) => return Ok(PseudonymSecret::from_file(path)?),
        }
    };
    let reason = format!(
        "{} is {what}; name the file of the key (one is made by: head -c 32 /dev/urandom | base64 > project.key)",
        path.display()
    );
    Err(PrepError::Config { key: key.into(), reason })
}

/// Refuses the public key for other studies than phantoms: anybody could compute the pseudonym of a known identifier.
///
/// # Errors
/// [`PrepError::Config`] where a series is no phantom's.
pub(crate) fn refuse_public_key_for_patients(plan: &Plan, accounts: &Accounts<'_>) -> Result<(), PrepError> {
    let mut series = plan.partitions.iter().flat_map(|partition| &partition.series);
    // Refused files are named in the quarantine, under pseudonyms of their patients.
    let mut refused = accounts.refused.iter().filter_map(|refused| refused.patient_id.as_deref());
    if series.any(|one| one.series.facts.model.as_deref() != Some(SCANNER_MODEL))
        || refused.any(|id| !id.starts_with(PATIENT_PREFIX))
    {
        return Err(PrepError::Config {
            key: "pseudonym.demo".into(),
            reason: "the public key is for phantoms, and this folder has other studies; remove `demo` from the configuration and set a \
                     secret (--set pseudonym.key_file=project.key)"
                .into(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_small_and_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (key, large) = (folder.path().join("key"), folder.path().join("large"));
        std::fs::write(&key, "sixteen or more secret bytes").unwrap();
        secret_of_file(&key, "pseudonym.key_file").unwrap();
        std::fs::File::create(&large).unwrap().set_len(MAX_KEY + 1).unwrap();
        let refused = |path: &Path| secret_of_file(path, "--key-file").unwrap_err().to_string();
        assert!(refused(&large).contains("`--key-file`") && refused(&large).contains("larger than 1 MiB"));
        assert!(refused(folder.path()).contains("a folder"));
        #[cfg(unix)]
        assert!(refused(Path::new("/dev/zero")).contains("larger than 1 MiB"));
        assert!(refused(&folder.path().join("none")).contains("none"));
    }
}
