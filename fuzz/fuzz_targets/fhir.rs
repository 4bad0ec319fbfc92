//! Fuzz target: FHIR bundles and resources.
#![no_main]

use exchange;

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::fhir(data));
