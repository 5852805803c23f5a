//! CrowdSec's Local API.

use axum::Router;

use crate::Core;

pub fn router(_core: Core) -> Router {
    Router::new()
}
