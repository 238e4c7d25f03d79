//! What a crash of a simulated machine leaves of its disk.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::disk::{Access, Disk};
use ringmq_runtime::sim::{Chance, DiskFaults, World};
use ringmq_runtime::task;

const SECTOR: usize = 512;

fn filled(sectors: usize, value: u8) -> DmaBuffer {
    let mut buffer = DmaBuffer::alloc(sectors * SECTOR);
    buffer.as_mut_slice().fill(value);
    buffer
}

/// First byte of each sector, after checking that no sector is mixed.
fn sectors(bytes: &[u8]) -> Vec<u8> {
    let whole = |sector: &[u8]| {
        assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn inside");
        sector[0]
    };
    bytes.chunks(SECTOR).map(whole).collect()
}

async fn contents(disk: &Disk) -> Vec<u8> {
    sectors(&disk.read_all("log", 1 << 20).await.expect("log"))
}

#[test]
fn synced_writes_survive_and_unsynced_ones_may_not() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..300 {
        let world = World::new(seed);
        let disk = world.disk(0);
        world.run(async {
            disk.create_zeroed("log", 4 * 512).await.expect("create");
            let file = disk.open("log", Access::ReadWrite).await.expect("open");
            file.write_at(0, filled(2, 1)).await.expect("write");
            file.sync_data().await.expect("sync");
            file.write_at(512, filled(3, 2)).await.expect("write");
        });
        world.crash(0);
        let left = world.run(contents(&disk));
        assert_eq!(left.len(), 4, "seed {seed}");
        assert_eq!(left[0], 1, "seed {seed}");
        assert!([1, 2].contains(&left[1]) && [0, 2].contains(&left[2]), "seed {seed}: {left:?}");
        outcomes.insert(left);
    }
    assert_eq!(outcomes.len(), 8, "every combination of three sectors comes up: {outcomes:?}");
}

#[test]
fn a_kernel_crash_takes_unsynced_growth_and_no_completed_write_below_it() {
    for seed in 0..50 {
        let world = World::new(seed);
        let disk = world.disk(0);
        world.run(async {
            disk.create_zeroed("log", 2 * 512).await.expect("create");
            let file = disk.open("log", Access::ReadWrite).await.expect("open");
            file.write_at(512, filled(2, 1)).await.expect("write");
        });
        world.crash_kernel(0);
        assert_eq!(world.run(contents(&disk)), [0, 1], "seed {seed}");
        world.run(async {
            let file = disk.open("log", Access::ReadWrite).await.expect("open");
            file.write_at(1024, filled(1, 2)).await.expect("write");
            file.sync_data().await.expect("sync");
        });
        world.crash_kernel(0);
        assert_eq!(world.run(contents(&disk)), [0, 1, 2], "seed {seed}");
    }
}

#[test]
fn older_versions_of_a_sector_come_back_too() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let world = World::new(seed);
        let disk = world.disk(0);
        world.run(async {
            disk.create_zeroed("log", 512).await.expect("create");
            let file = disk.open("log", Access::ReadWrite).await.expect("open");
            for value in 1..=3 {
                file.write_at(0, filled(1, value)).await.expect("write");
            }
        });
        world.crash(0);
        outcomes.extend(world.run(contents(&disk)));
    }
    assert_eq!(outcomes, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn a_sync_covers_only_writes_that_were_completed_before_it() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..300 {
        let world = World::new(seed);
        let disk = world.disk(0);
        world.run(async {
            disk.create_zeroed("log", 2 * 512).await.expect("create");
            let file = disk.open("log", Access::ReadWrite).await.expect("open");
            file.write_at(0, filled(1, 1)).await.expect("write");
            let sync = async { file.sync_data().await.expect("sync") };
            let write = async { file.write_at(512, filled(1, 2)).await.expect("write") };
            futures_lite::future::zip(sync, write).await;
        });
        world.crash(0);
        let left = world.run(contents(&disk));
        assert_eq!(left[0], 1, "seed {seed}");
        outcomes.insert(left[1]);
    }
    assert_eq!(outcomes, BTreeSet::from([0, 2]));
}

#[test]
fn a_killed_process_loses_no_completed_write() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let world = World::new(seed);
        let disk = world.disk(0);
        world.run(async {
            disk.create_zeroed("log", 3 * 512).await.expect("create");
            let file = disk.open("log", Access::ReadWrite).await.expect("open");
            file.write_at(0, filled(1, 1)).await.expect("write");
            task::spawn("writer", async move {
                let _ = file.write_at(512, filled(2, 2)).await;
                panic!("the write had no time to end");
            })
            .detach();
            for _ in 0..2 {
                task::yield_now().await;
            }
        });
        world.kill(0);
        let left = world.run(contents(&disk));
        assert_eq!(left[0], 1, "seed {seed}");
        outcomes.insert(left[1..].to_vec());
    }
    assert_eq!(outcomes.len(), 4, "writes on their way happen, or not, or in part: {outcomes:?}");
}

