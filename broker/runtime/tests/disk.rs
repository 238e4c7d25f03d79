//! Files and directories, in both worlds.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_lite::future::poll_once;
use ringmq_runtime::buffer::{Block, DmaBuffer};
use ringmq_runtime::disk::{Access, Disk, File};
use ringmq_runtime::shards::block_on;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

/// A directory on the workspace's file system, since `/tmp` may have no direct I/O.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary directory")
}

/// Runs a test on a real disk, and on simulated ones.
fn on_disk<F: Future<Output = ()>>(test: impl Fn(Disk) -> F) {
    on_live_disk(|disk, _| test(disk));
    for seed in 0..5 {
        let world = World::new(seed);
        world.run(test(world.disk(0)));
    }
}

fn on_live_disk<F: Future<Output = ()>>(test: impl FnOnce(Disk, PathBuf) -> F) {
    let directory = directory();
    let disk = Disk::live(directory.path()).expect("absolute path");
    block_on(test(disk, directory.path().to_owned()));
}

fn patterned(len: usize) -> DmaBuffer {
    let mut buffer = DmaBuffer::alloc(len);
    for (index, byte) in buffer.as_mut_slice().iter_mut().enumerate() {
        *byte = u8::try_from(index % 251).expect("below 251");
    }
    buffer
}

#[test]
fn written_bytes_are_read_back_at_any_alignment() {
    on_disk(|disk| async move {
        disk.create_zeroed("log", 64 << 10).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        let sector = file.sector_size_bytes();
        assert!(sector.is_power_of_two() && sector <= 4096, "sector {sector}");

        let buffer = file.write_at(4096, patterned(8192)).await.expect("write");
        file.sync_data().await.expect("sync");
        let read = file.read_at(4096 + 100, 5000).await.expect("read");
        assert_eq!(&*read, &buffer.as_slice()[100..5100]);
        let before = file.read_at(0, 4096).await.expect("read");
        assert!(before.iter().all(|byte| *byte == 0));
    });
}

#[test]
fn a_buffer_comes_back_for_reuse() {
    on_disk(|disk| async move {
        disk.create_zeroed("log", 16 << 10).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        let mut buffer = patterned(4096);
        for round in 0..4u8 {
            buffer.as_mut_slice().fill(round);
            buffer = file.write_at(u64::from(round) * 4096, buffer).await.expect("write");
        }
        let read = file.read_at(2 * 4096, 4096).await.expect("read");
        assert!(read.iter().all(|byte| *byte == 2));
    });
}

#[test]
fn a_dropped_write_leaves_its_buffer_alone() {
    on_disk(|disk| async move {
        disk.create_zeroed("log", 1 << 20).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        for _ in 0..20 {
            let mut write = Box::pin(file.write_at(0, patterned(1 << 20)));
            assert!(futures_lite::future::poll_once(write.as_mut()).await.is_none());
        }
        file.write_at(0, patterned(1 << 20)).await.expect("write");
        let read = file.read_at(0, 1 << 20).await.expect("read");
        assert_eq!(&*read, patterned(1 << 20).as_slice());
    });
}

