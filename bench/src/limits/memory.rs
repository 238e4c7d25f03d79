//! What one core does with bytes in memory: copies and checksums, the two things that a broker does
//! to every byte of a message.

use std::hint::black_box;
use std::time::Duration;

use ringmq_protocol::record::crc32;
use ringmq_runtime::clock::Instant;
use serde::Serialize;

/// Bytes that the blocks are taken from: more than a core's own caches hold.
const ARENA_SIZE_BYTES: usize = 64 << 20;

/// Time of one measurement.
const MEASURED: Duration = Duration::from_millis(200);

/// Bandwidths for blocks of one size, in GB (10^9 bytes) per second of one core.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bandwidth {
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Copies from a large area into the same small place, as from sockets into a tail.
    pub copy_gb_per_s: f64,
    /// CRC-32 of blocks that were just touched, as after a copy.
    pub crc_gb_per_s: f64,
}

/// Measures blocks of `block_bytes`.
pub fn measure(block_bytes: usize) -> Bandwidth {
    let source = vec![0x5A_u8; ARENA_SIZE_BYTES];
    let mut target = vec![0_u8; block_bytes];
    let copy_gb_per_s = gb_per_s(block_bytes, |block| {
        let start = block * block_bytes % (ARENA_SIZE_BYTES - block_bytes);
        target.copy_from_slice(&source[start..start + block_bytes]);
        black_box(&mut target);
    });
    let crc_gb_per_s = gb_per_s(block_bytes, |_| {
        black_box(crc32(black_box(&source[..block_bytes])));
    });
    Bandwidth { block_bytes, copy_gb_per_s, crc_gb_per_s }
}

/// Runs `work` with the numbers 0, 1, ... until the time is over.
fn gb_per_s(block_bytes: usize, mut work: impl FnMut(usize)) -> f64 {
    /// Blocks between two looks at the clock.
    const ROUND: usize = 64;
    let started = Instant::now();
    let mut blocks = 0;
    while started.elapsed() < MEASURED {
        for _ in 0..ROUND {
            work(blocks);
            blocks += 1;
        }
    }
    (blocks * block_bytes) as f64 / started.elapsed().as_secs_f64() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths_are_positive_and_finite() {
        let bandwidth = measure(4096);
        for value in [bandwidth.copy_gb_per_s, bandwidth.crc_gb_per_s] {
            assert!(value > 0.001 && value < 10_000.0, "{bandwidth:?}");
        }
    }
}
