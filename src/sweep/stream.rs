//! Random numbers that are the same on every machine and in every version: the output of BLAKE3 for a key.
//!
//! A stream is made from what the number is for: the sweep's seed, the trial and the parameter. So a trial's draws do
//! not depend on other trials, and a parameter's draws do not depend on other parameters.

/// A stream of random numbers.
pub(super) struct Stream {
    output: blake3::OutputReader,
    /// One block of the output: the function computes whole blocks.
    block: [u8; 64],
    used: usize,
}

impl Stream {
    /// The stream for one purpose of one trial.
    pub(super) fn new(seed: u64, index: usize, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("amlrun sweep: random numbers, first version");
        hasher.update(&seed.to_le_bytes()).update(&(index as u64).to_le_bytes()).update(purpose.as_bytes());
        Self { output: hasher.finalize_xof(), block: [0; 64], used: 64 }
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        if self.used == self.block.len() {
            self.output.fill(&mut self.block);
            self.used = 0;
        }
        let bytes = self.block[self.used..].iter().take(8);
        self.used += 8;
        bytes.rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }

    /// A number between 0 and 1, and neither of them: normal distributions are infinite there.
    #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_matters() {
        let first = |seed, index, purpose| Stream::new(seed, index, purpose).bits();
        let all = [first(1, 0, "a"), first(0, 1, "a"), first(0, 0, "a"), first(0, 0, "b"), first(256, 0, "a")];
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
    }
}
