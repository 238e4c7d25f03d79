//! The read loop of one connection: preface, frames, answers to calls, requests to the service.

use std::io;
use std::rc::Rc;

use ringmq_protocol::error::FrameError;
use ringmq_protocol::{Command, frame};
use ringmq_runtime::net::ReadHalf;
use ringmq_runtime::task;

use crate::assemble::{Assembler, Next, OnFrame, Progress};
use crate::preface::{self, Preface};
use crate::{Connection, OwnedCommand, Service};

/// Reason for which a connection is closed when its peer does not speak the protocol.
pub const MALFORMED_FRAME: &str = "malformed frame";

/// Why reading goes no further.
enum End {
    /// The peer closed its side.
    OfStream,
    /// The peer broke a rule, which is worth a line in the log.
    Refused { reason: &'static str, detail: String },
}

/// What one read, or one resumed turn, came to.
type TurnEnd = Result<Progress, End>;

/// Serves a connection until either side closes it; then ends what it still holds.
pub(crate) async fn run<S: Service>(
    connection: Rc<Connection>,
    mut half: ReadHalf,
    service: Rc<S>,
) {
    let mut reader = Reader {
        connection: &connection,
        service: &*service,
        assembler: Assembler::new(connection.limits().frame_size_max_bytes),
        preface: Some(Vec::new()),
        is_proxied: false,
    };
    let reason = reader.read_until_closed(&mut half).await;
    connection.close(reason);
    connection.finish();
    service.on_close(&connection);
}

struct Reader<'a, S> {
    connection: &'a Rc<Connection>,
    service: &'a S,
    assembler: Assembler,
    /// Bytes received before it is known what the connection starts with; `None` afterwards.
    preface: Option<Vec<u8>>,
    /// A PROXY header was read: only a frame may follow.
    is_proxied: bool,
}

