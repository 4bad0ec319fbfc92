//! Protected fields a second on one core: sealing, opening, blind index; beside the limit of the bare cipher.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use protect::{Cipher, Domain, Key, KeyState, Keyring, Purpose};

const ROUNDS: u32 = 300_000;

fn measure(what: &str, mut work: impl FnMut(u32)) {
    let began = Instant::now();
    for n in 0..ROUNDS {
        work(n);
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{what:<44} {:>6.2} µs  {:>9.0}/s",
        seconds * 1e6 / f64::from(ROUNDS),
        f64::from(ROUNDS) / seconds
    );
}

fn main() {
    let key = |id, purpose, algorithm: &str, length| Key {
        id,
        purpose,
        name: "identity".into(),
        algorithm: algorithm.into(),
        state: KeyState::Active,
        secret: vec![7u8; length].into(),
    };
    let number = "34052419800101001X";
    for (cipher, length, hash) in [("aes-256-gcm", 32, "hmac-sha-256"), ("sm4-gcm", 16, "hmac-sm3")] {
        let ring =
            Keyring::of(&[key(1, Purpose::Data, cipher, length), key(2, Purpose::Blind, hash, 32)]).unwrap();
        let sealer = ring.sealer(Domain::Identity).unwrap();
        let (opener, blinder) = (ring.opener(), ring.blinder(Domain::Identity).unwrap());
        let sealed = sealer.text("person.citizen_id", number).unwrap();
        let bare = Cipher::new(cipher, &vec![7; length]).unwrap();
        measure(&format!("{cipher}: cipher alone, 18 bytes"), |n| {
            let mut nonce = [0; 12];
            nonce[..4].copy_from_slice(&n.to_be_bytes());
            let mut buffer = number.as_bytes().to_vec();
            bare.seal(&nonce, b"person.citizen_id", &mut buffer, 0).unwrap();
            black_box(buffer);
        });
        measure(&format!("{cipher}: seal a field"), |_| {
            black_box(sealer.text("person.citizen_id", number).unwrap());
        });
        measure(&format!("{cipher}: open a field"), |_| {
            black_box(opener.text("person.citizen_id", &sealed).unwrap());
        });
        measure(&format!("{hash}: blind-index value"), |_| {
            black_box(blinder.blind("citizen", number));
        });
    }
}
