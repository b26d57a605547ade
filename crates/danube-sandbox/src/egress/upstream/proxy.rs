//! Asks an HTTP proxy for a tunnel.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::proxy_settings::Proxy;

const MAX_HEAD: usize = 8192;
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a connection to a proxy one to `name:port`.
pub(super) async fn tunnel(mut stream: TcpStream, proxy: &Proxy, name: &str, port: u16) -> io::Result<TcpStream> {
    let request = request(proxy, name, port);
    let ask = async {
        stream.write_all(request.as_bytes()).await?;
        head(&mut stream).await
    };
    let head = timeout(PATIENCE, ask).await??;
    if is_success(&head) { Ok(stream) } else { Err(io::Error::from(io::ErrorKind::PermissionDenied)) }
}

/// The name was checked to be a host name, so nothing in it can end the line.
fn request(proxy: &Proxy, name: &str, port: u16) -> String {
    let authorization = proxy.credentials.as_ref().map_or_else(String::new, |credentials| {
        format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(credentials.expose()))
    });
    format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n{authorization}\r\n")
}

/// Reads to the end of the answer's head and not a byte further: what follows belongs to the tunnel.
async fn head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

fn is_success(head: &[u8]) -> bool {
    let code = head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..5));
    matches!(code, Some([b' ', b'2', b'0'..=b'9', b'0'..=b'9']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_of_the_200s_opens_the_tunnel() {
        for good in ["HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200\r\n\r\n", "HTTP/1.1 204 x\r\n\r\n"] {
            assert!(is_success(good.as_bytes()), "{good}");
        }
        for bad in ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTP/1.1 302 200\r\n\r\n", "200\r\n\r\n", ""]
        {
            assert!(!is_success(bad.as_bytes()), "{bad}");
        }
    }
}
