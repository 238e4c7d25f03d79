//! Switches of TLS, which no server here has.
//!
//! Whoever sets one counts on what is sent being encrypted, so a server that would send it in plain
//! text does not start. Both servers know the same switches.

use crate::rules::Class;

/// Apache's key of a broker's own connections; what people write for TLS as such; and two that
/// Apache's programs take as Java properties.
const SWITCHES: &[(&str, Class)] = &[
    ("useTLS", Class::Promise(&["false"])),
    ("tlsEnable", Class::Promise(&["false"])),
    ("tls.enable", Class::Promise(&["false"])),
    ("tls.server.mode", Class::Promise(&["disabled"])),
];

/// All of these keys.
pub fn all() -> impl Iterator<Item = &'static str> {
    SWITCHES.iter().map(|(key, _)| *key)
}

/// The class of such a key.
pub fn class(key: &str) -> Option<Class> {
    SWITCHES.iter().find(|(switch, _)| *switch == key).map(|(_, class)| *class)
}
