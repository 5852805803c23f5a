//! What can go wrong with evidence.

use store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("there is no case {case}; `posse case list` shows all")]
    NoSuchCase { case: String },
    #[error(transparent)]
    Case(#[from] casework::CaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
