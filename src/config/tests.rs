mod mistakes;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use rust_decimal::Decimal;
use secrecy::ExposeSecret;

use super::settings::{CacheUrl, ProviderMode, Recover, StoreUrl, Treat503};
use super::*;
use crate::domain::outcome::RejectKind;
use crate::domain::service_type::ServiceType;

/// The least that sells something.
const SMALL: &str = r#"
[[provider]]
id = "alpha"
url = "https://alpha.example/api/v2"
key = "env:KEY"

[[service]]
id = 1
routes = ["alpha:101"]
"#;

fn check(text: &str) -> Result<Settings, ConfigErrors> {
    parse(Path::new("conf/providers.toml"), text, false)
}

fn errors(text: &str) -> Vec<String> {
    let Err(errors) = check(text) else { return Vec::new() };
    errors.to_string().lines().map(|line| line.strip_prefix("conf/providers.toml:").unwrap().to_owned()).collect()
}

fn warnings(text: &str) -> Vec<String> {
    check(text).unwrap().warnings
}

#[test]
fn the_example_is_valid_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers.toml");
    let example = load(&path).unwrap();
    assert_eq!(example.warnings, [""; 0]);
    let small = check(SMALL).unwrap();
    let shown = |settings: &Settings| {
        let mut provider = settings.providers[0].clone();
        provider.key = secret::SecretRef::new("same").unwrap();
        format!("{:?} {:?} {:?} {provider:?}", settings.server, settings.cache, settings.dispatch)
    };
    assert_eq!(shown(&example), shown(&small));
    assert_eq!(example.pricing.markup, small.pricing.markup);
    assert_eq!(example.pricing.min_margin, small.pricing.min_margin);
}

#[test]
fn an_empty_file_has_the_defaults_of_the_contract() {
    let settings = check("").unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.server.ops_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(settings.server.trusted_proxies, ["127.0.0.1/32".parse().unwrap()]);
    assert_eq!(settings.server.first_order_id, 1);
    assert!(settings.server.ops_token.is_none());
    assert_eq!(settings.store, StoreUrl::Sqlite("conf/tollgate.db".into()));
    assert_eq!(settings.cache.url, CacheUrl::Memory);
    assert_eq!(settings.cache.status_ttl, Duration::from_secs(30));
    assert_eq!(settings.cache.timeout, Duration::from_millis(50));
    assert_eq!(settings.pricing.currency, "USD");
    assert_eq!(settings.pricing.markup.percent.unwrap().to_string(), "20");
    assert_eq!(settings.pricing.markup.fixed, Some(Decimal::ZERO));
    assert_eq!(settings.pricing.rate_decimals, 4);
    assert_eq!(settings.pricing.min_margin.to_string(), "5");
    assert_eq!(settings.pricing.exchange_rates.get("USD"), Some(&Decimal::ONE));
    assert_eq!(settings.dispatch.wait, Duration::from_secs(2));
    assert_eq!(settings.dispatch.hold_for, Duration::from_secs(6 * 3600));
    assert_eq!(settings.dispatch.watch_closed, Duration::from_secs(30 * 86_400));
    assert_eq!(settings.warnings, ["there is no [[provider]]: nothing can be sold"]);
}

#[test]
fn a_provider_has_the_defaults_of_the_contract() {
    let provider = check(SMALL).unwrap().providers.remove(0);
    assert_eq!((provider.currency.as_str(), provider.mode, provider.recover), ("USD", ProviderMode::On, Recover::Off));
    assert_eq!(provider.requests_per_second, Decimal::from(10));
    assert_eq!((provider.burst, provider.max_in_flight), (20, 8));
    let seconds = [
        provider.connect_timeout,
        provider.timeout,
        provider.add_timeout,
        provider.sync_every,
        provider.max_catalogue_age,
    ];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [5, 30, 120, 600, 86_400]);
    assert_eq!(provider.low_balance, Decimal::from(25));
    assert!(
        !provider.lists_orders
            && provider.partial_is_final
            && !provider.exclusive_account
            && provider.rejects.is_empty()
    );
    assert_eq!(provider.treat_503_as, Treat503::Ambiguous);
}

