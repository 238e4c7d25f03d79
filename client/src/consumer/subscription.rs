//! What a group wants of a topic.

use ringmq_protocol::bodies::heartbeat::{EXPRESSION_SQL92, EXPRESSION_TAG};
use ringmq_protocol::tags::TagExpression;
use ringmq_runtime::clock;

use crate::error::ClientError;
use crate::instance::{Instance, Server};

/// Which messages of a topic are wanted.
///
/// Brokers filter tags by a 32-bit hash, so what arrives is checked again by text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Those with one of these tags, or all.
    Tags(TagExpression),
    /// Those whose properties satisfy an SQL92 expression; the broker alone evaluates it.
    Sql(String),
}

impl Default for Filter {
    fn default() -> Self {
        Self::all()
    }
}

impl Filter {
    /// Every message.
    pub fn all() -> Self {
        Self::Tags(TagExpression::default())
    }

    /// Reads `*`, an empty text, or tags separated by `||`.
    pub fn tags(expression: &str) -> Self {
        Self::Tags(TagExpression::parse(expression))
    }

    /// Whether a message with this tag is wanted, as far as the client can tell.
    pub fn wants(&self, tag: Option<&str>) -> bool {
        match self {
            Self::Tags(tags) => tags.matches_tag(tag),
            Self::Sql(_) => true,
        }
    }

    /// The protocol's name of the kind of expression.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tags(_) => EXPRESSION_TAG,
            Self::Sql(_) => EXPRESSION_SQL92,
        }
    }

    /// The expression as it travels.
    pub fn expression(&self) -> String {
        match self {
            Self::Tags(tags) if tags.is_everything() => "*".into(),
            Self::Tags(tags) => tags.tags().collect::<Vec<_>>().join(" || "),
            Self::Sql(text) => text.clone(),
        }
    }

    /// Has a broker of `topic` look at it before `group` subscribes it, if only brokers understand
    /// it.
    ///
    /// # Errors
    /// What the broker says against it; also when there is no broker to ask.
    pub(super) async fn check(
        &self,
        instance: &Instance,
        group: &str,
        topic: &str,
    ) -> Result<(), ClientError> {
        if let Self::Tags(_) = self {
            return Ok(());
        }
        let action = format!("check of the subscription of {topic}");
        let route = instance.route(topic).await?;
        let no_queue = || ClientError::no_route(topic, "readable", "no queue");
        let queue = route.subscribe.first().ok_or_else(no_queue)?;
        let unknown = |fault| Server::unknown(&queue.broker_name).failed(&action, fault);
        let broker = instance.broker(queue).map_err(unknown)?;
        let (topic, filter) = (topic.to_owned(), self.clone());
        let subscription = Subscription { topic, filter, version: clock::unix_ms() };
        let checked = instance.check_filter(&broker, group, &subscription).await;
        checked.map_err(|fault| broker.failed(&action, fault))
    }
}

/// A subscribed topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// Which of its messages.
    pub filter: Filter,
    /// Unix time in milliseconds at which it was made: brokers keep the newest.
    pub version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_travel_as_they_are_understood() {
        assert_eq!(Filter::tags(" "), Filter::all());
        assert_eq!(Filter::all().expression(), "*");
        let some = Filter::tags(" B||A ");
        assert_eq!(some.expression(), "B || A");
        assert!(some.wants(Some("A")) && !some.wants(Some("C")) && !some.wants(None));
    }

    #[test]
    fn sql_is_left_to_the_broker() {
        let filter = Filter::Sql("a > 3".into());
        assert!(filter.wants(None));
        assert_eq!((filter.kind(), filter.expression().as_str()), ("SQL92", "a > 3"));
    }
}
