//! The tree as a whole, and what its files' tests share.

use std::path::Path;

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::client::ClientVerb;
use super::*;

/// Two providers (the second drained) and one service of the first's.
pub(super) fn settings() -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.toml");
    let text = r#"
        [exchange_rates]
        EUR = "1.08"
        [[provider]]
        id = "alpha"
        url = "https://alpha.example/api/v2"
        key = "0123456789abcdef0123456789abcdef"
        [[provider]]
        id = "beta"
        url = "https://beta.example/api/v2"
        key = "fedcba9876543210fedcba9876543210"
        currency = "EUR"
        mode = "drain"
        [[service]]
        id = 1
        routes = ["alpha:101"]
    "#;
    std::fs::write(&file, text).unwrap();
    config::load(&file).unwrap()
}

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_tree_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_configuration_goes_before_or_after_the_verb() {
    for line in ["tollgate --config a.toml client list --json", "tollgate --json client list --config a.toml"] {
        let cli = parse(line).unwrap();
        assert_eq!((cli.config.as_path(), cli.json), (Path::new("a.toml"), true), "{line}");
    }
}

#[test]
fn every_verb_is_there() {
    for line in [
        "serve --log-format json",
        "check",
        "check --online --diff",
        "pause",
        "pause alpha",
        "resume alpha",
        "demo",
        "sandbox --listen 127.0.0.1:0 --key k --services s.json --faults close-after@add --speed 10 --journal j",
        "client add shop --deposit 10 --markup -5 --rps 3 --credit 1 --daily-limit 9 --allow-ip ::1 --allow-ip 10.0.0.0/8 --allow-service 1*",
        "client list",
        "client show shop",
        "client set shop --markup none --allow-ip none",
        "client deposit shop 10.5 --ref r --note n",
        "client withdraw shop 1",
        "client disable shop",
        "client enable shop",
        "client ledger shop --limit 5",
        "key add shop --read-only --label spare",
        "key list shop",
        "key revoke shop 3",
        "services --client shop",
        "providers",
        "sync",
        "sync alpha",
        "orders list --state queued --client shop --provider alpha --service 1 --link x --from 2026-01-01 --to 2026-01-31T00:00:00Z --limit 3",
        "orders show 5",
        "orders resolve 5 --placed 77",
        "orders resolve 5 --not-placed",
        "orders resolve 5 --refund",
        "orders resolve --all --provider alpha --older-than 7d --refund",
        "report --from 2026-01-01 --to 2026-02-01 --by client",
        "backup /tmp/copy.db",
        "restore /tmp/copy.db",
        "verify",
    ] {
        let parsed = parse(&format!("tollgate {line} --json --config x.toml"));
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn bad_usage_is_refused_before_anything_is_done() {
    for (line, kind) in [
        ("client add shop --deposit 0", ErrorKind::ValueValidation),
        ("client add shop --deposit 1e3", ErrorKind::ValueValidation),
        ("client add shop --allow-ip example.org", ErrorKind::ValueValidation),
        ("client add shop --allow-service [", ErrorKind::ValueValidation),
        ("client deposit shop", ErrorKind::MissingRequiredArgument),
        ("client ledger shop --limit 0", ErrorKind::ValueValidation),
        ("orders show 0", ErrorKind::ValueValidation),
        ("orders list --state lost", ErrorKind::InvalidValue),
        ("orders list --from yesterday", ErrorKind::ValueValidation),
        ("orders resolve 5", ErrorKind::MissingRequiredArgument),
        ("orders resolve 5 --refund --not-placed", ErrorKind::ArgumentConflict),
        ("orders resolve --refund", ErrorKind::MissingRequiredArgument),
        ("orders resolve --all --refund", ErrorKind::MissingRequiredArgument),
        ("orders resolve --all --provider alpha --refund", ErrorKind::MissingRequiredArgument),
        ("orders resolve --all --provider alpha --older-than 7d --not-placed", ErrorKind::ArgumentConflict),
        ("orders resolve --all --provider alpha --older-than 7d --placed 3", ErrorKind::ArgumentConflict),
        ("orders resolve 5 --all --provider alpha --older-than 7d --refund", ErrorKind::ArgumentConflict),
        ("orders resolve 5 --older-than 7d --refund", ErrorKind::MissingRequiredArgument),
        ("orders resolve --all --provider alpha --older-than soon --refund", ErrorKind::ValueValidation),
        ("report --by country", ErrorKind::InvalidValue),
        ("report --from yesterday", ErrorKind::ValueValidation),
        ("backup", ErrorKind::MissingRequiredArgument),
        ("sandbox", ErrorKind::MissingRequiredArgument),
        ("sandbox --listen 127.0.0.1:0 --faults nonsense", ErrorKind::ValueValidation),
        ("sandbox --listen 127.0.0.1:0 --speed slow", ErrorKind::ValueValidation),
        ("serve --log-format xml", ErrorKind::InvalidValue),
        ("nonsense", ErrorKind::InvalidSubcommand),
    ] {
        assert_eq!(parse(&format!("tollgate {line}")).unwrap_err().kind(), kind, "{line}");
    }
}

#[test]
fn terms_are_set_removed_or_left_alone() {
    let terms = |line: &str| match parse(line).unwrap().verb {
        Verb::Client(ClientVerb::Set { terms, .. }) => terms,
        verb => panic!("{verb:?}"),
    };
    assert!(terms("tollgate client set shop").is_empty());

    let change = terms("tollgate client set shop --markup none --rps 5 --credit none --allow-ip none").into_change();
    assert_eq!((change.markup, change.rps), (Some(None), Some(Some(5))));
    assert_eq!(change.credit.map(|credit| credit.to_string()).as_deref(), Some("0"));
    assert_eq!((change.daily_limit, change.allow_services, change.disabled), (None, None, None));
    assert_eq!(change.allow_ips, Some(vec![]));
}

#[tokio::test]
async fn a_change_of_nothing_is_bad_usage() {
    let error = run(parse("tollgate client set shop").unwrap()).await.unwrap_err();
    assert_eq!(report(&error), ExitStatus::BadUsage);
}

#[tokio::test]
async fn a_bad_configuration_is_bad_usage_and_a_missing_store_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.toml");
    let line = format!("tollgate verify --config {}", file.display());
    let error = run(parse(&line).unwrap()).await.unwrap_err();
    assert_eq!(report(&error), ExitStatus::BadUsage);

    std::fs::write(&file, "").unwrap();
    let error = run(parse(&line).unwrap()).await.unwrap_err();
    assert_eq!(report(&error), ExitStatus::Failed);
    assert!(error.to_string().contains("start `tollgate serve` once"), "{error}");
}

#[test]
fn causes_are_told_once_and_on_one_line() {
    let error = anyhow::anyhow!("no\n  entry").context("a quoted: no\n  entry").context("could not do it");
    assert_eq!(one_line(&error), "could not do it: a quoted: no entry");
}
