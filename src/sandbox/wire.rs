//! The panel on the wire: connections, answers, and every way to break them.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::action::{Action, Params};
use super::control;
use super::fault::Fault;
use super::panel::{Panel, error};

/// The largest body that is read. Lists of services for the control calls are larger than any order.
const LARGEST_BODY: usize = 8 * 1024 * 1024;
/// What a program that greets with a byte order mark writes first.
const BYTE_ORDER_MARK: &str = "\u{feff}";
const PHP_WARNING: &str = "<br />\n<b>Warning</b>:  Undefined array key \"posts\" in \
    <b>/var/www/html/app/controller/api.php</b> on line <b>120</b><br />\n";

/// What a page of an HTTP answer is.
pub(super) type Answer = Response<Full<Bytes>>;

/// The panel, shared by its connections and its owner.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Panel>>);

impl Shared {
    pub(super) fn new(panel: Panel) -> Self {
        Self(Arc::new(Mutex::new(panel)))
    }

    /// The panel for a moment; never held while waiting.
    pub(super) fn panel(&self) -> MutexGuard<'_, Panel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a call gets no answer: said to hyper, which then lets go of the connection.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the connection is reset on purpose")]
    Reset,
    #[error("the answer is cut off on purpose")]
    Cut(Bytes),
}

/// Takes connections until `stop`; they end with it.
pub(super) async fn accept(listener: TcpListener, shared: Shared, tasks: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file handles: the next try can only work once some are given back.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (shared, stop) = (shared.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve_connection(stream, shared) => {}
            }
        });
    }
}

async fn serve_connection(stream: TcpStream, shared: Shared) {
    // Without it small answers wait for the caller's acknowledgement; the panel still works.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answer: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(respond(request, shared.clone()));
        answer
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    let broken = ended.as_ref().err().and_then(Error::source).and_then(|source| source.downcast_ref());
    // The caller may be gone already, which is all that a failure here can mean.
    let _ = match broken {
        Some(Broken::Reset) => stream.set_zero_linger(),
        Some(Broken::Cut(bytes)) => match stream.write_all(bytes).await {
            Ok(()) => stream.shutdown().await,
            failed => failed,
        },
        None => stream.shutdown().await,
    };
}

async fn respond(request: Request<Incoming>, shared: Shared) -> Result<Answer, Broken> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
        return Ok(json(StatusCode::PAYLOAD_TOO_LARGE, &error("Payload too large")));
    };
    let body = body.to_bytes();
    if let Some(what) = head.uri.path().strip_prefix("/sandbox/") {
        return Ok(control::respond(&head.method, what, &body, &shared));
    }
    let params = Params::read(&body, head.uri.query().unwrap_or_default());
    let Some(action) = params.get("action").and_then(Action::parse) else {
        return answer(None, &params, &[], &shared).await;
    };
    let (number, faults) = note_call(action, &params, &shared);
    let answered = answer(Some(action), &params, &faults, &shared).await;
    shared.panel().calls.note_answer(number);
    answered
}

async fn answer(action: Option<Action>, params: &Params, faults: &[Fault], shared: &Shared) -> Result<Answer, Broken> {
    for fault in faults {
        if let Some(refused) = before(fault) {
            return refused;
        }
        if *fault == Fault::HangBefore {
            pending::<Infallible>().await;
        }
    }
    let answer = shared.panel().answer(action, params, faults).to_string();
    for fault in faults {
        match fault {
            Fault::Slow(delay) => tokio::time::sleep(*delay).await,
            Fault::HangAfter => {
                pending::<Infallible>().await;
            }
            _ => {}
        }
    }
    faults
        .iter()
        .find_map(|fault| after(fault, &answer))
        .unwrap_or_else(|| Ok(page(StatusCode::OK, "application/json", answer)))
}

/// The call's number, and the faults that it meets.
fn note_call(action: Action, params: &Params, shared: &Shared) -> (usize, Vec<Fault>) {
    let mut panel = shared.panel();
    let number = panel.calls.note(action, params.id_count());
    (number, panel.trouble.meet(action))
}

/// What the caller gets instead of the panel; nothing where the panel is asked.
fn before(fault: &Fault) -> Option<Result<Answer, Broken>> {
    let answer = match fault {
        Fault::CloseBefore => return Some(Err(Broken::Reset)),
        Fault::RateLimited => {
            let answer = json(StatusCode::TOO_MANY_REQUESTS, &error("Too many requests"));
            with_header(answer, header::RETRY_AFTER, "2")
        }
        Fault::Error(text) => json(StatusCode::OK, &error(text)),
        Fault::ErrorStatus(code, text) => json(status(*code), &error(text)),
        Fault::Unavailable => html(StatusCode::SERVICE_UNAVAILABLE, "503 Service Unavailable"),
        Fault::Challenge => {
            let answer = html(StatusCode::FORBIDDEN, "Just a moment...");
            with_header(answer, HeaderName::from_static("cf-mitigated"), "challenge")
        }
        Fault::Redirect(code) => {
            let answer = html(status(*code), "Moved");
            with_header(answer, header::LOCATION, "/api/v2/moved")
        }
        _ => return None,
    };
    Some(Ok(answer))
}

/// What becomes of the panel's answer on its way; nothing where it arrives.
fn after(fault: &Fault, answer: &str) -> Option<Result<Answer, Broken>> {
    let altered = match fault {
        Fault::CloseAfter => return Some(Err(Broken::Reset)),
        Fault::HalfBody => return Some(Err(Broken::Cut(half_of(answer)))),
        Fault::BadGateway => html(StatusCode::BAD_GATEWAY, "502 Bad Gateway"),
        Fault::ServerError => {
            json(StatusCode::INTERNAL_SERVER_ERROR, &serde_json::json!({ "message": "Server Error" }))
        }
        Fault::ErrorAfter(text) => json(StatusCode::OK, &error(text)),
        Fault::Empty => page(StatusCode::OK, "text/html", String::new()),
        Fault::Garbage => html(StatusCode::OK, "Sign in"),
        Fault::PhpWarning => page(StatusCode::OK, "text/html", format!("{PHP_WARNING}{answer}")),
        Fault::Bom => page(StatusCode::OK, "application/json", format!("{BYTE_ORDER_MARK}{answer}")),
        _ => return None,
    };
    Some(Ok(altered))
}

/// An answer that announces all of its body and carries half.
fn half_of(answer: &str) -> Bytes {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len())
            .into_bytes();
    bytes.extend(answer.bytes().take(answer.len() / 2));
    bytes.into()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn html(status: StatusCode, title: &str) -> Answer {
    let text = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    page(status, "text/html", text)
}

pub(super) fn json(status: StatusCode, value: &Value) -> Answer {
    page(status, "application/json", value.to_string())
}

fn page(status: StatusCode, content_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    with_header(answer, header::CONTENT_TYPE, content_type)
}

fn with_header(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}
