//! The fleet's words, under one roof for doors.

pub use fleet::{CommunityId, Generation, HubTime, NameError, OrgId};
