//! One gateway as a process, in a folder of its own, with one client that has money.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::caller::Caller;
use super::config::Config;
use super::{database, eventually};

/// The client that every gateway is started with.
pub const CLIENT: &str = "tester";
/// What it is given.
pub const DEPOSIT: &str = "1000";
/// `server.ops_token`, where one is set and the gateway is asked whether it is ready.
pub const OPS_TOKEN: &str = "open-sesame";

/// See the module's words. When it is dropped at the end of a test that went well, `tollgate verify` must be
/// content with its store.
pub struct Gateway {
    folder: TempDir,
    child: Option<Child>,
    log: Arc<Mutex<String>>,
    /// `http://127.0.0.1:PORT/api/v2`
    pub api: String,
    /// `http://127.0.0.1:PORT`
    pub ops: String,
    /// The client's API key.
    pub key: String,
    http: reqwest::Client,
    environment: Vec<(String, String)>,
    launcher: Option<Vec<String>>,
    is_verified: bool,
    /// `postgres://…` of its store; `None` for the file beside its configuration.
    database: Option<String>,
    was_launched: bool,
}

impl Gateway {
    /// Starts one, waits until it is ready, and makes its client.
    pub async fn start(config: &Config) -> Self {
        let mut gateway = Self::prepare(config);
        gateway.launch().await;
        gateway.key = gateway.add_client(CLIENT, &["--deposit", DEPOSIT]);
        gateway.knows_key(&gateway.key).await;
        gateway
    }

    /// The folder with its configuration, and nothing running. Its store is a file, or a PostgreSQL database of its own
    /// where `TOLLGATE_TEST_STORE` is `postgres`, unless the configuration names one.
    pub fn prepare(config: &Config) -> Self {
        let database = (database::is_wanted() && !config.names_store()).then(database::new_database);
        Self::prepare_on(config, database)
    }

