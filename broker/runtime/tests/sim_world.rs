//! Time, order and repeatability of the simulated world.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::{Instant, unix_ms};
use ringmq_runtime::sim::World;
use ringmq_runtime::{random, task};

/// What a few tasks that race with each other do, in order.
fn race(seed: u64) -> Vec<(u32, u64)> {
    let world = World::new(seed);
    let log = Rc::new(RefCell::new(Vec::new()));
    world.run(async {
        let racers: Vec<_> = (0..5)
            .map(|racer| {
                let log = log.clone();
                task::spawn("racer", async move {
                    for _ in 0..5 {
                        task::sleep(Duration::from_micros(random::seed_u64() % 3)).await;
                        log.borrow_mut().push((racer, Instant::now().as_nanos()));
                    }
                })
            })
            .collect();
        for racer in racers {
            racer.await;
        }
    });
    log.take()
}

#[test]
fn a_seed_repeats_its_course_and_another_one_does_not() {
    assert_eq!(race(1), race(1));
    assert_ne!(race(1), race(2));
}

#[test]
fn waiting_takes_virtual_time_only() {
    let world = World::new(1);
    world.run(async {
        let (start, start_ms) = (Instant::now(), unix_ms());
        task::sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(start.elapsed().as_secs(), 24 * 3600);
        assert_eq!((unix_ms() - start_ms) / 1000, 24 * 3600);
        let slow = task::timeout(Duration::from_secs(5), std::future::pending::<()>()).await;
        assert_eq!(slow, Err(task::Elapsed));
    });
    assert_eq!(world.age().as_secs(), 24 * 3600 + 5);
}

#[test]
fn the_wall_clock_jumps_without_the_monotonic_one() {
    let world = World::new(1);
    world.run(async {
        let (start, start_ms) = (Instant::now(), unix_ms());
        world.step_wall_clock(-3_600_000);
        assert!(unix_ms() - start_ms < -3_599_000);
        assert!(start.elapsed().as_secs() == 0);
    });
}

#[test]
fn maps_iterate_in_an_order_that_follows_from_the_seed() {
    let order = |seed| {
        World::new(seed).run(async {
            let mut map = random::HashMap::<i32, ()>::default();
            map.extend((0..100).map(|key| (key, ())));
            map.into_keys().collect::<Vec<i32>>()
        })
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
fn a_busy_loop_that_waits_for_time_ends() {
    World::new(1).run(async {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(100) {
            task::yield_if_needed().await;
        }
    });
}

#[test]
fn tasks_go_on_in_the_next_run() {
    let world = World::new(1);
    let mut task = None;
    world.run(async {
        task = Some(task::spawn("slow", async {
            task::sleep(Duration::from_secs(1)).await;
            7
        }));
    });
    assert_eq!(world.run(task.expect("spawned")), 7);
}

#[test]
fn the_end_of_a_world_drops_its_tasks() {
    let world = World::new(1);
    let held = Rc::new(());
    let kept = held.clone();
    world.run(async {
        task::spawn("sleeper", async move {
            let _kept = kept;
            task::sleep(Duration::from_secs(1)).await;
        })
        .detach();
        task::sleep(Duration::from_millis(1)).await;
    });
    assert_eq!(Rc::strong_count(&held), 2);
    drop(world);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn a_task_that_holds_its_world_does_not_keep_it() {
    let world = World::new(1);
    let held = Rc::new(());
    world.run(async {
        let kept = (world.clone(), world.disk(1), held.clone());
        let forever = async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        };
        world.spawn_on(1, "keeper", forever).detach();
        task::yield_now().await;
    });
    let clone = world.clone();
    drop(clone);
    assert_eq!(Rc::strong_count(&held), 2, "the end of a clone is none of the world");
    drop(world);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_world_in_which_nothing_can_happen_is_reported() {
    World::new(1).run(std::future::pending::<()>());
}

#[test]
#[should_panic(expected = "the bug")]
fn a_panic_of_a_task_comes_out() {
    World::new(1).run(async {
        task::spawn("faulty", async { panic!("the bug") }).detach();
        task::sleep(Duration::from_secs(1)).await;
    });
}
