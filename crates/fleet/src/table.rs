//! Millions of bans in little memory.
