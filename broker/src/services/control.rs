//! What control services have in common: reading bodies, making answers, answering now or later.
//!
//! Requests of the control plane are rare, so their answers own what they say.

use std::future::Future;
use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_protocol::fields::OwnedFields;
use ringmq_protocol::frame::ANSWER_BODY_MAX_BYTES;
use ringmq_protocol::{Command, Header, WriteHeader, json};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::task::LocalFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::gathered::GatherLine;
use super::later::{LISTS_MAX_BYTES, LaterAnswers, OWN_MAX_BYTES, RELAYED_MAX_BYTES};
use crate::outcome::Refusal;
use crate::peer::Peer;

/// A successful answer.
#[derive(Debug, Default)]
pub struct Answer {
    fields: OwnedFields,
    remark: Option<String>,
    body: Vec<u8>,
}

/// Requests whose answers are not given at once.
pub struct Unanswered {
    later: Rc<LaterAnswers>,
    lists: Rc<LaterAnswers>,
    relayed: Rc<LaterAnswers>,
    gathered: Rc<GatherLine>,
}

impl Default for Unanswered {
    fn default() -> Self {
        Self {
            later: LaterAnswers::new(OWN_MAX_BYTES),
            lists: LaterAnswers::new(LISTS_MAX_BYTES),
            relayed: LaterAnswers::new(RELAYED_MAX_BYTES),
            gathered: Rc::default(),
        }
    }
}

/// What a service does with a request.
pub enum Reaction {
    /// It is answered with this.
    Now(Result<Answer, Refusal>),
    /// It is answered with what this resolves to.
    Later(LocalFuture<Result<Answer, Refusal>>),
    /// The same, and the list that was asked for waits with it: its bytes when unfolded.
    List(usize, LocalFuture<Result<Answer, Refusal>>),
    /// The same, and another client decides when that is.
    Relayed(LocalFuture<Result<Answer, Refusal>>),
    /// The same, when it is its turn: the answer may be large.
    Gathered(LocalFuture<Result<Answer, Refusal>>),
    /// It is never answered, as its client loses something by any answer.
    Silence,
}

impl Reaction {
    /// A reaction that waits.
    pub fn later(answer: impl Future<Output = Result<Answer, Refusal>> + 'static) -> Self {
        Self::Later(Box::pin(answer))
    }

    /// A reaction that waits with a body of `bytes`, counted as what it unfolded to.
    pub fn list(
        bytes: usize,
        answer: impl Future<Output = Result<Answer, Refusal>> + 'static,
    ) -> Self {
        Self::List(bytes, Box::pin(answer))
    }

    /// A reaction that waits for another client.
    pub fn relayed(answer: impl Future<Output = Result<Answer, Refusal>> + 'static) -> Self {
        Self::Relayed(Box::pin(answer))
    }

    /// A reaction that waits for its turn, and then for an answer over all queues or groups.
    pub fn gathered(answer: impl Future<Output = Result<Answer, Refusal>> + 'static) -> Self {
        Self::Gathered(Box::pin(answer))
    }

    /// Answers a request of `bytes`, now, later or never.
    pub fn send(self, unanswered: &Unanswered, peer: &Peer, to: ReplyTo, bytes: usize) {
        match self {
            Self::Now(result) => reply(peer, &to, result),
            Self::Later(answer) => unanswered.later.spawn(peer, to, bytes, answer),
            Self::List(bytes, answer) => unanswered.lists.spawn(peer, to, bytes, answer),
            Self::Relayed(answer) => unanswered.relayed.spawn(peer, to, bytes, answer),
            Self::Gathered(answer) => unanswered.gathered.join(peer, to, answer),
            Self::Silence => {}
        }
    }
}

impl From<Result<Answer, Refusal>> for Reaction {
    fn from(result: Result<Answer, Refusal>) -> Self {
        Self::Now(result)
    }
}

/// What a service refuses it refuses at once.
impl From<Result<Self, Refusal>> for Reaction {
    fn from(result: Result<Self, Refusal>) -> Self {
        result.unwrap_or_else(|refusal| Self::Now(Err(refusal)))
    }
}

pub(super) fn reply(peer: &Peer, to: &ReplyTo, result: Result<Answer, Refusal>) {
    match result {
        Ok(answer) => {
            let remark = answer.remark.as_deref();
            peer.reply(to, response::SUCCESS, remark, &answer.fields, &answer.body);
        }
        Err(refusal) => peer.refuse(to, &refusal),
    }
}

