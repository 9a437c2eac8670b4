//! `tollgate demo`: two simulated upstreams, a gateway before them, and a client with money, to be tried at once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{Gateway, told_to_reload, told_to_stop};
use crate::app::auth::{hash_key, new_key};
use crate::app::terms::Terms;
use crate::config;
use crate::domain::client::Client;
use crate::sandbox::{self, Options, Sandbox};
use crate::store::records::{NewClient, NewKey};
use crate::task::Clock;

const DEPOSIT: &str = "100";

/// Runs the demo on 127.0.0.1:8080 until SIGTERM or SIGINT; its folder goes with it.
///
/// # Errors
/// What kept it from starting: most likely that the port is in use.
pub async fn demo() -> anyhow::Result<()> {
    let folder =
        tempfile::Builder::new().prefix("tollgate-demo-").tempdir().context("cannot make a temporary folder")?;
    let alpha = sandbox::start(Options::default()).await.context("cannot start the first upstream")?;
    let beta = sandbox::start(Options { seed: 2, currency: "EUR".to_owned(), ..Options::default() })
        .await
        .context("cannot start the second upstream")?;
    let file = write_configuration(folder.path(), &alpha, &beta)?;
    let settings = config::load(&file)?;
    let terms = super::terms(&settings);
    let gateway = Gateway::build(settings).await?;
    let key = add_client(&gateway).await?;
    let app = gateway.app.clone();
    let (stop, hangups) = (told_to_stop()?, told_to_reload()?);
    let ready = async {
        while app.readiness().is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        print_lines(&key, &terms, folder.path());
        std::future::pending::<()>().await;
    };
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = ready => {}
        }
    };
    let ended = gateway.run(stop, hangups).await;
    alpha.shutdown().await;
    beta.shutdown().await;
    ended
}

fn write_configuration(folder: &Path, alpha: &Sandbox, beta: &Sandbox) -> anyhow::Result<std::path::PathBuf> {
    let file = folder.join("providers.toml");
    let text = format!(
        r#"# Written by `tollgate demo`: two simulated upstreams.
[server]
listen = "127.0.0.1:8080"
ops_listen = "127.0.0.1:9090"
first_order_id = 23501

[cache]
status_ttl = "2s"

[exchange_rates]
EUR = "1.08"

[[provider]]
id = "alpha"
url = "{alpha}"
key = "{key}"

[[provider]]
id = "beta"
url = "{beta}"
key = "{key}"
currency = "EUR"

[[service]]
id = 1
routes = ["alpha:1", "beta:1"]

[[import]]
provider = "alpha"
id_offset = 1000

[[import]]
provider = "beta"
id_offset = 2000
markup_percent = "30"
"#,
        alpha = alpha.url(),
        beta = beta.url(),
        key = sandbox::DEFAULT_KEY,
    );
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

async fn add_client(gateway: &Gateway) -> anyhow::Result<String> {
    let key = new_key().context("the machine gives no random bytes")?;
    let terms = Client::named("demo");
    let key_record = NewKey { hash: hash_key(&key), label: "demo".to_owned(), read_only: false };
    let deposit = DEPOSIT.parse().context("the deposit")?;
    let account =
        gateway.app.store().create_client(NewClient { terms, key: key_record, deposit }, Clock::system().now()).await?;
    ensure!(account.balance == deposit, "the client's balance is {} in place of {deposit}", account.balance);
    Ok(key)
}

#[expect(clippy::print_stdout, reason = "what the demo is for")]
fn print_lines(key: &str, terms: &Terms, folder: &Path) {
    let url = "http://127.0.0.1:8080/api/v2";
    println!("The gateway listens on {url} before two simulated upstreams.");
    println!("A client named demo has {DEPOSIT} {} and this API key:\n\n  {key}\n", terms.currency);
    println!("Paste these into another terminal:\n");
    for (what, line) in [
        ("what is sold, and at what rate", "-d action=services"),
        ("place an order", "-d action=add -d service=1 -d link=https://example.com/post/1 -d quantity=100"),
        ("how it goes (ask again: Pending, In progress, Completed)", "-d action=status -d order=23501"),
        ("several at once", "-d action=status -d orders=23501,23502"),
        ("what is left of the money", "-d action=balance"),
    ] {
        println!("  # {what}\n  curl -s {url} -d key={key} {line}\n");
    }
    println!("The operator's side:\n");
    let file = folder.join("providers.toml");
    let program = std::env::current_exe().unwrap_or_else(|_| "tollgate".into());
    for verb in ["orders list", "orders show 23501", "client show demo", "providers", "verify"] {
        println!("  {} --config {} {verb}", program.display(), file.display());
    }
    println!("\nHealth and metrics are on http://127.0.0.1:9090/. Stop with Ctrl-C; everything goes with it.");
}
