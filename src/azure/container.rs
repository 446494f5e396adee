//! A container of Azure Blob Storage as remote storage.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use azure_core::prelude::IfMatchCondition;
use azure_storage::{CloudLocation, StorageCredentials};
use azure_storage_blobs::blob::{BlobBlockType, BlockList, BlockListType};
use azure_storage_blobs::prelude::{BlobClient, BlobContentMD5, BlockId, ClientBuilder, ContainerClient, Hash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::OnceCell;

use super::host::Host;
use super::transport::Checks;
use super::{blob, identity, transport};
use crate::secret::{Credential, Secret};
use crate::store::remote::{Answer, Checksums, Chunks, Remote, RemoteFile, TransferError};
use crate::transfer::PART;
use crate::transfer::checksum::{self, crc64_text};
use crate::transfer::http::Http;

/// The most blobs per page that the service returns.
const PAGE: u32 = 5_000;

/// A container, and the credentials for it.
pub struct Container {
    http: Http,
    account: String,
    endpoint: String,
    container: String,
    checks: Arc<Checks>,
    /// The client for requests with the given credential.
    client: ContainerClient,
    /// Whether no credential was given: then requests for data that is not public are repeated with a token of Entra
    /// ID.
    open: bool,
    signed: OnceCell<ContainerClient>,
}

impl Container {
    /// A container of the account whose blob service has that root. This sends no request.
    ///
    /// # Errors
    /// A message, if the key or the signature is not valid.
    pub fn new(
        http: Http,
        account: &str,
        endpoint: &str,
        container: &str,
        credential: &Credential,
    ) -> Result<Self, TransferError> {
        let credentials = match credential {
            Credential::AccountKey(key) => access_key(account, key)?,
            // The crate's message about a signature that it cannot parse contains the signature.
            Credential::Sas(sas) => StorageCredentials::sas_token(sas.reveal()).map_err(|_| {
                TransferError::Denied(format!("the signature for the account '{account}' cannot be read"))
            })?,
            Credential::Identity => StorageCredentials::anonymous(),
        };
        let checks = Arc::new(Checks::default());
        let made = Self {
            client: client(&http, &checks, account, endpoint, container, credentials),
            http,
            checks,
            account: account.to_owned(),
            endpoint: endpoint.to_owned(),
            container: container.to_owned(),
            open: *credential == Credential::Identity,
            signed: OnceCell::new(),
        };
        Ok(made)
    }

    /// The client for requests that must be authenticated.
    async fn signed(&self, name: &str) -> Result<ContainerClient, TransferError> {
        if !self.open {
            return Ok(self.client.clone());
        }
        let sign = || async {
            // A token is a password for an hour: it is sent over insecure connections to this machine only.
            let here = Host::of(&self.endpoint).is_some_and(|host| host.is_loopback);
            if !self.endpoint.starts_with("https://") && !here {
                let why = format!("{} has no TLS, and tokens are not sent without encryption", self.endpoint);
                return Err(TransferError::Denied(why));
            }
            let token = identity::sign_in(&self.address(name)).await?;
            let credentials = StorageCredentials::token_credential(token);
            Ok(client(&self.http, &self.checks, &self.account, &self.endpoint, &self.container, credentials))
        };
        self.signed.get_or_try_init(sign).await.cloned()
    }

    /// Sends a request anonymously if that may be enough, then with credentials. Azure says that a private container
    /// does not exist.
    async fn ask<T, F: Future<Output = azure_core::Result<T>>>(
        &self,
        name: &str,
        question: impl Fn(ContainerClient) -> F,
    ) -> Result<T, TransferError> {
        let trouble = |error: azure_core::Error| transport::unwrap(&error, &self.address(name));
        if self.open && self.signed.get().is_none() {
            match question(self.client.clone()).await.map_err(trouble) {
                Err(
                    refused @ (TransferError::Denied(_) | TransferError::NotFound(_) | TransferError::Permanent(_)),
                ) => {
                    return match self.signed(name).await {
                        Ok(signed) => question(signed).await.map_err(trouble),
                        // Public containers report correctly what does not exist.
                        Err(_) if matches!(&refused, TransferError::NotFound(_)) && self.is_public().await => {
                            Err(refused)
                        }
                        Err(nobody) => Err(nobody),
                    };
                }
                answer => return answer,
            }
        }
        question(self.signed(name).await?).await.map_err(trouble)
    }

    /// Whether the container can be listed anonymously.
    async fn is_public(&self) -> bool {
        let mut page = self.client.list_blobs().max_results(std::num::NonZeroU32::MIN).into_stream();
        matches!(page.next().await, Some(Ok(_)))
    }

    /// Requests a checksum of the content. Azure computes none for more than 4 MiB.
    fn reading(&self, bytes: u64) -> azure_core::Context {
        let asks = self.checks.are_known() && bytes <= PART;
        if asks { blob::with_headers(&[(transport::WANTS_CRC, "true".to_owned())]) } else { azure_core::Context::new() }
    }

    fn trouble(&self, error: &azure_core::Error, name: &str) -> TransferError {
        transport::unwrap(error, &self.address(name))
    }
}

fn access_key(account: &str, key: &Secret) -> Result<StorageCredentials, TransferError> {
    // Otherwise each request would fail, with a message that is hard to understand.
    if STANDARD.decode(key.reveal()).is_err() {
        return Err(TransferError::Denied(format!("the key of the account '{account}' is not valid base64")));
    }
    Ok(StorageCredentials::access_key(account, azure_core::auth::Secret::new(key.reveal().to_owned())))
}

/// Locations are always given as roots, because the crate knows the hosts of only two clouds.
fn client(
    http: &Http,
    checks: &Arc<Checks>,
    account: &str,
    endpoint: &str,
    container: &str,
    credentials: StorageCredentials,
) -> ContainerClient {
    let location = CloudLocation::Custom { account: account.to_owned(), uri: endpoint.to_owned() };
    ClientBuilder::with_location(location, credentials)
        .client_options(transport::options(http.clone(), checks.clone()))
        .container_client(container)
}

impl Remote for Container {
    fn address(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.endpoint, self.container)
    }

    fn check_name(&self, name: &str) -> Result<(), TransferError> {
        match blob::unfit(name) {
            None => Ok(()),
            Some(why) => {
                Err(TransferError::Permanent(format!("'{}' is not a valid blob name: {why}", name.escape_debug())))
            }
        }
    }

    fn describe<'a>(&'a self, name: &'a str) -> Answer<'a, RemoteFile> {
        Box::pin(async move {
            self.check_name(name)?;
            let question = |client: ContainerClient| async move { client.blob_client(name).get_properties().await };
            let found = self.ask(name, question).await?;
            blob::file(&found.blob).ok_or_else(|| TransferError::NotFound(self.address(name)))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<RemoteFile>> {
        Box::pin(async move {
            let mut files = Vec::new();
            let mut marker = None;
            let mut pages = Pages::default();
            loop {
                let question = |client: ContainerClient| {
                    let mut pages = client.list_blobs().include_metadata(true);
                    if let Some(most) = std::num::NonZeroU32::new(PAGE) {
                        pages = pages.max_results(most);
                    }
                    if !prefix.is_empty() {
                        pages = pages.prefix(prefix.to_owned());
                    }
                    if let Some(marker) = marker.clone() {
                        pages = pages.marker(marker);
                    }
                    let mut pages = pages.into_stream();
                    async move { pages.next().await.transpose() }
                };
                let Some(page) = self.ask(prefix, question).await? else { break };
                files.extend(page.blobs.blobs().filter_map(blob::file));
                marker = page.next_marker;
                let Some(next) = &marker else { break };
                if !pages.lead_on(next.as_str(), &files) {
                    let why = "its list of blobs does not end: each page refers to another page without new blobs";
                    return Err(TransferError::Permanent(format!("{}: {why}", self.address(prefix))));
                }
            }
            Ok(files)
        })
    }

    fn read<'a>(&'a self, file: &'a RemoteFile, part: Option<Range<u64>>) -> Answer<'a, Chunks> {
        Box::pin(async move {
            self.check_name(&file.name)?;
            let size = file.size.unwrap_or(0);
            let part = part.unwrap_or(0..size);
            let question = |client: ContainerClient| {
                // Closed ranges, in one page: the crate computes the rest of open ranges incorrectly.
                let mut pages = client
                    .blob_client(&file.name)
                    .get()
                    .range(part.clone())
                    .chunk_size(part.end - part.start)
                    .context(self.reading(part.end - part.start))
                    .if_match(IfMatchCondition::Match(file.version.clone()))
                    .into_stream();
                async move { pages.next().await.transpose() }
            };
            let page = match self.ask(&file.name, &question).await {
                Err(trouble) if self.checks.learn(&trouble) => self.ask(&file.name, &question).await?,
                page => page?,
            };
            let page =
                page.ok_or_else(|| TransferError::transient(format!("{} returned no data", self.address(&file.name))))?;
            let address = self.address(&file.name);
            let crc = page.blob.properties.content_crc64.as_ref().map(|crc| *crc.as_slice());
            let told = address.clone();
            let chunks: Chunks =
                Box::pin(page.data.map(move |chunk| chunk.map_err(|error| transport::unwrap(&error, &told))));
            Ok(blob::checked(chunks, crc, address))
        })
    }

    fn write<'a>(&'a self, name: &'a str, content: Bytes, checksums: Checksums) -> Answer<'a, ()> {
        Box::pin(async move {
            self.check_name(name)?;
            let mut request = blob_client(&self.signed(name).await?, name).put_block_blob(content);
            // Verified by the service, and stored with the blob.
            if let Some(md5) = checksums.md5 {
                request = request.hash(Hash::MD5(md5));
            }
            let answer = request.await.map_err(|error| self.trouble(&error, name))?;
            let arrived = answer.content_md5.as_ref().map(|md5| *md5.as_slice());
            if checksums.md5.is_some() && arrived.is_some_and(|arrived| Some(arrived) != checksums.md5) {
                return Err(TransferError::transient(format!(
                    "the content of {} does not match its checksum",
                    self.address(name)
                )));
            }
            Ok(())
        })
    }

    fn staged<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<(String, u64)>> {
        Box::pin(async move {
            self.check_name(name)?;
            let client = blob_client(&self.signed(name).await?, name);
            let list = client.get_block_list().block_list_type(BlockListType::Uncommitted).await;
            let list = match list.map_err(|error| self.trouble(&error, name)) {
                // Before the first block the blob does not exist; and a signature may allow writing and nothing else.
                Err(TransferError::NotFound(_) | TransferError::Denied(_)) => return Ok(Vec::new()),
                list => list?,
            };
            let blocks = list.block_with_size_list.blocks.into_iter().filter_map(|block| {
                let (BlobBlockType::Uncommitted(id) | BlobBlockType::Latest(id)) = block.block_list_type else {
                    return None;
                };
                Some((STANDARD.encode(id.bytes()), block.size_in_bytes))
            });
            Ok(blocks.collect())
        })
    }

    fn stage<'a>(&'a self, name: &'a str, id: &'a str, content: Bytes, crc64: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let client = blob_client(&self.signed(name).await?, name);
            let put = async || {
                let headers = if self.checks.are_known() {
                    ("x-ms-content-crc64", crc64_text(crc64))
                } else {
                    ("content-md5", STANDARD.encode(checksum::md5(&content)))
                };
                let request = client.put_block(block_id(id)?, content.clone()).context(blob::with_headers(&[headers]));
                request.await.map_err(|error| self.trouble(&error, name))
            };
            let answer = match put().await {
                Err(trouble) if self.checks.learn(&trouble) => put().await?,
                answer => answer?,
            };
            let arrived = answer.content_crc64.as_ref().map(|crc| STANDARD.encode(crc.as_slice()));
            if arrived.is_some_and(|arrived| arrived != crc64_text(crc64)) {
                return Err(TransferError::transient(format!(
                    "the content of a block of {} does not match its checksum",
                    self.address(name)
                )));
            }
            Ok(())
        })
    }

    fn commit<'a>(&'a self, name: &'a str, ids: &'a [String], checksums: Checksums) -> Answer<'a, ()> {
        Box::pin(async move {
            let client = blob_client(&self.signed(name).await?, name);
            let ids: Result<Vec<_>, TransferError> = ids.iter().map(|id| block_id(id)).collect();
            let blocks = ids?.into_iter().map(BlobBlockType::new_uncommitted).collect();
            let mut request = client.put_block_list(BlockList { blocks }).metadata(blob::metadata(checksums));
            if let Some(md5) = checksums.md5 {
                request = request.content_md5(BlobContentMD5::from(md5));
            }
            request.await.map(drop).map_err(|error| self.trouble(&error, name))
        })
    }
}

