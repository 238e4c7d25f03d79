//! Settings over the network: change (25), show (26).

use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::codes::response;

use super::super::control::{Answer, Reaction, body_of};
use super::Parts;
use crate::config::{Rules as _, UpdateError};
use crate::outcome::Refusal;

/// Applies `key=value` lines. Keys that need a restart are kept for it and unknown ones left out,
/// as Apache does; the answer says so.
pub(super) fn update(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let lines = body_of(command)?;
    let told = parts.directory.update_settings(lines).map_err(|error| refused(&error))?;
    let parts = Rc::clone(parts);
    Ok(Reaction::later(async move {
        parts.directory.settled().await.map_err(Refusal::failed)?;
        parts.registered().await;
        let answer = Answer::default().field("version", version(&parts));
        Ok(if told.is_empty() { answer } else { answer.remark(told.join("; ")) })
    }))
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
