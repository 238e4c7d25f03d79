//! Random numbers of the kernel.

#![allow(unsafe_code)]

use std::io;

/// A random number from the kernel.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer holds the 8 bytes asked for. So few come whole and without waiting.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    assert!(got == 8, "getrandom: {}", io::Error::last_os_error());
    u64::from_ne_bytes(bytes)
}
