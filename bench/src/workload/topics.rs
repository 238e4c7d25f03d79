//! Which topic a message goes to.

use rand::rngs::SmallRng;
use rand_distr::{Distribution, Uniform, Zipf};

/// How messages are spread over the topics of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// Every topic is as likely as any other.
    Uniform,
    /// Topic number *k* (from 1) has a share proportional to `1 / k^s`: few hot ones, a long tail.
    Zipf(f64),
}

/// Draws topics.
#[derive(Clone, Debug)]
pub enum TopicDraw {
    /// There is only one.
    One,
    /// See [`Spread::Uniform`].
    Uniform(Uniform<usize>),
    /// See [`Spread::Zipf`].
    Zipf(Zipf<f64>),
}

impl TopicDraw {
    /// Draws among `topics` (at least 1) topics.
    pub fn new(topics: usize, spread: Spread) -> Self {
        assert!(topics > 0, "a run has at least one topic");
        match spread {
            _ if topics == 1 => Self::One,
            Spread::Uniform => {
                Self::Uniform(Uniform::new(0, topics).expect("the range is not empty"))
            }
            Spread::Zipf(exponent) => {
                let zipf = Zipf::new(topics as f64, exponent);
                Self::Zipf(zipf.expect("the command line lets only positive exponents through"))
            }
        }
    }

    /// The next topic, from 0.
    pub fn draw(&self, random: &mut SmallRng) -> usize {
        match self {
            Self::One => 0,
            Self::Uniform(uniform) => uniform.sample(random),
            Self::Zipf(zipf) => zipf.sample(random) as usize - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn shares(topics: usize, spread: Spread) -> Vec<f64> {
        let draw = TopicDraw::new(topics, spread);
        let mut random = SmallRng::seed_from_u64(1);
        let mut counts = vec![0.0; topics];
        for _ in 0..100_000 {
            counts[draw.draw(&mut random)] += 1e-5;
        }
        counts
    }

    #[test]
    fn uniform_topics_have_equal_shares() {
        assert!(shares(10, Spread::Uniform).iter().all(|share| (0.09..0.11).contains(share)));
    }

    #[test]
    fn zipf_topics_have_falling_shares() {
        let shares = shares(100, Spread::Zipf(1.0));
        // The harmonic sum of 100 is 5.19: the first topic has a share of 1/5.19.
        assert!((0.185..0.200).contains(&shares[0]), "{}", shares[0]);
        assert!((1.9..2.1).contains(&(shares[0] / shares[1])));
        assert!(shares[99] > 0.0);
    }
}
