//! Downloads one file: it gets its name only when it is complete and verified.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::task::JoinSet;

use super::checksum::{self, Crc};
use super::compare::is_there;
use super::partial::{self, Partial};
use super::retry::RetryState;
use super::task::{back_off, broken};
use super::{PART, Transfer, local};
use crate::store::remote::{Checksums, Remote, RemoteFile, TransferError};

/// How often to check whether another process has fetched the same file.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a download starts again if the file changes while it is read.
const CHANGES: u32 = 3;
/// How often content that does not match its checksum is downloaded.
const MISMATCHES: u32 = 2;

/// Downloads a file to `target` and replaces an existing one. Its folder must exist. Returns the version that was
/// downloaded, which is a newer one if the file changed meanwhile.
///
/// # Errors
/// A permanent error, or a transient one that lasted longer than the retry timeout. Then `target` is unchanged; the
/// next download of a large file continues where this one stopped.
pub async fn receive(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: RemoteFile,
    target: &Path,
) -> Result<RemoteFile, TransferError> {
    let mut file = file;
    for _ in 0..CHANGES {
        match once(transfer, remote, &file, target).await {
            Err(TransferError::Changed(_)) => {
                file = super::retry::with_retries(transfer, || remote.describe(&file.name)).await?;
            }
            Err(trouble) => return Err(trouble),
            Ok(()) => {
                transfer.progress.file_moved();
                return Ok(file);
            }
        }
    }
    Err(TransferError::Permanent(format!("{} keeps changing while it is being read", remote.address(&file.name))))
}

async fn once(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: &RemoteFile,
    target: &Path,
) -> Result<(), TransferError> {
    for _ in 0..MISMATCHES {
        let matches = match file.size {
            Some(size) if size > PART && file.ranges && !file.version.is_empty() => {
                let _large = transfer.large.acquire().await;
                in_blocks(transfer, remote, file, size, target).await?
            }
            _ => whole(transfer, remote, file, target).await?,
        };
        if matches {
            return Ok(());
        }
    }
    let address = remote.address(&file.name);
    Err(TransferError::Permanent(format!("the content of {address} does not match its checksum; it was not stored")))
}

/// Downloads in one stream, from the beginning at each attempt. False if a checksum does not match.
async fn whole(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: &RemoteFile,
    target: &Path,
) -> Result<bool, TransferError> {
    let path = partial::place(&remote.address(&file.name), file, target, "part");
    let Some(out) = alone(&path, file, target).await? else {
        transfer.progress.skipped(file.size.unwrap_or(0));
        return Ok(true);
    };
    let remove = Unfinished(&path);
    let mut tries = RetryState::new(transfer);
    let checksums = loop {
        let place = transfer.limiter.enter().await;
        // An empty blob has no first byte to request: Azure answers 416 to any range of it.
        let mut moved = 0;
        let read = match file.size {
            Some(0) => Ok(Checksums { md5: Some(checksum::md5(b"")), crc64: Some(checksum::crc64(b"")) }),
            _ => stream(transfer, remote, file, (&out, &path), &mut moved).await,
        };
        match read {
            Ok(checksums) => {
                place.leave(moved);
                break checksums;
            }
            Err(trouble) => {
                drop(place);
                transfer.progress.lost(moved);
                back_off(transfer, &trouble);
                tries.again(trouble).await?;
            }
        }
    };
    if !matches(file.checksums, checksums) {
        return Ok(false);
    }
    std::fs::rename(&path, target).map_err(|e| local("write", target, &e))?;
    std::mem::forget(remove);
    Ok(true)
}

/// A file that is removed unless the download is finished.
struct Unfinished<'a>(&'a Path);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

/// Opens the partial file, once no other process uses it. `None` if another process has finished the download
/// meanwhile.
async fn alone(path: &Path, file: &RemoteFile, target: &Path) -> Result<Option<File>, TransferError> {
    let mut waited = false;
    loop {
        if let Some(out) = partial::alone(path)? {
            if waited && is_there(target, file).await {
                let _ = std::fs::remove_file(path);
                return Ok(None);
            }
            return Ok(Some(out));
        }
        waited = true;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn stream(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: &RemoteFile,
    (mut out, path): (&File, &Path),
    moved: &mut u64,
) -> Result<Checksums, TransferError> {
    let mut chunks = remote.read(file, None).await?;
    out.set_len(0).and_then(|()| out.rewind()).map_err(|e| local("write", path, &e))?;
    let mut sums = Sums::new(file.checksums);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        sums.update(&chunk);
        out.write_all(&chunk).map_err(|e| local("write", path, &e))?;
        *moved += chunk.len() as u64;
        transfer.progress.moved(chunk.len() as u64);
    }
    match file.size {
        Some(size) if *moved != size => {
            Err(TransferError::transient(format!("{} ended after {moved} of {size} bytes", remote.address(&file.name))))
        }
        _ => Ok(sums.finish()),
    }
}

/// Computes the checksums that are known of a file, from bytes in order.
struct Sums {
    md5: Option<md5::Md5>,
    crc: Option<Crc>,
}

impl Sums {
    fn new(wanted: Checksums) -> Self {
        Self { md5: wanted.md5.map(|_| md5::Digest::new()), crc: wanted.crc64.map(|_| Crc::default()) }
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5::Digest::update(md5, bytes);
        }
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
    }

    fn finish(self) -> Checksums {
        Checksums { md5: self.md5.map(|md5| md5::Digest::finalize(md5).into()), crc64: self.crc.map(|crc| crc.value()) }
    }
}

