//! Answers that are ready before they are asked for: the least that a server can do with a request.
//!
//! A frame is not parsed: its request number is taken from where the binary header has it, and put
//! into the prepared answer. All answers to what one read brought leave in one write; the body of
//! an answer is written from where it lies, and so is copied by the kernel alone.

use std::io::IoSlice;
use std::rc::Rc;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::frame::FRAME_SIZE_MAX_BYTES;
use ringmq_protocol::headers::pull::PullResponse;
use ringmq_protocol::headers::send::SendResponse;
use ringmq_protocol::record::records;
use ringmq_protocol::{ResponseHead, SerializeType, WriteHeader, batch, write_response};
use ringmq_runtime::net::{Listener, Stream};
use ringmq_runtime::task;

/// Where a binary header has the request's number: behind the frame's length and header length,
/// the code, the language and the version.
const OPAQUE_AT: usize = 4 + 4 + 2 + 1 + 2;

/// Where a frame has the length of its header, and behind it the code.
const HEADER_LEN_AT: usize = 4;
const CODE_AT: usize = 8;

/// The bits of the header length that are one: those above name the form of the header.
const HEADER_LEN_MASK: u32 = 0x00FF_FFFF;

/// Answers of one write: two pieces each, and the kernel takes 1,024 at once.
const ANSWERS_OF_WRITE: usize = 512;

/// An answer with a place for the request's number.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The frame up to its body.
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Prepared {
    /// The answer to a send.
    pub fn to_send() -> Self {
        let header = SendResponse {
            msg_id: "7F00000100002A9F0000000000000000",
            queue_id: 0,
            queue_offset: 0,
            transaction_id: None,
            batch_uniq_id: None,
            recall_handle: None,
            msg_region: Some("DefaultRegion"),
            trace_on: Some("true"),
        };
        Self::new(response::SUCCESS, &header, Vec::new())
    }

    /// The answer to a pull, with these stored messages one behind the other and many more behind
    /// them; with none, that nothing was found.
    pub fn to_pull(messages: Vec<u8>) -> Self {
        let code = match messages.is_empty() {
            true => response::PULL_NOT_FOUND,
            false => response::SUCCESS,
        };
        let next = i64::try_from(records(&messages).count()).unwrap_or(i64::MAX);
        Self::pulled(code, next, messages)
    }

    /// The answer to a pull that found messages, which differ from answer to answer:
    /// [`Prepared::push_head_of`] writes what goes before them.
    pub fn to_pull_of_any() -> Self {
        Self::pulled(response::SUCCESS, 1, Vec::new())
    }

    fn pulled(code: i32, next_begin_offset: i64, messages: Vec<u8>) -> Self {
        let header = PullResponse {
            suggest_which_broker_id: 0,
            next_begin_offset,
            min_offset: 0,
            max_offset: i64::MAX,
            offset_delta: None,
            topic_sys_flag: None,
            group_sys_flag: None,
            forbidden_type: None,
        };
        Self::new(code, &header, messages)
    }

    fn new(code: i32, header: &impl WriteHeader, body: Vec<u8>) -> Self {
        let head =
            ResponseHead { serialize: SerializeType::RocketMq, opaque: 0, code, remark: None };
        let mut frame = Vec::new();
        write_response(&mut frame, head, header, &body);
        frame.truncate(frame.len() - body.len());
        Self { head: frame, body }
    }

    /// Appends the answer to the request with this number, without its body.
    pub fn push_head(&self, out: &mut Vec<u8>, opaque: [u8; 4]) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        out[start + OPAQUE_AT..start + OPAQUE_AT + 4].copy_from_slice(&opaque);
    }

    /// The same before a body of `body_len` bytes that is not the prepared one.
    pub fn push_head_of(&self, out: &mut Vec<u8>, opaque: [u8; 4], body_len: usize) {
        let start = out.len();
        self.push_head(out, opaque);
        let len = u32::try_from(self.head.len() - 4 + body_len).expect("no answer is that long");
        out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }

    /// What is written for some heads: each with the body behind it.
    fn pieces<'a>(&'a self, heads: &'a [u8]) -> Vec<IoSlice<'a>> {
        match self.body.is_empty() {
            true => vec![IoSlice::new(heads)],
            false => heads
                .chunks(self.head.len())
                .flat_map(|head| [IoSlice::new(head), IoSlice::new(&self.body)])
                .collect(),
        }
    }
}

/// Cuts frames out of what the socket gives.
#[derive(Debug, Default)]
pub struct Frames {
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
}

impl Frames {
    /// Lends each whole frame and its request number to `take`; false when these are no frames.
    pub fn feed(&mut self, bytes: &[u8], take: impl FnMut([u8; 4], &[u8])) -> bool {
        if self.partial.is_empty() {
            let used = take_all(bytes, take);
            return used.map(|used| self.partial.extend_from_slice(&bytes[used..])).is_some();
        }
        self.partial.extend_from_slice(bytes);
        take_all(&self.partial, take).map(|used| self.partial.drain(..used)).is_some()
    }
}

/// Whether a whole frame is a pull.
pub fn is_pull(frame: &[u8]) -> bool {
    code(frame) == request::PULL_MESSAGE
}

fn code(frame: &[u8]) -> i32 {
    i16::from_be_bytes([frame[CODE_AT], frame[CODE_AT + 1]]).into()
}

