//! Pieces of pages used everywhere, one file each: pure functions from plain data to [`maud::Markup`].
//!
//! No piece writes inline styles, scripts or event handlers: the content-security policy forbids them. Numbers that
//! decide a look become classes or SVG attributes. `cargo test -p minkang-web samples` renders all of them; the example
//! `gallery` writes them as a page to look at.

mod address;
mod badge;
mod card;
mod chart;
mod describe;
mod field;
mod filter;
mod head;
mod icon;
mod list;
mod matrix;
mod notice;
mod paging;
mod person;
mod progress;
mod score;
mod spark;
mod tabs;
mod timeline;

pub use address::Here;
pub use badge::{Tone, badge, plain_badge};
pub use card::{Figure, card, card_with, empty, figures};
pub use chart::{Chart, Height, chart};
pub use describe::{describe, fact};
pub use field::{Field, Kind, field, form_acts, select_field};
pub use filter::{Filter, filter_form};
pub use head::{Crumb, crumbs, page_head};
pub use icon::icon;
pub use list::{Cell, Column, Export, List, Row, brief, list, table, thousands};
pub use matrix::{MatrixCell, MatrixRow, matrix};
pub use notice::{notice, notice_closable};
pub use paging::{Paging, paging};
pub use person::{Alert, Allergies, PersonBanner, age, person_banner};
pub use progress::{Progress, progress};
pub use score::{ScorePart, score_number, score_ring, score_tone};
pub use spark::{abnormal, sparkline};
pub use tabs::{Step, StepState, Tab, chips, steps, tabs};
pub use timeline::{TimelineEvent, timeline};
