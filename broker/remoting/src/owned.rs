//! A command that outlives the buffer it was received in.

use ringmq_protocol::{Command, frame};

/// A copy of one frame that was parsed before.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedCommand {
    code: i32,
    frame: Box<[u8]>,
}

impl OwnedCommand {
    /// Keeps `frame`, of which `command` was parsed.
    pub(crate) fn copy_of(frame: &[u8], command: &Command<'_>) -> Self {
        Self { code: command.code, frame: frame.into() }
    }

    /// The response code.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The whole frame with its length word.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The body, without a look at the header.
    pub fn body(&self) -> &[u8] {
        self.cut().body
    }

    /// The command, borrowed from this copy; parses the header again.
    pub fn command(&self) -> Command<'_> {
        Command::parse(self.cut()).expect("the header was parsed when the frame arrived")
    }

    fn cut(&self) -> frame::Frame<'_> {
        let cut = frame::cut(&self.frame, self.frame.len());
        let (frame, _) = cut.ok().flatten().expect("the frame was cut when it arrived");
        frame
    }
}

impl std::fmt::Debug for OwnedCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnedCommand {{ code: {}, bytes: {} }}", self.code, self.frame.len())
    }
}
