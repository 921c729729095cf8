//! Whether a peer's process is gone: nothing listens where it should, twice within 50 ms.
//!
//! A connection that ended may have been cut on the way. A host that refuses a connection is alive and says that the
//! process is not. If it is wrong all the same, a promotion comes early and nothing is lost by it.

use super::{PeerEvent, Shared};
use standfast_core::id::NodeName;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// All of it takes no longer.
const WITHIN: Duration = Duration::from_millis(50);
/// Between two tries. A process that is being killed closes its streams a moment before its listener.
const PAUSE: Duration = Duration::from_millis(5);
/// Refusals one after the other that prove it.
const PROOF: u32 = 2;

impl Shared {
    /// Reports the peer gone if its port refuses connections, once until it is met again.
    pub(super) async fn confirm_gone(&self, peer: &NodeName, address: SocketAddr) {
        let known = self.gone().contains(peer);
        if known || !refuses(address).await {
            return;
        }
        let new = self.gone().insert(peer.clone());
        if new {
            tracing::warn!(%peer, %address, "its host refuses connections: the process is gone");
            self.events.put(PeerEvent::Gone { peer: peer.clone() }).await;
        }
    }
}

async fn refuses(address: SocketAddr) -> bool {
    let proof = async {
        let mut refusals = 0;
        while refusals < PROOF {
            match TcpStream::connect(address).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => refusals += 1,
                Ok(_) | Err(_) => refusals = 0,
            }
            sleep(PAUSE).await;
        }
    };
    timeout(WITHIN, proof).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_port_without_a_listener_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!refuses(address).await);
        drop(listener);
        assert!(refuses(address).await);
    }
}
