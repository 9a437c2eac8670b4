//! The public API's transport and the ops listener: bytes in, bytes out.
//!
//! A request becomes the parameters of a call and the address it came from; an answer becomes a response.
//! Which calls there are, and who may make them, is not known here. See docs/protocol.md, "What a tolerant
//! server must accept".

mod accept;
mod accounts;
mod body;
mod connection;
mod console;
mod decode;
mod ops;
mod proxies;
mod public;
mod reply;
mod seats;
mod token;
mod wire;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

pub use accept::{Limits, serve};
pub use decode::{DecodeError, decode};
pub use ops::OpsPages;
pub use proxies::TrustedProxies;
pub use public::PublicApi;

use crate::app::accounts::{AccountAnswer, AccountCall, AccountError};
use crate::app::call::{Answer, Params};
use crate::app::console::{View, ViewQuery};

/// What answers the calls of the public API.
pub trait Api: Send + Sync + 'static {
    /// Whether this call changes nothing, so that it may be given up where its client does not wait for the answer.
    fn only_reads(&self, params: &Params) -> bool;

    /// How long a call that changes nothing is waited for at most; then its client is told to try again. `None`: until there
    /// is an answer.
    fn reads_within(&self) -> Option<Duration>;

    /// The answer to a call that came from `ip`.
    fn answer(&self, params: Params, ip: IpAddr) -> impl Future<Output = Answer> + Send;
}

/// What the ops listener shows.
pub trait Ops: Send + Sync + 'static {
    /// Whether the gateway can do its work.
    ///
    /// # Errors
    /// The reasons why not, each a short sentence for an operator.
    fn readiness(&self) -> Result<(), Vec<String>>;

    /// The metrics as Prometheus text.
    fn metrics(&self) -> String;

    /// Carries out a call on an account; `body` is as it came.
    fn account(
        &self,
        call: AccountCall,
        body: Bytes,
    ) -> impl Future<Output = Result<AccountAnswer, AccountError>> + Send;

    /// What a page of the console shows; `None` where there is no such thing, and a sentence for the operator where
    /// it can't be read.
    fn view(&self, query: ViewQuery) -> impl Future<Output = Result<Option<View>, String>> + Send;
}

/// What a listener does with one request.
pub trait Respond: Send + Sync + 'static {
    /// The response to a request of `peer`, which may be a proxy.
    fn respond(&self, request: Request<Incoming>, peer: IpAddr) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}