impl Answer {
    /// An answer of a body alone.
    ///
    /// # Errors
    /// The body is longer than [`ANSWER_BODY_MAX_BYTES`].
    pub fn with_body(body: Vec<u8>) -> Result<Self, Refusal> {
        match body.len() {
            ..=ANSWER_BODY_MAX_BYTES => Ok(Self { body, ..Self::default() }),
            _ => Err(too_long()),
        }
    }

    /// An answer of a header alone.
    pub fn with_header(header: &impl WriteHeader) -> Self {
        Self { fields: OwnedFields::of(header), ..Self::default() }
    }

    /// The same answer with a header field.
    pub fn field(mut self, name: &str, value: impl ToString) -> Self {
        self.fields.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// The same answer with a text for a person.
    pub fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }
}

/// An answer whose body is a JSON value.
///
/// # Errors
/// It would be longer than [`ANSWER_BODY_MAX_BYTES`], and is made no further.
pub fn json_answer(body: &impl Serialize) -> Result<Answer, Refusal> {
    let body = json::to_vec_within(body, ANSWER_BODY_MAX_BYTES).map_err(|_| too_long())?;
    Answer::with_body(body)
}

/// The room of the longest body of an answer. Entries of a list take theirs before they are made,
/// so that of a list without an end no more is made than an answer holds.
pub(super) struct BodyRoom {
    left_bytes: usize,
}

impl Default for BodyRoom {
    fn default() -> Self {
        Self { left_bytes: ANSWER_BODY_MAX_BYTES }
    }
}

impl BodyRoom {
    /// Takes the room of an entry that has so many bytes at least.
    ///
    /// # Errors
    /// There is none left for it.
    pub(super) fn take(&mut self, bytes_min: usize) -> Result<(), Refusal> {
        self.left_bytes = self.left_bytes.checked_sub(bytes_min).ok_or_else(too_long)?;
        Ok(())
    }
}

/// An answer that can never be sent, however long the client waits.
fn too_long() -> Refusal {
    let remark = format!(
        "the answer has more than {ANSWER_BODY_MAX_BYTES} bytes, and a frame that clients take has \
         no room for more: ask for the list in pages (topicSeq, groupSeq), or for one entry of it"
    );
    Refusal::new(response::SYSTEM_ERROR, remark)
}

/// Longest body of a request to the control plane. It is parsed in one step, in which shard 0 does
/// nothing else: measured 60 ms of CPU for so much JSON (25,000 topics, or 12,500 groups of a
/// heartbeat). The largest that tools and clients send are lists of topics, groups or queue locks,
/// of 150 to 300 bytes an entry. Registrations, which may be longer, go to the name server.
pub const BODY_MAX_BYTES: usize = 4 << 20;

/// The body of a request to the control plane.
///
/// # Errors
/// It is longer than [`BODY_MAX_BYTES`].
pub fn body_of<'c>(command: &Command<'c>) -> Result<&'c [u8], Refusal> {
    match command.body.len() {
        ..=BODY_MAX_BYTES => Ok(command.body),
        found => Err(Refusal::invalid_parameter(format!(
            "the body of a request of code {} has {found} bytes, at most {BODY_MAX_BYTES} are \
             allowed: send its list in parts",
            command.code
        ))),
    }
}

/// Reads a JSON body in any of the dialects that clients write.
///
/// # Errors
/// The body is too long, or not what it should be.
pub fn read_body<T: DeserializeOwned>(command: &Command<'_>) -> Result<T, Refusal> {
    read_list(command).map(|(body, _)| body)
}

/// The same, and the bytes that it unfolded to: what short entries and references make of a body
/// may be many times its length.
///
/// # Errors
/// As [`read_body`].
pub fn read_list<T: DeserializeOwned>(command: &Command<'_>) -> Result<(T, usize), Refusal> {
    let body = body_of(command)?;
    let budget = json::Budget::of(body.len());
    let read = json::from_part(body, &budget).map_err(Refusal::malformed)?;
    Ok((read, budget.spent()))
}

/// Reads the header of a request.
///
/// # Errors
/// A required field is missing, or a value is not what it should be.
pub fn decode<'c, H: Header<'c>>(command: &'c Command<'_>) -> Result<H, Refusal> {
    H::decode(&command.fields).map_err(Refusal::malformed)
}
