//! Stories of the context over HTTP, against a real database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod accounts;
mod alerts;
mod certificates;
mod city;
mod clients;
mod divisions;
mod embedded;
mod lives;
mod outside;
mod passkeys;
mod programs;
mod residents;
mod rights;
mod second_factor;
mod signing_in;
mod sso;
mod stepping_up;
mod trail;
