//! Stories of the context over HTTP, against a real database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod batches;
mod city;
mod cross;
mod pages;
mod quality;
mod stays;
