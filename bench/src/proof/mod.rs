//! The proof that what a broker acknowledged can be read: what was promised, and what is there.

pub mod journal;
pub mod read_back;
