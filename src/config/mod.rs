//! `providers.toml`: what an operator may write, and every mistake in it at once.
//!
//! [`load`] reads and checks the file and gives [`Settings`], in which every value is parsed, in range, and
//! consistent with the others. It reads no secret: [`Settings::read_secrets`] does, for what calls upstreams.
//! This room knows nothing of the store or of any upstream; whoever starts those maps settings to theirs.

mod catalogue;
pub mod mistake;
mod provider;
mod reader;
mod redis_url;
pub mod secret;
mod sections;
pub mod settings;
mod syntax;
#[cfg(test)]
mod tests;
mod values;
mod warnings;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use mistake::{ConfigErrors, Mistake, Place};
pub use settings::{Secrets, Settings};

use provider::ProviderNames;
use reader::{Report, Section};
use syntax::Syntax;

/// Room for twenty thousand services by hand.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Reads and checks the file. Reads no secret, and no other file.
///
/// # Errors
/// [`ConfigErrors`] with every mistake in the file, or with the one reason why it could not be read.
pub fn load(path: &Path) -> Result<Settings, ConfigErrors> {
    let whole_file = |message| ConfigErrors::whole_file(path, message);
    let bytes = read_at_most(path, MAX_FILE_BYTES).map_err(|cause| whole_file(unreadable(&cause)))?;
    let bytes = bytes.ok_or_else(|| {
        whole_file(format!("the file is larger than {MAX_FILE_BYTES} bytes: name the configuration by --config FILE"))
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.split(|byte| *byte == b'\n').count();
        whole_file(format!("line {line} is not UTF-8 text: save the file as UTF-8"))
    })?;
    parse(path, &text, readable_by_all(path))
}

fn unreadable(cause: &io::Error) -> String {
    let next = match cause.kind() {
        io::ErrorKind::NotFound => "name it by --config FILE or TOLLGATE_CONFIG, or write one",
        io::ErrorKind::PermissionDenied => "let tollgate's user read it",
        io::ErrorKind::IsADirectory => "name the file in it",
        _ => "check the path",
    };
    format!("cannot read the configuration: {cause}; {next}")
}

/// Checks the file's text.
fn parse(file: &Path, text: &str, readable_by_all: bool) -> Result<Settings, ConfigErrors> {
    let syntax = Syntax::read(text);
    let table = syntax.table();
    let report = Report::new(&syntax);
    let mut root = Section::root(&report, &table);
    let mut settings = read_settings(&mut root, file);
    root.refuse_unknown_keys();

    let (mistakes, secrets) = report.into_findings();
    if !mistakes.is_empty() {
        return Err(ConfigErrors::at_places(file, mistakes).naming(secrets));
    }
    settings.warnings = warnings::warnings(&settings, readable_by_all);
    Ok(settings)
}

fn read_settings(root: &mut Section<'_>, file: &Path) -> Settings {
    let folder = file.parent().unwrap_or(Path::new(""));
    let server = root.table("server", "[server]", sections::server);
    let store = root.table("store", "[store]", |section| sections::store(section, folder));
    let cache = root.table("cache", "[cache]", sections::cache);
    let mut pricing = root.table("pricing", "[pricing]", sections::pricing);
    let base = &pricing.currency;
    let rates = root.table("exchange_rates", "[exchange_rates]", |section| sections::exchange_rates(section, base));
    pricing.exchange_rates = rates;
    let dispatch = root.table("dispatch", "[dispatch]", sections::dispatch);

    let mut names = ProviderNames::default();
    let providers =
        root.tables("provider", "[[provider]]", |section| provider::provider(section, &mut names, &pricing));
    let mut first_lines = BTreeMap::new();
    let services =
        root.tables("service", "[[service]]", |section| catalogue::service(section, &names, &mut first_lines));
    let imports = root.tables("import", "[[import]]", |section| catalogue::import(section, &names));
    let (file, warnings) = (file.to_owned(), Vec::new());
    Settings { file, warnings, server, store, cache, pricing, dispatch, providers, services, imports }
}

/// The file's bytes, or `None` where it has more than `limit`.
fn read_at_most(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let length = File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(u64::try_from(length).is_ok_and(|length| length <= limit).then_some(bytes))
}

#[cfg(unix)]
fn readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    const READABLE_BY_OTHERS: u32 = 0o004;
    path.metadata().is_ok_and(|metadata| metadata.mode() & READABLE_BY_OTHERS != 0)
}

#[cfg(not(unix))]
fn readable_by_all(_path: &Path) -> bool {
    false
}
