//! What the fixture can be told to do wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Faults of the API server; the default is a server without any. As JSON (for the control endpoint) the fields have
/// these names, but for `bookmark_interval_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, not states of one thing")]
pub struct Faults {
    /// Whether streaming lists (`sendInitialEvents=true`) are offered. When not, they get 422 Invalid, as from a server
    /// whose `WatchList` feature gate is off.
    pub watch_list: bool,
    /// A server that does not know `sendInitialEvents` at all and reads such a watch as an ordinary one: the client
    /// waits in vain for the BOOKMARK that ends the initial events.
    pub ignore_send_initial_events: bool,
    /// Answer lists with this status code (403, 429, 500 …). Streaming lists are watches: see [`Self::watch_status`].
    pub list_status: Option<u16>,
    /// Answer new watches, streaming lists among them, with this status code. Open ones go on.
    pub watch_status: Option<u16>,
    /// Connections are accepted and dropped at once; open ones are dropped when this is set.
    pub unavailable: bool,
    /// Lists and streaming lists are accepted but wait until this is cleared: the time before the first sync.
    pub hold_lists: bool,
    /// Watches stay open and send nothing: no event, no bookmark, no end. What was missed is sent once this is cleared.
    pub silent_watches: bool,
    /// Time between two BOOKMARK events of a watch that allows them.
    #[serde(rename = "bookmark_interval_ms", with = "milliseconds")]
    pub bookmark_interval: Duration,
    /// Say 410 Gone for a watch from a forgotten resourceVersion by status 200 and an ERROR event, as the watch cache of
    /// a real API server does, rather than by the status code.
    pub expired_in_stream: bool,
    /// Cut the connection of a list after as many items: the API server dies in the middle of a relist.
    pub cut_lists_after: Option<usize>,
    /// Resources (by plural name) that this server does not know, such as `serviceimports` where the CRD is not
    /// installed: 404 for everything below their path.
    pub absent: Vec<String>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            watch_list: true,
            ignore_send_initial_events: false,
            list_status: None,
            watch_status: None,
            unavailable: false,
            hold_lists: false,
            silent_watches: false,
            bookmark_interval: Duration::from_mins(1),
            expired_in_stream: false,
            cut_lists_after: None,
            absent: Vec::new(),
        }
    }
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
