//! Work on the whole index: training, re-evaluation, keys, the nightly look.

pub(crate) mod counts;
