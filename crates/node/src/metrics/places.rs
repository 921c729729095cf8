//! A bound on connections to the pages: whoever may reach them must not use up the descriptors of the process.
//!
//! Nobody shows a certificate here, so nobody has a place of their own. Instead nobody keeps one: a connection ends after
//! some time, and a monitoring system makes another one.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Connections at a time; further ones wait.
const PLACES: usize = 16;
/// A connection is read from for no longer.
const LASTS: Duration = Duration::from_secs(30);

pub(super) struct Places {
    listener: TcpListener,
    free: Arc<Semaphore>,
    lasts: Duration,
}

impl Places {
    pub(super) fn at(listener: TcpListener) -> Self {
        Self { listener, free: Arc::new(Semaphore::new(PLACES)), lasts: LASTS }
    }
}

impl Listener for Places {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        // The semaphore is never closed.
        let place = Arc::clone(&self.free).acquire_owned().await.ok();
        let (stream, from) = Listener::accept(&mut self.listener).await;
        (Placed { stream, ends: Box::pin(sleep(self.lasts)), _place: place }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, which gives its place back when it ends.
pub(super) struct Placed {
    stream: TcpStream,
    ends: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Placed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            return Poll::Ready(read);
        }
        ready!(self.ends.as_mut().poll(cx));
        // As if the other side had closed.
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => {
                ready!(self.ends.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_place_is_free_again_when_its_holder_goes_or_its_time_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut places = Places { lasts: Duration::from_millis(50), ..Places::at(listener) };
        let mut held = Vec::new();
        for _ in 0..PLACES {
            let stranger = TcpStream::connect(at).await.unwrap();
            held.push((places.accept().await.0, stranger));
        }
        assert_eq!(places.free.available_permits(), 0);
        held.pop();
        assert_eq!(places.free.available_permits(), 1);
        // The stranger says nothing and stays.
        let (mut silent, _stranger) = held.pop().unwrap();
        assert_eq!(silent.read(&mut [0; 16]).await.unwrap(), 0);
    }
}
