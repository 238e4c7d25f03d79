//! Settings over the network: change (25), show (26); and pages of long tables (21, 201).

use std::ops::Range;
use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::codes::response;

use super::super::control::{Answer, Reaction, body_of};
use super::Parts;
use crate::config::{Rules as _, UpdateError};
use crate::outcome::Refusal;

/// Entries of one page when the tool does not say (Apache's `splitMetadataSize`).
const PAGE_DEFAULT: i32 = 2_000;

/// Applies `key=value` lines. Keys that need a restart are kept for it and unknown ones left out,
/// as Apache does; the answer says so.
pub(super) fn update(parts: &Rc<Parts>, command: &Command<'_>) -> Reaction {
    let updated = body_of(command)
        .and_then(|lines| parts.directory.update_settings(lines).map_err(|error| refused(&error)));
    let told = match updated {
        Ok(told) => told,
        Err(refusal) => return Reaction::Now(Err(refusal)),
    };
    let parts = Rc::clone(parts);
    Reaction::later(async move {
        parts.directory.settled().await.map_err(Refusal::failed)?;
        parts.registered().await;
        let answer = Answer::default().field("version", version(&parts));
        Ok(if told.is_empty() { answer } else { answer.remark(told.join("; ")) })
    })
}

fn refused(error: &UpdateError) -> Refusal {
    let code = match error {
        UpdateError::Forbidden(_) => response::NO_PERMISSION,
        UpdateError::Invalid(_) => response::INVALID_PARAMETER,
    };
    Refusal::new(code, error.to_string())
}

pub(super) fn get(parts: &Rc<Parts>) -> Result<Answer, Refusal> {
    let text = parts.directory.settings().to_properties();
    Ok(Answer::with_body(text.into_bytes())?.field("version", version(parts)))
}

fn version(parts: &Parts) -> String {
    let version = parts.directory.settings_version();
    String::from_utf8(ringmq_protocol::json::to_vec(&version)).unwrap_or_default()
}

/// The entries of a page that begins at `first`, of a table of `total`.
///
/// The 5.5 tools ask for a next page while `first < total - 1`, and so never ask for an entry that
/// would stand alone on the last one: a page that would leave one entry over takes it along.
pub(super) fn page(first: i32, wanted: Option<i32>, total: usize) -> Range<usize> {
    let start = usize::try_from(first).unwrap_or(0).min(total);
    let wanted = wanted.filter(|wanted| *wanted > 0).unwrap_or(PAGE_DEFAULT).min(PAGE_DEFAULT);
    let end = start.saturating_add(usize::try_from(wanted).unwrap_or(0)).min(total);
    if end + 1 == total { start..total } else { start..end }
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn no_entry_stands_alone_on_the_last_page() {
        assert_eq!(page(0, Some(43), 44), 0..44);
        assert_eq!(page(0, Some(43), 45), 0..43);
        assert_eq!(page(43, Some(43), 45), 43..45);
        assert_eq!(page(0, None, 10), 0..10);
        assert_eq!(page(-1, Some(0), 10), 0..10);
        assert_eq!(page(99, Some(5), 10), 10..10);
        assert_eq!(page(0, Some(i32::MAX), 5_000), 0..2_000);
    }
}
