//! Bytes of a file to a socket, through the page cache.

use std::io;
use std::rc::Rc;

use super::file::FileView;
use super::net::Stream;
use super::{helpers, sys};
use crate::sync::Turn;
use crate::task;

thread_local! {
    static COLD: Rc<Turn> = Rc::default();
}

/// Bytes per step: what a cold step hands to a helper thread. A hop only pays at 256 KiB and more,
/// and a longer warm step would hold up the shard.
const STEP_BYTES: u64 = 256 << 10;

pub(super) async fn send(stream: &Stream, file: &FileView, pos: u64, len: u64) -> io::Result<()> {
    let end = pos.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
    let mut pos = pos;
    while pos < end {
        let step = usize::try_from((end - pos).min(STEP_BYTES)).unwrap_or(usize::MAX);
        // Before the attempt: the peer may make room while its outcome comes from a helper thread,
        // and that is reported once.
        stream.expect_room();
        let sent = if file.is_resident(pos, step) {
            sys::sockets::sendfile(stream.as_fd(), file.as_fd(), pos, step)
        } else {
            send_cold(stream, file, pos, step).await
        };
        let sent = match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                stream.room().await;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Sockets have other errors.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                file.note_failure();
                return Err(error);
            }
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
async fn send_cold(stream: &Stream, file: &FileView, pos: u64, len: usize) -> io::Result<usize> {
    // Those that would only wait for the helper have no second descriptor meanwhile.
    let turn = COLD.with(Rc::clone);
    let _entered = turn.enter().await;
    // Duplicates, since the helper may outlive a caller that is dropped.
    let socket = stream.as_fd().try_clone_to_owned()?;
    let file = file.clone();
    helpers::long_work(move || {
        use std::os::fd::AsFd;
        sys::sockets::sendfile(socket.as_fd(), file.as_fd(), pos, len)
    })
    .await
}
