//! What a fault of TLS means for an operator.
//!
//! Invariant: an authority is asked for only where the server's is unknown; another fault would stay, and the advice would mislead.

use rustls::{CertificateError, Error};

/// A sentence without its end: what is wrong, and what to do.
pub(crate) fn reason_of(source: &(dyn std::error::Error + 'static)) -> String {
    let Some(error) = find(source) else {
        return format!(
            "no secure connection ({source}); look at the address, the port and the server's settings of TLS"
        );
    };
    let advice = match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the authority that signed its certificate is not known; name it with --ca-file"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name; give the address with a name that the certificate has",
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired; renew it on the server, or look at the clock of this machine"
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "its certificate is not valid yet; look at the clocks of both machines"
        }
        Error::InvalidCertificate(_) => "its certificate is not accepted; look at the certificate on the server",
        Error::InvalidMessage(_) => {
            "it does not speak TLS at this port; look at the port, or whether it is meant to be http://"
        }
        _ => "no secure connection; look at the address, the port and the server's settings of TLS",
    };
    format!("{advice} ({error})")
}

/// The fault of TLS that an error is, or that lies in it.
fn find<'a>(source: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    if let Some(error) = source.downcast_ref::<Error>() {
        return Some(error);
    }
    // An error of reading or writing holds the one of TLS inside, and does not name it as its source.
    if let Some(inner) = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        return find(inner);
    }
    find(source.source()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_asked_for_only_where_it_is_missing() {
        let certificate = |error| reason_of(&Error::InvalidCertificate(error));
        assert!(certificate(CertificateError::UnknownIssuer).contains("--ca-file"));
        for (error, words) in [
            (CertificateError::NotValidForName, "another name"),
            (CertificateError::Expired, "has expired"),
            (CertificateError::NotValidYet, "clocks"),
            (CertificateError::BadSignature, "not accepted"),
        ] {
            let text = certificate(error);
            assert!(text.contains(words) && !text.contains("--ca-file"), "{text}");
        }
        let wrapped = std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
        );
        assert!(reason_of(&wrapped).contains("--ca-file"));
        let other = reason_of(&std::io::Error::other("something"));
        assert!(other.contains("no secure connection") && !other.contains("--ca-file"), "{other}");
    }
}
