//! Who asks: a bearer token, or a name with a password.
//!
//! Invariant: the secret is in no `Debug` text and no message; it can leave this type only as the header of a request.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::error::DicomWebError;

/// Variable with a bearer token.
const TOKEN: &str = "MTIDS_DICOMWEB_TOKEN";
/// Variable with a user's name.
const USER: &str = "MTIDS_DICOMWEB_USER";
/// Variable with the password.
const PASSWORD: &str = "MTIDS_DICOMWEB_PASSWORD";

/// Credentials, or none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(Option<String>);

impl Credentials {
    /// No credentials.
    pub fn none() -> Self {
        Self(None)
    }

    /// Those of the environment: `MTIDS_DICOMWEB_TOKEN`, or `MTIDS_DICOMWEB_USER` and `MTIDS_DICOMWEB_PASSWORD`. Empty variables count as
    /// missing.
    ///
    /// # Errors
    /// [`DicomWebError::Setting`] where both are given, or a token cannot stand in a header.
    pub fn from_environment() -> Result<Self, DicomWebError> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// As [`Credentials::from_environment`], with the variables of `variable`.
    ///
    /// # Errors
    /// As there.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, DicomWebError> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let setting = |what: &str, reason: &str| DicomWebError::Setting { what: what.into(), reason: reason.into() };
        match (given(TOKEN), given(USER), given(PASSWORD)) {
            (Some(_), Some(_), _) => Err(setting(TOKEN, "a user is given as well; unset one of the two")),
            (Some(token), None, _) => Self::bearer(&token),
            (None, Some(user), password) => Ok(Self::basic(&user, &password.unwrap_or_default())),
            (None, None, Some(_)) => Err(setting(PASSWORD, "no user is given; set MTIDS_DICOMWEB_USER as well")),
            (None, None, None) => Ok(Self::none()),
        }
    }

    /// A bearer token.
    ///
    /// # Errors
    /// [`DicomWebError::Setting`] where it holds anything but visible ASCII.
    pub fn bearer(token: &str) -> Result<Self, DicomWebError> {
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = "a token is visible ASCII without spaces; look for line breaks or quotes in the variable";
            return Err(DicomWebError::Setting { what: TOKEN.into(), reason: reason.into() });
        }
        Ok(Self(Some(format!("Bearer {token}"))))
    }

    /// A name and a password.
    pub fn basic(user: &str, password: &str) -> Self {
        Self(Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))))
    }

    /// The value of the header `Authorization`.
    pub(crate) fn header(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Credentials(..)" } else { "Credentials(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Credentials, DicomWebError> {
        let find = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        Credentials::from_variables(&find)
    }

    #[test]
    fn variables_give_a_header() {
        assert_eq!(of(&[]).unwrap().header(), None);
        assert_eq!(of(&[(TOKEN, "")]).unwrap(), Credentials::none());
        assert_eq!(of(&[(TOKEN, "abc.def\n")]).unwrap().header(), Some("Bearer abc.def"));
        // RFC 7617, section 2.
        let basic = of(&[(USER, "Aladdin"), (PASSWORD, "open sesame")]).unwrap();
        assert_eq!(basic.header(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    }

    #[test]
    fn contradictions_are_said_without_the_secret() {
        for variables in [
            [(TOKEN, "secret-1"), (USER, "secret-2")].as_slice(),
            &[(PASSWORD, "secret-1")],
            &[(TOKEN, "secret 1")],
            &[(TOKEN, "secret\nX-Other: 1")],
        ] {
            let error = of(variables).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
        assert!(!format!("{:?}", Credentials::basic("secret", "secret")).contains("secret"));
    }
}
