//! The public API: every path that scripts post to, and what becomes of a request there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::body::{BodyError, BodyReader};
use super::{Api, Respond, TrustedProxies, decode, reply};
use crate::app::call::{Answer, Params};
use crate::app::error::ApiError;
use crate::task::{Panicked, Tasks, caught};
use crate::telemetry::RequestMeter;

/// Large bodies held at once: 32 MiB in all.
const LARGE_BODIES: usize = 32;
/// For a body to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Turns requests into calls of an [`Api`].
#[derive(Debug)]
pub struct PublicApi<A> {
    api: Arc<A>,
    proxies: Arc<TrustedProxies>,
    tasks: Tasks,
    bodies: BodyReader,
    meter: RequestMeter,
}

type Reply = (&'static str, Response<Full<Bytes>>);

impl<A: Api> PublicApi<A> {
    /// Calls that change something run as tasks of `tasks`, so that a client that hangs up cuts none of them in half.
    #[must_use]
    pub fn new(api: Arc<A>, proxies: Arc<TrustedProxies>, tasks: Tasks) -> Self {
        let bodies = BodyReader { large: Arc::new(Semaphore::new(LARGE_BODIES)), within: BODY_WITHIN };
        Self { api, proxies, tasks, bodies, meter: RequestMeter::default() }
    }

    /// Gives bodies this long to arrive, in place of 30 s.
    #[cfg(test)]
    pub(super) fn with_body_timeout(mut self, within: Duration) -> Self {
        self.bodies.within = within;
        self
    }

    async fn reply(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        if !is_api_path(request.uri().path()) {
            return ("not_found", reply::error(StatusCode::NOT_FOUND, "Not found"));
        }
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return ("wrong_method", reply::wrong_method("GET, POST"));
        }
        let (head, body) = request.into_parts();
        let (body, permit) = match self.bodies.read(body).await {
            Ok(body) => body,
            Err(error) => return refused(error),
        };
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let params = match decode(head.uri.query().unwrap_or_default(), content_type, &body) {
            Ok(params) => params,
            Err(error) => return ("undecodable", reply::json(StatusCode::OK, Answer::error(&error.to_string()).plain)),
        };
        drop((body, permit));
        let ip = self.proxies.client(peer, &head.headers);
        let (outcome, answer) = self.call(params, ip).await;
        (outcome, reply::answer(answer, &head.headers))
    }

    async fn call(&self, params: Params, ip: IpAddr) -> (&'static str, Answer) {
        let answered = if self.api.only_reads(&params) {
            let answered = caught(self.api.answer(params, ip));
            match self.api.reads_within() {
                Some(within) => timeout(within, answered).await,
                None => Ok(answered.await),
            }
        } else {
            // However long that takes: until it is known what came of it, there is no answer that is true.
            let api = Arc::clone(&self.api);
            Ok(self.tasks.spawn(async move { api.answer(params, ip).await }).await.map_err(|_| Panicked))
        };
        match answered {
            Ok(Ok(answer)) => ("answered", answer),
            Err(_) => ("put_off", Answer::error(&ApiError::Internal.to_string())),
            Ok(Err(Panicked)) => {
                tracing::error!("a call ended in a panic; the lines above say where. This is a bug, please report it");
                ("panicked", Answer::error("Internal error"))
            }
        }
    }
}

impl<A: Api> Respond for PublicApi<A> {
    async fn respond(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let (outcome, response) = self.reply(request, peer).await;
        self.meter.count(outcome, began.elapsed());
        response
    }
}

fn is_api_path(path: &str) -> bool {
    matches!(path, "/api/v2" | "/api/v2/" | "/api/v1" | "/api/v1/" | "/api" | "/api/" | "/")
}

fn refused(error: BodyError) -> Reply {
    match error {
        BodyError::TooLarge => {
            ("too_large", reply::last_error(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large: 1 MiB at most"))
        }
        BodyError::TooSlow => {
            ("too_slow", reply::last_error(StatusCode::REQUEST_TIMEOUT, "The request took too long to arrive"))
        }
        BodyError::Broken => {
            ("broken", reply::last_error(StatusCode::BAD_REQUEST, "The request body is cut off or broken"))
        }
    }
}
