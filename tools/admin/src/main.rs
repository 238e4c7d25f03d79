//! mqadmin: cluster administration on the command line.

fn main() {}
