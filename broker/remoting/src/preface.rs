//! What may stand before the first frame: a PROXY header, or a TLS hello that we refuse.
//!
//! A frame starts with the high byte of a length below 16 MiB, so neither can be mistaken for one.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// First byte of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

const PROXY_V1_START: &[u8] = b"PROXY ";

/// Longest header of version 1, by its specification.
const PROXY_V1_SIZE_MAX_BYTES: usize = 107;

const PROXY_V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, and the length of the rest.
const PROXY_V2_FIXED_BYTES: usize = 16;

/// Longest header of version 2 that is read: addresses (36 bytes for IPv6) and a few extensions.
pub(crate) const PROXY_V2_SIZE_MAX_BYTES: usize = 4 << 10;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preface {
    /// Undecided: more bytes are needed.
    NeedBytes,
    /// Nothing stands before the frames.
    None,
    /// A PROXY header of `size_bytes`; `peer` is who it speaks for, if it says so.
    Proxy { size_bytes: usize, peer: Option<SocketAddr> },
    /// The peer wants TLS.
    Tls,
    /// Neither a frame nor a header that can be read.
    Malformed,
}

/// Looks at everything received so far.
pub(crate) fn examine(bytes: &[u8]) -> Preface {
    match bytes.first() {
        None => Preface::NeedBytes,
        Some(&TLS_HANDSHAKE) => Preface::Tls,
        Some(b'P') => examine_v1(bytes),
        Some(b'\r') => examine_v2(bytes),
        Some(_) => Preface::None,
    }
}

fn starts_like(bytes: &[u8], start: &[u8]) -> bool {
    let common = bytes.len().min(start.len());
    bytes[..common] == start[..common]
}

fn examine_v1(bytes: &[u8]) -> Preface {
    if !starts_like(bytes, PROXY_V1_START) {
        return Preface::Malformed;
    }
    let window = &bytes[..bytes.len().min(PROXY_V1_SIZE_MAX_BYTES)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        let full = window.len() == PROXY_V1_SIZE_MAX_BYTES;
        return if full { Preface::Malformed } else { Preface::NeedBytes };
    };
    let Ok(line) = std::str::from_utf8(&window[..end]) else { return Preface::Malformed };
    let mut words = line.split(' ').skip(1);
    let size_bytes = end + 2;
    match words.next() {
        Some("UNKNOWN") => Preface::Proxy { size_bytes, peer: None },
        Some("TCP4" | "TCP6") => {
            let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
            let port = words.nth(1).and_then(|word| word.parse::<u16>().ok());
            match address.zip(port) {
                Some(peer) => Preface::Proxy { size_bytes, peer: Some(peer.into()) },
                None => Preface::Malformed,
            }
        }
        _ => Preface::Malformed,
    }
}

fn examine_v2(bytes: &[u8]) -> Preface {
    if !starts_like(bytes, PROXY_V2_SIGNATURE) {
        return Preface::Malformed;
    }
    let Some(fixed) = bytes.first_chunk::<PROXY_V2_FIXED_BYTES>() else {
        return Preface::NeedBytes;
    };
    let [version_command, family, len_high, len_low] = [fixed[12], fixed[13], fixed[14], fixed[15]];
    let size_bytes = PROXY_V2_FIXED_BYTES + usize::from(u16::from_be_bytes([len_high, len_low]));
    if size_bytes > PROXY_V2_SIZE_MAX_BYTES {
        return Preface::Malformed;
    }
    let Some(addresses) = bytes.get(PROXY_V2_FIXED_BYTES..size_bytes) else {
        return Preface::NeedBytes;
    };
    match version_command {
        // LOCAL: the proxy speaks for itself.
        0x20 => Preface::Proxy { size_bytes, peer: None },
        0x21 => match v2_peer(family, addresses) {
            Ok(peer) => Preface::Proxy { size_bytes, peer },
            Err(()) => Preface::Malformed,
        },
        _ => Preface::Malformed,
    }
}

