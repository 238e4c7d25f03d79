//! Developer tasks: check, tidy, golden, compat.

fn main() {}
