//! Exceptions for a time (例外授权).
