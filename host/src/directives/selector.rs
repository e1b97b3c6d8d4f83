//! Label selectors of the options `labels` and `namespace_labels`.

use rustk8s::selector::LabelSelector;

use crate::corefile::error::Shown;
use crate::corefile::{CorefileError, Dispenser};

/// Checks the selector that the arguments of `option` form, joined by spaces, and returns its text.
pub fn parse(words: &Dispenser<'_>, option: &str, arguments: &[&str]) -> Result<String, CorefileError> {
    let text = arguments.join(" ");
    match LabelSelector::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let problem = format!("option '{option}': {}: {error}", Shown(&text));
            Err(words.refuse(problem, "accepted: a label selector, as in environment in (production,qa),tier=frontend"))
        }
    }
}
