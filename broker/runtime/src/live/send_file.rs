//! Bytes of a file to a socket, through the page cache.

use std::io;

use super::disk::View;
use super::net::Stream;
use super::{executor, sys};
use crate::task;

/// Bytes per step: what a cold step hands to a helper thread. A hop only pays at 256 KiB and more,
/// and a longer warm step would hold up the shard.
const STEP_BYTES: u64 = 256 << 10;

/// Bytes that go through memory when the socket is full: see [`wait_for_room`].
const BRIDGE_BYTES: usize = 4096;

pub(super) async fn send(stream: &Stream, file: &View, pos: u64, len: u64) -> io::Result<()> {
    let end = pos.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
    let mut pos = pos;
    while pos < end {
        let step = usize::try_from((end - pos).min(STEP_BYTES)).unwrap_or(usize::MAX);
        let sent = if file.is_resident(pos, step) {
            sys::sendfile(stream.as_fd(), file.as_fd(), pos, step)
        } else {
            send_cold(stream, file, pos, step).await
        };
        let sent = match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for_room(stream, file, pos, step.min(BRIDGE_BYTES)).await?
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if sent == 0 {
            let message = format!("the file ends at {pos}, {} bytes early", end - pos);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        pos += u64::try_from(sent).unwrap_or(u64::MAX);
        // A fast reader never makes this loop wait.
        task::yield_if_needed().await;
    }
    Ok(())
}

/// On a helper thread, which may wait for the device (up to 19 ms when measured) and makes the
/// kernel read ahead.
async fn send_cold(stream: &Stream, file: &View, pos: u64, len: usize) -> io::Result<usize> {
    // Duplicates, since the helper may outlive a caller that is dropped.
    let socket = stream.as_fd().try_clone_to_owned()?;
    let file = file.clone();
    executor::blocking(move || {
        use std::os::fd::AsFd;
        sys::sendfile(socket.as_fd(), file.as_fd(), pos, len)
    })
    .await
}

/// Waits until the socket takes bytes again, by writing the next few of them from memory.
///
/// glommio 0.9 can only wait for room with bytes in hand.
async fn wait_for_room(stream: &Stream, file: &View, pos: u64, len: usize) -> io::Result<usize> {
    let mut bridge = [0u8; BRIDGE_BYTES];
    let read = if file.is_resident(pos, len) {
        file.read_at(pos, &mut bridge[..len])?
    } else {
        let file = file.clone();
        let read_cold = move || file.read_at(pos, &mut bridge[..len]).map(|read| (read, bridge));
        let (read, filled) = executor::blocking(read_cold).await?;
        bridge = filled;
        read
    };
    if read == 0 {
        return Ok(0);
    }
    stream.write_one(&bridge[..read]).await
}
