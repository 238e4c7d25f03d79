//! Who asked, wherever the connection lives.
//!
//! A request may arrive on another shard than the one that answers it. A [`Peer`] is what a service
//! keeps of the asking connection: its name, its addresses, and a way to write to it. On the
//! connection's own shard it writes into the connection's output; elsewhere the bytes gather in the
//! [`Link`] and cross the mesh at the end of the turn. Either way nothing waits, and answers of one
//! turn leave together. Writing to a connection that is gone does nothing.

use std::net::SocketAddr;
use std::rc::Rc;

use ringmq_protocol::{
    RequestHead, ResponseHead, SerializeType, WriteHeader, write_request, write_response,
    write_response_head,
};
use ringmq_remoting::{Connection, OutQueue, Permit, ReplyTo};
use ringmq_store::Piece;

use crate::link::{ConnectionKey, Link, RemoteConnection};
use crate::outcome::Refusal;
use crate::shard::DataPlane;
use crate::stages::{Answered, Arrival, Leaving};

mod push;

/// A connection, on this shard or on another one.
#[derive(Clone)]
pub struct Peer {
    home: Home,
}

#[derive(Clone)]
enum Home {
    Local { shard: usize, connection: Rc<Connection> },
    Remote { connection: RemoteConnection, link: Rc<Link> },
}

impl Peer {
    /// A connection of this shard.
    pub fn local(shard: usize, connection: &Rc<Connection>) -> Self {
        Self { home: Home::Local { shard, connection: Rc::clone(connection) } }
    }

    /// A connection of another shard.
    pub fn remote(connection: RemoteConnection, link: &Rc<Link>) -> Self {
        Self { home: Home::Remote { connection, link: Rc::clone(link) } }
    }

    /// The connection's name in the whole broker.
    pub fn key(&self) -> ConnectionKey {
        match &self.home {
            Home::Local { shard, connection } => {
                ConnectionKey { shard: *shard, id: connection.id() }
            }
            Home::Remote { connection, .. } => connection.key,
        }
    }

    /// The client's address.
    pub fn peer_addr(&self) -> SocketAddr {
        match &self.home {
            Home::Local { connection, .. } => connection.peer_addr(),
            Home::Remote { connection, .. } => connection.peer,
        }
    }

