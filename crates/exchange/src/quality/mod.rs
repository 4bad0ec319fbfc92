//! Quality: rules between data sets, daily monitoring, ranking of institutions, each institution's page.

pub mod cross;
