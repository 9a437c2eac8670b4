//! Every mistake that a file can hold, at its place.

use super::{SMALL, check, errors};

/// Each text has this one mistake.
#[test]
fn each_mistake_is_shown_with_its_place() {
    let provider = |line: &str| format!("[[provider]]\nid = \"a\"\nurl = \"https://a.example\"\nkey = \"k\"\n{line}\n");
    let service = |line: &str| provider(&format!("[[service]]\nid = 1\nroutes = [\"a:1\"]\n{line}"));
    let url = |url: &str| format!("[[provider]]\nid = \"a\"\nkey = \"k\"\nurl = {url}\n");
    let cases: Vec<(String, &str)> = vec![
        ("[server]\nlisen = 1".into(), "2:1: expected a key of [server], found `lisen` (did you mean `listen`?)"),
        ("[sever]".into(), "1:2: expected a key of the file, found `sever` (did you mean `server`?)"),
        (
            "[dispatch]\ncolour = 1".into(),
            "2:1: expected a key of [dispatch], found `colour` (it may hold wait, hold_for, watch_closed)",
        ),
        (
            "[server]\nlisten = \"localhost:80\"".into(),
            "2:10: expected an IP address and port, such as \"127.0.0.1:8080\" or \"[::1]:8080\", found \"localhost:80\"",
        ),
        ("[server]\nlisten = 8080".into(), "found 8080"),
        (
            "[server]\nops_listen = \"0.0.0.0:9\"".into(),
            "2:14: expected an address on loopback, found 0.0.0.0:9 (any other needs `ops_token`)",
        ),
        (
            "[server]\nops_token = \"\"".into(),
            "2:13: expected a secret: itself in quotes, \"env:NAME\", \"file:PATH\" or \"credential:NAME\", found empty text",
        ),
        (
            "[server]\nlisten = \"0.0.0.0:9090\"".into(),
            "2:10: expected two addresses, found `listen` (0.0.0.0:9090) and `ops_listen` (127.0.0.1:9090) in conflict",
        ),
        (
            "[server]\ntrusted_proxies = [\"1.2.3.4\", \"1.2.3/8\"]".into(),
            "2:31: expected a network or address, such as \"10.0.0.0/8\" or \"10.1.2.3\", found \"1.2.3/8\"",
        ),
        (
            "[server]\nfirst_order_id = 2147483648".into(),
            "2:18: expected a whole number from 1 to 2147483647, found 2147483648",
        ),
        ("[server]\nfirst_order_id = 0".into(), "found 0"),
        ("[[server]]".into(), "1:1: expected [server], found an array (single brackets make a table)"),
        ("server = 5".into(), "1:10: expected [server], found 5"),
        ("[provider]\nid = 1".into(), "1:1: expected [[provider]], found [provider], with single brackets"),
        ("provider = [1]".into(), "1:13: expected [[provider]], found 1"),
        ("[store]\nurl = \"env:\"".into(), "found `env:` without the name of a variable"),
        (
            "[store]\nurl = \"sqlite://\"".into(),
            "2:7: expected \"sqlite://PATH\" or \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\", found no path after sqlite://",
        ),
        ("[store]\nurl = \"mysql://u:secret@h\"".into(), "found something else, with an @ in it"),
        ("[store]\nurl = \"tollgate.db\"".into(), "found \"tollgate.db\""),
        ("[cache]\nurl = \"redis://:secret@/0\"".into(), "found one that can't be read: empty host"),
        ("[cache]\nurl = \"http://:secret@h/0\"".into(), "found something else, with an @ in it"),
        (
            "[cache]\nurl = \"memory\"".into(),
            "2:7: expected \"memory://\" or \"redis://HOST:PORT/DATABASE\" (\"rediss://\" with TLS), found \"memory\"",
        ),
        ("[cache]\nurl = \"env:\"".into(), "found `env:` without the name of a variable"),
        ("[cache]\nstatus_ttl = \"0s\"".into(), "2:14: expected a time from 1ms to 1day, found \"0s\""),
        ("[cache]\ntimeout = \"1m\"".into(), "2:11: expected a time from 1ms to 10s, found \"1m\""),
        ("[cache]\nstatus_ttl = 30".into(), "2:14: expected a time in quotes, such as \"30s\" or \"10m\", found 30"),
        (
            "[cache]\nstatus_ttl = \"30\"".into(),
            "2:14: expected a time with its unit, such as \"30s\", \"10m\" or \"24h\", found \"30\"",
        ),
        ("[cache]\nstatus_ttl = \"18446744073709551615s 1000ms\"".into(), "expected a time with its unit"),
        ("[pricing]\nmarkup_percent = 20.5".into(), "2:18: expected the number in quotes, found 20.5 without them"),
        (
            "[pricing]\nmarkup_percent = \"20%\"".into(),
            "2:18: expected a plain number in quotes, such as \"12.50\", found \"20%\"",
        ),
        (
            "[pricing]\nmarkup_percent = \"-100.01\"".into(),
            "2:18: expected a number of at least -100, found \"-100.01\"",
        ),
        ("[pricing]\nmarkup_fixed = \"-1\"".into(), "expected a number of at least 0, found \"-1\""),
        ("[pricing]\nmin_margin_percent = -1".into(), "expected a number of at least 0, found -1"),
        ("[pricing]\nrate_decimals = 6".into(), "2:17: expected a whole number from 0 to 5, found 6"),
        ("[pricing]\nrate_decimals = \"4\"".into(), "found \"4\""),
        (
            "[pricing]\ncurrency = \"usd\"".into(),
            "2:12: expected three capital letters, such as \"USD\", found \"usd\"",
        ),
        ("[exchange_rates]\nEUR = 1.08".into(), "2:7: expected the number in quotes, found 1.08 without them"),
        ("[exchange_rates]\nEUR = \"0\"".into(), "2:7: expected a rate above 0, found \"0\""),
        ("[exchange_rates]\nEuro = \"1\"".into(), "2:1: expected three capital letters, such as USD, found \"Euro\""),
        ("[exchange_rates]\nUSD = \"2\"".into(), "2:7: expected 1 (clients are charged in USD), found \"2\""),
        ("[dispatch]\nwait = \"2h\"".into(), "2:8: expected a time from 0s to 1h, found \"2h\""),
        (
            "[[provider]]\nurl = \"https://a.example\"\nkey = \"k\"".into(),
            "1:1: expected the key `id` in [[provider]], found none",
        ),
        (
            "[[provider]]\nid = \"a:b\"\nurl = \"https://a.example\"\nkey = \"k\"".into(),
            "2:6: expected 1 to 64 letters, digits, -, _ or . in quotes, found \"a:b\"",
        ),
        (
            "[[provider]]\nid = \"a\"\nurl = \"https://a.example\"\nkey = \"\"".into(),
            "4:7: expected a secret: itself in quotes, \"env:NAME\", \"file:PATH\" or \"credential:NAME\", found empty text",
        ),
        ("[[provider]]\nid = \"a\"\nurl = \"https://a.example\"\nkey = 12345".into(), "found a whole number"),
        (
            url("\"ftp://a.example\""),
            "4:7: expected the API's whole address, such as \"https://panel.example/api/v2\", found \"ftp://a.example\"",
        ),
        (url("\"a.example/api\""), "found \"a.example/api\""),
        (url("\"https://\""), "found \"https://\""),
        (
            url("\"https://u:secret@a.example\""),
            "4:7: expected an address without a user and password, found one with them",
        ),
        (url("\"https://u:secret@:x\""), "found something else, with an @ or ? in it"),
        (url("\"a.example?key=secret@\""), "found something else, with an @ or ? in it"),
        (url("\" https://a.example\""), "found \" https://a.example\""),
        (provider("mode = \"pause\""), "5:8: expected \"on\", \"drain\" or \"off\", found \"pause\""),
        (provider("burst = 0"), "5:9: expected a whole number from 1 to 10000, found 0"),
        (provider("max_in_flight = 0"), "found 0"),
        (provider("requests_per_second = 0"), "5:23: expected a number of at least 0.01, found 0"),
        (provider("requests_per_second = 0.5"), "expected the number in quotes, found 0.5 without them"),
        (provider("timeout = \"0s\""), "5:11: expected a time from 1ms to 1h, found \"0s\""),
        (provider("add_timeout = \"0s\""), "found \"0s\""),
        (provider("connect_timeout = \"0s\""), "found \"0s\""),
        (provider("sync_every = \"0s\""), "5:14: expected a time from 1ms to 3653d, found \"0s\""),
        (provider("partial_is_final = \"yes\""), "5:20: expected true or false, without quotes, found \"yes\""),
        (provider("recover = \"scan\""), "5:11: expected \"off\", found \"scan\" (it needs exclusive_account = true"),
        (provider("lists_orders = 1"), "5:16: expected true or false, without quotes, found"),
        (
            provider("lists_orders = true\n[[provider]]\nid = \"b\"\nurl = \"https://a.example/\"\nkey = \"k\""),
            "8:7: expected an account of its own, found that of provider \"a\" (one of the two says exclusive_account or lists_orders)",
        ),
        (
            provider("currency = \"GBP\""),
            "5:12: expected a currency with a rate, found GBP (add GBP = \"…\" to [exchange_rates]: one GBP in USD)",
        ),
        (
            provider("rejects = [{ text = \"x\", kind = \"bad\" }]"),
            "5:33: expected \"input\", \"duplicate-link\", \"balance\"",
        ),
        (provider("treat_503_as = \"placed\""), "5:16: expected \"ambiguous\" or \"not-placed\", found \"placed\""),
        (provider("treat_503_as = true"), "5:16: expected \"ambiguous\" or \"not-placed\", found true"),
        (provider("rejects = [{ text = \"x\" }]"), "5:12: expected the key `kind` in { text, kind }, found none"),
        (provider("rejects = [\"x\"]"), "5:12: expected { text, kind }, found \"x\""),
        (
            provider("[[provider]]\nid = \"a\"\nurl = \"https://b.example\"\nkey = \"k\""),
            "6:6: expected an id of its own, found \"a\" again (first at line 2)",
        ),
        (
            service("[[service]]\nid = 1\nroutes = [\"a:2\"]"),
            "9:6: expected an id of its own, found 1 again (first at line 6)",
        ),
        (provider("[[service]]\nroutes = [\"a:1\"]"), "5:1: expected the key `id` in [[service]], found none"),
        (provider("[[service]]\nid = 1"), "5:1: expected the key `routes` in [[service]], found none"),
        (
            provider("[[service]]\nid = 1\nroutes = []"),
            "7:10: expected an array of one route or more, such as [\"alpha:101\"], found an empty one",
        ),
        (provider("[[service]]\nid = 1\nroutes = \"a:1\""), "found \"a:1\""),
        (
            provider("[[service]]\nid = 1\nroutes = [\"a1\"]"),
            "7:11: expected a route PROVIDER:SERVICE, such as \"alpha:101\", found \"a1\"",
        ),
        (provider("[[service]]\nid = 1\nroutes = [\"a:\"]"), "found \"a:\""),
        (
            provider("[[service]]\nid = 1\nroutes = [alpha:101]"),
            "7:11: expected a value (text goes in quotes), found something else",
        ),
        (
            provider("[[service]]\nid = 1\nroutes = [\"a:1\", \"A1:1\"]"),
            "7:18: expected the id of a [[provider]] (did you mean \"a\"?), found \"A1:1\"",
        ),
        (
            provider("[[service]]\nid = 1\nroutes = [\"a:1\", \"a:2\", \"a:1\"]"),
            "7:25: expected each route once, found \"a:1\"",
        ),
        (service("min = 5\nmax = 4"), "8:7: expected at most `max` (4), found 5"),
        (service("type = \"Defualt\""), "8:8: expected a service type (Default, Package,"),
        (
            service("rate = \"1\"\nmarkup_percent = \"1\""),
            "9:18: expected either `rate` or a markup, found `rate` and `markup_percent`",
        ),
        (service("rate = \"1.234567\""), "8:8: expected a rate of at most 5 decimals, found \"1.234567\""),
        (service("name = \"\""), "8:8: expected text in quotes, on one line, found empty text"),
        (provider("[[import]]\nid_offset = 0"), "5:1: expected the key `provider` in [[import]], found none"),
        (provider("[[import]]\nprovider = \"a\""), "5:1: expected the key `id_offset` in [[import]], found none"),
        (
            provider("[[import]]\nprovider = \"beta\"\nid_offset = 0"),
            "6:12: expected the id of a [[provider]], found \"beta\"",
        ),
        (
            provider("[[import]]\nprovider = \"a\"\nid_offset = 2147483647"),
            "7:13: expected a whole number from 0 to 2147483646, found 2147483647",
        ),
        (
            provider("[[import]]\nprovider = \"a\"\nid_offset = 0\nname = \"[a\""),
            "8:8: expected a pattern such as \"Instagram*\", found ",
        ),
        ("[server]\nlisten".into(), "2:7: not valid TOML: key with no value"),
        ("[server]\nlisten = on".into(), "2:10: expected a value (text goes in quotes), found something else"),
        ("[server]\n[cache]\n[server]".into(), "3:2: expected each key and table once, found it again"),
        ("[server]\nlisten = = \"127.0.0.1:1\"".into(), "2:10: not valid TOML: extra `=`, expected nothing"),
        (provider("[[service]]\nid = = 2\nroutes = [\"a:1\"]"), "6:6: not valid TOML: extra `=`, expected nothing"),
        (
            "[[provider]]\nid = \"a\"\nurl \"https://a.example\"\nkey = \"k\"".into(),
            "3:5: not valid TOML: key with no value",
        ),
    ];
    for (text, expected) in cases {
        let found = errors(&text);
        let whole = expected.starts_with(|c: char| c.is_ascii_digit());
        let matches = |line: &String| if whole { line.starts_with(expected) } else { line.contains(expected) };
        assert!(found.len() == 1 && found.iter().all(matches), "{text}\nexpected {expected}\n{found:#?}");
        assert!(!found[0].contains("secret@") && !found[0].contains("12345"), "{found:#?}");
    }
}

