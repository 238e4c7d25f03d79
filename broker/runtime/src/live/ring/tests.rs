use std::os::unix::fs::{FileExt, OpenOptionsExt};

use super::*;
use crate::buffer::DmaBuffer;
use crate::shards::block_on;

fn file() -> (tempfile::TempDir, Arc<fs::File>) {
    let directory = tempfile::tempdir_in(".").expect("a directory");
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
    let file = options.open(directory.path().join("file")).expect("direct I/O");
    (directory, Arc::new(file))
}

#[test]
fn writes_go_on_when_nobody_waits_for_them_and_failures_are_told() {
    let (directory, written) = file();
    let kept = Arc::clone(&written);
    block_on(async move {
        let mut buffer = DmaBuffer::alloc(4096);
        buffer.as_mut_slice().fill(7);
        let write = |pos| write(&written, pos, &buffer.lend()).expect("a ring");
        drop(write(4096));
        assert_eq!(write(0).await.expect("written"), 4096);
        let error = write(1).await.expect_err("not aligned");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        drop(write(8192));
    });
    assert_eq!(kept.metadata().expect("there").len(), 12_288);
    let mut found = [0; 1];
    for pos in [0, 4096, 8192] {
        // Through the page cache, which takes any buffer.
        let plain = fs::File::open(directory.path().join("file")).expect("there");
        plain.read_exact_at(&mut found, pos).expect("read");
        assert_eq!(found, [7], "at {pos}");
    }
}

#[test]
fn reads_fill_blocks_one_after_the_other_and_go_on_when_nobody_waits_for_them() {
    let (_directory, file) = file();
    block_on(async move {
        let mut buffer = DmaBuffer::alloc(3 * 4096);
        for (number, page) in (1u8..).zip(buffer.as_mut_slice().chunks_mut(4096)) {
            page.fill(number);
        }
        write(&file, 0, &buffer.lend()).expect("a ring").await.expect("written");
        let room = |count| (0..count).map(|_| Block::with_capacity(4096)).collect::<Vec<_>>();
        let read = |pos, blocks| read(&file, pos, blocks).expect("a ring");
        drop(read(0, room(3)));
        let (bytes, mut blocks) = read(4096, room(3)).await;
        assert_eq!(bytes.expect("read"), 2 * 4096, "to the end of the file");
        let firsts: Vec<u8> = blocks.iter_mut().map(|block| block.spare()[4095]).collect();
        assert_eq!(firsts, [2, 3, 0]);
        let (bytes, blocks) = read(1, room(1)).await;
        assert_eq!(bytes.expect_err("not aligned").raw_os_error(), Some(libc::EINVAL));
        assert_eq!(blocks.len(), 1);
    });
}
