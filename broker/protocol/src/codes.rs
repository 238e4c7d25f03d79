//! Request and response codes, with their names for logs.

pub mod request;
pub mod response;

/// Defines constants and the look-up of their names from one list.
macro_rules! codes {
    ($($name:ident = $code:literal,)*) => {
        $(
            #[doc = concat!("Code ", stringify!($code), ".")]
            pub const $name: i32 = $code;
        )*

        /// RocketMQ's name of a code; `None` for numbers that RocketMQ 5.5 does not know.
        pub fn name(code: i32) -> Option<&'static str> {
            match code {
                $($code => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}
use codes;

/// The codes that do not fit the 16 bits of a binary header; Java cuts them off there.
///
/// 200050..=200056 and 200151 belong to pop, 200070..=200079 to lite topics. No other request code
/// has the truncated value, so the original can be told (protocol 1.2, 5.5 supplement).
const WIDE_REQUESTS: [(i32, i32); 3] = [
    (request::POP_MESSAGE, request::POP_ROLLBACK),
    (request::POP_LITE_MESSAGE, request::TRIGGER_LITE_DISPATCH),
    (request::BATCH_ACK_MESSAGE, request::BATCH_ACK_MESSAGE),
];

/// The request code that a 16-bit code of a binary header stands for.
pub fn widen_request(truncated: i16) -> i32 {
    let code = i32::from(truncated);
    for (first, last) in WIDE_REQUESTS {
        let low = first & 0xFFFF;
        if (low..=low + (last - first)).contains(&code) {
            return first + (code - low);
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_pop_and_lite_codes_are_widened_and_others_kept() {
        for (truncated, code) in [
            (3442, request::POP_MESSAGE),
            (3448, request::POP_ROLLBACK),
            (3462, request::POP_LITE_MESSAGE),
            (3471, request::TRIGGER_LITE_DISPATCH),
            (3543, request::BATCH_ACK_MESSAGE),
            (10, request::SEND_MESSAGE),
            (3449, 3449),
            (-1, -1),
        ] {
            assert_eq!(widen_request(truncated), code);
        }
    }

    #[test]
    fn names_are_those_of_rocketmq() {
        assert_eq!(request::name(105), Some("GET_ROUTEINFO_BY_TOPIC"));
        assert_eq!(response::name(-1006), Some("RPC_TIME_OUT"));
        assert_eq!(request::name(999), None);
    }
}
