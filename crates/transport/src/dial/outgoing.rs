//! This module sends a request body under HTTP/2 flow control (RFC 9113 §5.2). A complete body is sent in one
//! step, without a task.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};

/// `Sending` sends the rest of a body. If it is dropped before the body is sent, the stream is reset.
pub(super) type Sending = Option<DropGuard>;

pub(super) fn send<B>(mut stream: SendStream<Bytes>, mut body: B) -> Sending
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // An empty body was already ended by the request's headers.
    if body.is_end_stream() {
        return None;
    }
    // The body is polled once without a waker: a complete body is ready now, and then needs neither a task
    // nor a wake.
    let first = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
    let first = match first {
        Poll::Ready(frame) => Some(frame.map(|frame| frame.map_err(|_| SendAborted))),
        Poll::Pending => None,
    };
    if let Some(Some(Ok(frame))) = &first
        && let (Some(data), true) = (frame.data_ref(), body.is_end_stream())
    {
        // An error means that the stream is reset already; the answer will say so.
        stream.send_data(data.clone(), true).ok();
        return None;
    }
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    // A body that is still produced is sent by its own task, so that the answer can be read while the request
    // goes on (bidirectional streams).
    tokio::spawn(async move {
        let sent = stopped.run_until_cancelled(rest(&mut stream, first, body)).await;
        if !matches!(sent, Some(Ok(()))) {
            stream.send_reset(Reason::CANCEL);
        }
    });
    Some(stop.drop_guard())
}

/// `SendAborted` says that a body was not sent to its end: its source failed, or the peer has reset the
/// stream.
struct SendAborted;

async fn rest<B>(
    stream: &mut SendStream<Bytes>,
    first: Option<Option<Result<Frame<Bytes>, SendAborted>>>,
    mut body: B,
) -> Result<(), SendAborted>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut next = first;
    loop {
        let frame = match next.take() {
            Some(frame) => frame,
            // The reset is watched while the source is silent. Else a stream that the server has ended would
            // keep its task and its caller's slot.
            None => tokio::select! {
                frame = body.frame() => frame.map(|frame| frame.map_err(|_| SendAborted)),
                _ = std::future::poll_fn(|context| stream.poll_reset(context)) => return Err(SendAborted),
            },
        };
        match frame.transpose()?.map(Frame::into_data) {
            None => return stream.send_data(Bytes::new(), true).map_err(|_| SendAborted),
            Some(Ok(data)) => push(stream, data).await?,
            Some(Err(frame)) => {
                let trailers = frame.into_trailers().map_err(|_| SendAborted)?;
                return stream.send_trailers(trailers).map_err(|_| SendAborted);
            }
        }
    }
}

/// Sends as much as the peer's window allows, and waits for window with the rest.
async fn push(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), SendAborted> {
    while !data.is_empty() {
        // The capacity is asked for before each part, because h2 would otherwise buffer the whole body,
        // whatever the peer's window says.
        stream.reserve_capacity(data.len());
        let room = match stream.capacity() {
            0 => std::future::poll_fn(|context| stream.poll_capacity(context))
                .await
                .ok_or(SendAborted)?
                .map_err(|_| SendAborted)?,
            room => room,
        };
        let part = data.split_to(room.min(data.len()));
        stream.send_data(part, false).map_err(|_| SendAborted)?;
    }
    Ok(())
}
