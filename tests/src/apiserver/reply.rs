//! Responses and their bodies.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    Response, StatusCode,
    body::{Body, Bytes, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use tokio::sync::mpsc;

use super::{list::ListBody, status::ApiError};

/// The body ends before it is complete: the connection is closed without the last chunk.
#[derive(Debug, thiserror::Error)]
#[error("the fixture was told to cut this response short")]
pub(crate) struct CutShort;

/// A body: known, a list, or a watch.
pub(crate) enum ReplyBody {
    Full(Option<Bytes>),
    List(ListBody),
    /// Chunks from the task of a watch. The channel is short: the task waits for the client.
    Watch(mpsc::Receiver<Bytes>),
}

pub(crate) type Reply = Response<ReplyBody>;

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        match &mut *self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::List(list) => Pin::new(list).poll_frame(context),
            Self::Watch(chunks) => chunks.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::List(list) => list.is_end_stream(),
            Self::Watch(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::List(_) | Self::Watch(_) => SizeHint::default(),
        }
    }
}

/// A JSON answer with this status code.
pub(crate) fn json(code: u16, body: Vec<u8>) -> Reply {
    typed(code, "application/json", ReplyBody::Full(Some(Bytes::from(body))))
}

/// A text answer with this status code.
pub(crate) fn text(code: u16, body: &'static str) -> Reply {
    typed(code, "text/plain; charset=utf-8", ReplyBody::Full(Some(Bytes::from_static(body.as_bytes()))))
}

/// An answer that streams JSON.
pub(crate) fn stream(body: ReplyBody) -> Reply {
    typed(200, "application/json", body)
}

fn typed(code: u16, content_type: &'static str, body: ReplyBody) -> Reply {
    let mut response = Response::new(body);
    // A fault may ask for any number: what is no status code becomes 500.
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        let mut response = json(error.code, error.body());
        if let Some(seconds) = error.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