/// Limits the pages of a list. A faulty or hostile server may send pages forever.
#[derive(Default)]
struct Pages {
    markers: HashSet<String>,
    firsts: HashSet<String>,
    listed: usize,
    empty: usize,
}

impl Pages {
    /// How many pages in a row may have no blob: Azure sends such pages while it skips deleted blobs.
    const EMPTY: usize = 1_000;
    /// A list with more blobs is not held in memory.
    const MOST: usize = 10_000_000;

    const PAGES: usize = 100_000;

    /// Whether a page contained something new, and the next one can.
    fn lead_on(&mut self, next: &str, files: &[RemoteFile]) -> bool {
        let (before, first) = (self.listed, files.get(self.listed));
        self.listed = files.len();
        self.empty = if self.listed == before { self.empty + 1 } else { 0 };
        let is_new = first.is_none_or(|file| self.firsts.insert(file.name.clone()));
        let is_short = self.empty < Self::EMPTY && self.listed < Self::MOST && self.markers.len() < Self::PAGES;
        is_new && self.markers.insert(next.to_owned()) && is_short
    }
}

fn blob_client(container: &ContainerClient, name: &str) -> BlobClient {
    container.blob_client(name)
}

/// The id of a block for the crate, which encodes ids itself.
fn block_id(id: &str) -> Result<BlockId, TransferError> {
    STANDARD
        .decode(id)
        .map(BlockId::from)
        .map_err(|e| TransferError::Permanent(format!("'{id}' is not a valid block ID: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_none_is_told_without_showing_it() {
        let http = Http::new(std::time::Duration::from_secs(1), false).unwrap();
        let key = Credential::AccountKey(Secret::new("not base64!"));
        let Err(TransferError::Denied(why)) = Container::new(http, "a", "https://x", "c", &key) else { panic!() };
        assert!(why.contains("base64") && !why.contains("not base64!"), "{why}");
    }
}
