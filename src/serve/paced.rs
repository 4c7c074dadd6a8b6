//! A stream and a request body that record their progress.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::BoxError;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

use super::places::Place;
use crate::http::TooSlow;

/// A connection that reports to its place what it reads and writes.
pub struct Paced {
    stream: TcpStream,
    place: Arc<Place>,
}

impl Paced {
    /// Records the progress of `stream` at `place`.
    pub fn new(stream: TcpStream, place: Arc<Place>) -> Self {
        Self { stream, place }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        let now = Instant::now();
        match written {
            Poll::Ready(Ok(bytes)) => self.place.pace().was_written(*bytes, now),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.place.pace().stalled(now),
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        let bytes = into.filled().len() - before;
        if bytes > 0 {
            self.place.pace().was_read(bytes, Instant::now());
        }
        read
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A request's body that reports to its place when we wait for it, and ends with [`TooSlow`] when its
/// sender's time is up.
pub struct PacedBody {
    body: Incoming,
    place: Arc<Place>,
    /// Made when the body is waited for the first time.
    patience: Option<Pin<Box<Sleep>>>,
}

impl PacedBody {
    /// Records at `place` when we wait for `body`.
    pub fn new(body: Incoming, place: Arc<Place>) -> Self {
        Self {
            body,
            place,
            patience: None,
        }
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let now = Instant::now();
        if frame.is_ready() {
            self.place.pace().has_body(now);
            return frame.map_err(Into::into);
        }
        let left = self.place.pace().awaits_body(now);
        if left.is_zero() {
            return Poll::Ready(Some(Err(TooSlow.into())));
        }
        // The timer is not set again by each poll; otherwise it might never run out.
        let until = (now + left).into();
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        patience.as_mut().reset(until);
        let is_over = patience.as_mut().poll(context);
        is_over.map(|()| Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for PacedBody {
    fn drop(&mut self) {
        self.place.pace().has_body(Instant::now());
    }
}
