//! What a person reads when the machine refuses what a shard needs, with the kernel refusing it.

#![allow(unsafe_code)]

use std::process::{Command, Stdio};

use ringmq_runtime::shards::{Cores, ShardsConfig, run};
use ringmq_runtime::start::{self, StartError};

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

fn start_a_shard() -> Result<(), StartError> {
    run(&ShardsConfig::new(Cores::Floating(1)), |_| async {}).map(drop)
}

fn check(test: &str, spoil: fn(), wanted: &[&str]) {
    check_that(test, spoil, start_a_shard, wanted);
}

/// Checks what `attempt` says in surroundings that are spoilt.
fn check_that(test: &str, spoil: fn(), attempt: fn() -> Result<(), StartError>, wanted: &[&str]) {
    let Some(said) = said_by_a_process(test) else {
        spoil();
        return println!("{}", attempt().expect_err("refused"));
    };
    for part in wanted {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
}

/// Goes on with the next statement if the word equals `k`, or has one of its bits.
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Where `seccomp_data` has the number of the system call.
const NUMBER_AT: u32 = 0;

/// Where it has the low word of the third argument: behind number, architecture, instruction
/// pointer and two arguments.
const THIRD_ARGUMENT_AT: u32 = 16 + 2 * 8 + if cfg!(target_endian = "big") { 4 } else { 0 };

/// One statement of a filter; a condition that is not met skips `skipped` ones.
fn statement(code: u32, skipped: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).expect("16 bits"), jt: 0, jf: skipped, k }
}

fn word(value: impl TryInto<u32>) -> u32 {
    value.try_into().ok().expect("a word")
}

/// As the seccomp profile of a container does: `io_uring_setup` fails with `errno`.
fn refuse_io_uring(errno: i32) {
    install(&mut [
        statement(LOAD_WORD, 0, NUMBER_AT),
        statement(IF_EQUAL, 1, word(libc::SYS_io_uring_setup)),
        statement(RETURN, 0, libc::SECCOMP_RET_ERRNO | word(errno)),
        statement(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ]);
}

/// As a file system without direct I/O does: to open a file with `O_DIRECT` fails with `EINVAL`.
fn refuse_direct_io() {
    install(&mut [
        statement(LOAD_WORD, 0, NUMBER_AT),
        statement(IF_EQUAL, 3, word(libc::SYS_openat)),
        statement(LOAD_WORD, 0, THIRD_ARGUMENT_AT),
        statement(IF_ANY_BIT, 1, word(libc::O_DIRECT)),
        statement(RETURN, 0, libc::SECCOMP_RET_ERRNO | word(libc::EINVAL)),
        statement(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ]);
}

/// Puts this thread, and those that it starts, under a filter of system calls.
fn install(filter: &mut [libc::sock_filter]) {
    let len = u16::try_from(filter.len()).expect("short");
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its statements outlive the call, and the kernel copies them.
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
    check(test, || refuse_io_uring(libc::ENOSYS), &["does not have it", "Linux 5.15"]);
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
fn a_directory_without_direct_io_is_named_with_file_systems_that_have_it() {
    let test = "a_directory_without_direct_io_is_named_with_file_systems_that_have_it";
    let place = env!("CARGO_TARGET_TMPDIR");
    let attempt = || start::check_directory(env!("CARGO_TARGET_TMPDIR"));
    check_that(test, refuse_direct_io, attempt, &[place, "direct I/O", "ext4", "fix: "]);
}

#[test]
fn a_usable_data_directory_passes_and_an_impossible_one_is_explained() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
    start::check_directory(directory.path().join("data")).expect("usable");
    let error = start::check_directory("/proc/data").expect_err("not there");
    assert!(error.to_string().contains("/proc/data"), "{error}");
}
