//! `health`: `/health` answers 200 as long as the process lives, and goes on for the lameduck time when it stops.

use axum::Router;
use axum::routing::get;

/// The routes of the endpoint.
pub fn routes() -> Router {
    Router::new().route("/health", get(|| async { "OK" }))
}
