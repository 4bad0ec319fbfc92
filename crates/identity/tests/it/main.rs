//! Stories of the context over HTTP, against a real database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod accounts;
mod city;
mod clients;
mod divisions;
mod embedded;
mod programs;
mod rights;
mod signing_in;
mod sso;
mod trail;