#[test]
fn names_are_lost_until_their_directory_is_synced() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..300 {
        let world = World::new(seed);
        let disk = world.disk(0);
        let names = world.run(async {
            disk.replace("a", b"kept").await.expect("create");
            disk.rename("a", "b").await.expect("rename");
            disk.replace("other", b"").await.expect("syncs the directory");
            disk.rename("b", "c").await.expect("rename");
            disk.remove_file("other").await.expect("remove");
            disk.clone()
        });
        world.crash(0);
        let names = world.run(async {
            let names = names.list("").await.expect("list");
            let file = if names.iter().any(|entry| entry.name == "b") { "b" } else { "c" };
            assert_eq!(disk.read_all(file, 10).await.expect("one of them"), b"kept");
            names.into_iter().map(|entry| entry.name).collect::<Vec<_>>().join(" ")
        });
        outcomes.insert(names);
    }
    assert_eq!(outcomes, ["b other", "c", "c other"].map(str::to_owned).into());
}

#[test]
fn replaced_contents_are_old_or_new_whenever_the_power_fails() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..300 {
        let world = World::new(seed);
        let disk = world.disk(1);
        world.run(async {
            let (ready, begun) = (Rc::new(RefCell::new(false)), disk.clone());
            let flag = ready.clone();
            let writer = world.spawn_on(1, "writer", async move {
                begun.replace("state", &[1; 2000]).await.expect("first");
                *flag.borrow_mut() = true;
                begun.replace("state", &[2; 3000]).await.expect("second");
            });
            while !*ready.borrow() {
                task::yield_now().await;
            }
            let microseconds = world.sequence().below(900);
            task::sleep(Duration::from_micros(microseconds)).await;
            world.crash(1);
            let state = disk.read_all("state", 1 << 20).await.expect("there");
            assert!(state == [1; 2000] || state == [2; 3000], "seed {seed}: {} bytes", state.len());
            assert!(writer.is_finished());
            outcomes.insert(state[0]);
        });
    }
    assert_eq!(outcomes, BTreeSet::from([1, 2]));
}

#[test]
fn a_replacement_that_fails_leaves_its_space_free() {
    let world = World::new(1);
    let disk = world.disk(0);
    let fail = |change: fn(&mut DiskFaults)| world.disk_faults(0, change);
    world.run(async {
        fail(|faults| faults.capacity_bytes = 10_000);
        disk.replace("state", &[1; 1000]).await.expect("room");
        for cause in [
            (|faults| faults.fail_next_write = true) as fn(&mut DiskFaults),
            |faults| faults.fail_next_sync = true,
            |faults| faults.capacity_bytes = 5000,
        ] {
            fail(cause);
            disk.replace("state", vec![2; 6000]).await.expect_err("a fault");
            fail(|faults| faults.capacity_bytes = 10_000);
            assert_eq!(disk.free_space().await.expect("known").available, 9000);
            assert_eq!(disk.list("").await.expect("list").len(), 1);
            assert_eq!(disk.read_all("state", 1000).await.expect("read"), [1; 1000]);
        }
    });
}

#[test]
fn zeroed_files_are_there_as_a_whole_or_not_at_all() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let world = World::new(seed);
        let disk = world.disk(1);
        world.run(async {
            let creating = disk.clone();
            let creator = world.spawn_on(1, "creator", async move {
                creating.create_zeroed("log", 1 << 14).await
            });
            task::sleep(Duration::from_micros(world.sequence().below(1500))).await;
            world.crash(1);
            let found = disk.exists("log").await.expect("exists");
            if found {
                assert_eq!(disk.read_all("log", 1 << 20).await.expect("log"), [0; 1 << 14]);
            }
            outcomes.insert(found);
            drop(creator);
        });
    }
    assert_eq!(outcomes, BTreeSet::from([false, true]));
}

#[test]
fn a_crash_drops_the_tasks_and_locks_of_its_node_only() {
    let world = World::new(1);
    let (here, there) = (world.disk(1), world.disk(2));
    world.run(async {
        let tasks: Vec<_> = [(1, here.clone()), (2, there.clone())]
            .into_iter()
            .map(|(node, disk)| {
                let (sender, receiver) = ringmq_runtime::sync::oneshot();
                world
                    .spawn_on(node, "holder", async move {
                        let lock = disk.lock("lock").await.expect("free");
                        // A child belongs to the node of its parent.
                        task::spawn("child", async move {
                            let _lock = lock;
                            task::sleep(Duration::from_secs(1)).await;
                            let _ = sender.send(());
                        })
                        .await;
                    })
                    .detach();
                receiver
            })
            .collect();
        task::sleep(Duration::from_millis(500)).await;
        world.crash(1);
        let _lock = here.lock("lock").await.expect("its holder is dead");
        assert!(there.lock("lock").await.is_err(), "its holder lives");
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.is_ok());
        }
        assert_eq!(outcomes, [false, true]);
    });
}

