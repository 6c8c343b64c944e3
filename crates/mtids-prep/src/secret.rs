//! The secret of the pseudonyms: where it comes from, and when the phantoms' public key will not do.

use std::path::Path;

use mtids_domain::pseudonym::PseudonymSecret;
use mtids_phantom::{PATIENT_PREFIX, SCANNER_MODEL};

use crate::accounts::Accounts;
use crate::config::PseudonymConfig;
use crate::error::PrepError;
use crate::plan::Plan;

/// Reads the secret.
///
/// # Errors
/// [`PrepError::Config`] where none is given, [`PrepError::Pseudonym`] for one that is too short or cannot be read.
pub(crate) fn read_secret(config: &PseudonymConfig) -> Result<PseudonymSecret, PrepError> {
    if config.demo {
        return Ok(PseudonymSecret::from_bytes(b"public key of the mtids phantoms, no secret")?);
    }
    if let Some(path) = &config.key_file {
        return Ok(PseudonymSecret::from_file(path)?);
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
        (Some(path), _) => Ok(PseudonymSecret::from_file(path)?),
        (None, Ok(text)) => Ok(PseudonymSecret::from_bytes(text.as_bytes())?),
        (None, Err(_)) => Err(PrepError::Config {
            key: "--pseudonymise".into(),
            reason: "no key is given; say --key-file FILE (one is made by: head -c 32 /dev/urandom | base64 > project.key), or put it into \
                     the environment variable MTIDS_PSEUDONYM_KEY"
                .into(),
        }),
    }
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
