//! The query of a request: decoding, and the options of lists and watches.

use std::{fmt::Write as _, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    resource::Resource,
    selector::{FieldSelector, Filter, LabelSelector},
    status::ApiError,
};

/// The parameters of a query, decoded, in their order.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(&key.replace('+', " "))?, decode(&value.replace('+', " "))?))
            })
            .collect::<Result<_, ApiError>>()
            .map(Self)
    }

    /// The first value of a parameter; the API server ignores further ones.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// A boolean as the API server reads it: present and neither `false` nor `0`.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).map(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| ApiError::bad_request(format!("parameter {key}: \"{text}\" is not a number"))),
        }
    }
}

/// Resolves `%XX`. The result must be UTF-8.
pub(crate) fn decode(text: &str) -> Result<String, ApiError> {
    let bad = || ApiError::bad_request(format!("invalid URL escape in \"{text}\""));
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
            let (high, low) = (digit()?, digit()?);
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).map_err(|_| bad())
}

/// Which state a list or watch asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// No resourceVersion: the most recent.
    Unset,
    /// `0`: any. This server has but one, the most recent.
    Any,
    /// This resourceVersion; what it means depends on the request.
    At(u64),
}

/// `resourceVersionMatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// The options of a list or a watch.
#[derive(Debug)]
pub(crate) struct ListOptions {
    pub filter: Filter,
    pub version: Version,
    pub version_match: Option<VersionMatch>,
    /// Items of a page.
    pub limit: Option<u64>,
    /// Where the page starts.
    pub continue_token: Option<ContinueToken>,
    pub timeout: Option<Duration>,
    pub bookmarks: bool,
    pub send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads the options of a list or watch in `namespace` (empty: all).
    pub fn parse(query: &Query, resource: &Resource, namespace: &str) -> Result<Self, ApiError> {
        let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default())
            .map_err(|e| ApiError::bad_request(format!("unable to parse labelSelector: {e}")))?;
        let fields = FieldSelector::parse(query.get("fieldSelector").unwrap_or_default(), resource)
            .map_err(|e| ApiError::bad_request(format!("unable to parse fieldSelector: {e}")))?;
        let version = match query.get("resourceVersion").unwrap_or_default() {
            "" => Version::Unset,
            "0" => Version::Any,
            text => Version::At(text.parse().map_err(|_| {
                ApiError::bad_request(format!("Invalid value: \"{text}\": resourceVersion must be an unsigned integer"))
            })?),
        };
        let version_match = match query.get("resourceVersionMatch").unwrap_or_default() {
            "" => None,
            "Exact" => Some(VersionMatch::Exact),
            "NotOlderThan" => Some(VersionMatch::NotOlderThan),
            _ => {
                return Err(ApiError::invalid_options(
                    "resourceVersionMatch",
                    "supported values: \"Exact\", \"NotOlderThan\"",
                ));
            }
        };
        let continue_token = query.get("continue").filter(|t| !t.is_empty()).map(ContinueToken::decode).transpose()?;
        Ok(Self {
            filter: Filter { namespace: namespace.to_owned(), labels, fields },
            version,
            version_match,
            limit: query.number("limit")?.filter(|limit| *limit > 0),
            continue_token,
            timeout: query.number("timeoutSeconds")?.filter(|s| *s > 0).map(Duration::from_secs),
            bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
            send_initial_events: query.flag("sendInitialEvents"),
        })
    }

    /// The rules of `ValidateListOptions` for a list.
    pub fn validate_list(&self) -> Result<(), ApiError> {
        const MATCH: &str = "resourceVersionMatch";
        if let Some(version_match) = self.version_match {
            if self.version == Version::Unset {
                return Err(ApiError::invalid_options(
                    MATCH,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if self.continue_token.is_some() {
                return Err(ApiError::invalid_options(
                    MATCH,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if version_match == VersionMatch::Exact && self.version == Version::Any {
                return Err(ApiError::invalid_options(
                    MATCH,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.send_initial_events.is_some() {
            return Err(ApiError::invalid_options("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        if self.continue_token.is_some() && matches!(self.version, Version::At(_)) {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        Ok(())
    }

    /// The rules of `ValidateListOptions` for a watch, by a server that has streaming lists or not.
    pub fn validate_watch(&self, watch_list: bool) -> Result<(), ApiError> {
        const MATCH: &str = "resourceVersionMatch";
        if self.send_initial_events.is_some() {
            if self.version_match != Some(VersionMatch::NotOlderThan) {
                return Err(ApiError::invalid_options(
                    MATCH,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
            if !watch_list {
                return Err(ApiError::invalid_options(
                    "sendInitialEvents",
                    "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
                ));
            }
        } else if self.version_match.is_some() {
            return Err(ApiError::invalid_options(
                MATCH,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        Ok(())
    }
}

/// Where the next page of a list starts. Opaque to clients: the hexadecimal form of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContinueToken {
    /// The resourceVersion of the first page; none goes on from the present state.
    #[serde(rename = "rv")]
    pub version: Option<u64>,
    /// The key of the last object sent.
    pub after: String,
}

impl ContinueToken {
    pub fn encode(&self) -> String {
        // A struct of a number and a string has a JSON form.
        let json = serde_json::to_string(self).unwrap_or_default();
        json.bytes().fold(String::with_capacity(json.len() * 2), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        let bytes: Option<Vec<u8>> = text
            .as_bytes()
            .chunks(2)
            .map(|pair| {
                let digit = |i: usize| pair.get(i).and_then(|b| char::from(*b).to_digit(16));
                Some((digit(0)? * 16 + digit(1)?) as u8)
            })
            .collect();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| ApiError::bad_request("continue key is not valid: it is not a token of this server"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("a=1&b=x%2Cy%3D%C3%A9&c&&watch=&a=2&d=1+2&e=False").unwrap();
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.get("b"), Some("x,y=é"));
        assert_eq!(query.get("c"), Some(""));
        assert_eq!(query.get("d"), Some("1 2"));
        assert_eq!(query.flag("watch"), Some(true));
        assert_eq!(query.flag("e"), Some(false));
        assert_eq!(query.flag("none"), None);
        for bad in ["a=%", "a=%2", "a=%zz", "a=%ff", "%é=1"] {
            assert!(Query::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn continue_tokens() {
        let token = ContinueToken { version: Some(7), after: "ns/é".to_owned() };
        assert_eq!(ContinueToken::decode(&token.encode()).unwrap(), token);
        for bad in ["z", "abc", "7b7d", "é"] {
            assert!(ContinueToken::decode(bad).is_err(), "{bad}");
        }
    }
}