/// Lends the body of each message that a whole frame sends to `take`; of nonsense none.
pub fn bodies(frame: &[u8], mut take: impl FnMut(&[u8])) {
    let header = frame[HEADER_LEN_AT..CODE_AT].try_into().expect("four bytes");
    let header_len = (u32::from_be_bytes(header) & HEADER_LEN_MASK) as usize;
    let body = frame.get(CODE_AT + header_len..).unwrap_or_default();
    match code(frame) == request::SEND_BATCH_MESSAGE {
        true => batch::items(body).map_while(Result::ok).for_each(|item| take(item.body)),
        false => take(body),
    }
}

/// Takes the whole frames at the start of `bytes`; how many bytes they had, none when these are no
/// frames.
pub fn take_all(bytes: &[u8], mut take: impl FnMut([u8; 4], &[u8])) -> Option<usize> {
    let mut used = 0;
    while let Some(len) = bytes[used..].first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        if !(OPAQUE_AT..=FRAME_SIZE_MAX_BYTES).contains(&len) {
            return None;
        }
        let Some(frame) = bytes[used..].get(..4 + len) else { break };
        take(frame[OPAQUE_AT..OPAQUE_AT + 4].try_into().expect("four bytes"), frame);
        used += 4 + len;
    }
    Some(used)
}

/// Answers every request of every connection at once, for ever.
///
/// # Errors
/// Nothing can be accepted any more.
pub async fn serve(listener: Listener, prepared: Prepared) -> std::io::Result<()> {
    let prepared = Rc::new(prepared);
    loop {
        let (stream, _) = listener.accept().await?;
        task::spawn("null connection", answer(stream, prepared.clone())).detach();
    }
}

/// Whatever ends it, the other side sees its connection closed.
async fn answer(stream: Stream, prepared: Rc<Prepared>) {
    let (mut read, mut write) = stream.split();
    let mut frames = Frames::default();
    let mut heads = Vec::new();
    loop {
        let open = read.read_with(|bytes| {
            let push = |opaque, _: &[u8]| prepared.push_head(&mut heads, opaque);
            !bytes.is_empty() && frames.feed(bytes, push)
        });
        if !matches!(open.await, Ok(true)) {
            return;
        }
        for some in heads.chunks(ANSWERS_OF_WRITE * prepared.head.len()) {
            if write.write_all(&mut prepared.pieces(some)).await.is_err() {
                return;
            }
        }
        heads.clear();
    }
}

#[cfg(test)]
mod tests {
    use ringmq_protocol::headers::pull::PullRequest;
    use ringmq_protocol::{Command, Header, RequestHead, frame, write_request};

    use super::*;

    /// The opaques of the answers to requests with these numbers, each proved by `look`.
    fn check(prepared: &Prepared, opaques: &[i32], look: impl Fn(&Command<'_>)) {
        let mut heads = Vec::new();
        opaques.iter().for_each(|opaque| prepared.push_head(&mut heads, opaque.to_be_bytes()));
        let bytes: Vec<u8> =
            prepared.pieces(&heads).iter().flat_map(|piece| piece.to_vec()).collect();
        let (mut rest, mut found) = (&bytes[..], Vec::new());
        while let Some((body, len)) = frame::cut(rest, FRAME_SIZE_MAX_BYTES).unwrap() {
            let command = Command::parse(body).unwrap();
            look(&command);
            found.push(command.opaque);
            rest = &rest[len..];
        }
        assert_eq!(found, opaques);
    }

    #[test]
    fn answers_carry_the_numbers_of_their_requests() {
        check(&Prepared::to_send(), &[7, -1, i32::MAX], |answer| {
            assert_eq!(answer.code, response::SUCCESS);
        });
    }

    #[test]
    fn each_pull_gets_the_same_messages_and_hears_of_more() {
        let messages = crate::limits::tests::messages(3, 100);
        check(&Prepared::to_pull(messages.clone()), &[4, 2], |answer| {
            assert_eq!((answer.code, answer.body), (response::SUCCESS, &messages[..]));
            let header = PullResponse::decode(&answer.fields).unwrap();
            assert!(header.next_begin_offset == 3 && header.max_offset > 1 << 60);
        });
    }

    #[test]
    fn a_pull_of_nothing_finds_nothing() {
        check(&Prepared::to_pull(Vec::new()), &[1], |answer| {
            assert_eq!((answer.code, answer.body.len()), (response::PULL_NOT_FOUND, 0));
        });
    }

    #[test]
    fn frames_are_cut_wherever_reads_end_and_anything_else_is_refused() {
        let mut bytes = Vec::new();
        for opaque in [7, 8, 9] {
            let head = RequestHead {
                serialize: SerializeType::RocketMq,
                code: 11,
                opaque,
                oneway: false,
                remark: None,
            };
            let header: PullRequest<'_> = crate::wire::pull("T", 0, 0, 32);
            write_request(&mut bytes, head, &header, &[]);
        }
        for cut in 0..bytes.len() {
            let (mut frames, mut opaques) = (Frames::default(), Vec::new());
            for piece in [&bytes[..cut], &bytes[cut..]] {
                let take = |opaque, _: &[u8]| opaques.push(i32::from_be_bytes(opaque));
                assert!(frames.feed(piece, take));
            }
            assert_eq!(opaques, [7, 8, 9], "cut at {cut}");
        }
        for nonsense in [[0, 0, 0, 1], [0xFF; 4]] {
            assert!(!Frames::default().feed(&nonsense, |_, _| ()));
        }
    }
}
