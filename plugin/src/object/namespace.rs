//! Namespaces.

use super::Meta;
use serde::Deserialize;

/// A namespace: it exists, and its labels decide whether it is exposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Namespace {
    /// Name and labels.
    #[serde(rename = "metadata")]
    pub meta: Meta,
}
