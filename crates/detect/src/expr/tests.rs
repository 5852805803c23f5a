//! The language as a whole.