#[test]
fn a_failed_sync_loses_data_even_if_the_next_one_succeeds() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..50 {
        let world = World::new(seed);
        let disk = world.disk(0);
        world.run(async {
            disk.create_zeroed("log", 512).await.expect("create");
            let file = disk.open("log", Access::ReadWrite).await.expect("open");
            file.write_at(0, filled(1, 1)).await.expect("write");
            world.disk_faults(0, |faults| faults.fail_next_sync = true);
            file.sync_data().await.expect_err("injected");
            file.sync_data().await.expect("claims success");
            assert_eq!(contents(&disk).await, [1], "reads still show it");
        });
        world.crash(0);
        outcomes.extend(world.run(contents(&disk)));
    }
    assert_eq!(outcomes, BTreeSet::from([0, 1]));
}

#[test]
fn faults_happen_as_often_as_asked() {
    let world = World::new(3);
    let disk = world.disk(0);
    world.run(async {
        disk.create_zeroed("log", 512).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        world.disk_faults(0, |faults| faults.write_error = Chance::per_mille(500));
        let mut failed = 0;
        for _ in 0..200 {
            failed += u32::from(file.write_at(0, filled(1, 1)).await.is_err());
        }
        assert!((70..130).contains(&failed), "{failed} of 200");
        world.disk_faults(0, |faults| {
            faults.write_error = Chance::NEVER;
            faults.read_error = Chance::ALWAYS;
            faults.capacity_bytes = 1000;
        });
        file.write_at(0, filled(1, 1)).await.expect("healthy again");
        file.read_at(0, 1).await.expect_err("injected");
        let full = disk.create_zeroed("more", 512).await.expect_err("no space");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    });
}

#[test]
fn a_read_that_the_device_gives_in_parts_ends_where_the_file_does() {
    let world = World::new(5);
    let disk = world.disk(0);
    world.run(async {
        disk.create_zeroed("log", 4 * 512).await.expect("create");
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        for place in 0..4 {
            let sector = filled(1, place + 1);
            file.write_at(u64::from(place) * 512, sector).await.expect("write");
        }
        for read_bytes_max in [1, 511, 512, 700, 2047] {
            world.disk_faults(0, |faults| faults.read_bytes_max = read_bytes_max);
            let all = file.read_at(0, 4 * 512).await.expect("read");
            assert_eq!(sectors(&all), [1, 2, 3, 4], "{read_bytes_max} bytes a read");
            let end = file.read_at(2 * 512, 4 * 512).await.expect("read");
            assert_eq!(sectors(&end), [3, 4], "{read_bytes_max} bytes a read");
        }
    });
}

#[test]
fn a_device_that_gives_nothing_of_what_a_file_has_is_no_end_of_the_file() {
    let world = World::new(5);
    let disk = world.disk(0);
    world.run(async {
        disk.create_zeroed("log", 2 * 512).await.expect("create");
        let file = disk.open("log", Access::Read).await.expect("open");
        world.disk_faults(0, |faults| faults.read_bytes_max = 0);
        let refused = file.read_at(512, 512).await.expect_err("the file goes on");
        assert_eq!(refused.kind(), std::io::ErrorKind::UnexpectedEof, "{refused}");
        assert!(file.read_at(2 * 512, 512).await.expect("its end").is_empty());
    });
}

#[test]
fn a_flipped_bit_stays_flipped() {
    let world = World::new(4);
    let disk = world.disk(0);
    world.run(async {
        disk.replace("log", &[0; 1000]).await.expect("create");
        world.flip_bit(0, "log", 700, 3);
        assert_eq!(disk.read_all("log", 1000).await.expect("read")[700], 8);
    });
    world.crash(0);
    let byte = world.run(async { disk.read_all("log", 1000).await.expect("read")[700] });
    assert_eq!(byte, 8);
}

#[test]
fn a_bad_sector_fails_the_reads_that_touch_it_until_it_is_written_again() {
    let world = World::new(1);
    let disk = world.disk(0);
    let can_read = async |pos: u64, len: usize| {
        let file = disk.open("log", Access::Read).await.expect("open");
        file.read_at(pos, len).await.is_ok()
    };
    world.run(async {
        disk.create_zeroed("log", 8192).await.expect("create");
        world.make_unreadable(0, "log", 1030, 1);
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        file.sync_data().await.expect("sync");
    });
    world.crash(0);
    world.run(async {
        for (pos, len, is_readable) in
            [(0, 1024, true), (0, 1025, false), (1535, 1, false), (1536, 9000, true)]
        {
            assert_eq!(can_read(pos, len).await, is_readable, "{len} bytes at {pos}");
        }
        assert!(disk.read_all("log", 1 << 20).await.is_err());
        let file = disk.open("log", Access::ReadWrite).await.expect("open");
        assert!(file.bring_into_cache(0, 8192).await.is_err());
        file.write_at(1024, filled(1, 1)).await.expect("write");
        assert!(can_read(0, 8192).await);
    });
}
