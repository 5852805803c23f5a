//! TLS at the hub's port: its own authority, and client certificates where they come.

pub(crate) mod ca;
