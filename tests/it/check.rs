//! `tollgate check`, and what every verb does about a configuration that is wrong.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::gateway::program;

const KEY: &str = "0123456789abcdef0123456789abcdef";

const GOOD: &str = r#"[[provider]]
id = "alpha"
url = "https://alpha.example/api/v2"
key = "0123456789abcdef0123456789abcdef"

[[service]]
id = 1
routes = ["alpha:101"]
"#;

/// One mistake on each of these lines, and what is said of it there.
const BAD: &str = r#"[server]
listen = "127.0.0.1"
lisen = 1
[pricing]
markup_percent = 20.5
[colours]
[[provider]]
id = "alpha"
url = "ftp://alpha.example"
key = "0123456789abcdef0123456789abcdef"
burst = 0
[[service]]
id = 1
routes = ["gamma:1"]
[[service]]
routes = ["alpha:1"]
"#;
const MISTAKES: &[(usize, usize, &str)] = &[
    (2, 10, "IP address and port"),
    (3, 1, "did you mean `listen`?"),
    (5, 18, "in quotes"),
    (6, 2, "colours"),
    (9, 7, "whole address"),
    (11, 9, "from 1 to 10000"),
    (14, 11, "gamma"),
    (15, 1, "`id`"),
];

fn folder_with(text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("providers.toml"), text).unwrap();
    folder
}

