//! The tables of the directory and the documents they are kept in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ringmq_runtime::clock;
use ringmq_runtime::disk::Disk;
use ringmq_store::metadata::Document;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Settings;
use crate::documents::Writer;
use crate::subscription_groups::SubscriptionGroups;
use crate::topics::Topics;

const TOPICS_FILE: &str = "config/topics.json";
const GROUPS_FILE: &str = "config/subscriptionGroup.json";

/// Settings that were changed while the broker ran, below the store's root: a [`Document`] of text
/// by key.
pub const OVERRIDES_FILE: &str = "config/overrides.json";

/// The tables with a document each.
pub struct Tables {
    pub(super) topics: RefCell<Topics>,
    pub(super) groups: RefCell<SubscriptionGroups>,
    /// Settings that were changed at run time.
    pub(super) overrides: RefCell<BTreeMap<String, String>>,
}

/// What brings each table to disk.
pub(super) struct Writers {
    pub(super) topics: Rc<Writer>,
    pub(super) groups: Rc<Writer>,
    pub(super) overrides: Rc<Writer>,
}

impl Tables {
    /// Reads the tables of an earlier run; `overrides` are the entries of [`OVERRIDES_FILE`].
    ///
    /// # Errors
    /// A document that cannot be read. An empty table in its place would lose every topic.
    pub async fn load(
        disk: &Disk,
        settings: &Settings,
        broker_name: &str,
        overrides: BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let now_ms = clock::unix_ms();
        let made = disk.create_dir_all("config").await;
        made.map_err(|error| format!("cannot make the directory config of the store: {error}"))?;
        let topics = Document::new(disk, TOPICS_FILE).load().await;
        let topics = topics.map_err(|error| error.to_string())?.unwrap_or_default();
        let groups = Document::new(disk, GROUPS_FILE).load().await;
        let groups = groups.map_err(|error| error.to_string())?.unwrap_or_default();
        Ok(Self {
            topics: RefCell::new(Topics::load(topics, settings, broker_name, now_ms)),
            groups: RefCell::new(SubscriptionGroups::load(groups, now_ms)),
            overrides: RefCell::new(overrides),
        })
    }

    pub(super) fn writers(self: &Rc<Self>, disk: &Disk) -> Writers {
        Writers {
            topics: self.writer(disk, TOPICS_FILE, |tables| tables.topics.borrow().document()),
            groups: self.writer(disk, GROUPS_FILE, |tables| tables.groups.borrow().document()),
            overrides: self
                .writer(disk, OVERRIDES_FILE, |tables| tables.overrides.borrow().clone()),
        }
    }

    fn writer<T>(
        self: &Rc<Self>,
        disk: &Disk,
        file: &'static str,
        content: fn(&Self) -> T,
    ) -> Rc<Writer>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
    {
        let tables = Rc::clone(self);
        let document = Rc::new(Document::new(disk, file));
        Writer::start(file, move || {
            let (document, content) = (Rc::clone(&document), content(&tables));
            async move { document.save(content).await }
        })
    }
}
