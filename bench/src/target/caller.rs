//! One connection that asks and waits for each answer: routes, topics, pulls.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

use ringmq_protocol::bodies::topic::KvTable;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::{Command, RequestHead, SerializeType, WriteHeader, json, write_request};
use ringmq_runtime::net::{self, ReadHalf, Stream, WriteHalf};
use ringmq_runtime::task;

use crate::error::BenchError;
use crate::wire::{Assembler, describe};

/// Longest wait for a connection or an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// A connection with one request at a time.
#[derive(Debug)]
pub struct Caller {
    who: String,
    read: ReadHalf,
    write: WriteHalf,
    assembler: Assembler,
    out: Vec<u8>,
    opaque: i32,
}

/// Connects to `addr`, which is `host:port`.
///
/// # Errors
/// The name is unknown, nobody listens there, or not in time.
pub async fn connect(addr: &str) -> Result<Stream, BenchError> {
    let connected = async { Stream::connect(net::resolve(addr).await?, LIMIT).await }.await;
    connected.map_err(|error| BenchError::Connect { addr: addr.to_owned(), error })
}

impl Caller {
    /// Connects to `addr`.
    ///
    /// # Errors
    /// See [`connect`].
    pub async fn connect(addr: &str) -> Result<Self, BenchError> {
        let (read, write) = connect(addr).await?.split();
        Ok(Self {
            who: addr.to_owned(),
            read,
            write,
            assembler: Assembler::default(),
            out: Vec::new(),
            opaque: 0,
        })
    }

    /// The peer's address.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Asks, and lends the answer to `take`, whatever its code.
    ///
    /// # Errors
    /// The connection fails, or no answer comes in time.
    pub async fn ask<R>(
        &mut self,
        code: i32,
        header: &impl WriteHeader,
        take: impl FnMut(&Command<'_>) -> R,
    ) -> Result<R, BenchError> {
        self.ask_with_body(code, header, &[], take).await
    }

    /// As [`Caller::ask`], with a body.
    ///
    /// # Errors
    /// As for [`Caller::ask`].
    pub async fn ask_with_body<R>(
        &mut self,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
        take: impl FnMut(&Command<'_>) -> R,
    ) -> Result<R, BenchError> {
        self.opaque = self.opaque.wrapping_add(1);
        let head = RequestHead {
            serialize: SerializeType::Json,
            code,
            opaque: self.opaque,
            oneway: false,
            remark: None,
        };
        self.out.clear();
        write_request(&mut self.out, head, header, body);
        let answer = async {
            let sent = self.write.write_all(&mut [IoSlice::new(&self.out)]).await;
            sent.map_err(|error| lost(&self.who, error))?;
            self.read_answer(take).await
        };
        task::timeout(LIMIT, answer).await.map_err(|_| BenchError::NoAnswer {
            who: self.who.clone(),
            asked: request::name(code).map_or_else(|| code.to_string(), str::to_owned),
            waited: LIMIT,
        })?
    }

    /// Reads up to the answer to the last request, which it lends to `take`.
    async fn read_answer<R>(
        &mut self,
        mut take: impl FnMut(&Command<'_>) -> R,
    ) -> Result<R, BenchError> {
        let opaque = self.opaque;
        loop {
            let mut found = None;
            let keep = |command: &Command<'_>| {
                if command.is_response() && command.opaque == opaque {
                    found = Some(take(command));
                }
            };
            let fed = self.read.read_with(|bytes| match bytes.is_empty() {
                true => Err(lost(&self.who, closed())),
                false => self
                    .assembler
                    .feed(bytes, keep)
                    .map_err(|error| BenchError::protocol(&self.who, error)),
            });
            fed.await.map_err(|error| lost(&self.who, error))??;
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    /// What a broker tells of itself: name to value.
    ///
    /// # Errors
    /// As for [`Caller::expect`], and an answer that is no such table.
    pub async fn runtime_information(&mut self) -> Result<BTreeMap<String, String>, BenchError> {
        let (asked, code) = ("runtime information", request::GET_BROKER_RUNTIME_INFO);
        let body = self.expect(asked, code, &(), |answer| answer.body.to_vec()).await?;
        let table: KvTable = json::from_slice(&body)
            .map_err(|error| BenchError::protocol(&self.who, format!("{asked}: {error}")))?;
        Ok(table.table)
    }

    /// The settings of a broker: key to value.
    ///
    /// # Errors
    /// As for [`Caller::expect`].
    pub async fn configuration(&mut self) -> Result<BTreeMap<String, String>, BenchError> {
        let code = request::GET_BROKER_CONFIG;
        let body = self.expect("configuration", code, &(), |answer| answer.body.to_vec()).await?;
        let text = String::from_utf8_lossy(&body);
        let entry = |line: &str| {
            let (key, value) = line.split_once('=')?;
            Some((key.trim().to_owned(), value.trim().to_owned()))
        };
        Ok(text.lines().filter_map(entry).collect())
    }

    /// Changes a setting of a broker while it runs.
    ///
    /// # Errors
    /// As for [`Caller::expect`].
    pub async fn change_setting(&mut self, key: &str, value: &str) -> Result<(), BenchError> {
        let (code, body) = (request::UPDATE_BROKER_CONFIG, format!("{key}={value}\n"));
        self.expect_with_body("change of a setting", code, &(), body.as_bytes(), |_| ()).await
    }

    /// Asks for something that must succeed; returns what `take` makes of the answer.
    ///
    /// # Errors
    /// As for [`Caller::ask`], and any code but SUCCESS.
    pub async fn expect<R>(
        &mut self,
        asked: &'static str,
        code: i32,
        header: &impl WriteHeader,
        take: impl FnMut(&Command<'_>) -> R,
    ) -> Result<R, BenchError> {
        self.expect_with_body(asked, code, header, &[], take).await
    }

    /// As [`Caller::expect`] with a body.
    ///
    /// # Errors
    /// As for [`Caller::expect`].
    pub async fn expect_with_body<R>(
        &mut self,
        asked: &'static str,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
        mut take: impl FnMut(&Command<'_>) -> R,
    ) -> Result<R, BenchError> {
        let outcome = self
            .ask_with_body(code, header, body, |command| match command.code {
                response::SUCCESS => Ok(take(command)),
                _ => Err(describe(command)),
            })
            .await?;
        outcome.map_err(|answer| BenchError::Refused { asked, who: self.who.clone(), answer })
    }
}

fn lost(who: &str, error: io::Error) -> BenchError {
    BenchError::Network { addr: who.to_owned(), error }
}

/// Why nothing more can be read.
fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the peer closed the connection")
}
