//! Requests that need upstreams: asked of the running gateway through the store, so that all calls keep to the
//! same limits; done here where none runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

use super::now;
use super::output::talk;
use crate::app::requests::{How, Reply, Request};
use crate::config::settings::CacheUrl;
use crate::config::{Secrets, Settings};
use crate::serve;
use crate::store::Store;
use crate::store::sqlite::{OpenMode, SqliteStore};
use crate::task::Tasks;

/// How long the gateway may take; a sync of many slow providers takes minutes.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often its answer is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long what was begun here may take to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Has a request carried out, by whom it may be.
pub(super) async fn ask(settings: &Settings, request: Request) -> anyhow::Result<Reply> {
    let store = serve::open_store(settings, OpenMode::Tool).await?;
    if serve::gateway_running(settings).await? {
        return ask_gateway(&*store, &request, || serve::gateway_running(settings)).await;
    }
    if calls_upstreams(&request) {
        let secrets = settings.read_secrets()?;
        return carry_out(settings, &secrets, store, request).await;
    }
    let secrets = Secrets { provider_keys: Default::default(), ops_token: None, cache_url: None };
    carry_out(&without_upstreams(settings), &secrets, store, request).await
}

/// Has a request that needs no store carried out here, also beside a gateway that does not call those upstreams.
/// Of secrets those that can be read count.
pub(super) async fn ask_from_here(settings: &Settings, request: Request) -> anyhow::Result<Reply> {
    let secrets = Secrets { cache_url: None, ..settings.read_secrets_at_hand()? };
    carry_out(settings, &secrets, Arc::new(SqliteStore::in_memory(1)?), request).await
}

async fn ask_gateway<R>(store: &dyn Store, request: &Request, running: impl Fn() -> R) -> anyhow::Result<Reply>
where
    R: Future<Output = anyhow::Result<bool>>,
{
    let number = store.post_request(serde_json::to_string(request)?, now()).await?;
    talk("asking the running gateway");
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Looked at first: an answer that was given just before the gateway ended counts.
        let running = running().await?;
        if let Some(answer) = store.take_answer(number).await? {
            return serde_json::from_str(&answer).context("the gateway's answer can't be read: is it another version?");
        }
        if !running {
            bail!("the gateway stopped before it answered; it will do this at its next start");
        }
        if Instant::now() >= deadline {
            bail!("the gateway has not answered for {} s; it may still do this", PATIENCE.as_secs());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What the Redis of gateways holds of orders is not told of what is done here. So none that starts believes what was held
/// before, nor one that starts meanwhile what it has put there.
async fn carry_out(
    settings: &Settings,
    secrets: &Secrets,
    store: Arc<dyn Store>,
    request: Request,
) -> anyhow::Result<Reply> {
    let tasks = Tasks::new();
    let company = serve::join(settings, secrets, &*store, None).await?;
    let app = serve::build_app(settings, secrets, Arc::clone(&store), company, tasks.clone()).await?;
    if store.is_shared() {
        store.raise_cache_epoch().await?;
    }
    let reply = app.carry_out(request).await;
    tasks.finish(DRAIN).await;
    if store.is_shared()
        && let Err(error) = store.raise_cache_epoch().await
    {
        talk(&format!("a gateway that was started meanwhile may show old statuses for ten minutes: {error}"));
    }
    Ok(reply)
}

const fn calls_upstreams(request: &Request) -> bool {
    match request {
        Request::Sync { .. } | Request::Check { .. } | Request::Resolve { how: How::Placed(_), .. } => true,
        Request::Resolve { how: How::NotPlaced | How::Refund, .. } | Request::RefundAll { .. } => false,
    }
}

/// The same configuration with nobody to call, so that no secret is needed.
fn without_upstreams(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.providers.clear();
    settings.services.clear();
    settings.imports.clear();
    settings.cache.url = CacheUrl::Memory;
    settings.server.ops_token = None;
    settings
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::app::requests::Uncertain;

    fn sync(provider: Option<&str>) -> Request {
        Request::Sync { provider: provider.map(str::to_owned), confirm: vec![], unfreeze: false }
    }

    fn requests() -> [Request; 7] {
        [
            sync(None),
            sync(Some("alpha")),
            Request::Check {
                providers: vec!["alpha".into()],
                accounts: [("alpha".to_owned(), "0a".to_owned())].into(),
            },
            Request::Resolve { order: 7, attempt: 1, how: How::Placed("9".into()) },
            Request::Resolve { order: 7, attempt: 1, how: How::NotPlaced },
            Request::Resolve { order: 7, attempt: 1, how: How::Refund },
            Request::RefundAll { orders: vec![Uncertain { order: 7, attempt: 1 }] },
        ]
    }

    #[test]
    fn a_request_arrives_as_it_was_posted() {
        for request in requests() {
            let text = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request, "{text}");
        }
    }

    #[test]
    fn only_what_calls_upstreams_needs_secrets() {
        assert_eq!(requests().each_ref().map(calls_upstreams), [true, true, true, true, false, false, false]);
    }

    #[tokio::test]
    async fn the_gateways_answer_is_waited_for_and_taken() {
        let store = SqliteStore::in_memory(1).unwrap();
        let request = Request::Resolve { order: 7, attempt: 1, how: How::Refund };
        let gateway = async {
            let stored = loop {
                match store.claim_requests().await.unwrap().pop() {
                    Some(stored) => break stored,
                    None => tokio::task::yield_now().await,
                }
            };
            assert_eq!(serde_json::from_str::<Request>(&stored.body).unwrap(), request);
            let answer = serde_json::to_string(&Reply::Resolved("closed".into())).unwrap();
            store.answer_request(stored.number, answer, now()).await.unwrap();
        };
        let (reply, ()) = tokio::join!(ask_gateway(&store, &request, || async { Ok(true) }), gateway);
        assert_eq!(reply.unwrap(), Reply::Resolved("closed".into()));
    }

    #[tokio::test]
    async fn a_gateway_that_stops_is_not_waited_for() {
        let store = SqliteStore::in_memory(1).unwrap();
        let running = AtomicBool::new(true);
        let looks = || async { Ok(running.swap(false, Ordering::SeqCst)) };
        let error = ask_gateway(&store, &sync(None), looks).await.unwrap_err();
        assert!(error.to_string().contains("stopped before it answered"), "{error}");
    }
}
