//! Words for people, on standard output and standard error. The macros of the standard library
//! panic where nobody reads any more, as behind `2>&1 | head`; these end the run instead, as a
//! signal does. They also write what they are given at once: the broker that bench starts has the
//! same standard error, and its log would stand in the middle of a line that comes in pieces.

use std::fmt::Arguments;
use std::io::{self, Write};

use crate::stop;

macro_rules! println {
    () => { $crate::say::to_output(format_args!("\n")) };
    ($($words:tt)*) => { $crate::say::to_output(format_args!("{}\n", format_args!($($words)*))) };
}

macro_rules! eprint {
    ($($words:tt)*) => { $crate::say::to_errors(format_args!($($words)*)) };
}

macro_rules! eprintln {
    ($($words:tt)*) => { $crate::say::to_errors(format_args!("{}\n", format_args!($($words)*))) };
}

/// Prints on standard output.
pub fn to_output(words: Arguments<'_>) {
    heed(io::stdout().write_all(words.to_string().as_bytes()));
}

/// Prints on standard error.
pub fn to_errors(words: Arguments<'_>) {
    heed(io::stderr().write_all(words.to_string().as_bytes()));
}

fn heed(written: io::Result<()>) {
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        stop::nobody_reads();
    }
}
