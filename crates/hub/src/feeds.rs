//! Plain lists for firewalls that fetch them.

use axum::Router;

use crate::Core;

pub fn router(_core: Core) -> Router {
    Router::new()
}
