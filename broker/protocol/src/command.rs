//! A request or response: code, opaque, flags, remark, header fields, body.

use crate::codes::response;
use crate::compact;
use crate::error::CommandError;
use crate::fields::{Fields, Text};
use crate::frame::{Frame, HEADER_SIZE_MAX_BYTES, PREFIX_SIZE_BYTES, SerializeType};
use crate::header::WriteHeader;
use crate::json;

/// The release we speak like: RocketMQ 5.5.0.
///
/// Name servers and brokers compare it (protocol 1.7); all their tests ask for "at least" something
/// lower, and readers of older releases show unknown numbers as "higher version".
pub const VERSION: i16 = 513;

/// Bit of `flag`: the command answers a request.
pub const FLAG_RESPONSE: i32 = 1;

/// Bit of `flag`: the sender wants no answer.
pub const FLAG_ONEWAY: i32 = 2;

/// The language a peer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Language {
    /// Java.
    Java = 0,
    /// C++.
    Cpp = 1,
    /// .NET.
    DotNet = 2,
    /// Python.
    Python = 3,
    /// Delphi.
    Delphi = 4,
    /// Erlang.
    Erlang = 5,
    /// Ruby.
    Ruby = 6,
    /// Anything else, and names and numbers that we do not know.
    #[default]
    Other = 7,
    /// The HTTP gateway.
    Http = 8,
    /// Go.
    Go = 9,
    /// PHP.
    Php = 10,
    /// OpenMessaging.
    Oms = 11,
    /// Rust: what we send.
    Rust = 12,
    /// Node.js.
    NodeJs = 13,
}

impl Language {
    const ALL: [(Self, &'static str); 14] = [
        (Self::Java, "JAVA"),
        (Self::Cpp, "CPP"),
        (Self::DotNet, "DOTNET"),
        (Self::Python, "PYTHON"),
        (Self::Delphi, "DELPHI"),
        (Self::Erlang, "ERLANG"),
        (Self::Ruby, "RUBY"),
        (Self::Other, "OTHER"),
        (Self::Http, "HTTP"),
        (Self::Go, "GO"),
        (Self::Php, "PHP"),
        (Self::Oms, "OMS"),
        (Self::Rust, "RUST"),
        (Self::NodeJs, "NODE_JS"),
    ];

    /// The number in a binary header.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// RocketMQ's name, as in JSON.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The language of a name; `Other` for names that we do not know.
    pub fn from_name(name: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == name).map_or(Self::Other, |(found, _)| *found)
    }

    /// The language of a number; `Other` for numbers that we do not know.
    pub fn from_number(number: i64) -> Self {
        let known = usize::try_from(number).ok().and_then(|index| Self::ALL.get(index));
        known.map_or(Self::Other, |(language, _)| *language)
    }
}

/// One command, borrowed from its frame.
#[derive(Debug, Clone)]
pub struct Command<'a> {
    /// Request code, or response code of an answer; see [`crate::codes`].
    pub code: i32,
    /// Language of the sender.
    pub language: Language,
    /// Release number of the sender.
    pub version: i32,
    /// Number that ties an answer to its request; counted by the requester.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`] and [`FLAG_ONEWAY`].
    pub flag: i32,
    pub(crate) remark: Option<Text<'a>>,
    /// Header fields.
    pub fields: Fields<'a>,
    /// Body, may be empty.
    pub body: &'a [u8],
    /// How the sender wrote the header; answers use the same form.
    pub serialize: SerializeType,
}

impl<'a> Command<'a> {
    /// Reads the header of a frame. Allocates nothing for headers of the usual size.
    ///
    /// # Errors
    /// See [`CommandError`]; the connection should be closed.
    pub fn parse(frame: Frame<'a>) -> Result<Self, CommandError> {
        match frame.serialize {
            SerializeType::Json => json::header::parse(frame),
            SerializeType::RocketMq => compact::parse(frame),
        }
    }