#[test]
fn values_are_read_as_written() {
    let settings = check(
        r#"
server.listen = "[::1]:0"
server.trusted_proxies = ["10.0.0.0/8", "::1"]
store.url = "sqlite:///var/lib/tollgate.db"
cache.url = "rediss://:pw@redis.example/3"
pricing = { currency = "EUR", markup_percent = 30, markup_fixed = "0.001" }
exchange_rates = { USD = "0.92" }
[[provider]]
id = "a-1"
url = "http://127.0.0.1:9/api?v=2"
key = "k"
mode = "drain"
requests_per_second = "0.5"
exclusive_account = true
recover = "scan"
lists_orders = true
rejects = [{ text = "Service Is Closed", kind = "service" }, { text = "double", kind = "duplicate-link" }]
treat_503_as = "not-placed"
markup_percent = "40"
[[service]]
id = 2147483647
desc = ""
type = "custom comments"
min = 10
max = 10
rate = "1.20"
enabled = false
routes = ["a-1:x:7"]
[[import]]
provider = "a-1"
id_offset = 0
name = "*[Ff]ollowers*"
exclude_category = "Test*"
type = "default"
"#,
    )
    .unwrap();
    assert_eq!(settings.store, StoreUrl::Sqlite(PathBuf::from("/var/lib/tollgate.db")));
    assert_eq!(settings.server.trusted_proxies[1].to_string(), "::1/128");
    assert_eq!(settings.pricing.exchange_rates.len(), 2);
    let provider = &settings.providers[0];
    assert_eq!(provider.requests_per_second, Decimal::new(5, 1));
    assert_eq!((provider.mode, provider.recover), (ProviderMode::Drain, Recover::Scan));
    assert!(provider.exclusive_account && provider.lists_orders);
    assert_eq!(provider.treat_503_as, Treat503::NotPlaced);
    let rejects =
        [("service is closed".to_owned(), RejectKind::Service), ("double".to_owned(), RejectKind::DuplicateLink)];
    assert_eq!(provider.rejects, rejects);
    let service = &settings.services[0];
    assert_eq!((service.kind, service.min, service.max), (Some(ServiceType::CustomComments), Some(10), Some(10)));
    assert_eq!(service.fixed_rate.unwrap().to_string(), "1.2");
    assert_eq!(service.routes[0].service.as_str(), "x:7");
    assert!(!service.enabled && service.desc.as_deref() == Some(""));
    let filter = &settings.imports[0].filter;
    assert!(filter.name.as_ref().unwrap().is_match("100 followers / day"));
    assert!(!filter.name.as_ref().unwrap().is_match("likes"));
    assert!(filter.exclude_category.as_ref().unwrap().is_match("Test 1"));
    assert!(filter.kind.as_ref().unwrap().is_match("Default"));
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn risky_settings_are_warned_of() {
    assert_eq!(warnings(SMALL), [""; 0]);
    for (more, expected) in [
        ("[pricing]\nmarkup_percent = \"4\"", "pricing: a markup of 4 % is below pricing.min_margin_percent (5 %)"),
        ("[dispatch]\nwait = \"11s\"", "dispatch.wait is 11s"),
        ("[cache]\nurl = \"redis://10.0.0.1/0\"", "cache.url names a Redis on another machine without a password"),
        ("[cache]\nurl = \"redis://:pw@redis.example/0\"", "cache.url is redis:// and on another machine"),
        ("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]", "server.trusted_proxies holds every address"),
        ("[[service]]\nid = 2\nroutes = [\"alpha:1\"]\nmarkup_percent = \"1\"", "service 2: a markup of 1 %"),
        (
            "[[service]]\nid = 2\nroutes = [\"alpha:1\"]\nrate = \"0.00001\"",
            "service 2: its rate 0.00001 is listed as 0.0001",
        ),
        (
            "[[import]]\nprovider = \"alpha\"\nid_offset = 5\nmarkup_percent = \"1\"",
            "import of alpha at 5: a markup of 1 %",
        ),
        ("[[provider]]\nid = \"b\"\nurl = \"http://b.example\"\nkey = \"k\"", "provider b: its url is http"),
        (
            "[[provider]]\nid = \"b\"\nurl = \"https://b.example\"\nkey = \"k\"\nadd_timeout = \"20s\"",
            "provider b: add_timeout (20s) is below timeout (30s)",
        ),
        (
            "[[provider]]\nid = \"b\"\nurl = \"https://b.example\"\nkey = \"k\"\nsync_every = \"30d\"",
            "provider b: max_catalogue_age (1day) is below sync_every (30d)",
        ),
        (
            "[[provider]]\nid = \"b\"\nurl = \"https://alpha.example/api/v2\"\nkey = \"env:KEY\"",
            "providers alpha and b are one account",
        ),
        (
            "[[provider]]\nid = \"b\"\nurl = \"https://b.example\"\nkey = \"k\"\nmarkup_percent = 0",
            "provider b: a markup of 0 %",
        ),
        (
            "[[provider]]\nid = \"b\"\nurl = \"https://b.example\"\nkey = \"k\"\n\
             [[import]]\nprovider = \"b\"\nid_offset = 9\n[[import]]\nprovider = \"alpha\"\nid_offset = 9",
            "imports of b and alpha have the same id_offset (9)",
        ),
    ] {
        let found = warnings(&format!("{SMALL}\n{more}"));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{more}\n{found:#?}");
    }
    for harmless in [
        "[cache]\nurl = \"redis://127.0.0.1/0\"",
        "[cache]\nurl = \"redis://:pw@10.0.0.1/0\"",
        "[cache]\nurl = \"redis://:pw@[fd00::1]/0\"",
        "[cache]\nurl = \"rediss://:pw@redis.example/0\"",
        "[dispatch]\nwait = \"10s\"",
        "[[import]]\nprovider = \"alpha\"\nid_offset = 9\nname = \"A*\"\n[[import]]\nprovider = \"alpha\"\nid_offset = 9",
        "[pricing]\nmarkup_percent = 4\nmarkup_fixed = \"0.1\"",
        "[[provider]]\nid = \"b\"\nurl = \"http://localhost:8000\"\nkey = \"k\"",
    ] {
        assert_eq!(warnings(&format!("{SMALL}\n{harmless}")), [""; 0], "{harmless}");
    }
}

#[cfg(unix)]
#[test]
fn a_key_in_a_file_that_all_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("providers.toml");
    let count = |text: &str, mode| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        load(&path).unwrap().warnings.len()
    };
    let literal = SMALL.replace("env:KEY", "topsecret");
    assert_eq!((count(&literal, 0o644), count(&literal, 0o640), count(SMALL, 0o644)), (1, 0, 0));
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    for (path, expected) in [
        (folder.path().join("none.toml"), "name it by --config FILE"),
        (folder.path().to_owned(), "name the file in it"),
        (file("latin1.toml", b"a = 1\nb = \"\xe9\"\n"), "line 2 is not UTF-8 text"),
        (file("large.toml", &vec![b'#'; 5 << 20]), "larger than 4194304 bytes"),
    ] {
        let errors = load(&path).unwrap_err();
        let [mistake] = errors.mistakes() else { panic!("{errors}") };
        assert!(mistake.place.is_none() && mistake.message.contains(expected), "{errors}");
        assert!(errors.to_string().starts_with(&format!("{}: ", path.display())));
    }
}