    /// Our address that the client connected to.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.home {
            Home::Local { connection, .. } => connection.local_addr(),
            Home::Remote { connection, .. } => connection.local,
        }
    }

    /// What another shard needs to answer this connection.
    pub fn to_remote(&self) -> RemoteConnection {
        RemoteConnection { key: self.key(), peer: self.peer_addr(), local: self.local_addr() }
    }

    /// Whether the connection lives on this shard.
    pub fn is_local(&self) -> bool {
        matches!(self.home, Home::Local { .. })
    }

    /// Takes the bytes of a request that is answered later out of what this shard may read; nothing
    /// for a connection of another shard.
    pub fn admit(&self, bytes: usize) -> Option<Permit> {
        match &self.home {
            Home::Local { connection, .. } => Some(connection.admit(bytes)),
            Home::Remote { .. } => None,
        }
    }

    /// Whether the connection is known to be gone; one of another shard may be gone unnoticed.
    pub fn is_closed(&self) -> bool {
        match &self.home {
            Home::Local { connection, .. } => connection.is_closed(),
            Home::Remote { .. } => false,
        }
    }

    /// Whether the connection is gone. Asks the connection's shard.
    pub async fn is_gone(&self) -> bool {
        self.ask(|connection| connection.is_none_or(|connection| connection.is_closed())).await
    }

    /// Whether so many answers wait to be sent that a large one should wait too. Asks the
    /// connection's shard.
    pub async fn is_out_full(&self) -> bool {
        let is_full =
            self.ask(|connection| connection.is_some_and(|connection| connection.is_out_full()));
        let is_full = is_full.await;
        if let Home::Remote { connection, link } = &self.home
            && !is_full
        {
            link.found_room(connection.key);
        }
        is_full
    }

    /// The answer to a question about the connection on its shard, which gets none if it is gone.
    async fn ask(&self, question: fn(Option<&Connection>) -> bool) -> bool {
        match &self.home {
            Home::Local { connection, .. } => question(Some(connection)),
            Home::Remote { connection, link } => {
                let key = connection.key;
                let job = move |data: Rc<DataPlane>| async move {
                    question(data.inbound.connection(key.id).as_deref())
                };
                link.call(key.shard, job).await
            }
        }
    }

    /// Whether so much goes to the connection already that a large answer should wait, as far as
    /// this shard knows at once: of a connection of another shard, what was answered since it was
    /// last found not to be full.
    pub fn has_much_to_send(&self) -> bool {
        match &self.home {
            Home::Local { connection, .. } => connection.is_out_full(),
            Home::Remote { connection, link } => link.has_answered_much(connection.key),
        }
    }

    /// When the requests came that this turn of reading handles; none for another shard's.
    pub(crate) fn arrival(&self) -> Option<Arrival> {
        match &self.home {
            Home::Local { connection, .. } => Some(Arrival {
                read_at: connection.read_at(),
                turn_at: connection.turn_at(),
                passed_at: None,
            }),
            Home::Remote { .. } => None,
        }
    }

    /// Has it timed when the answers that were just written leave.
    pub(crate) fn time_leaving(&self, leaving: &Leaving, answered: Answered) {
        match &self.home {
            Home::Local { connection, .. } => leaving.add(connection, answered),
            Home::Remote { connection, link } => {
                link.reply(connection.key, |reply| reply.answered.push(answered));
            }
        }
    }

    /// Appends whole encoded frames to what is written to the connection.
    pub fn write(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        match &self.home {
            Home::Local { connection, .. } => {
                connection.out(|out| out.append(encode));
                connection.flush_soon();
            }
            Home::Remote { connection, link } => {
                link.reply(connection.key, |reply| encode(&mut reply.bytes));
            }
        }
    }

    fn write_pieces(&self, encode: impl FnOnce(&mut Vec<u8>), pieces: &mut Vec<Piece>) {
        match &self.home {
            Home::Local { connection, .. } => {
                connection.out(|out| {
                    out.append(encode);
                    for piece in pieces.drain(..) {
                        push_piece(out, piece);
                    }
                });
                connection.flush_soon();
            }
            Home::Remote { connection, link } => link.reply(connection.key, |reply| {
                encode(&mut reply.bytes);
                let at = reply.bytes.len();
                reply.piece_bytes += pieces.iter().map(piece_len).sum::<usize>() as u64;
                reply.pieces.extend(pieces.drain(..).map(|piece| (at, piece)));
            }),
        }
    }

    /// Answers a request; a one-way request is not answered.
    pub fn reply(
        &self,
        to: &ReplyTo,
        code: i32,
        remark: Option<&str>,
        header: &impl WriteHeader,
        body: &[u8],
    ) {
        if to.oneway {
            return;
        }
        let head = ResponseHead { serialize: to.serialize, opaque: to.opaque, code, remark };
        self.write(|out| write_response(out, head, header, body));
    }

    /// Answers a request with a body of `pieces`, which are taken out of the vector and leave
    /// without a copy; a one-way request is not answered.
    pub fn reply_pieces(
        &self,
        to: &ReplyTo,
        code: i32,
        remark: Option<&str>,
        header: &impl WriteHeader,
        pieces: &mut Vec<Piece>,
    ) {
        if to.oneway {
            return pieces.clear();
        }
        let head = ResponseHead { serialize: to.serialize, opaque: to.opaque, code, remark };
        let body_len = pieces.iter().map(piece_len).sum();
        let encode = |out: &mut Vec<u8>| {
            let announced = write_response_head(out, head, header, body_len);
            assert_eq!(announced, body_len, "headers of answers with pieces are short");
        };
        if pieces.is_empty() { self.write(encode) } else { self.write_pieces(encode, pieces) }
    }

    /// Answers a request with a refusal.
    pub fn refuse(&self, to: &ReplyTo, refusal: &Refusal) {
        self.reply(to, refusal.code, Some(&refusal.remark), &(), &[]);
    }

    /// Sends a request that expects no answer.
    pub fn send_oneway(&self, code: i32, header: &impl WriteHeader, body: &[u8]) {
        // Nobody answers, so the number ties nothing together; the response flag alone keeps it
        // apart from the client's own requests.
        let serialize = SerializeType::Json;
        let head = RequestHead { serialize, code, opaque: 0, oneway: true, remark: None };
        self.write(|out| write_request(out, head, header, body));
    }
}

fn piece_len(piece: &Piece) -> usize {
    match piece {
        Piece::Memory(bytes) => bytes.len(),
        Piece::File { len, .. } => usize::try_from(*len).expect("an answer fits memory"),
    }
}

/// Queues a piece of an answer on a connection of this shard.
pub fn push_piece(out: &mut OutQueue, piece: Piece) {
    match piece {
        Piece::Memory(bytes) => out.push_shared(bytes),
        Piece::File { view, pos, len } => out.push_file(view, pos, len),
    }
}
