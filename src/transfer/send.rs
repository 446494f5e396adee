//! Uploads one file: in one request if it is small, otherwise in blocks.
//!
//! The id of a block identifies its content. So a block that an interrupted upload has sent is not sent again. A file
//! whose checksum is that of the existing remote file is not sent at all.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::checksum::{self, block_id, joined};
use super::compare::is_same;
use super::retry::{RetryState, with_retries};
use super::task::{back_off, broken};
use super::{BLOCK, Transfer, local};
use crate::store::remote::{Checksums, Remote, RemoteFile, TransferError};

/// Files up to this size are held in memory without a memory permit, in bytes.
const SMALL: u64 = 256 << 10;
/// The most blocks that Azure accepts for a blob.
const MOST_BLOCKS: u64 = 50_000;

/// The result for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was uploaded.
    Moved,
    /// It was already there.
    Skipped,
}

/// Uploads the file at `from` to `name`. `there` is the existing remote file of that name, if it is known.
///
/// # Errors
/// A permanent error, or a transient one that lasted longer than the retry timeout; the next upload uses the blocks
/// that were sent.
pub async fn send(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    from: &Path,
    name: &str,
    there: Option<&RemoteFile>,
) -> Result<Sent, TransferError> {
    let file = File::open(from).map_err(|e| local("read", from, &e))?;
    let before = Stat::of(&file, from)?;
    if let Some(there) = there.filter(|there| there.size == Some(before.size))
        && is_same(from, before.size, there.checksums).await?
    {
        transfer.progress.file_skipped(before.size);
        return Ok(Sent::Skipped);
    }
    if before.size <= BLOCK {
        small(transfer, remote, &file, from, name, before.size).await?;
    } else {
        let _large = transfer.large.acquire().await;
        large(transfer, remote, file, from, name, &before).await?;
    }
    transfer.progress.file_moved();
    Ok(Sent::Moved)
}

/// The stat of a file when it was opened.
struct Stat {
    size: u64,
    modified: std::time::SystemTime,
}

impl Stat {
    fn of(file: &File, path: &Path) -> Result<Self, TransferError> {
        let stat = file.metadata().and_then(|m| Ok(Self { size: m.len(), modified: m.modified()? }));
        stat.map_err(|e| local("read", path, &e))
    }
}

async fn small(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: &File,
    from: &Path,
    name: &str,
    size: u64,
) -> Result<(), TransferError> {
    // Many small files are transferred at the same time, but not many that are almost as large as a block.
    let _memory = match size {
        0..=SMALL => None,
        _ => transfer.memory.clone().acquire_owned().await.ok(),
    };
    let content = read(file, 0, size).map_err(|e| local("read", from, &e))?;
    let checksums = Checksums { md5: Some(checksum::md5(&content)), crc64: Some(checksum::crc64(&content)) };
    one(transfer, size, || remote.write(name, content.clone(), checksums)).await
}

/// Repeats one request that transfers so many bytes, until it succeeds or the retry timeout is over.
async fn one<F: Future<Output = Result<(), TransferError>>>(
    transfer: &Transfer,
    size: u64,
    mut ask: impl FnMut() -> F,
) -> Result<(), TransferError> {
    let mut tries = RetryState::new(transfer);
    loop {
        let place = transfer.limiter.enter().await;
        match ask().await {
            Ok(()) => {
                place.leave(size);
                transfer.progress.moved(size);
                return Ok(());
            }
            Err(trouble) => {
                drop(place);
                back_off(transfer, &trouble);
                tries.again(trouble).await?;
            }
        }
    }
}

