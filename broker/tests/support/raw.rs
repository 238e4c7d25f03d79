//! A client of bytes: it writes prepared requests and counts the frames that come back.

use std::io::IoSlice;
use std::net::SocketAddr;

use ringmq_protocol::{RequestHead, SerializeType, WriteHeader, write_request};
use ringmq_runtime::net::{ReadHalf, Stream, WriteHalf};

use super::TIMEOUT;

/// So many equal requests, to be written at once.
pub fn requests(code: i32, header: &impl WriteHeader, body: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for opaque in 0..count as i32 {
        let serialize = SerializeType::RocketMq;
        let head = RequestHead { serialize, code, opaque, oneway: false, remark: None };
        write_request(&mut bytes, head, header, body);
    }
    bytes
}

pub struct RawClient {
    read: ReadHalf,
    write: WriteHalf,
}

impl RawClient {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = Stream::connect(address, TIMEOUT).await.expect("the broker listens");
        let (read, write) = stream.split();
        Self { read, write }
    }

    /// Writes `requests` and reads nothing.
    pub async fn write(&mut self, requests: &[u8]) {
        self.write.write_all(&mut [IoSlice::new(requests)]).await.expect("an open connection");
    }

    /// Writes `requests` and waits until `answers` frames have come back, which are not looked at.
    pub async fn exchange(&mut self, requests: &[u8], answers: usize) {
        self.write(requests).await;
        let mut frames = Frames::default();
        while frames.whole < answers {
            self.read
                .read_with(|bytes| {
                    assert!(!bytes.is_empty(), "the broker closed the connection");
                    frames.take(bytes);
                })
                .await
                .expect("an open connection");
        }
        assert!(frames.word_len == 0 && frames.left == 0, "nothing follows the last answer");
    }
}

/// Cuts a stream by its length words, wherever reads split it.
#[derive(Default)]
struct Frames {
    word: [u8; 4],
    word_len: usize,
    left: usize,
    whole: usize,
}

impl Frames {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                self.word[self.word_len] = bytes[0];
                self.word_len += 1;
                bytes = &bytes[1..];
                if self.word_len == 4 {
                    self.left = u32::from_be_bytes(self.word) as usize;
                    self.word_len = 0;
                }
                continue;
            }
            let step = self.left.min(bytes.len());
            self.left -= step;
            bytes = &bytes[step..];
            self.whole += usize::from(self.left == 0);
        }
    }
}
