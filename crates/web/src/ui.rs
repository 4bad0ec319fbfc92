//! Pieces of pages used everywhere: lists, filters, paging, charts, badges, empty states.