async fn large(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    file: File,
    from: &Path,
    name: &str,
    before: &Stat,
) -> Result<(), TransferError> {
    let length = block_length(before.size);
    let staged: std::collections::HashSet<(String, u64)> =
        with_retries(transfer, || remote.staged(name)).await?.into_iter().collect();
    let staged = Arc::new(staged);
    let file = Arc::new(file);
    let count = before.size.div_ceil(length);
    let mut blocks = vec![None; usize::try_from(count).unwrap_or(usize::MAX)];
    let mut tasks: JoinSet<Result<(usize, String, u64, u64), TransferError>> = JoinSet::new();
    for number in 0..count {
        while let Some(done) = tasks.try_join_next() {
            let (at, id, crc, length) = done.map_err(broken)??;
            blocks[at] = Some((id, crc, length));
        }
        let memory = transfer.memory.clone().acquire_owned().await;
        let (transfer, remote, file, staged) = (transfer.clone(), remote.clone(), file.clone(), staged.clone());
        let (from, name) = (from.to_owned(), name.to_owned());
        let (start, end) = (number * length, ((number + 1) * length).min(before.size));
        tasks.spawn(async move {
            let _memory = memory;
            let mut content = transfer.block(end - start);
            file.read_exact_at(&mut content, start).map_err(|e| local("read", &from, &e))?;
            let content = content.freeze();
            let crc = checksum::crc64(&content);
            let block = (block_id(number, end - start, crc), end - start);
            if staged.contains(&block) {
                transfer.progress.skipped(block.1);
            } else {
                one(&transfer, block.1, || remote.stage(&name, &block.0, content.clone(), crc)).await?;
            }
            transfer.give_back(content);
            Ok((usize::try_from(number).unwrap_or(usize::MAX), block.0, crc, block.1))
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (at, id, crc, length) = done.map_err(broken)??;
        blocks[at] = Some((id, crc, length));
    }
    let after = Stat::of(&file, from)?;
    if (after.size, after.modified) != (before.size, before.modified) {
        return Err(TransferError::Permanent(format!("{} changed while it was being uploaded", from.display())));
    }
    let blocks: Vec<(String, u64, u64)> = blocks.into_iter().flatten().collect();
    let checksums = Checksums { md5: None, crc64: Some(joined(blocks.iter().map(|(_, crc, length)| (*crc, *length)))) };
    let ids: Vec<String> = blocks.into_iter().map(|(id, ..)| id).collect();
    commit(transfer, remote, name, &ids, checksums, before.size).await
}

/// Commits the blocks. If the response to that was lost, the blocks are already part of the file. Then another
/// attempt fails, and the remote file shows that the commit succeeded.
async fn commit(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    name: &str,
    ids: &[String],
    checksums: Checksums,
    size: u64,
) -> Result<(), TransferError> {
    let mut tries = RetryState::new(transfer);
    let mut trouble = None;
    loop {
        match remote.commit(name, ids, checksums).await {
            Ok(()) => break,
            Err(TransferError::Transient { why, after }) => {
                trouble = Some(why.clone());
                tries.again(TransferError::Transient { why, after }).await?;
            }
            Err(refused) => {
                let there = with_retries(transfer, || remote.describe(name)).await;
                let done =
                    there.is_ok_and(|there| there.size == Some(size) && there.checksums.crc64 == checksums.crc64);
                if trouble.is_some() && done {
                    return Ok(());
                }
                return Err(refused);
            }
        }
    }
    let there = with_retries(transfer, || remote.describe(name)).await;
    match there {
        Ok(there) if there.size == Some(size) => Ok(()),
        // A signature may allow writing and nothing else.
        Err(TransferError::Denied(_)) => Ok(()),
        Err(trouble) => Err(trouble),
        Ok(there) => {
            let (address, now) = (remote.address(name), there.size.unwrap_or(0));
            Err(TransferError::Permanent(format!(
                "{address} has {now} bytes after {size} bytes were uploaded: it was also written by another program"
            )))
        }
    }
}

/// The length of blocks: larger if there would be too many of them.
fn block_length(size: u64) -> u64 {
    BLOCK.max(size.div_ceil(MOST_BLOCKS).next_multiple_of(1 << 20))
}

fn read(file: &File, at: u64, length: u64) -> std::io::Result<Bytes> {
    let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut content, at)?;
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_fits_into_the_blocks_that_there_may_be() {
        assert_eq!(block_length(BLOCK + 1), BLOCK);
        let tera = 1u64 << 40;
        assert!(tera.div_ceil(block_length(tera)) <= MOST_BLOCKS);
        assert_eq!(block_length(tera) % (1 << 20), 0);
    }
}
