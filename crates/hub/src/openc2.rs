//! OpenC2: deny and allow from orchestrators.

use axum::Router;

use crate::Core;

pub fn router(_core: Core) -> Router {
    Router::new()
}
