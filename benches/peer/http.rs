//! A bare hyper server: the price of HTTP itself.

use std::convert::Infallible;
use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Answers every request on `address` with the bytes of `file`, after having read its body, until it is killed.
pub fn serve(address: &str, file: &Path) -> anyhow::Result<()> {
    let body = Bytes::from(std::fs::read(file)?);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(accept(address, body))
}

#[expect(clippy::disallowed_methods, reason = "nobody shuts this one down")]
async fn accept(address: &str, body: Bytes) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, body.clone()));
            // A client that goes is no news.
            drop(http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, body: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(request.into_body().collect().await);
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}
