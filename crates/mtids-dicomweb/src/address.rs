//! The address of a server, checked once; and texts of users as parts of it.
//!
//! Invariants: an address holds no credentials, query or fragment, so it can be shown; a text in a query is percent-encoded.

use std::net::IpAddr;

use crate::error::DicomWebError;

/// Checks an address and takes the slashes off its end.
///
/// # Errors
/// [`DicomWebError::Address`], which does not repeat the address.
pub(crate) fn checked(server: &str) -> Result<String, DicomWebError> {
    let refuse = |reason| Err(DicomWebError::Address { reason });
    let Some((scheme, rest)) = server.trim().split_once("://") else {
        return refuse("it does not begin with https:// or http://");
    };
    let rest = rest.trim_end_matches('/');
    if !["http", "https"].contains(&scheme) {
        return refuse("it does not begin with https:// or http://");
    }
    if rest.contains('@') {
        return refuse(
            "it holds a user or a password, which belong into MTIDS_DICOMWEB_USER and MTIDS_DICOMWEB_PASSWORD",
        );
    }
    if rest.is_empty() || rest.starts_with([':', '/']) {
        return refuse("it names no host");
    }
    if rest.contains(['?', '#']) {
        return refuse("it has a query or a fragment");
    }
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("it holds spaces or letters that are not ASCII");
    }
    Ok(format!("{scheme}://{rest}"))
}

/// Whether what is sent to this address can be read on the way: no TLS, and not this machine.
pub(crate) fn is_open(server: &str) -> bool {
    server.starts_with("http://") && !is_local(server)
}

/// Whether requests to this address stay on this machine.
pub(crate) fn is_local(server: &str) -> bool {
    server.split_once("://").is_some_and(|(_, rest)| is_this_machine(host(rest)))
}

/// The host of an address without its scheme.
fn host(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// A name such as `127.evil.example` is that of another machine: only whole addresses count.
fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A text as a part of a query.
///
/// `*` and `?` stay as they are, which RFC 3986 (3.4) allows: Orthanc 1.10 finds nothing for `%2A`.
pub(crate) fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~*?".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_only_when_it_holds_no_secret() {
        assert_eq!(checked(" https://pacs.example:8443/dicom-web// ").unwrap(), "https://pacs.example:8443/dicom-web");
        for address in [
            "pacs",
            "ftp://pacs",
            "http://",
            "https:///x",
            "http://:80",
            "http://me:secret@pacs",
            "http://pacs?token=secret",
            "http://pacs/#secret",
            "http://pacs/a secret",
        ] {
            let text = checked(address).unwrap_err().to_string();
            assert!(!text.contains("secret"), "{text}");
        }
        for address in ["http://", "https:// ", "https:///", "http://:80"] {
            let text = checked(address).unwrap_err().to_string();
            assert!(text.contains("it names no host"), "{address}: {text}");
        }
    }

    #[test]
    fn who_can_read_along_is_known() {
        for address in [
            "http://pacs",
            "http://10.0.0.1:8042/x",
            "http://[fe80::1]:80",
            "http://localhost.example",
            "http://127.evil.example",
            "http://127.0.0.1.evil.example/x",
        ] {
            assert!(is_open(address), "{address}");
        }
        for address in [
            "https://pacs",
            "http://localhost:8042",
            "http://LOCALHOST",
            "http://127.0.0.1/x",
            "http://127.9.9.9:1",
            "http://[::1]:80",
        ] {
            assert!(!is_open(address), "{address}");
        }
    }

    #[test]
    fn texts_of_users_stay_one_value() {
        assert_eq!(percent_encoded("A&B=1/ü #"), "A%26B%3D1%2F%C3%BC%20%23");
        assert_eq!(percent_encoded("LUNG-0?*"), "LUNG-0?*");
    }
}
