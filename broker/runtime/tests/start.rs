//! What a person reads when the machine refuses what a shard needs, with the kernel refusing it.

#![allow(unsafe_code)]

use std::process::{Command, Stdio};

use ringmq_runtime::shards::{Cores, ShardsConfig, run};
use ringmq_runtime::start;

/// Runs one test of this file again in a process of its own, which spoils its surroundings before
/// it starts a shard; its standard output.
fn said_by_a_process(test: &str) -> Option<String> {
    if std::env::var_os("RINGMQ_CHILD").is_some() {
        return None;
    }
    let output = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", test, "--nocapture"])
        .env("RINGMQ_CHILD", "1")
        .stderr(Stdio::inherit())
        .output()
        .expect("started");
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

fn say_why_no_shard_starts() {
    let error = run(&ShardsConfig::new(Cores::Floating(1)), |_| async {}).expect_err("refused");
    println!("{error}");
}

fn check(test: &str, spoil: fn(), wanted: &[&str]) {
    let Some(said) = said_by_a_process(test) else {
        spoil();
        return say_why_no_shard_starts();
    };
    for part in wanted {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
}

/// As the seccomp profile of a container does: `io_uring_setup` fails with `errno`.
fn refuse_io_uring(errno: i32) {
    let statement = |code: u32, jump_if_false: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).expect("16 bits"),
        jt: 0,
        jf: jump_if_false,
        k,
    };
    let number = u32::try_from(libc::SYS_io_uring_setup).expect("small");
    let errno = u32::try_from(errno).expect("positive");
    let mut filter = [
        // The number of the system call is the first word of `seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, number),
        statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | errno),
        statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its four statements outlive the call, and the kernel copies them.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(installed, "{}", std::io::Error::last_os_error());
}

fn limit(resource: libc::__rlimit_resource_t, most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` is readable for the call.
    let set = unsafe { libc::setrlimit(resource, &raw const limit) };
    assert!(set == 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_profile_that_forbids_io_uring_is_named_with_the_calls_to_allow() {
    let test = "a_profile_that_forbids_io_uring_is_named_with_the_calls_to_allow";
    check(test, || refuse_io_uring(libc::EPERM), &["io_uring is not available", "io_uring_enter"]);
}

#[test]
fn a_kernel_without_io_uring_is_named_with_its_release() {
    let test = "a_kernel_without_io_uring_is_named_with_its_release";
    check(test, || refuse_io_uring(libc::ENOSYS), &["does not have it", "Linux 5.8"]);
}

#[test]
fn a_small_limit_of_locked_memory_is_named_with_the_ways_to_raise_it() {
    let test = "a_small_limit_of_locked_memory_is_named_with_the_ways_to_raise_it";
    let spoil = || limit(libc::RLIMIT_MEMLOCK, 64 << 10);
    check(test, spoil, &["65536 bytes", "ulimit -l unlimited", "--ulimit memlock=-1"]);
}

#[test]
fn too_few_open_files_are_named_with_the_limit_to_raise() {
    let test = "too_few_open_files_are_named_with_the_limit_to_raise";
    // Standard input, output, error, and what the test harness holds.
    check(test, || limit(libc::RLIMIT_NOFILE, 6), &["ulimit -n"]);
}

#[test]
fn a_usable_data_directory_passes_and_an_impossible_one_is_explained() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
    start::check_directory(directory.path().join("data")).expect("usable");
    let error = start::check_directory("/proc/data").expect_err("not there");
    assert!(error.to_string().contains("/proc/data"), "{error}");
}
