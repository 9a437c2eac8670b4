//! `tollgate demo`: what somebody sees who tries tollgate for the first time.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::harness::gateway::program;
use crate::harness::{Program, eventually};

/// Where the demo listens, by what it is meant for: pasting what it prints. No other test uses these.
const PORTS: [u16; 2] = [8080, 9090];

fn assert_free(port: u16) {
    let free = TcpListener::bind(("127.0.0.1", port));
    assert!(free.is_ok(), "this test needs port {port} of 127.0.0.1, which another program uses: {free:?}");
}

/// Runs a line as it was pasted.
fn paste(line: &str) -> Value {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?} (curl must be in PATH)");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {output:?}"))
}

/// The configuration that the printed `tollgate` lines name.
fn configuration(text: &str) -> PathBuf {
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "--config").unwrap();
    Path::new(words[at + 1]).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_demo_prints_can_be_pasted() {
    PORTS.into_iter().for_each(assert_free);
    let mut command = program();
    command.arg("demo");
    let mut demo = Program::start(command);
    let text = eventually("the demo to be ready", || async {
        let text = demo.stdout();
        text.contains("Stop with").then_some(text)
    })
    .await;
    let is_key = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let key = text.split(|c: char| !c.is_ascii_alphanumeric()).find(is_key).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    let line = |words: &str| *lines.iter().find(|line| line.contains(words)).unwrap();
    assert!(lines.iter().all(|line| line.contains(key)), "{text}");

    assert!(paste(line("action=services")).as_array().unwrap().len() > 10);
    assert_eq!(paste(line("action=balance"))["balance"], "100");
    let placed = Instant::now();
    let order = paste(line("action=add"))["order"].clone();
    let status = line("-d order=");
    assert!(status.contains(&format!("order={order}")), "{status} asks for another order than {order}");
    let mut seen: Vec<String> = Vec::new();
    eventually("the order to be Completed", || {
        let status = paste(status)["status"].as_str().unwrap().to_owned();
        if seen.last() != Some(&status) {
            seen.push(status.clone());
        }
        async move { (status == "Completed").then_some(()) }
    })
    .await;
    assert!(placed.elapsed() < Duration::from_secs(30), "it took {:?}", placed.elapsed());
    assert_eq!(seen, ["Pending", "In progress", "Completed"]);
    assert!(paste(line("-d orders="))[order.to_string()]["status"].is_string());
    assert_ne!(paste(line("action=balance"))["balance"], "100");

    let file = configuration(&text);
    for verb in
        [&["orders", "list"][..], &["orders", "show", &order.to_string()], &["client", "show", "demo"], &["verify"]]
    {
        let printed = format!("{} {}", file.display(), verb.join(" "));
        assert!(text.contains(&printed), "{printed} is not in {text}");
        let output = program().arg("--config").arg(&file).args(verb).output().unwrap();
        assert!(output.status.success(), "{verb:?}: {output:?}");
    }
    assert!(demo.terminate().await.success());
    assert!(!file.parent().unwrap().exists(), "its folder is still there");
    PORTS.into_iter().for_each(assert_free);
}
