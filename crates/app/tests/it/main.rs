//! The whole platform: stories over HTTP as personas of a small city, who may do what, bad input, and bad days.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod city;
mod rows;
mod server;
mod sound;

mod bad_input;
mod crash;
mod desk;
mod foreign;
mod outage;
mod permissions;
mod probe;
mod protect;
mod stays;
mod stored_codes;
mod terms;
mod uploads;
