//! The fuzz targets on a stable compiler: their bodies over the seed corpus and over seeded mutations of it.
//!
//! `MINKANG_FUZZ_ROUNDS` sets the number of mutations for each target (default 1,500).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use crate as exchange;

#[path = "../../../../fuzz/bodies.rs"]
mod bodies;

/// A small generator of numbers (xorshift64*): the same mutations on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below.max(1)
    }
}

const PIECES: [&[u8]; 22] = [
    b"\"",
    b",",
    b"\n",
    b"\r",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"\\",
    b"\\u0000",
    b"null",
    b"-",
    b"1e9999",
    b"\0",
    b"\xFF",
    b"\xEF\xBB\xBF",
    b"\x1f\x8b",
    b"urn:uuid:p",
    b"#",
    b"\xE5\xBC",
    b"99999999999999999999",
];

fn mutate(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut out = seeds[dice.roll(seeds.len())].clone();
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(out.len() + 1);
        let length = dice.roll(40).min(out.len() - at);
        match dice.roll(6) {
            0 if at < out.len() => out[at] ^= 1 << dice.roll(8),
            1 => {
                out.drain(at..at + length);
            }
            2 => {
                let copy = out[at..at + length].to_vec();
                let to = dice.roll(out.len() + 1);
                out.splice(to..to, copy);
            }
            3 => {
                let piece = PIECES[dice.roll(PIECES.len())];
                out.splice(at..at, piece.iter().copied());
            }
            4 => {
                let other = &seeds[dice.roll(seeds.len())];
                let from = dice.roll(other.len() + 1);
                out.truncate(at);
                out.extend_from_slice(&other[from..]);
            }
            _ => out.truncate(out.len() - length / 4),
        }
    }
    out
}

fn run(target: &str, body: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|p| std::fs::read(p).unwrap()).collect();
    assert!(seeds.len() >= 5, "the corpus of {target} is there");
    seeds.iter().for_each(|seed| body(seed));
    let rounds = std::env::var("MINKANG_FUZZ_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(1_500);
    let mut dice = Dice(0x6d69_6e6b_616e_6721);
    for round in 0..rounds {
        let input = mutate(&mut dice, &seeds);
        if let Err(panic) = std::panic::catch_unwind(|| body(&input)) {
            eprintln!("{target}: round {round}, input {:?}", String::from_utf8_lossy(&input));
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn csv_seeds() {
    run("csv", bodies::csv);
}

#[test]
fn ndjson_seeds() {
    run("ndjson", bodies::ndjson);
}

#[test]
fn fhir_seeds() {
    run("fhir", bodies::fhir);
}
