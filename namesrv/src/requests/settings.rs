//! The key-value configuration and the name server's own.

use std::collections::BTreeMap;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::namesrv::{GetKvResponse, KvListRequest, KvRequest, PutKvRequest};
use ringmq_settings::properties::{PROPERTIES_SIZE_MAX_BYTES, Properties, write_entry};
use ringmq_settings::{Notes, Rules as _, UpdateError};

use crate::config::Config;
use crate::outcome::Refusal;
use crate::service::{Handled, NameServer, Request};

impl NameServer {
    pub(crate) fn put_kv(&self, request: Request<'_, '_>) -> Handled {
        let header: PutKvRequest<'_> = request.header()?;
        let put = self.kv.borrow_mut().put(header.namespace, header.key, header.value);
        put.map_err(Refusal::error)?;
        self.kv_saver.save(request.connection, request.to);
        Ok(())
    }

    pub(crate) fn get_kv(&self, request: Request<'_, '_>) -> Handled {
        let header: KvRequest<'_> = request.header()?;
        let kv = self.kv.borrow();
        let Some(value) = kv.get(header.namespace, header.key) else {
            return Err(Refusal::new(
                response::QUERY_NOT_FOUND,
                format_args!("no value for {} in namespace {}", header.key, header.namespace),
            ));
        };
        request.reply(&GetKvResponse { value: Some(value) }, &[])
    }

    pub(crate) fn delete_kv(&self, request: Request<'_, '_>) -> Handled {
        let header: KvRequest<'_> = request.header()?;
        self.kv.borrow_mut().delete(header.namespace, header.key);
        self.kv_saver.save(request.connection, request.to);
        Ok(())
    }

    pub(crate) fn list_kv(&self, request: Request<'_, '_>) -> Handled {
        let header: KvListRequest<'_> = request.header()?;
        let Some(table) = self.kv.borrow().list(header.namespace) else {
            return Err(Refusal::new(
                response::QUERY_NOT_FOUND,
                format_args!("nothing in namespace {}", header.namespace),
            ));
        };
        request.reply_json(&table)
    }

    pub(crate) fn update_config(&self, request: Request<'_, '_>) -> Handled {
        let change = Properties::of_request(request.command.body).map_err(Refusal::error)?;
        let known: Vec<_> =
            change.entries().iter().filter(|entry| Config::is_known(&entry.key)).collect();
        let mut overrides = self.overrides.borrow().clone();
        overrides.extend(known.iter().map(|entry| (entry.key.clone(), entry.value.clone())));
        check_overrides(&overrides)?;
        let mut notes = Notes::default();
        let next = &mut *self.next_config.borrow_mut();
        let updated = self.config.borrow_mut().update(next, &change, &mut notes);
        let needs_restart = updated.map_err(|error| match &error {
            UpdateError::Forbidden(_) => Refusal::new(response::NO_PERMISSION, error),
            UpdateError::Invalid(_) => Refusal::error(error),
        })?;
        for warning in notes.warnings {
            tracing::warn!("setting changed by a request: {warning}");
        }
        if known.is_empty() {
            return request.reply(&(), &[]);
        }
        for entry in known {
            let (key, value) = (&entry.key, &entry.value);
            let at_once = !needs_restart.contains(&key.as_str());
            tracing::info!(key, value, at_once, "setting changed by a request");
        }
        self.overrides.replace(overrides);
        self.table.borrow_mut().set_rules(self.config.borrow().route_rules());
        self.overrides_saver.save(request.connection, request.to);
        Ok(())
    }

    /// The file of changed settings.
    pub(crate) fn overrides_text(&self) -> Vec<u8> {
        render(&self.overrides.borrow()).into_bytes()
    }
}

fn render(overrides: &BTreeMap<String, String>) -> String {
    let mut text = String::from("# Settings changed by requests; they follow the -c file.\n");
    for (key, value) in overrides {
        write_entry(&mut text, key, value);
    }
    text
}

/// What the next start would not read must not be written. Escapes make the file longer than the
/// request was.
fn check_overrides(overrides: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let len = render(overrides).len();
    if len > PROPERTIES_SIZE_MAX_BYTES {
        return Err(Refusal::error(format_args!(
            "the file of changed settings would have {len} bytes, at most \
             {PROPERTIES_SIZE_MAX_BYTES} are kept: give shorter values"
        )));
    }
    Ok(())
}
