//! `tollgate sandbox` as a process: an upstream to try a configuration on.

use std::io::{BufRead, BufReader};

use serde_json::Value;
use tempfile::TempDir;
use tollgate::sandbox::DEFAULT_KEY;

use crate::harness::gateway::program;
use crate::harness::{Config, Gateway, Program, eventually};

/// Starts one on a free port with `--json`; gives its URL too.
async fn sandbox(arguments: &[&str]) -> (Program, String) {
    let mut command = program();
    command.args(["sandbox", "--listen", "127.0.0.1:0", "--json"]).args(arguments);
    let panel = Program::start(command);
    let document: Value =
        eventually("the sandbox to say where it is", || async { serde_json::from_str(&panel.stdout()).ok() }).await;
    let url = document["url"].as_str().unwrap().to_owned();
    (panel, url)
}

fn at(url: &str) -> Config {
    Config::new("").provider_at("alpha", url, "").service(1, "routes = [\"alpha:1\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_is_serves_a_gateway_and_ends_on_sigterm() {
    let mut command = program();
    command.args(["sandbox", "--listen", "127.0.0.1:0", "--speed", "20"]);
    let mut panel = Program::start(command);
    let (url, key) = eventually("its address and key", || async {
        let text = panel.stdout();
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
        Some((value("url ")?, value("key ")?))
    })
    .await;
    assert_eq!(key, DEFAULT_KEY);
    let gateway = Gateway::start(&at(&url)).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    gateway.until_status(order, "Completed").await;
    assert!(panel.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_befall_the_gateway_and_the_journal_tells_what_was_accepted() {
    let folder = TempDir::new().unwrap();
    let journal = folder.path().join("journal");
    let (mut panel, url) =
        sandbox(&["--faults", "close-after@add:1", "--speed", "20", "--journal", journal.to_str().unwrap()]).await;
    let gateway = Gateway::start(&at(&url)).await;
    let lost = gateway.order(1, "https://example.com/lost", 1000).await;
    assert_eq!(gateway.story(lost)["order"]["state"], "uncertain");
    let good = gateway.order(1, "https://example.com/good", 1000).await;
    gateway.until_status(good, "Completed").await;
    assert!(panel.terminate().await.success());
    let lines = BufReader::new(std::fs::File::open(&journal).unwrap()).lines();
    let accepted: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let links: Vec<&str> = accepted.iter().map(|entry| entry["link"].as_str().unwrap()).collect();
    assert_eq!(links, ["https://example.com/lost", "https://example.com/good"]);
    assert_eq!(gateway.story(good)["order"]["upstream_order"], accepted[1]["order"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sells_what_a_file_lists_to_whoever_has_its_key() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("services.json");
    let list = r#"[{"service":"77","name":"Only this","rate":"0.50","min":1,"max":"900","category":"C"}]"#;
    std::fs::write(&file, list).unwrap();
    let key = "00000000000000000000000000000001";
    let (_panel, url) = sandbox(&["--services", file.to_str().unwrap(), "--key", key]).await;
    let config = |key: &str| {
        let provider = format!("[[provider]]\nid = \"alpha\"\nurl = \"{url}\"\nkey = \"{key}\"\n");
        Config::new("").text(&provider).service(1, "routes = [\"alpha:77\"]")
    };
    let gateway = Gateway::start(&config(key)).await;
    let services = gateway.call("services", &[]).await;
    assert_eq!((&services[0]["name"], &services[0]["rate"]), (&"Only this".into(), &"0.6".into()));

    let mut stranger = Gateway::prepare(&config(DEFAULT_KEY));
    stranger.launch_unready().await;
    eventually("the refused key to be told of", || async {
        stranger.log().lines().any(|line| line.contains("WARN") && line.contains("alpha")).then_some(())
    })
    .await;
}

#[test]
fn wrong_arguments_are_told_of_before_it_starts() {
    let folder = TempDir::new().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.args(["sandbox", "--listen", "127.0.0.1:0"]).args(arguments).current_dir(folder.path());
        let output = command.output().unwrap();
        assert!(output.stdout.is_empty());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (spec, words) in [
        ("explode", "unknown fault `explode`; known are: close-before"),
        ("close-after@dance", "unknown action `dance`"),
        ("close-after:2.5", "neither a probability"),
        ("slow", "MILLISECONDS"),
        ("error(x", "parenthesis"),
    ] {
        let (status, said) = run(&["--faults", spec]);
        assert_eq!(status, Some(2), "{spec}: {said}");
        assert!(said.contains(words), "{spec}: {said}");
    }
    assert_eq!(run(&["--speed", "fast"]).0, Some(2));
    let (status, said) = run(&["--services", "no-such.json"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("no-such.json"), "{said}");
    let (status, said) = run(&["--journal", "no/such/journal"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("no/such/journal"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_in_the_readme_fits_a_sandbox() {
    let (_panel, url) = sandbox(&[]).await;
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let sample = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = TempDir::new().unwrap();
    let sample = sample
        .replace("https://alpha.example/api/v2", &url)
        .replace("sqlite:///var/lib/tollgate/tollgate.db", "sqlite://tollgate.db");
    std::fs::write(folder.path().join("providers.toml"), sample).unwrap();
    std::fs::write(folder.path().join("alpha.key"), DEFAULT_KEY).unwrap();
    let output = program().args(["check", "--online", "--json"]).current_dir(folder.path()).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &document["online"][0]["problems"]), (Some(0), &serde_json::json!([])));
    assert!(document["online"][0]["services"].as_u64() > Some(0), "{document}");
}
