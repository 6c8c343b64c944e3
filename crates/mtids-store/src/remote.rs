//! Objects of a server as a [`Storage`], with a blocking face.
//!
//! Invariants: what is read has the length that was asked for, or there is an error; a large object is moved in pieces of [`PIECE`] bytes,
//! so that a fault costs one piece; an object that is read whole is one version of it, even if it is replaced meanwhile; a web server is
//! only read.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::TryStreamExt;
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::http::HttpBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore, PutOptions, PutPayload};
use tokio::runtime::Runtime;

use crate::error::StoreError;
use crate::fault::Fault;
use crate::patience::Patience;
use crate::place::Place;
use crate::transport::{Connector, once, options};

/// Bytes of a request at most; S3 wants parts of 5 MiB at least, and takes 10,000 of them.
pub(crate) const PIECE: u64 = 8 << 20;

/// An object and the tag by which the server knows this version of it.
pub(crate) type Tagged = (Vec<u8>, Option<String>);

/// A server with a dataset.
pub(crate) struct Remote {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The bucket, where the server takes objects.
    bucket: Option<Arc<AmazonS3>>,
    /// How messages call it; no slash at its end.
    root: String,
    prefix: String,
    patience: Patience,
    runtime: Runtime,
    /// The server has shown that it honours conditions.
    pub(crate) honours_conditions: AtomicBool,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The library's own form holds its settings.
        write!(f, "Remote({})", self.root)
    }
}

impl Remote {
    /// A client of the server; nothing is asked yet. Settings and credentials of a bucket come from the environment.
    ///
    /// # Errors
    /// [`StoreError::Setting`] and [`StoreError::Client`].
    pub(crate) fn connect(place: &Place, patience: Patience) -> Result<Self, StoreError> {
        let allow_http =
            std::env::var("AWS_ALLOW_HTTP").is_ok_and(|text| text == "1" || text.eq_ignore_ascii_case("true"));
        let plain = |name: &str| std::env::var(name).is_ok_and(|text| text.to_ascii_lowercase().starts_with("http://"));
        if matches!(place, Place::Bucket { .. })
            && !allow_http
            && (plain("AWS_ENDPOINT_URL") || plain("AWS_ENDPOINT_URL_S3"))
        {
            let reason =
                "the endpoint is http://, which sends data unencrypted; set AWS_ALLOW_HTTP=true if that is meant";
            return Err(StoreError::Setting { name: "AWS_ENDPOINT_URL", reason: reason.into() });
        }
        let settings = AmazonS3Builder::from_env().with_client_options(options(allow_http));
        Self::with_settings(place, settings, patience)
    }