/// The source address of a version 2 header; `None` for families other than TCP over IP.
fn v2_peer(family: u8, addresses: &[u8]) -> Result<Option<SocketAddr>, ()> {
    match family {
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low] = *addresses.first_chunk::<10>().ok_or(())?;
            let port = u16::from_be_bytes([high, low]);
            Ok(Some((Ipv4Addr::new(a, b, c, d), port).into()))
        }
        0x21 => {
            let source = addresses.first_chunk::<16>().ok_or(())?;
            let port = addresses.get(32..34).ok_or(())?;
            let port = u16::from_be_bytes([port[0], port[1]]);
            Ok(Some((Ipv6Addr::from(*source), port).into()))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_every_prefix(header: &[u8], expected: Preface) {
        for cut in 0..header.len() {
            assert_eq!(examine(&header[..cut]), Preface::NeedBytes, "{cut} bytes");
        }
        assert_eq!(examine(header), expected);
        assert_eq!(examine(&[header, &[0, 0, 0, 8]].concat()), expected);
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let len = u16::try_from(addresses.len()).expect("short");
        let mut header = PROXY_V2_SIGNATURE.to_vec();
        header.extend_from_slice(&[command, family]);
        header.extend_from_slice(&len.to_be_bytes());
        header.extend_from_slice(addresses);
        header
    }

    #[test]
    fn frames_and_unknown_bytes_have_no_preface() {
        assert_eq!(examine(b"\0\0\0\x10"), Preface::None);
        assert_eq!(examine(b"\x01"), Preface::None);
        assert_eq!(examine(b"GET / HTTP/1.1"), Preface::None);
    }

    #[test]
    fn a_tls_hello_is_recognised_by_its_first_byte() {
        assert_eq!(examine(&[0x16]), Preface::Tls);
    }

    #[test]
    fn version_1_names_the_source() {
        let peer = "192.0.2.7:40001".parse().ok();
        let header = b"PROXY TCP4 192.0.2.7 192.0.2.9 40001 9876\r\n";
        check_every_prefix(header, Preface::Proxy { size_bytes: header.len(), peer });
        let peer = "[2001:db8::1]:5".parse().ok();
        let header = b"PROXY TCP6 2001:db8::1 2001:db8::2 5 6\r\n";
        check_every_prefix(header, Preface::Proxy { size_bytes: header.len(), peer });
        let header = b"PROXY UNKNOWN\r\n";
        check_every_prefix(header, Preface::Proxy { size_bytes: header.len(), peer: None });
    }

    #[test]
    fn version_2_names_the_source() {
        let header = v2(0x21, 0x11, &[192, 0, 2, 7, 192, 0, 2, 9, 0x9c, 0x41, 0x26, 0x94, 9]);
        let peer = "192.0.2.7:40001".parse().ok();
        check_every_prefix(&header, Preface::Proxy { size_bytes: header.len(), peer });
        let mut addresses = [0u8; 36];
        addresses[15] = 1;
        addresses[33] = 7;
        let header = v2(0x21, 0x21, &addresses);
        let peer = "[::1]:7".parse().ok();
        check_every_prefix(&header, Preface::Proxy { size_bytes: header.len(), peer });
        let header = v2(0x20, 0, &[]);
        check_every_prefix(&header, Preface::Proxy { size_bytes: header.len(), peer: None });
    }

    #[test]
    fn broken_headers_are_refused() {
        let too_long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 100]].concat();
        let huge = [PROXY_V2_SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
        let short = v2(0x21, 0x11, &[1, 2, 3]);
        let version = v2(0x31, 0x11, &[0; 12]);
        let word = b"PROXY TCP4 192.0.2.7 192.0.2.9 x 9876\r\n".to_vec();
        for bytes in [b"POST".to_vec(), too_long, huge, short, version, word] {
            assert_eq!(examine(&bytes), Preface::Malformed, "{bytes:?}");
        }
    }
}
