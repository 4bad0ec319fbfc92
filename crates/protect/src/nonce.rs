//! Nonces that are never used twice: a counter from a random start, drawn anew now and then.
//!
//! Random nonces of 96 bits allow 2^32 values for a key before the odds of a repetition matter; a city writes more.
//! Counters that start at random places overlap only when two starts fall into the same run: with a hundred thousand
//! starts and 2^34 values after each the odds are below 2^-28.

use std::sync::{Mutex, PoisonError};

use kernel::Result;

use crate::cipher::NONCE;
use crate::random;

/// Values after which the start is drawn anew: a machine brought back from a snapshot repeats no more than these.
const RUN: u32 = 1 << 20;

/// A source of nonces.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    high: u32,
    low: u64,
    left: u32,
}

impl Nonces {
    /// The next nonce.
    pub(crate) fn next(&self) -> Result<[u8; NONCE]> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.left == 0 {
            let start = random::<NONCE>()?;
            let mut low = [0; 8];
            low.copy_from_slice(&start[4..]);
            let mut high = [0; 4];
            high.copy_from_slice(&start[..4]);
            *state = State { high: u32::from_be_bytes(high), low: u64::from_be_bytes(low), left: RUN };
        }
        state.left -= 1;
        state.low = state.low.wrapping_add(1);
        let mut nonce = [0; NONCE];
        nonce[..4].copy_from_slice(&state.high.to_be_bytes());
        nonce[4..].copy_from_slice(&state.low.to_be_bytes());
        Ok(nonce)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn none_comes_twice() {
        let nonces = Nonces::default();
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            assert!(seen.insert(nonces.next().unwrap()));
        }
        let other = Nonces::default();
        assert!((0..10_000).all(|_| seen.insert(other.next().unwrap())));
    }
}