#[test]
fn a_durable_write_gives_its_buffer_back_even_when_others_were_abandoned() {
    on_disk(|disk| async move {
        disk.create_zeroed("log", 64 << 10).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        for _ in 0..5 {
            let mut write = Box::pin(file.write_and_sync(0, patterned(8192)));
            let _ = futures_lite::future::poll_once(write.as_mut()).await;
        }
        let mut buffer = patterned(4096);
        for round in 0..3u8 {
            buffer.as_mut_slice().fill(round);
            buffer = file.write_and_sync(32 << 10, buffer).await.expect("write");
        }
        let read = file.read_at(32 << 10, 4096).await.expect("read");
        assert!(read.iter().all(|byte| *byte == 2));
        let error = file.write_and_sync(100, buffer).await.expect_err("off the sector");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn reads_end_with_the_file() {
    on_disk(|disk| async move {
        disk.create_zeroed("odd", 5000).await.expect("create");
        let file = disk.open("odd", Access::Read).await.expect("open");
        assert_eq!(file.len().expect("length"), 5000);
        assert_eq!(file.read_at(4990, 100).await.expect("read").len(), 10);
        assert_eq!(file.read_at(4000, 100).await.expect("read").len(), 100);
        assert_eq!(file.read_at(5000, 100).await.expect("read").len(), 0);
        assert_eq!(file.read_at(1 << 30, 100).await.expect("read").len(), 0);
    });
}

#[test]
fn unaligned_writes_are_refused() {
    on_disk(|disk| async move {
        disk.create_zeroed("log", 16 << 10).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        let error = file.write_at(100, patterned(4096)).await.expect_err("off the sector");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn zeroed_files_are_whole_real_and_named_last() {
    use std::os::unix::fs::MetadataExt;
    on_live_disk(|disk, root| async move {
        disk.create_dir_all("a/b").await.expect("directories");
        disk.create_zeroed("a/b/segment", (1 << 20) + 512).await.expect("create");
        let contents = std::fs::read(root.join("a/b/segment")).expect("contents");
        assert_eq!(contents.len(), (1 << 20) + 512);
        assert!(contents.iter().all(|byte| *byte == 0));
        let blocks = std::fs::metadata(root.join("a/b/segment")).expect("metadata").blocks();
        assert!(blocks * 512 >= 1 << 20, "{blocks} blocks are allocated");
        let names: Vec<_> = disk.list("a/b").await.expect("list");
        assert_eq!(names.len(), 1, "{names:?}");
    });
}

#[test]
fn a_zeroed_file_never_takes_the_place_of_another() {
    on_disk(|disk| async move {
        disk.replace("log", b"precious").await.expect("create");
        let error = disk.create_zeroed("log", 4096).await.expect_err("there is one");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(disk.read_all("log", 100).await.expect("read"), b"precious");
    });
}

#[test]
fn an_abandoned_zeroed_file_goes_away() {
    on_live_disk(|disk, root| async move {
        {
            let mut create = Box::pin(disk.create_zeroed("big", 1 << 30));
            assert!(futures_lite::future::poll_once(create.as_mut()).await.is_none());
        }
        assert_eq!(std::fs::read_dir(&root).expect("list").count(), 0);
    });
}

#[test]
fn a_file_grows_by_zeros_at_the_rate_that_is_asked_for() {
    on_disk(|disk| async move {
        disk.create_zeroed("log", 4096).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        file.write_at(0, patterned(4096)).await.expect("write");
        let start = ringmq_runtime::clock::Instant::now();
        file.fill_zeros(4096, (1 << 20) + 4096, 5 << 20).await.expect("grow");
        assert!(start.elapsed().as_millis() >= 190, "1 MiB at 5 MiB/s took {:?}", start.elapsed());
        assert_eq!(file.len().expect("length"), (1 << 20) + 4096);
        let read = file.read_at(0, 2 << 20).await.expect("read");
        assert_eq!(&read[..4096], patterned(4096).as_slice());
        assert!(read.len() == (1 << 20) + 4096 && read[4096..].iter().all(|byte| *byte == 0));
        let error = file.fill_zeros(100, 8192, 0).await.expect_err("off the page");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn an_abandoned_growth_writes_nothing_afterwards() {
    on_live_disk(|disk, root| async move {
        disk.create_zeroed("log", 4096).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        {
            // One chunk and then a pause of a minute.
            let mut grow = Box::pin(file.fill_zeros(4096, 1 << 30, 2 << 10));
            assert!(futures_lite::future::poll_once(grow.as_mut()).await.is_none());
        }
        let length = std::fs::metadata(root.join("log")).expect("metadata").len();
        // Its thread had no time yet, or has begun with the length.
        assert!([4096, 1 << 30].contains(&length), "{length}");
        // More than a chunk: what it still wrote would lie in it, or behind it.
        file.write_at(4096, patterned(1 << 20)).await.expect("write");
        let read = file.read_at(4096, 1 << 20).await.expect("read");
        assert_eq!(&*read, patterned(1 << 20).as_slice());
    });
}

/// Reads through the page cache, which may lose what it was given at any moment.
async fn read_through_cache(file: &File, pos: u64, len: usize) -> Vec<u8> {
    const ATTEMPTS_MAX: usize = 100;
    let mut out = vec![0; len];
    for _ in 0..ATTEMPTS_MAX {
        file.bring_into_cache(pos, len).await.expect("a healthy device");
        if file.read_cached(pos, &mut out) {
            return out;
        }
    }
    panic!("{len} bytes at {pos} were never in the page cache");
}

#[test]
fn the_page_cache_has_what_was_brought_there_and_what_was_written_since() {
    on_disk(|disk| async move {
        disk.create_zeroed("log", 1 << 20).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        assert_eq!(read_through_cache(&file, 100, 9000).await, [0; 9000]);
        file.write_at(4096, patterned(8192)).await.expect("write");
        let read = read_through_cache(&file, 4000, 5000).await;
        assert_eq!((&read[..96], &read[96..]), (&[0; 96][..], &patterned(8192).as_slice()[..4904]));
        file.bring_into_cache((1 << 20) - 10, 20).await.expect("as far as the file goes");
        assert!(!file.read_cached((1 << 20) - 10, &mut [0; 20]), "behind the end");
    });
}

#[test]
fn a_file_is_read_into_the_free_parts_of_blocks_or_not_at_all() {
    on_disk(|disk| async move {
        disk.create_zeroed("log", 16 << 10).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        file.write_at(4096, patterned(12 << 10)).await.expect("write");
        let room = || vec![Block::with_capacity(4096), Block::with_capacity(8192)];
        let (read, blocks) = file.read_into(4096, room()).await;
        read.expect("read");
        let read: Vec<u8> = blocks.iter().flat_map(|block| block.as_slice().to_vec()).collect();
        assert!(read == patterned(12 << 10).as_slice());
        for (pos, refused) in [(8192, ErrorKind::UnexpectedEof), (100, ErrorKind::InvalidInput)] {
            let (read, mut blocks) = file.read_into(pos, room()).await;
            assert_eq!(read.expect_err("behind the end, off the sector").kind(), refused);
            let free: Vec<usize> = blocks.iter_mut().map(|block| block.spare().len()).collect();
            assert_eq!(free, [4096, 8192], "they come back as they were");
        }
    });
}

#[test]
fn replace_changes_contents_at_once_and_leaves_nothing_behind() {
    on_disk(|disk| async move {
        disk.replace("meta", b"one").await.expect("create");
        disk.replace("meta", b"second").await.expect("replace");
        assert_eq!(disk.read_all("meta", 6).await.expect("read"), b"second");
        let error = disk.read_all("meta", 5).await.expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert_eq!(disk.list("").await.expect("list").len(), 1);
    });
}

#[test]
fn a_replacement_that_fails_leaves_nothing_behind() {
    on_disk(|disk| async move {
        disk.create_dir_all("taken").await.expect("create");
        disk.replace("taken", vec![7; 100_000]).await.expect_err("it is a directory");
        let names = disk.list("").await.expect("list");
        assert_eq!(names.len(), 1, "{names:?}");
    });
}

/// Whoever opens one of these pipes waits until the other end is opened too.
fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

#[test]
fn flushes_do_not_wait_for_files_that_are_read_or_replaced_whole() {
    on_live_disk(|disk, directory| async move {
        disk.replace("log", vec![0; 4096]).await.expect("create");
        let log = disk.open("log", Access::ReadWrite).await.expect("open");
        let slow = ["one", "two", "three.tmp"].map(|name| directory.join(name));
        slow.iter().for_each(|path| make_pipe(path));
        let mut reads = ["one", "two"].map(|name| Box::pin(disk.read_all(name, 10)));
        for read in &mut reads {
            assert!(poll_once(read).await.is_none());
        }
        let mut replacing = Box::pin(disk.replace("three", b"3"));
        assert!(poll_once(&mut replacing).await.is_none());
        let flush = log.write_and_sync(0, patterned(4096));
        task::timeout(Duration::from_secs(10), flush).await.expect("in time").expect("flush");
        drop(replacing);
        // Ends the three pieces of work, in their order.
        for (path, read) in slow.iter().zip(reads) {
            drop(fs::File::options().write(true).open(path).expect("the other end"));
            assert_eq!(read.await.expect("read"), b"");
        }
        drop(fs::File::open(&slow[2]).expect("the other end"));
    });
}

#[test]
fn names_come_and_go() {
    on_disk(|disk| async move {
        disk.replace("b", b"22").await.expect("create");
        disk.replace("a", b"1").await.expect("create");
        disk.create_dir_all("c").await.expect("create");
        let listed = disk.list(".").await.expect("list");
        let seen: Vec<_> = listed.iter().map(|e| (e.name.as_str(), e.len, e.is_dir)).collect();
        assert_eq!(seen, [("a", 1, false), ("b", 2, false), ("c", 0, true)]);

        disk.rename("a", "c/a").await.expect("rename");
        disk.sync_dir("c").await.expect("sync");
        disk.remove_file("b").await.expect("remove");
        assert!(disk.exists("c/a").await.expect("exists"));
        assert!(!disk.exists("b").await.expect("exists"));
        let error = disk.open("b", Access::Read).await.expect_err("gone");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(disk.list("x").await.expect_err("none").kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_lock_excludes_others_until_dropped() {
    on_disk(|disk| async move {
        let lock = disk.lock("lock").await.expect("lock");
        let error = disk.lock("lock").await.expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(lock);
        let _again = disk.lock("lock").await.expect("free again");
    });
}

#[test]
fn free_space_is_plausible() {
    on_disk(|disk| async move {
        let space = disk.free_space().await.expect("space");
        assert!(space.available > 0 && space.available <= space.total);
    });
}

#[test]
fn a_removed_file_gives_back_its_space_unless_it_has_another_name() {
    on_live_disk(|disk, root| async move {
        let backup = root.join("backup");
        let mut lens = Vec::new();
        for is_linked in [false, true] {
            disk.create_zeroed("file", 8192).await.expect("made");
            let file = disk.open("file", Access::ReadWrite).await.expect("opened");
            if is_linked {
                std::fs::hard_link(root.join("file"), &backup).expect("linked");
            }
            disk.remove_file("file").await.expect("removed");
            file.give_back_space().await.expect("done");
            lens.push(file.len().expect("told"));
        }
        assert_eq!(lens, [0, 8192]);
        assert_eq!(std::fs::metadata(&backup).expect("there").len(), 8192);
    });
}
