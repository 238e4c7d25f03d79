//! Requests that are kept as they came, and executed when what they wait for is there.

use ringmq_protocol::{Command, frame};
use ringmq_remoting::Permit;

use super::Request;
use crate::peer::Peer;

/// A request that is kept: who asked, and a copy of its frame.
pub(crate) struct Kept {
    peer: Peer,
    frame: Box<[u8]>,
    _permit: Option<Permit>,
}

impl Kept {
    /// Keeps a request that the device or another shard delays. Its bytes count as in flight
    /// meanwhile, so that past its limit the server reads no more.
    pub(crate) fn in_flight(request: Request<'_, '_>) -> Self {
        let permit = request.peer.admit(request.frame.len());
        Self { _permit: permit, ..Self::aside(request) }
    }

    /// Keeps a request that must not stop others from being read, as it waits for messages or for
    /// its turn: whoever keeps it has a limit of its own.
    pub(crate) fn aside(request: Request<'_, '_>) -> Self {
        Self { peer: request.peer.clone(), frame: request.frame.into(), _permit: None }
    }

    /// Who asked.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Length of its frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame.len()
    }

    /// What is asked, read anew.
    pub(crate) fn command(&self) -> Command<'_> {
        let cut = frame::cut(&self.frame, self.frame.len()).expect("a kept frame was cut before");
        let (parts, _) = cut.expect("a kept frame is whole");
        Command::parse(parts).expect("a kept header was parsed before")
    }

    /// The request as it arrived, of its [`Kept::command`].
    pub(crate) fn request<'a, 'f>(&'a self, command: &'a Command<'f>) -> Request<'a, 'f> {
        Request { peer: &self.peer, command, frame: &self.frame }
    }

    /// Lends the request as it arrived.
    pub(crate) fn lend<R>(&self, use_it: impl FnOnce(Request<'_, '_>) -> R) -> R {
        use_it(self.request(&self.command()))
    }
}
