//! A minimal client: free ports, and asking a name server for a route.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::workspace::Outcome;

const TIMEOUT: Duration = Duration::from_secs(2);
/// Nothing that a route probe reads is longer.
const ANSWER_SIZE_MAX_BYTES: usize = 1 << 20;

/// A port on which a broker can listen: it, the one two below (VIP) and the next one (replication)
/// are free.
///
/// # Errors
/// The machine has no such port.
pub fn free_port() -> Outcome<u16> {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if port < u16::MAX && free(port - 2) && free(port + 1) {
            return Ok(port);
        }
    }
    Err("no three free ports beside each other".into())
}

/// Whether a program could listen on this port of every address.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// Refuses a machine on which nothing can listen at `::1`.
///
/// # Errors
/// It is one.
pub fn has_ipv6() -> Outcome {
    let bound = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    bound.map(drop).map_err(|e| {
        format!("this machine has no ::1 ({e}): sysctl net.ipv6.conf.lo.disable_ipv6=0")
    })
}

/// Whether somebody accepts connections there.
pub fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, TIMEOUT).is_ok()
}

/// Whether the name server has a route for `topic`.
pub fn has_route(namesrv: SocketAddr, topic: &str) -> bool {
    ask_route(namesrv, topic).is_ok_and(|header| header.contains("\"code\":0"))
}

/// Sends request 105 and returns the JSON header of the answer.
fn ask_route(namesrv: SocketAddr, topic: &str) -> std::io::Result<String> {
    let header = format!(
        r#"{{"code":105,"extFields":{{"topic":"{topic}"}},"flag":0,"language":"JAVA","opaque":1,"serializeTypeCurrentRPC":"JSON","version":513}}"#
    );
    let size = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(header.len() + 8);
    frame.extend((size + 4).to_be_bytes());
    frame.extend(size.to_be_bytes());
    frame.extend(header.as_bytes());
    let mut stream = TcpStream::connect_timeout(&namesrv, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(&frame)?;
    let mut word = [0; 4];
    stream.read_exact(&mut word)?;
    let length = u32::from_be_bytes(word) as usize;
    if !(4..=ANSWER_SIZE_MAX_BYTES).contains(&length) {
        return Err(std::io::Error::other("an answer of impossible length"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    // The upper byte of the header's length word is the encoding.
    let header_length = u32::from_be_bytes([0, answer[1], answer[2], answer[3]]) as usize;
    let header = answer.get(4..4 + header_length).unwrap_or_default();
    Ok(String::from_utf8_lossy(header).into_owned())
}