#[test]
fn ten_mistakes_are_all_shown_in_order() {
    let text = r#"[server]
listen = "nowhere"
speed = 11
[pricing]
markup_percent = 20.5
[cache
status_ttl = "soon"
[[provider]]
id = "alpha"
url = "ftp://alpha.example"
key "k"
burst = 0
[[service]]
id = 0
routes = ["beta:1", "alpha"]
"#;
    let places: Vec<_> = errors(text).iter().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(places, ["2:10", "3:1", "5:18", "6:7", "7:14", "10:7", "11:5", "12:9", "14:6", "15:11", "15:21"]);
}

#[test]
fn a_broken_line_causes_no_second_mistake() {
    let text = SMALL.replace("id = \"alpha\"", "id = \"alpha").replace("key = ", "key: ");
    let found = errors(&text);
    assert_eq!(found.len(), 2, "{found:#?}");
    let unreadable_id = SMALL.replace("\"alpha\"", "7");
    assert_eq!(errors(&unreadable_id).len(), 1, "its routes may be right");
}

#[test]
fn no_message_shows_a_secret() {
    for line in [
        "key = 0topsecret",
        "key = \"topsecret",
        "key = 'topsecret' x",
        "key = [\"topsecret\"]",
        "key \"topsecret\"",
        "topsecret",
        "key = {a=\"topsecret\"}",
    ] {
        let text = format!("[[provider]]\nid = \"a\"\nurl = \"https://a.example\"\n{line}\n");
        let errors = check(&text).unwrap_err();
        assert!(!format!("{errors} {errors:?}").contains("topsecret"), "{line}: {errors}");
    }
    let swallowed = "[server]\nlisten = \"\"\"a\nops_token = \"topsecret\"\n";
    assert!(!errors(swallowed).concat().contains("topsecret"));
    let text = SMALL.replace("env:KEY", "topsecret")
        + "[server]\nops_token = \"topsecret\"\n[cache]\nurl = \"redis://:topsecret@h\"";
    let settings = check(&text).unwrap();
    assert!(!format!("{settings:?}").contains("topsecret"));
    let secrets = settings.read_secrets().unwrap();
    assert!(!format!("{secrets:?}").contains("topsecret"));
}