#[test]
fn secrets_are_read_relative_to_the_file_and_every_failure_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("providers.toml");
    let with = |text: &str| {
        fs::write(&path, text).unwrap();
        load(&path).unwrap()
    };
    fs::write(folder.path().join("alpha.key"), "from the file\n").unwrap();
    fs::write(folder.path().join("cache.url"), "redis://:pw@h/1\n").unwrap();
    let text = SMALL.replace("env:KEY", "file:alpha.key")
        + "[server]\nops_token = \"token\"\n[cache]\nurl = \"file:cache.url\"\n";
    let secrets = with(&text).read_secrets().unwrap();
    assert_eq!(secrets.provider_keys.values().next().unwrap().expose_secret(), "from the file");
    assert_eq!(secrets.ops_token.unwrap().expose_secret(), "token");
    assert_eq!(secrets.cache_url.unwrap().expose_secret(), "redis://:pw@h/1");

    fs::write(folder.path().join("cache.url"), "memory://").unwrap();
    assert!(with(&text).read_secrets().unwrap().cache_url.is_none());

    fs::write(folder.path().join("cache.url"), "http://:pw@h/1").unwrap();
    fs::remove_file(folder.path().join("alpha.key")).unwrap();
    let text = text.replace("\"token\"", "\"env:TOLLGATE_TEST_UNSET\"");
    let errors = with(&text).read_secrets().unwrap_err();
    let places: Vec<_> = errors.mistakes().iter().map(|mistake| mistake.place.unwrap()).collect();
    assert_eq!(places.iter().map(|place| (place.line, place.column)).collect::<Vec<_>>(), [(5, 7), (11, 13), (13, 7)]);
    assert!(errors.to_string().contains("alpha.key") && errors.to_string().contains("TOLLGATE_TEST_UNSET"));
    assert!(!errors.to_string().contains(":pw@"), "{errors}");
}

