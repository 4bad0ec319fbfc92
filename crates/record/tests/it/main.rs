//! Stories of the record, over HTTP, with a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod city;
mod doors;
mod fhir;
mod guard;
mod index;
mod pages;
mod people;
