//! How requests leave: the client of the library, and what is made of answers that are no success.
//!
//! Purpose: the library's errors hold whole answers; here an answer becomes its status and code ([`Refused`]) before the library sees it. It
//! does not ask again either: `patience` does. Invariant: every request passes here.

use std::time::Duration;

use futures_util::StreamExt;
use object_store::client::ReqwestConnector;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, RetryConfig};

use crate::fault::{RangeIgnored, Refused};

/// Bytes of a refusal that are read, about: its code stands at its beginning.
const READ_OF_REFUSAL: usize = 64 << 10;

/// Makes clients whose refusals are [`Refused`].
#[derive(Debug, Default)]
pub(crate) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // The client of the library takes the provider of the process. Whoever set one before has set one that works.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(HttpClient::new(Transport(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Transport(HttpClient);

#[async_trait::async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let of_range = request.headers().contains_key("range");
        let response = self.0.execute(request).await?;
        let status = response.status();
        if of_range && status.as_u16() == 200 {
            return Err(HttpError::new(HttpErrorKind::Decode, RangeIgnored));
        }
        if status.is_success() {
            return Ok(response);
        }
        // A body that does not come leaves the status.
        let mut body = Vec::new();
        let mut stream = response.into_body().bytes_stream();
        while body.len() < READ_OF_REFUSAL
            && let Some(Ok(bytes)) = stream.next().await
        {
            body.extend_from_slice(&bytes);
        }
        Err(HttpError::new(HttpErrorKind::Decode, Refused::new(status.as_u16(), &String::from_utf8_lossy(&body))))
    }
}

/// Options of every client: whole requests have a deadline of their own.
pub(crate) fn options(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(10))
        .with_allow_http(allow_http)
}

/// The library asks once.
pub(crate) fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}