/// Pieces that a file is made of, put together at random.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[server]",
        "[[provider]]",
        "[provider.x]",
        "[[service]]",
        "routes",
        "id",
        "url",
        "key",
        " = ",
        "=",
        "\n",
        "\n",
        "\"a\"",
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        "1",
        "-",
        "1.5",
        "0x",
        "\"\"\"",
        "é",
        "\r",
        "#",
        "true",
        "\"1s\"",
        "\u{feff}",
        "\\",
        "2024-01-01",
        "\"a:1\"",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_much(text in prop_oneof![pieces(), any::<String>()]) {
        if let Err(errors) = check(&text) {
            let lines = text.matches('\n').count() + 1;
            prop_assert!(errors.mistakes().iter().all(|mistake| (1..=lines).contains(&mistake.place.unwrap().line)));
        }
    }

    #[test]
    fn a_damaged_file_is_still_read(at in 0..include_str!("../../providers.toml").len(), with in "[\\x00-\\x7fé]{0,3}", drop in 0..4_usize) {
        let mut text = include_str!("../../providers.toml").to_owned();
        prop_assume!(text.is_char_boundary(at));
        let end = (at + drop).min(text.len());
        prop_assume!(text.is_char_boundary(end));
        text.replace_range(at..end, &with);
        if let Err(errors) = check(&text) {
            prop_assert!(!errors.mistakes().is_empty());
        }
    }

    #[test]
    fn no_time_is_too_long(text in "[0-9]{0,20}(s|ms|h|y)? ?[0-9]{0,20}(s|ms|us)?") {
        let text = format!("[dispatch]\nhold_for = \"{text}\"");
        let hold_for = check(&text).map(|settings| settings.dispatch.hold_for);
        prop_assert!(hold_for.is_err() || hold_for.is_ok_and(|hold_for| hold_for <= values::TEN_YEARS));
    }
}

#[test]
fn a_host_is_the_same_by_any_path_and_scheme() {
    let host = |url: &str| {
        let text = format!("[[provider]]\nid = \"alpha\"\nurl = \"{url}\"\nkey = \"0123456789abcdef\"\n");
        parse(Path::new("providers.toml"), &text, false).unwrap().providers[0].host()
    };
    assert_eq!(host("https://Panel.example/api/v2"), "panel.example");
    assert_eq!(host("http://panel.example/api"), "panel.example");
    assert_eq!(host("https://panel.example:443/"), "panel.example");
    assert_eq!(host("http://127.0.0.1:9000/api/v2"), "127.0.0.1:9000");
    assert_eq!(host("http://[::1]:9000/"), "[::1]:9000");
}