    /// As [`Remote::connect`], with the settings of a bucket.
    pub(crate) fn with_settings(
        place: &Place,
        settings: AmazonS3Builder,
        patience: Patience,
    ) -> Result<Self, StoreError> {
        let (root, prefix) = match place {
            Place::Bucket { bucket, prefix } if prefix.is_empty() => (format!("s3://{bucket}"), String::new()),
            Place::Bucket { bucket, prefix } => (format!("s3://{bucket}/{prefix}"), format!("{prefix}/")),
            Place::Web(url) => (url.as_str().trim_end_matches('/').to_owned(), String::new()),
            Place::Folder(path) => (path.display().to_string(), String::new()),
        };
        let fail = |reason: String| StoreError::Client { place: root.clone(), reason };
        let of_library = |error: object_store::Error| fail(Fault::of(&error).to_string());
        let (store, bucket): (Arc<dyn ObjectStore>, _) = match place {
            Place::Bucket { bucket, .. } => {
                let settings = settings.with_bucket_name(bucket).with_retry(once()).with_http_connector(Connector);
                // Not every server takes lists of objects to remove.
                let settings = settings.with_disable_bulk_delete(true);
                let bucket = Arc::new(settings.build().map_err(of_library)?);
                (Arc::clone(&bucket) as _, Some(bucket))
            }
            Place::Web(url) => {
                let web = HttpBuilder::new()
                    .with_url(url.as_str())
                    .with_client_options(options(url.scheme() == "http"))
                    .with_retry(once())
                    .with_http_connector(Connector);
                (Arc::new(web.build().map_err(of_library)?), None)
            }
            Place::Folder(_) => return Err(fail("a folder is no server".into())),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("mtids-store")
            .enable_all()
            .build()
            .map_err(|error| fail(error.to_string()))?;
        Ok(Self { store, bucket, root, prefix, patience, runtime, honours_conditions: AtomicBool::new(false) })
    }

    /// Asks until there is an answer, on the threads of this client. `bytes` is what a request moves.
    pub(crate) fn ask<T, F>(&self, bytes: u64, ask: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let mut ask = ask;
        self.ask_for(bytes, || {
            let asked = ask();
            async { asked.await.map_err(|error| Fault::of(&error)) }
        })
    }

    /// As [`Remote::ask`], with faults of its own.
    pub(crate) fn ask_for<T, F>(&self, bytes: u64, ask: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        self.runtime.block_on(self.patience.run(bytes, ask))
    }

    /// The key of a blob.
    pub(crate) fn key(&self, name: &str) -> Result<Key, Fault> {
        // Names come from manifests, which anyone may have written.
        Key::parse(format!("{}{name}", self.prefix))
            .map_err(|error| Fault::last(io::ErrorKind::InvalidInput, error.to_string()))
    }

    /// The bucket, or an error where objects are only read.
    pub(crate) fn writable(&self) -> Result<&AmazonS3, Fault> {
        self.bucket.as_deref().ok_or_else(|| {
            let reason = "a web server is only read; publish into a folder or an s3:// bucket";
            Fault::last(io::ErrorKind::Unsupported, reason)
        })
    }

    /// A piece of a blob, at most [`PIECE`] bytes; with a tag, of the version that has it.
    fn piece(&self, key: &Key, tag: Option<&str>, offset: u64, length: u64) -> Result<Vec<u8>, Fault> {
        let end = offset.saturating_add(length);
        self.ask_for(length, || async move {
            let (range, if_match) = (Some(GetRange::Bounded(offset..end)), tag.map(str::to_owned));
            let options = GetOptions { range, if_match, ..GetOptions::default() };
            let of_library = |error: object_store::Error| Fault::of(&error);
            let result = self.store.get_opts(key, options).await.map_err(of_library)?;
            if result.meta.size < end {
                return Err(Fault::last(io::ErrorKind::UnexpectedEof, format!("it ends before byte {end}")));
            }
            let bytes = result.bytes().await.map_err(of_library)?;
            if bytes.len() as u64 != length {
                return Err(Fault::short(bytes.len() as u64, length));
            }
            Ok(bytes.into())
        })
    }

    /// A whole object and the tag of its version. Further pieces of a large one are asked for by its tag. Each piece is asked for as a range:
    /// only then does an answer say how long the object is and how long itself, and one that ends early is noticed.
    pub(crate) fn whole(&self, key: &Key) -> Result<Tagged, Fault> {
        for _ in 0..self.patience.attempts {
            let first = self.ask_for(PIECE, || async {
                let of_library = |error: object_store::Error| Fault::of(&error);
                let options = GetOptions { range: Some(GetRange::Bounded(0..PIECE)), ..GetOptions::default() };
                let result = self.store.get_opts(key, options).await.map_err(of_library)?;
                let (tag, size) = (result.meta.e_tag.clone(), result.meta.size);
                let bytes = result.bytes().await.map_err(of_library)?;
                if bytes.len() as u64 != size.min(PIECE) {
                    return Err(Fault::short(bytes.len() as u64, size.min(PIECE)));
                }
                Ok((bytes.into(), tag, size))
            });
            let (bytes, tag, size) = match first {
                // An empty object has no range.
                Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => self.head(key)?,
                first => first?,
            };
            match self.complete(key, bytes, tag.as_deref(), size) {
                // Replaced between two requests: from the beginning.
                Err(fault) if tag.is_some() && fault.kind() == io::ErrorKind::AlreadyExists => {}
                read => return read.map(|bytes| (bytes, tag)),
            }
        }
        Err(Fault::last(io::ErrorKind::Other, "it is replaced all the time while it is read"))
    }

    /// Nothing of an object, with its tag and size.
    fn head(&self, key: &Key) -> Result<(Vec<u8>, Option<String>, u64), Fault> {
        self.ask(0, || async {
            let head = GetOptions { head: true, ..GetOptions::default() };
            let meta = self.store.get_opts(key, head).await?.meta;
            Ok((Vec::new(), meta.e_tag, meta.size))
        })
    }

    /// The object that begins with `bytes`.
    fn complete(&self, key: &Key, mut bytes: Vec<u8>, tag: Option<&str>, size: u64) -> Result<Vec<u8>, Fault> {
        while (bytes.len() as u64) < size {
            let at = bytes.len() as u64;
            bytes.extend_from_slice(&self.piece(key, tag, at, PIECE.min(size - at))?);
        }
        Ok(bytes)
    }

    fn read(&self, name: &str, offset: u64, length: u64, mut take: impl FnMut(Vec<u8>)) -> Result<(), Fault> {
        let key = self.key(name)?;
        let Some(end) = offset.checked_add(length) else {
            return Err(Fault::last(io::ErrorKind::UnexpectedEof, format!("it ends before byte {}", u64::MAX)));
        };
        if length == 0 {
            // There is no range of nothing.
            let size = self.size_of(&key)?;
            let ends = || Fault::last(io::ErrorKind::UnexpectedEof, format!("it ends before byte {end}"));
            return if size >= end { Ok(()) } else { Err(ends()) };
        }
        let mut at = offset;
        while at < end {
            let length = PIECE.min(end - at);
            take(self.piece(&key, None, at, length)?);
            at += length;
        }
        Ok(())
    }

    fn size_of(&self, key: &Key) -> Result<u64, Fault> {
        Ok(self.head(key)?.2)
    }

    fn put_whole(&self, key: &Key, bytes: &[u8]) -> Result<(), Fault> {
        self.writable()?;
        let payload = PutPayload::from(bytes.to_vec());
        self.ask(bytes.len() as u64, || async {
            self.store.put_opts(key, payload.clone(), PutOptions::default()).await.map(|_| ())
        })
    }

    /// Puts a large object in parts; it appears with the last request, or not at all.
    fn put_parts(&self, name: &str, key: &Key, bytes: &[u8]) -> Result<(), Fault> {
        let bucket = self.writable()?;
        let upload = self.ask(0, || bucket.create_multipart(key))?;
        let put = || {
            let mut parts = Vec::new();
            for (number, part) in bytes.chunks(PIECE as usize).enumerate() {
                let payload = PutPayload::from(part.to_vec());
                parts.push(self.ask(part.len() as u64, || bucket.put_part(key, &upload, number, payload.clone()))?);
            }
            self.ask(0, || bucket.complete_multipart(key, &upload, parts.clone()))
        };
        let Err(fault) = put() else { return Ok(()) };
        // An answer may have been lost: then the object is there, and its parts are gone.
        if self.digest(name).is_ok_and(|digest| digest == Digest::of_bytes(bytes)) {
            return Ok(());
        }
        // Best effort: parts without an object cost money, and an error here would hide the one that counts.
        let _ = self.ask(0, || bucket.abort_multipart(key, &upload));
        Err(fault)
    }

    fn listed(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        if self.bucket.is_none() {
            let reason = "a web server does not list its files";
            return Err(Fault::last(io::ErrorKind::Unsupported, reason));
        }
        // The library lists below whole parts of a name.
        let parent = prefix.rfind('/').map_or("", |at| &prefix[..at]);
        let parent = format!("{}{parent}", self.prefix);
        let parent = Key::parse(parent.trim_end_matches('/'))
            .map_err(|error| Fault::last(io::ErrorKind::InvalidInput, error.to_string()))?;
        let listed = self.ask(0, || async { self.store.list(Some(&parent)).try_collect::<Vec<_>>().await })?;
        let names = listed.iter().filter_map(|meta| meta.location.as_ref().strip_prefix(&self.prefix));
        let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Names the blob in an error.
    pub(crate) fn named<T>(&self, name: &str, result: Result<T, Fault>) -> io::Result<T> {
        result.map_err(|fault| fault.at(&self.place(name)))
    }
}

impl Storage for Remote {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let put = || {
            let key = self.key(name)?;
            if bytes.len() as u64 <= 2 * PIECE {
                self.put_whole(&key, bytes)
            } else {
                self.put_parts(name, &key, bytes)
            }
        };
        self.named(name, put())
    }

    fn put_over(&self, name: &str, was: Option<&[u8]>, bytes: &[u8]) -> io::Result<()> {
        if !self.honours_conditions.load(Ordering::Relaxed) {
            self.named(name, self.probe())?;
            self.honours_conditions.store(true, Ordering::Relaxed);
        }
        self.replace(name, was, bytes)
    }

    fn get_range(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        // The length may come from a damaged manifest: room is made for what comes, not for what is claimed.
        let mut bytes = Vec::new();
        let read = self.read(name, offset, length, |piece| {
            if bytes.is_empty() {
                bytes = piece;
            } else {
                bytes.extend_from_slice(&piece);
            }
        });
        self.named(name, read.map(|()| bytes))
    }

    fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        self.named(name, self.key(name).and_then(|key| self.whole(&key)).map(|(bytes, _)| bytes))
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.named(name, self.key(name).and_then(|key| self.size_of(&key)))
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.named(prefix, self.listed(prefix))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let remove = || {
            self.writable()?;
            let key = self.key(name)?;
            self.ask(0, || async {
                let one = futures_util::stream::iter([Ok(key.clone())]);
                self.store.delete_stream(Box::pin(one)).try_collect::<Vec<_>>().await
            })
        };
        match remove() {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
            done => self.named(name, done.map(|_| ())),
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        if name.is_empty() { PathBuf::from(&self.root) } else { Path::new(&self.root).join(name) }
    }

    fn digest(&self, name: &str) -> io::Result<Digest> {
        let size = self.size(name)?;
        let mut hasher = blake3::Hasher::new();
        self.named(
            name,
            self.read(name, 0, size, |piece| {
                hasher.update(&piece);
            }),
        )?;
        Ok(hasher.into())
    }
}
