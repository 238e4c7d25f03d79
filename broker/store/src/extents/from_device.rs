//! Extents that the device reads: the memory for them, and their way into their places.

use std::ops::Range;

use ringmq_runtime::buffer::Block;

use super::extent::Extent;
use super::{EXTENT_BYTES, Extents, Place, extents_of};

impl Extents {
    /// Whether bytes of the log are extents, whole ones.
    pub(crate) fn are_whole(bytes: &Range<u64>) -> bool {
        let is_border = |byte: u64| byte.is_multiple_of(EXTENT_BYTES);
        bytes.start < bytes.end && is_border(bytes.start) && is_border(bytes.end)
    }

    /// Whether all extents that these bytes lie in are here.
    pub(crate) fn has(&self, bytes: &Range<u64>) -> bool {
        extents_of(bytes).all(|start| self.here(start).is_some())
    }

    /// Memory for these extents; `None` when answers hold too much. What their places hold of other
    /// positions makes way now and not when they are read, so that a catch-up behind hot readers
    /// fills memory that was touched before (`extents/spent.rs`).
    ///
    /// # Panics
    /// When they are not whole.
    pub(crate) fn room(&mut self, bytes: &Range<u64>) -> Option<Vec<Block>> {
        assert!(Self::are_whole(bytes), "{bytes:?} are no extents");
        let mut blocks = Vec::new();
        for start in extents_of(bytes) {
            self.cleared(start);
            match self.pool.take() {
                Some(block) => blocks.push(block),
                None => {
                    self.give_back(blocks);
                    return None;
                }
            }
        }
        Some(blocks)
    }

    /// Takes memory back that was not filled.
    pub(crate) fn give_back(&mut self, blocks: Vec<Block>) {
        blocks.into_iter().for_each(|block| self.pool.give(Some(block)));
    }

    /// Keeps extents that were read, from byte `first` of the log on. What is here stays.
    pub(crate) fn keep(&mut self, first: u64, blocks: Vec<Block>) {
        for (start, block) in (first..).step_by(EXTENT_BYTES as usize).zip(blocks) {
            assert_eq!(block.len() as u64, EXTENT_BYTES, "an extent at {start}");
            let place = self.cleared(start);
            if place.extent.is_some() {
                self.pool.give(Some(block));
            } else {
                let extent = Some(Extent::from_device(block));
                *place = Place { start, extent, ..Place::default() };
            }
        }
    }
}