/// Whether no known checksum differs from what was received.
fn matches(wanted: Checksums, came: Checksums) -> bool {
    let md5 = wanted.md5.is_none_or(|wanted| came.md5.is_none_or(|came| came == wanted));
    md5 && wanted.crc64.is_none_or(|wanted| came.crc64.is_none_or(|came| came == wanted))
}

/// Downloads in blocks, several at the same time, and keeps the blocks of an earlier attempt.
async fn in_blocks(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: &RemoteFile,
    size: u64,
    target: &Path,
) -> Result<bool, TransferError> {
    let address = remote.address(&file.name);
    let Some(content) = alone(&partial::place(&address, file, target, "part"), file, target).await? else {
        transfer.progress.skipped(size);
        return Ok(true);
    };
    let partial = Arc::new(Partial::open(content, &address, file, size, target)?);
    let fetched = blocks(transfer, remote, file, &partial).await;
    let Some(partial) = Arc::into_inner(partial) else {
        return Err(fetched
            .err()
            .unwrap_or_else(|| TransferError::Permanent("a block is still being transferred".to_owned())));
    };
    let crcs = match fetched {
        Ok(crcs) => crcs,
        Err(trouble) => {
            if matches!(trouble, TransferError::Changed(_) | TransferError::NotFound(_)) {
                partial.discard();
            }
            return Err(trouble);
        }
    };
    let crc64 = checksum::joined(crcs.iter().enumerate().map(|(block, crc)| {
        let part = partial.part(block as u64);
        (*crc, part.end - part.start)
    }));
    let mut came = Checksums { crc64: Some(crc64), md5: None };
    // An upload by amlrun stored its CRC; then reading everything again for the MD5 would verify nothing more.
    if file.checksums.crc64.is_none() && file.checksums.md5.is_some() {
        let path = partial.path().to_owned();
        let wanted = Checksums { md5: file.checksums.md5, crc64: None };
        let read = tokio::task::spawn_blocking(move || checksum::of_file(&path, wanted)).await.map_err(broken)?;
        came.md5 = read.map_err(|e| local("read", partial.path(), &e))?.md5;
    }
    if !matches(file.checksums, came) {
        partial.discard();
        return Ok(false);
    }
    partial.finish(target)?;
    Ok(true)
}

/// Downloads the missing blocks and returns the CRC of each. When it is done, nobody uses the file any more.
async fn blocks(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: &RemoteFile,
    partial: &Arc<Partial>,
) -> Result<Vec<u64>, TransferError> {
    let mut tasks = JoinSet::new();
    let fetched = missing(transfer, remote, file, partial, &mut tasks).await;
    tasks.shutdown().await;
    fetched
}

async fn missing(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: &RemoteFile,
    partial: &Arc<Partial>,
    tasks: &mut JoinSet<Result<(u64, u64), TransferError>>,
) -> Result<Vec<u64>, TransferError> {
    let mut crcs = partial.known()?;
    let shared = Arc::new(file.clone());
    for block in 0..partial.blocks() {
        if crcs[index(block)].is_some() {
            let part = partial.part(block);
            transfer.progress.skipped(part.end - part.start);
            continue;
        }
        while let Some(done) = tasks.try_join_next() {
            let (block, crc) = done.map_err(broken)??;
            crcs[index(block)] = Some(crc);
        }
        let place = transfer.limiter.enter().await;
        let (transfer, remote, file, partial) = (transfer.clone(), remote.clone(), shared.clone(), partial.clone());
        tasks.spawn(async move {
            let crc = self::block(&transfer, &remote, &file, &partial, block).await?;
            let part = partial.part(block);
            place.leave(part.end - part.start);
            Ok((block, crc))
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (block, crc) = done.map_err(broken)??;
        crcs[index(block)] = Some(crc);
    }
    Ok(crcs.into_iter().map(Option::unwrap_or_default).collect())
}

fn index(block: u64) -> usize {
    usize::try_from(block).unwrap_or(usize::MAX)
}

/// Downloads one block. After an error in the middle, it continues from there.
async fn block(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: &RemoteFile,
    partial: &Partial,
    block: u64,
) -> Result<u64, TransferError> {
    let part = partial.part(block);
    let mut at = part.start;
    let mut crc = Crc::default();
    let mut tries = RetryState::new(transfer);
    while at < part.end {
        let before = at;
        let read = async {
            let mut chunks = remote.read(file, Some(at..part.end)).await?;
            while let Some(chunk) = chunks.next().await {
                let mut chunk = chunk?;
                // A server may send more than it was asked for.
                chunk.truncate(usize::try_from(part.end - at).unwrap_or(usize::MAX));
                partial.write(at, &chunk).await?;
                crc.update(&chunk);
                at += chunk.len() as u64;
                transfer.progress.moved(chunk.len() as u64);
            }
            Ok(())
        };
        let read: Result<(), TransferError> = read.await;
        let ended = || format!("{} ended after {at} of {} bytes", remote.address(&file.name), part.end);
        match read {
            Ok(()) if at == part.end => break,
            Ok(()) => {
                if at > before {
                    tries.progressed();
                }
                tries.again(TransferError::transient(ended())).await?;
            }
            Err(trouble) => {
                back_off(transfer, &trouble);
                if at == part.end {
                    // All of it arrived, but it is not what was sent.
                    transfer.progress.lost(part.end - part.start);
                    (at, crc) = (part.start, Crc::default());
                } else if at > before {
                    tries.progressed();
                }
                tries.again(trouble).await?;
            }
        }
    }
    partial.done(block, crc.value())?;
    Ok(crc.value())
}
