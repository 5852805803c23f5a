//! Messages in the forms that each kind of channel takes. Pure.
//!
//! Everything that came from a log went through `text::harmless` when its incident was made; what
//! is left to do here is each form's own quoting and size limits.

pub(crate) mod chat;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod pager;
pub(crate) mod syslog;
pub(crate) mod words;
