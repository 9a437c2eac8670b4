//! Any `providers.toml`: no panic; a mistake has a place that is in the file, and shows no secret; a file without
//! mistakes is read the same each time, names only providers that it has, and shows no secret either.
#![no_main]

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tollgate::config::{self, Mistake, Settings};

fuzz_target!(|data: &[u8]| {
    let path = file();
    std::fs::write(path, data).unwrap();
    let text = String::from_utf8_lossy(data);
    let secrets = secrets(&text);
    match config::load(path) {
        Ok(settings) => {
            let shown = format!("{settings:?}");
            check_hidden(&shown, &secrets);
            check_consistent(&settings);
            let again = config::load(path).expect("the same file");
            assert_eq!(format!("{again:?}"), shown);
        }
        Err(errors) => {
            assert!(!errors.mistakes().is_empty());
            let shown = format!("{errors} {errors:?}");
            check_hidden(&shown, &secrets);
            for mistake in errors.mistakes() {
                check_place(mistake, &text);
            }
        }
    }
});

/// One file in memory, written anew for each run.
fn file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let folder = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
        tempfile::Builder::new().prefix("tollgate-fuzz").tempdir_in(folder).unwrap().keep().join("providers.toml")
    })
}

/// The texts on lines of their own that are keys. One that stands elsewhere as well, as a name perhaps, is none.
fn secrets(text: &str) -> Vec<&str> {
    let line = |line: &'_ str| -> Option<(usize, usize)> {
        let (name, value) = line.split_once('=')?;
        let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
        let plain = value.len() >= 12 && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let from = value.as_ptr() as usize - line.as_ptr() as usize;
        (matches!(name.trim(), "key" | "ops_token") && plain).then_some((from, from + value.len()))
    };
    let found = text.lines().filter_map(|full| line(full).map(|(from, to)| &full[from..to]));
    found.filter(|secret| text.matches(secret).count() == 1).collect()
}

fn check_hidden(shown: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} is shown: {shown}");
    }
}

fn check_place(mistake: &Mistake, text: &str) {
    assert!(!mistake.message.is_empty() && !mistake.message.contains('\n'), "{:?}", mistake.message);
    let Some(place) = mistake.place else { return };
    let line = text.split('\n').nth(place.line.checked_sub(1).expect("lines count from 1"));
    let line = line.unwrap_or_else(|| panic!("line {} of {}", place.line, text.split('\n').count()));
    assert!((1..=line.chars().count() + 1).contains(&place.column), "column {} of {line:?}: {mistake}", place.column);
}

fn check_consistent(settings: &Settings) {
    let providers: HashSet<_> = settings.providers.iter().map(|provider| &provider.id).collect();
    assert_eq!(providers.len(), settings.providers.len(), "a provider twice");
    assert!(settings.providers.iter().all(|p| p.burst >= 1 && p.max_in_flight >= 1));
    let rates = &settings.pricing.exchange_rates;
    assert!(settings.providers.iter().all(|provider| rates.contains_key(&provider.currency)));
    assert!(rates.values().all(|rate| rate.is_sign_positive() && !rate.is_zero()));
    let routes = settings.services.iter().flat_map(|service| &service.routes);
    assert!(routes.map(|route| &route.provider).all(|id| providers.contains(id)));
    assert!(settings.imports.iter().all(|import| providers.contains(&import.provider)));
    let services: HashSet<_> = settings.services.iter().map(|service| service.id).collect();
    assert_eq!(services.len(), settings.services.len(), "a service twice");
}