    /// The same on this PostgreSQL database.
    pub fn prepare_on(config: &Config, database: Option<String>) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("providers.toml"), config.render(database.as_deref())).unwrap();
        Self {
            folder,
            child: None,
            log: Arc::default(),
            api: String::new(),
            ops: String::new(),
            key: String::new(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            environment: Vec::new(),
            launcher: None,
            is_verified: true,
            database,
            was_launched: false,
        }
    }

    /// Sets a variable for the processes that are started from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Has the gateway started by this command, which ends in `exec \"$0\" \"$@\"` or the like.
    pub fn set_launcher(&mut self, launcher: &[&str]) {
        self.launcher = Some(launcher.iter().map(|&word| word.to_owned()).collect());
    }

    /// For a test that leaves a store behind with which nobody can be content.
    pub fn leave_unverified(&mut self) {
        self.is_verified = false;
    }

    /// Writes another configuration into its folder.
    pub fn reconfigure(&self, config: &Config) {
        std::fs::write(self.config_file(), config.render(self.database.as_deref())).unwrap();
    }

    /// Starts the process and waits until it takes orders.
    pub async fn launch(&mut self) {
        self.launch_unready().await;
        eventually("the gateway to be ready", || async {
            let answer = self.http.get(format!("{}/readyz", self.ops)).bearer_auth(OPS_TOKEN).send().await.ok()?;
            (answer.status() == 200).then_some(())
        })
        .await;
    }

    /// Starts the process and waits until it listens.
    pub async fn launch_unready(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.was_launched = true;
        let mut child = self
            .launched(self.command(&["serve"]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        self.log = Arc::clone(&log);
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let (api, ops) = eventually("the gateway to listen", || {
            assert!(child.try_wait().unwrap().is_none(), "it ended: {}", self.log());
            let log = self.log();
            async move {
                let line = log.lines().find(|line| line.contains("serving the API on"))?;
                let mut urls = line.split_whitespace().filter(|word| word.starts_with("http://"));
                Some((urls.next()?.to_owned(), urls.next()?.to_owned()))
            }
        })
        .await;
        self.child = Some(child);
        self.api = format!("{api}/api/v2");
        self.ops = ops;
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts the process and kills it so much later, wherever its start has got by then.
    pub async fn start_and_kill(&mut self, later: std::time::Duration) {
        assert!(self.child.is_none(), "it runs already");
        let child = self.command(&["serve"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.unwrap());
        tokio::time::sleep(later).await;
        self.kill();
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        signal(child.id(), "TERM");
        eventually("the gateway to stop", || {
            let status = child.try_wait().unwrap();
            async move { status }
        })
        .await
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its `providers.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("providers.toml")
    }

    /// Its store, where that is a PostgreSQL database.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Its store, where that is a file.
    pub fn store_file(&self) -> PathBuf {
        self.folder.path().join("tollgate.db")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.arg("--config").arg(self.config_file()).args(arguments).current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn launched(&self, command: Command) -> Command {
        let Some([first, rest @ ..]) = self.launcher.as_deref() else { return command };
        let mut launcher = Command::new(first);
        launcher.args(rest).arg(command.get_program()).args(command.get_args()).current_dir(self.folder.path());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => launcher.env(name, value),
                None => launcher.env_remove(name),
            };
        }
        launcher
    }

    /// Runs a verb of the command line.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a verb that must succeed, with `--json`; gives its document.
    pub fn cli_json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        let output = self.cli(&all);
        assert!(
            output.status.success(),
            "{arguments:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes a client; gives its key.
    pub fn add_client(&self, name: &str, options: &[&str]) -> String {
        let mut arguments = vec!["client", "add", name];
        arguments.extend(options);
        self.cli_json(&arguments)["key"].as_str().unwrap().to_owned()
    }

    /// Waits until the running gateway lets that key in.
    pub async fn knows_key(&self, key: &str) {
        eventually("the gateway to know a new key", || async {
            let answer = self.post(&[("key", key), ("action", "balance")]).await;
            answer.get("balance").is_some().then_some(())
        })
        .await;
    }

    /// For requests that are no plain form posts.
    pub const fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Where it listens: `http://127.0.0.1:PORT`, with this path after it.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.api.strip_suffix("/api/v2").unwrap())
    }

    /// Posts a form as it is.
    pub async fn post(&self, form: &[(&str, &str)]) -> Value {
        self.try_post(form).await.unwrap()
    }

    /// The same, where the gateway may be gone.
    pub async fn try_post(&self, form: &[(&str, &str)]) -> Result<Value, reqwest::Error> {
        let response = self.http.post(&self.api).form(form).send().await?;
        assert_eq!(response.status(), 200);
        response.json().await
    }

    /// Posts all these forms side by side; gives the answers as they come.
    pub async fn post_at_once(&self, forms: impl IntoIterator<Item = Vec<(&str, String)>>) -> Vec<Value> {
        let mut calls = JoinSet::new();
        for form in forms {
            calls.spawn(self.http.post(&self.api).form(&form).send());
        }
        let mut answers = Vec::new();
        while let Some(answer) = calls.join_next().await {
            answers.push(answer.unwrap().unwrap().json().await.unwrap());
        }
        answers
    }

    /// A call of the gateway's client.
    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Value {
        let mut form = vec![("key", self.key.as_str()), ("action", action)];
        form.extend(parameters);
        self.post(&form).await
    }

    /// Orders `quantity` of a service of type Default; gives the whole answer.
    pub async fn add(&self, service: u32, link: &str, quantity: u32) -> Value {
        let (service, quantity) = (service.to_string(), quantity.to_string());
        self.call("add", &[("service", &service), ("link", link), ("quantity", &quantity)]).await
    }

    /// The same where it must be taken; gives the ID.
    pub async fn order(&self, service: u32, link: &str, quantity: u32) -> u64 {
        let answer = self.add(service, link, quantity).await;
        answer["order"].as_u64().unwrap_or_else(|| panic!("the order was refused: {answer}"))
    }

    /// The same client for a task of its own.
    pub fn caller(&self) -> Caller {
        Caller { http: self.http.clone(), api: self.api.clone(), key: self.key.clone() }
    }

    /// The same for another client of that key.
    pub fn caller_of(&self, key: &str) -> Caller {
        Caller { key: key.to_owned(), ..self.caller() }
    }

    /// The same for another client, once its terms allow it.
    pub async fn order_of(&self, key: &str, service: u32, link: &str, quantity: u32) -> u64 {
        let (service, quantity) = (service.to_string(), quantity.to_string());
        let form = [("key", key), ("action", "add"), ("service", &service), ("link", link), ("quantity", &quantity)];
        eventually("another client's order", || async { self.post(&form).await["order"].as_u64() }).await
    }

    /// The `status` answer for one order.
    pub async fn status(&self, order: u64) -> Value {
        self.call("status", &[("order", &order.to_string())]).await
    }

    /// Asks for an order's status until it is this one; gives the answer.
    pub async fn until_status(&self, order: u64, status: &str) -> Value {
        eventually(&format!("order {order} to be {status}"), || async {
            let answer = self.status(order).await;
            (answer["status"] == status).then_some(answer)
        })
        .await
    }

    /// The operator's document of an order, once its state is this one.
    pub async fn until_state(&self, order: u64, state: &str) -> Value {
        eventually(&format!("order {order} to be {state}"), || async {
            let story = self.story(order);
            (story["order"]["state"] == state).then_some(story)
        })
        .await
    }

    /// `orders show`.
    pub fn story(&self, order: u64) -> Value {
        self.cli_json(&["orders", "show", &order.to_string()])
    }

    /// The client's balance as the API says it.
    pub async fn balance(&self) -> String {
        self.call("balance", &[]).await["balance"].as_str().unwrap().to_owned()
    }

    /// `tollgate verify` must be content.
    pub fn verify(&self) {
        let document = self.cli(&["verify", "--json"]);
        assert!(document.status.success(), "verify: {}", String::from_utf8_lossy(&document.stdout));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let mut log = String::new();
            let _ = self.log.lock().map(|text| log.clone_from(&text));
            eprintln!("--- the gateway's log ---\n{log}");
        } else if self.is_verified && (self.store_file().exists() || self.database.is_some() && self.was_launched) {
            self.verify();
        }
    }
}

/// The binary, with nothing of this process's environment that it would heed.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_remove("TOLLGATE_CONFIG").env_remove("TOLLGATE_LOG");
    command
}

/// Sends a signal to a process that a test started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(sent.success());
}
