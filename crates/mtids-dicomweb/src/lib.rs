//! A blocking client of DICOMweb (DICOM PS3.18): query (QIDO-RS), retrieve as stored (WADO-RS), store (STOW-RS).
//!
//! # Purpose
//! [`Client`] is made once per server and may be used by several threads; each call is one request at a time, so who calls from `n` threads
//! asks `n` things at once. `query` lists studies, series and instances, `retrieve` writes an instance into a file or memory, `store` sends one.
//!
//! # Invariants
//! * No text of a server becomes a path, a header or a part of an address, except UIDs that passed [`Uid::parse`].
//! * Memory does not depend on what a server sends: lists and headers have limits, instances are written as they come.
//! * Credentials come from the environment, go to this server and to no redirect, and stand in no message. A proxy that the environment names
//!   is used as for other programs, except to this machine.
//! * What may pass (408, 429, 5xx, a connection that fails or is cut) is asked again with growing waits; everything else ends at once.
//!
//! # Units
//! Bytes, seconds.

mod address;
mod client;
mod credentials;
mod error;
mod multipart;
mod query;
mod retrieve;
mod retry;
mod store;
mod tls;
mod uid;
mod watched;
mod wildcard;

pub use client::{Client, Connection};
pub use credentials::Credentials;
pub use error::{DicomWebError, Failure};
pub use multipart::{Multipart, MultipartError, PartHeader, boundary_of};
pub use query::{FoundSeries, Listed, Presence, StudyQuery};
pub use retrieve::{InstanceAddress, Receiver};
pub use retry::Retry;
pub use store::Stored;
pub use uid::Uid;
