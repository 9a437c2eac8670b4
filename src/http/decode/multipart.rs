//! `multipart/form-data`: what PHP's curl sends when it is given an array.

use std::future::Future;
use std::task::{Context, Poll, Waker};

use http_body_util::{BodyDataStream, Full};
use hyper::body::Bytes;
use multer::Multipart;

use super::{DecodeError, Fields, utf8};

/// Reads the parts that have a name; files are no parameters.
pub(super) fn read(content_type: &str, body: &Bytes, fields: &mut Fields) -> Result<(), DecodeError> {
    let boundary = multer::parse_boundary(content_type).map_err(|_| DecodeError::BrokenMultipart)?;
    let mut parts = Multipart::new(BodyDataStream::new(Full::new(body.clone())), boundary);
    while let Some(part) = at_once(parts.next_field())? {
        let name = part.name().map(str::to_owned);
        let is_file = part.file_name().is_some();
        let text = at_once(part.bytes())?;
        if let Some(name) = name.filter(|_| !is_file) {
            fields.add(name, utf8(text.into())?)?;
        }
    }
    Ok(())
}

/// The outcome of a future that has all it needs: the whole body is there, so one that waits would wait for
/// ever.
fn at_once<T>(future: impl Future<Output = multer::Result<T>>) -> Result<T, DecodeError> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(done)) => Ok(done),
        Poll::Ready(Err(_)) | Poll::Pending => Err(DecodeError::BrokenMultipart),
    }
}