impl<S: Service> Reader<'_, S> {
    async fn read_until_closed(&mut self, half: &mut ReadHalf) -> &'static str {
        loop {
            self.connection.wait_to_read().await;
            if let Some(reason) = self.connection.close_reason() {
                return reason;
            }
            half.expect(self.assembler.missing_bytes());
            let mut turn = match half.read_with(|bytes| self.take(bytes)).await {
                Ok(turn) => turn,
                Err(error) => return self.read_failed(&error),
            };
            while let Ok(Progress::TurnOver) = turn {
                task::yield_now().await;
                self.connection.wait_to_read().await;
                if let Some(reason) = self.connection.close_reason() {
                    return reason;
                }
                turn = self.turn(|assembler, on_frame| assembler.resume(on_frame));
            }
            if let Err(end) = turn {
                return self.ended(end);
            }
            task::yield_if_needed().await;
        }
    }

    /// Takes the bytes of one read.
    fn take(&mut self, bytes: &[u8]) -> TurnEnd {
        if bytes.is_empty() {
            return Err(End::OfStream);
        }
        // The read began before the stop or the end did: these bytes came too late.
        if self.connection.is_draining() || self.connection.is_closed() {
            return Ok(Progress::NeedBytes);
        }
        let Some(mut start) = self.preface.take() else { return self.feed(bytes) };
        // Nearly always the first bytes are a frame and nothing is copied.
        if start.is_empty() && preface::examine(bytes) == Preface::None {
            return self.feed(bytes);
        }
        start.extend_from_slice(bytes);
        self.take_preface(start)
    }

    /// Decides what a connection starts with. `start` holds everything received so far: at most a
    /// PROXY header's limit and one read.
    fn take_preface(&mut self, start: Vec<u8>) -> TurnEnd {
        match preface::examine(&start) {
            Preface::NeedBytes => {
                self.preface = Some(start);
                Ok(Progress::NeedBytes)
            }
            Preface::None => self.feed(&start),
            Preface::Proxy { .. } | Preface::Malformed if self.is_proxied => {
                Err(refused("malformed start", "a PROXY header is not followed by a frame"))
            }
            Preface::Proxy { size_bytes, peer } if self.connection.limits().proxy_protocol => {
                if let Some(peer) = peer {
                    self.connection.set_peer(peer);
                }
                self.is_proxied = true;
                self.take_preface(start[size_bytes..].to_vec())
            }
            Preface::Tls => Err(refused(
                "TLS is not supported",
                "the peer starts TLS, which this server does not speak: turn it off in the client \
                 (Java: tls.enable=false)",
            )),
            Preface::Proxy { .. } => Err(refused("unexpected PROXY header", "it is turned off")),
            Preface::Malformed => Err(refused("malformed PROXY header", "no header can be read")),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> TurnEnd {
        let connection = self.connection;
        self.turn(|assembler, on_frame| {
            connection.note_read();
            assembler.feed(bytes, on_frame)
        })
    }

    /// One turn of handling frames: all replies made in it leave in one write.
    fn turn(
        &mut self,
        step: impl FnOnce(&mut Assembler, OnFrame<'_>) -> Result<Progress, FrameError>,
    ) -> TurnEnd {
        let (connection, service) = (self.connection, self.service);
        let mut refusal = None;
        connection.begin_turn();
        let progress = step(&mut self.assembler, &mut |bytes| {
            if let Err(end) = on_frame(connection, service, bytes) {
                refusal = Some(end);
                return Next::Pause;
            }
            let is_over =
                connection.take_given_way() || connection.is_closed() || !connection.may_read();
            if is_over { Next::Pause } else { Next::Continue }
        });
        // Whole frames that wait for their turn are not their peer's fault.
        let is_unfinished = matches!(progress, Ok(Progress::NeedBytes));
        let unfinished_bytes = if is_unfinished { self.assembler.held_bytes() } else { 0 };
        connection.set_unfinished_bytes(unfinished_bytes);
        service.on_read_end(connection);
        connection.end_turn();
        match (refusal, progress) {
            (Some(end), _) => Err(end),
            (None, Ok(progress)) => Ok(progress),
            (None, Err(error)) => {
                Err(End::Refused { reason: MALFORMED_FRAME, detail: error.to_string() })
            }
        }
    }

    fn ended(&self, end: End) -> &'static str {
        match end {
            End::OfStream => "closed by the peer",
            End::Refused { reason, detail } => {
                let (id, peer) = (self.connection.id(), self.connection.peer_addr());
                if self.connection.calls.borrow().are_answered() {
                    tracing::warn!(connection = id, %peer, "connection closed: {reason}: {detail}");
                } else {
                    // Those who asked over it are told, and say so themselves: once, where they
                    // ask again and again.
                    tracing::debug!(connection = id, %peer, "connection closed: {reason}: {detail}");
                }
                reason
            }
        }
    }

    fn read_failed(&self, error: &io::Error) -> &'static str {
        tracing::debug!(connection = self.connection.id(), %error, "read failed");
        self.connection.close_reason().unwrap_or("read failed")
    }
}

fn refused(reason: &'static str, detail: &str) -> End {
    End::Refused { reason, detail: detail.to_owned() }
}

/// Handles one whole frame.
fn on_frame<S: Service>(connection: &Rc<Connection>, service: &S, bytes: &[u8]) -> Result<(), End> {
    let malformed = |detail: String| End::Refused { reason: MALFORMED_FRAME, detail };
    let cut = frame::cut(bytes, bytes.len()).map_err(|error| malformed(error.to_string()))?;
    let (frame, _) = cut.expect("a whole frame was assembled");
    let parsed = Command::parse(frame);
    // Used where it lies: a command has more than a kilobyte.
    let command = match &parsed {
        Ok(command) => command,
        Err(error) => {
            return match frame::mend_header(bytes) {
                // It is UTF-8 now, so there is nothing to mend a second time.
                Some(mended) => on_frame(connection, service, &mended),
                None => Err(malformed(error.to_string())),
            };
        }
    };
    if !command.is_response() {
        service.on_request(connection, command, bytes);
        return Ok(());
    }
    let keep = || Ok(OwnedCommand::copy_of(bytes, command));
    let finished = connection.calls.borrow_mut().finish(command.opaque, keep);
    finished.run(Ok(command));
    connection.call_ended();
    Ok(())
}
