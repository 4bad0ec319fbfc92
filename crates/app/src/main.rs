//! The program `minkang`.
fn main() {}