    /// Whether this answers a request of ours.
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether the sender wants no answer, not even an error.
    pub fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// Error text or free text.
    pub fn remark(&self) -> Option<&str> {
        self.remark.map(|text| self.fields.resolve(text))
    }
}

/// What a response says besides its fields and body.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    /// The form of the request's header.
    pub serialize: SerializeType,
    /// The request's number.
    pub opaque: i32,
    /// Response code.
    pub code: i32,
    /// Error text or free text.
    pub remark: Option<&'a str>,
}

/// What a request says besides its fields and body.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// Form of the header; JSON is understood by everybody.
    pub serialize: SerializeType,
    /// Request code.
    pub code: i32,
    /// Our number for the answer.
    pub opaque: i32,
    /// Whether no answer is wanted.
    pub oneway: bool,
    /// Free text, normally absent.
    pub remark: Option<&'a str>,
}

/// The parts of a header that are not fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub code: i32,
    pub language: Language,
    pub opaque: i32,
    pub flag: i32,
    pub remark: Option<&'a str>,
}

/// Appends a whole request frame to `out`.
///
/// A code that does not fit the binary form's 16 bits makes the header a JSON one.
pub fn write_request(
    out: &mut Vec<u8>,
    request: RequestHead<'_>,
    header: &impl WriteHeader,
    body: &[u8],
) {
    let head = Head {
        code: request.code,
        language: Language::Rust,
        opaque: request.opaque,
        flag: if request.oneway { FLAG_ONEWAY } else { 0 },
        remark: request.remark,
    };
    let start = out.len();
    let header_len = write_frame_head(out, request.serialize, &head, header, body.len());
    assert!(header_len <= HEADER_SIZE_MAX_BYTES, "header of {header_len} bytes at {start}");
    out.extend_from_slice(body);
}

/// Appends a whole response frame to `out`.
pub fn write_response(
    out: &mut Vec<u8>,
    response: ResponseHead<'_>,
    header: &impl WriteHeader,
    body: &[u8],
) {
    let len = write_response_head(out, response, header, body.len());
    if len == body.len() {
        out.extend_from_slice(body);
    }
}

/// Appends a response frame up to its body; the caller sends `body_len` more bytes.
///
/// Returns the body length that the frame announces: `body_len`, or 0 when the header fields do not
/// fit a frame (16 MiB) and a SYSTEM_ERROR without body is sent in place of the answer.
pub fn write_response_head(
    out: &mut Vec<u8>,
    response: ResponseHead<'_>,
    header: &impl WriteHeader,
    body_len: usize,
) -> usize {
    let mut head = Head {
        code: response.code,
        language: Language::Rust,
        opaque: response.opaque,
        flag: FLAG_RESPONSE,
        remark: response.remark,
    };
    let start = out.len();
    if write_frame_head(out, response.serialize, &head, header, body_len) <= HEADER_SIZE_MAX_BYTES {
        return body_len;
    }
    out.truncate(start);
    head.code = response::SYSTEM_ERROR;
    head.remark = Some("the answer's header is longer than a frame allows");
    write_frame_head(out, response.serialize, &head, &(), 0);
    0
}

/// Writes prefix and header and returns the header's length; above the limit the prefix is wrong.
fn write_frame_head(
    out: &mut Vec<u8>,
    serialize: SerializeType,
    head: &Head<'_>,
    header: &impl WriteHeader,
    body_len: usize,
) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_SIZE_BYTES]);
    let header_at = out.len();
    let used = match (serialize, i16::try_from(head.code)) {
        (SerializeType::RocketMq, Ok(code)) => {
            compact::write(out, code, head, header);
            SerializeType::RocketMq
        }
        _ => {
            json::header::write(out, head, header);
            SerializeType::Json
        }
    };
    let header_len = out.len() - header_at;
    let after_length_word = i32::try_from(4 + header_len + body_len).expect("frames fit 2 GiB");
    let header_word = (header_len as u32 & 0x00FF_FFFF) | u32::from(used.byte()) << 24;
    out[start..start + 4].copy_from_slice(&after_length_word.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&header_word.to_be_bytes());
    header_len
}
