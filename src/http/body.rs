//! A request's body, within its limits.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest body.
pub(super) const MAX_BODY: usize = 1 << 20;
/// Up to here a body counts as small.
const SMALL_BODY: usize = 64 << 10;

/// Reads bodies; only so many large ones at once, so that clients cannot fill the memory with them.
#[derive(Debug, Clone)]
pub(super) struct BodyReader {
    pub(super) large: Arc<Semaphore>,
    pub(super) within: Duration,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
}

/// A whole body, and the leave to hold it where it is large.
pub(super) type WholeBody = (Bytes, Option<OwnedSemaphorePermit>);

impl BodyReader {
    /// The whole body. One whose announced length is too large is not begun.
    pub(super) async fn read(&self, body: Incoming) -> Result<WholeBody, BodyError> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > MAX_BODY {
            return Err(BodyError::TooLarge);
        }
        if body.is_end_stream() {
            return Ok((Bytes::new(), None));
        }
        tokio::time::timeout(self.within, self.collect(body, announced)).await.unwrap_or(Err(BodyError::TooSlow))
    }

    async fn collect(&self, mut body: Incoming, announced: usize) -> Result<WholeBody, BodyError> {
        let mut permit = None;
        let mut first = Bytes::new();
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            // Trailers are no part of the body.
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            let length = first.len().max(whole.len()).saturating_add(data.len());
            if length > MAX_BODY {
                return Err(BodyError::TooLarge);
            }
            if length > SMALL_BODY && permit.is_none() {
                permit = Arc::clone(&self.large).acquire_owned().await.ok();
            }
            if first.is_empty() {
                first = data;
                continue;
            }
            if whole.is_empty() {
                // Growing would take up to three times as much for a moment.
                whole.reserve_exact(announced);
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&data);
        }
        Ok((if whole.is_empty() { first } else { whole.into() }, permit))
    }
}
