//! exchange

pub mod read;
