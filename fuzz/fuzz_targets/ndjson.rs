//! Fuzz target: NDJSON and JSON upload files.
#![no_main]

use exchange;

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::ndjson(data));