/// In that folder, whose `providers.toml` is the default.
fn tollgate(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments).current_dir(folder);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    tollgate(folder, arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

#[test]
fn a_good_file_is_summed_up() {
    let folder = folder_with(GOOD);
    let output = run(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "providers.toml has no mistakes: 1 provider, 1 service by hand, 0 imports\n"
    );
    let output = run(folder.path(), &["check", "--json"]);
    let document = document(&output);
    assert_eq!((document["ok"].clone(), document["mistakes"].clone()), (json!(true), json!([])));
    assert!(document["warnings"].is_array());
}

#[test]
fn the_example_in_the_repository_is_good_once_its_keys_are_set() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/providers.toml");
    let folder = TempDir::new().unwrap();
    let check = |command: &mut Command| command.args(["--config", example]).output().unwrap();
    let output = check(
        tollgate(folder.path(), &["check"]).env("ALPHA_KEY", KEY).env("BETA_KEY", "fedcba9876543210fedcba9876543210"),
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    let output = check(tollgate(folder.path(), &["check"]).env_remove("ALPHA_KEY").env("BETA_KEY", ""));
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    assert!(said.contains("ALPHA_KEY") && said.contains("BETA_KEY"), "both are missing: {said}");
}

#[test]
fn every_mistake_is_listed_at_once_with_its_place() {
    let folder = folder_with(BAD);
    let output = run(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), MISTAKES.len(), "{said}");
    for (line, (row, column, words)) in lines.iter().zip(MISTAKES) {
        assert!(line.starts_with(&format!("providers.toml:{row}:{column}: ")) && line.contains(words), "{line}");
    }

    let output = run(folder.path(), &["check", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let document = document(&output);
    assert_eq!(document["ok"], false);
    for (mistake, (row, column, words)) in document["mistakes"].as_array().unwrap().iter().zip(MISTAKES) {
        assert_eq!((&mistake["file"], &mistake["line"]), (&json!("providers.toml"), &json!(row)));
        assert_eq!(mistake["column"], json!(column));
        assert!(mistake["message"].as_str().unwrap().contains(words), "{mistake}");
    }
}

#[test]
fn secrets_that_are_missing_are_listed_with_the_other_mistakes() {
    let folder = folder_with(&BAD.replace(KEY, "file:no-such.key"));
    for verb in ["check", "serve"] {
        let said = said(&run(folder.path(), &[verb]));
        let rows: Vec<_> = said.lines().map(|line| line.split(':').nth(1).unwrap_or_default()).collect();
        assert_eq!(rows, ["2", "3", "5", "6", "9", "10", "11", "14", "15"], "{said}");
        assert!(said.contains("no-such.key"), "{said}");
    }
}

#[test]
fn a_gateway_with_a_wrong_file_starts_nothing() {
    let folder = folder_with(BAD);
    let output = run(folder.path(), &["serve"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for (row, column, _) in MISTAKES {
        assert!(said(&output).contains(&format!("providers.toml:{row}:{column}: ")), "{}", said(&output));
    }
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["providers.toml"], "nothing was made beside it");
}

#[test]
fn a_missing_secret_is_a_mistake_at_its_place_and_keeps_the_gateway_from_starting() {
    let folder = folder_with(&GOOD.replace(KEY, "env:TOLLGATE_TEST_NO_SUCH_KEY"));
    for arguments in [&["check"][..], &["serve"], &["sync"]] {
        let output = run(folder.path(), arguments);
        let said = said(&output);
        if arguments == ["sync"] {
            assert_ne!(output.status.code(), Some(0), "{said}");
            continue;
        }
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("providers.toml:4:7: ") && said.contains("TOLLGATE_TEST_NO_SUCH_KEY"), "{said}");
    }
    assert!(!folder.path().join("tollgate.db").exists());
    assert_eq!(run(folder.path(), &["client", "list"]).status.code(), Some(1), "needs no secret, but a store");
}

#[test]
fn an_address_of_the_store_that_nobody_could_start_with_is_a_mistake() {
    let folder = folder_with(&format!("[store]\nurl = \"env:TOLLGATE_TEST_STORE_URL\"\n{GOOD}"));
    let missing = run(folder.path(), &["check"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("providers.toml:2:7: "), "{}", said(&missing));
    std::fs::write(folder.path().join("store.url"), "mysql://x").unwrap();
    let folder_config = folder.path().join("providers.toml");
    std::fs::write(&folder_config, format!("[store]\nurl = \"file:store.url\"\n{GOOD}")).unwrap();
    let other = run(folder.path(), &["check"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(said(&other).contains("postgres://") && !said(&other).contains("mysql"), "{}", said(&other));
}

#[test]
fn secrets_come_from_files_beside_the_configuration_and_from_credentials() {
    let folder = folder_with(&GOOD.replace(KEY, "file:alpha.key"));
    let missing = run(folder.path(), &["check"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("alpha.key"), "{}", said(&missing));
    std::fs::write(folder.path().join("alpha.key"), format!("{KEY}\n")).unwrap();
    let elsewhere = TempDir::new().unwrap();
    let file = folder.path().join("providers.toml");
    let output = run(elsewhere.path(), &["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    std::fs::write(&file, GOOD.replace(KEY, "credential:alpha.key")).unwrap();
    let check = || tollgate(folder.path(), &["check"]);
    assert_eq!(check().env("CREDENTIALS_DIRECTORY", folder.path()).output().unwrap().status.code(), Some(0));
    let output = check().env_remove("CREDENTIALS_DIRECTORY").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("warning: credential:alpha.key was not looked at"), "{}", said(&output));
    let online = check().arg("--online").env_remove("CREDENTIALS_DIRECTORY").output().unwrap();
    assert_eq!(online.status.code(), Some(1), "{}", said(&online));
    assert!(said(&online).contains("alpha: failed: it was not asked: its key is credential:alpha.key"));
    let serve = tollgate(folder.path(), &["serve"]).env_remove("CREDENTIALS_DIRECTORY").output().unwrap();
    assert_eq!(serve.status.code(), Some(2), "{}", said(&serve));
}

#[test]
fn a_missing_file_is_said_to_be_missing() {
    let folder = TempDir::new().unwrap();
    for verb in ["check", "serve", "verify"] {
        let output = run(folder.path(), &[verb]);
        assert_eq!(output.status.code(), Some(2), "{verb}");
        let said = said(&output);
        assert!(
            said.starts_with("providers.toml: cannot read the configuration") && said.contains("--config"),
            "{said}"
        );
    }
}

#[test]
fn the_file_is_named_before_or_after_the_verb_or_by_the_environment() {
    let folder = folder_with(GOOD);
    let elsewhere = TempDir::new().unwrap();
    let file = folder.path().join("providers.toml");
    let file = file.to_str().unwrap();
    for arguments in
        [&["--config", file, "check"][..], &["check", "--config", file], &["check", &format!("--config={file}")]]
    {
        let output = run(elsewhere.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    }
    let by_environment = tollgate(elsewhere.path(), &["check"]).env("TOLLGATE_CONFIG", file).output().unwrap();
    assert_eq!(by_environment.status.code(), Some(0));
    let both = tollgate(elsewhere.path(), &["check", "--config", file]).env("TOLLGATE_CONFIG", "/nowhere").output();
    assert_eq!(both.unwrap().status.code(), Some(0), "the command line comes first");
}

#[test]
fn bad_usage_is_told_apart_from_failure() {
    let folder = folder_with(GOOD);
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["check", "--frobnicate"],
        &["client"],
        &["client", "add"],
        &["client", "deposit", "x", "-5"],
        &["client", "deposit", "x", "1e3"],
        &["client", "set", "x"],
        &["orders", "show", "0"],
        &["orders", "list", "--state", "lost"],
        &["orders", "list", "--from", "yesterday"],
        &["orders", "list", "--limit", "0"],
        &["orders", "resolve", "1"],
        &["orders", "resolve", "1", "--refund", "--not-placed"],
        &["sandbox"],
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["client", "add", "--help"], &["--version"]] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn no_key_is_ever_printed() {
    let broken = [
        GOOD.replace("https://alpha.example/api/v2", "https://user:0123456789abcdef0123456789abcdef@alpha.example"),
        GOOD.replace("key = \"", "key = \"\n"),
        GOOD.replace("key = \"0123456789abcdef0123456789abcdef\"", "key = 0123456789abcdef0123456789abcdef"),
        GOOD.replace("key =", "kee ="),
        GOOD.replace("key =", "key = \"a\"\nkey ="),
        GOOD.replace("id = \"alpha\"", "id = 7"),
        format!("{GOOD}[cache]\nurl = \"redis://:{KEY}@/0\"\n"),
        GOOD.replace("[[provider]]", "[[provider]"),
        GOOD.to_owned(),
    ];
    for text in broken {
        let folder = folder_with(&text);
        for arguments in [&["check"][..], &["check", "--json"], &["verify"]] {
            let said = said(&run(folder.path(), arguments));
            assert!(!said.contains(KEY), "{arguments:?} of\n{text}\nsaid\n{said}");
            assert!(!said.is_empty());
        }
    }
}

#[test]
fn an_address_of_postgresql_that_can_t_be_used_is_a_mistake_before_a_start() {
    for (url, expected) in [
        ("postgres://tollgate:p@ss:w/topsecret%1@h/d", "@ as %40"),
        ("postgres://u:topsecret@h/d?sslmod=require", "only options such as sslmode"),
        ("postgres://u:topsecret@h/d?sslmode=reqire", "sslmode"),
        ("postgres://u:topsecret@h/d?sslmode=verify-full&sslrootcert=nofile.pem", "nofile.pem"),
        ("postgres://", "no host"),
    ] {
        let folder = folder_with(&format!("[store]\nurl = \"file:url\"\n{GOOD}").replace(KEY, "env:NOT_SET"));
        std::fs::write(folder.path().join("url"), url).unwrap();
        for verb in ["check", "serve"] {
            let output = run(folder.path(), &[verb]);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{verb} {url}: {said}");
            assert!(said.contains("providers.toml:2:7: expected \"postgres://"), "{verb} {url}: {said}");
            assert!(said.contains(expected) && !said.contains("topsecret"), "{verb} {url}: {said}");
            assert!(said.contains("NOT_SET"), "together with what else is wrong: {said}");
        }
        let output = run(folder.path(), &["client", "list"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
}
