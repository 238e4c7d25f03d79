//! Which names are allowed and which are reserved.

use ringmq_protocol::names::{is_for_retries, system_topic};

/// Longest name of an ordinary topic.
pub const TOPIC_MAX_BYTES: usize = 127;

/// Longest name of a retry or dead-letter topic: a prefix and a group.
pub const RETRY_TOPIC_MAX_BYTES: usize = 255;

/// Longest name of a consumer group.
pub const GROUP_MAX_BYTES: usize = 120;

/// Longest id of a client: an address, a process, and what people append to it. It is copied into
/// every group and lock of the client.
pub const CLIENT_ID_MAX_BYTES: usize = 512;

/// Longest name of a group in the tables of clients; producers' groups have no other rule.
pub const MEMBER_GROUP_MAX_BYTES: usize = 255;

/// Whether clients may not send to a topic: only the broker itself writes it.
pub fn is_closed_to_clients(topic: &str) -> bool {
    system_topic::ALL.contains(&topic)
}

/// Checks the name of a topic.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_topic(name: &str) -> Result<(), String> {
    let max = if is_for_retries(name) { RETRY_TOPIC_MAX_BYTES } else { TOPIC_MAX_BYTES };
    check("topic", name, max)
}

/// Checks the name of a consumer group.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_group(name: &str) -> Result<(), String> {
    check("group", name, GROUP_MAX_BYTES)
}

/// Checks what the tables of clients keep many copies of.
///
/// # Errors
/// A sentence that says which is missing or too long.
pub fn check_member<'a>(
    client_id: &str,
    groups: impl IntoIterator<Item = &'a str>,
) -> Result<(), String> {
    if client_id.is_empty() || client_id.len() > CLIENT_ID_MAX_BYTES {
        return Err(format!(
            "the client id has {} bytes, 1 to {CLIENT_ID_MAX_BYTES} are allowed",
            client_id.len()
        ));
    }
    match groups.into_iter().map(str::len).find(|len| *len > MEMBER_GROUP_MAX_BYTES) {
        Some(len) => Err(format!(
            "the name of a group has {len} bytes, at most {MEMBER_GROUP_MAX_BYTES} are allowed"
        )),
        None => Ok(()),
    }
}

fn check(kind: &str, name: &str, max_bytes: usize) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err(format!("the {kind} has no name"));
    }
    if name.len() > max_bytes {
        return Err(format!(
            "the name of the {kind} has {} bytes, at most {max_bytes} are allowed",
            name.len()
        ));
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '_' | '-');
    match name.chars().find(|c| !is_allowed(*c)) {
        Some(found) => Err(format!(
            "the {kind} {name} contains {found:?}; allowed are letters, digits and % | _ -"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_rocketmqs_rules() {
        for name in ["T", "a-b_c%d|e", "%RETRY%g", &"x".repeat(127)] {
            assert_eq!(check_topic(name), Ok(()), "{name}");
        }
        for name in ["", " ", "a b", "a.b", "t\u{e4}", &"x".repeat(128)] {
            assert!(check_topic(name).is_err(), "{name}");
        }
        assert_eq!(check_topic(&format!("%DLQ%{}", "g".repeat(120))), Ok(()));
        assert!(check_topic(&format!("%RETRY%{}", "g".repeat(250))).is_err());
        assert!(check_group(&"g".repeat(121)).is_err());
    }

    #[test]
    fn clients_and_their_groups_have_names_of_bounded_length() {
        assert_eq!(check_member("192.0.2.1@1#2", ["g", ""]), Ok(()));
        for client in ["", &"x".repeat(CLIENT_ID_MAX_BYTES + 1)] {
            assert!(check_member(client, ["g"]).is_err());
        }
        let long = "g".repeat(MEMBER_GROUP_MAX_BYTES + 1);
        assert!(check_member("c", ["g", &long]).is_err());
    }
}
