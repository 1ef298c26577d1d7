//! Asks a master over the network to be let in. Blocks: a process that is not let in has nothing else to do.

use crate::PeerRefused;
use crate::admission::{ADMISSION_LIMIT, AdmissionRefused, AdmissionReply, AdmissionRequest};
use crate::error::JoinError;
use crate::fingerprint::Fingerprint;
use crate::tls::{HandshakeRefused, join_client_config, refusal_of, server_name};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One address may take so long to answer the telephone.
const CONNECT: Duration = Duration::from_secs(3);
/// And so long to decide: it has to write it down.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two rounds through all addresses.
const PAUSE: Duration = Duration::from_millis(300);

/// Asks one address after the other, again and again for so long, until one decides. Says who did.
pub(crate) fn ask(
    cluster: Fingerprint,
    addresses: &[String],
    request: &AdmissionRequest,
    patience: Duration,
) -> Result<(AdmissionReply, String), JoinError> {
    let unusable = |error: crate::CryptoError| JoinError::Answer { reason: error.to_string() };
    let config = join_client_config(cluster).map_err(unusable)?;
    let request = request.encode().map_err(unusable)?;
    let deadline = Instant::now() + patience;
    loop {
        let mut attempts = Vec::new();
        for address in addresses {
            match visit(&config, address, &request) {
                Ok(AdmissionReply::Refused(AdmissionRefused { kind, message })) if kind.is_passing() => {
                    attempts.push(format!("{address}: {message}"));
                }
                Ok(reply) => return Ok((reply, address.clone())),
                Err(VisitError::Stranger) => return Err(JoinError::WrongCluster { address: address.clone() }),
                Err(error) => attempts.push(format!("{address}: {error}")),
            }
        }
        if Instant::now() + PAUSE >= deadline || addresses.is_empty() {
            let none = || "no address is known".to_owned();
            let attempts = if attempts.is_empty() { none() } else { attempts.join("; ") };
            return Err(JoinError::Unreachable { attempts });
        }
        std::thread::sleep(PAUSE);
    }
}

#[derive(Debug, thiserror::Error)]
enum VisitError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Answer(#[from] JoinError),
    #[error("it is of another cluster")]
    Stranger,
}

fn visit(config: &Arc<ClientConfig>, address: &str, request: &[u8]) -> Result<AdmissionReply, VisitError> {
    let tcp = connect(address)?;
    tcp.set_read_timeout(Some(ANSWER))?;
    tcp.set_write_timeout(Some(CONNECT))?;
    let connection = ClientConnection::new(config.clone(), server_name()).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp);
    exchange(&mut stream, request)
        .map_err(|error| match refusal_of(&error) {
            Some(HandshakeRefused::Peer(PeerRefused::OtherCluster)) => VisitError::Stranger,
            _ => VisitError::Io(error),
        })
        .and_then(|reply| Ok(AdmissionReply::decode(&reply)?))
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Four bytes of length (little endian) before each message.
fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_le_bytes(), request].concat())?;
    stream.flush()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > ADMISSION_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
    }
    let mut reply = vec![0; length];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}
