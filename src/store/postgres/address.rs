//! Where the server is and how it is reached: `store.url`, with TLS as libpq means its words for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::store::{StoreError, StoreResult};

/// How long making a connection may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What holds for every connection: no statement and no wait for another's row lasts for ever, and no transaction whose
/// program stands still or is cut off: what it has locked, others wait for.
const OPTIONS: &str = "-c statement_timeout=10s -c lock_timeout=1s -c idle_in_transaction_session_timeout=3s";

/// The server, and what a connection to it is wrapped in.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

/// How far a server has to prove that it is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Not at all: whoever listens is kept out, whoever is in between is not.
    None,
    /// A certificate that we trust.
    Certificate,
    /// The same, for the server's name.
    CertificateForName,
}

/// What the URL says beside what the library understands.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl Address {
    /// Reads a `postgres://…`.
    ///
    /// # Errors
    /// [`StoreError::Engine`] for what is no address, or names certificates that can't be read. The address is not in
    /// the message.
    pub(super) fn read(url: &str) -> StoreResult<Self> {
        let (plain, words) = split(url);
        let config: Option<Config> = plain.parse().ok();
        // What the library finds wrong may be named by a piece of the password; so may a host, after the first @.
        let mut config = config.filter(|config| !config.get_hosts().iter().any(is_no_name)).ok_or_else(unusable)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreError::Engine("store.url names no host".into()));
        }
        let (mode, proof) = mode(&words)?;
        config.ssl_mode(mode);
        let options = match config.get_options() {
            Some(given) => format!("{OPTIONS} {given}"),
            None => OPTIONS.to_owned(),
        };
        config.options(options);
        if config.get_application_name().is_none() {
            config.application_name("tollgate");
        }
        config.connect_timeout(CONNECT_TIMEOUT);
        config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3).tcp_user_timeout(Duration::from_secs(15));
        let tls = client_config(mode, proof, words.sslrootcert.as_deref())?;
        Ok(Self { config, tls: MakeRustlsConnect::new(tls) })
    }

    /// As it may be shown: host and database.
    pub(super) fn shown(&self) -> String {
        let host = self.config.get_hosts().first().map_or_else(String::new, |host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("postgres://{host}:{port}/{}", self.config.get_dbname().unwrap_or_default())
    }
}

fn is_no_name(host: &Host) -> bool {
    matches!(host, Host::Tcp(name) if name.contains('@'))
}

fn unusable() -> StoreError {
    StoreError::Engine(
        "store.url can't be read: in a user name or password, write % as %25, : as %3A, / as %2F, ? as %3F, # as %23, \
         @ as %40, and after a ? only options such as sslmode=verify-full"
            .into(),
    )
}

/// Why a `postgres://…` can't be used on this machine, whatever the server says; nothing of its password is in it.
pub(super) fn problem(url: &str) -> Option<String> {
    Address::read(url).err().map(|error| match error {
        StoreError::Engine(said) => said,
        error => error.to_string(),
    })
}

/// What an operator should know of a `postgres://…` before it is used; `None` where nothing is amiss.
pub(super) fn warning(url: &str) -> Option<String> {
    let address = Address::read(url).ok()?;
    let is_here = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    let elsewhere = !address.config.get_hosts().iter().all(is_here);
    let lax = matches!(split(url).1.sslmode.as_deref(), None | Some("prefer" | "disable"));
    (elsewhere && lax).then(|| {
        "store.url names a server on another machine and does not insist on TLS: whoever is in between may read and \
         change everything; add ?sslmode=verify-full to it"
            .to_owned()
    })
}

/// Takes out of the URL what the library does not understand.
fn split(url: &str) -> (String, Words) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), Words::default()) };
    let mut words = Words::default();
    let mut others = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A plus sign is one.
        let read = || {
            let escaped = format!("v={}", value.replace('+', "%2B"));
            form_urlencoded::parse(escaped.as_bytes()).next().map(|(_, value)| value.into_owned())
        };
        match name {
            "sslmode" => words.sslmode = read(),
            "sslrootcert" => words.sslrootcert = read(),
            _ => others.push(pair),
        }
    }
    let plain = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
    (plain, words)
}

/// The URL with the path of a named root relative to `folder` no more.
pub(super) fn resolve(url: &str, folder: &Path) -> String {
    let root = split(url).1.sslrootcert.filter(|root| root != "system" && Path::new(root).is_relative());
    let Some(root) = root else { return url.to_owned() };
    let absolute = folder.join(&root).to_string_lossy().into_owned();
    let escaped: String = form_urlencoded::byte_serialize(absolute.as_bytes()).collect::<String>().replace('+', "%20");
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let others = query.split('&').filter(|pair| !pair.starts_with("sslrootcert="));
    format!("{base}?{}", others.chain([format!("sslrootcert={escaped}").as_str()]).collect::<Vec<_>>().join("&"))
}

/// As libpq reads them. A named root makes `require` ask for a certificate.
fn mode(words: &Words) -> StoreResult<(SslMode, Proof)> {
    let by_root = if words.sslrootcert.is_some() { Proof::Certificate } else { Proof::None };
    Ok(match words.sslmode.as_deref() {
        Some("disable") => (SslMode::Disable, Proof::None),
        None | Some("prefer") => (SslMode::Prefer, Proof::None),
        Some("require") => (SslMode::Require, by_root),
        Some("verify-ca") => (SslMode::Require, Proof::Certificate),
        Some("verify-full") => (SslMode::Require, Proof::CertificateForName),
        Some(_) => {
            return Err(StoreError::Engine(
                "the sslmode of store.url is none that is known: write verify-full (the best), verify-ca, require, \
                 prefer or disable"
                    .into(),
            ));
        }
    })
}

fn client_config(mode: SslMode, proof: Proof, root: Option<&str>) -> StoreResult<ClientConfig> {
    let failed = |error: rustls::Error| StoreError::Engine(format!("TLS to PostgreSQL can't be set up: {error}"));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    if mode == SslMode::Disable || proof == Proof::None {
        let lenient = Lenient { provider, roots: None };
        return Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(lenient)).with_no_client_auth());
    }
    let roots = Arc::new(roots(root)?);
    if proof == Proof::Certificate {
        let lenient = Lenient { provider, roots: Some(roots) };
        return Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(lenient)).with_no_client_auth());
    }
    let strict = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    let strict = strict.map_err(|error| StoreError::Engine(format!("TLS to PostgreSQL can't be set up: {error}")))?;
    Ok(builder.with_webpki_verifier(strict).with_no_client_auth())
}

/// Those in the file that is named; else the machine's.
fn roots(file: Option<&str>) -> StoreResult<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file.filter(|file| *file != "system") else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() {
            Err(StoreError::Engine(
                "this machine has no root certificates: install them (on Debian: ca-certificates), or name a file by \
                 sslrootcert in store.url"
                    .into(),
            ))
        } else {
            Ok(roots)
        };
    };
    let unusable = |what: String| StoreError::Engine(format!("the sslrootcert of store.url, {file}: {what}"));
    let found = CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("it holds no certificate".into())) } else { Ok(roots) }
}

/// Takes a server for the right one by less than its name.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    /// Who must have signed its certificate; `None`: anybody.
    roots: Option<Arc<RootCertStore>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_for_tls_are_taken_out_of_the_url() {
        let words = |sslmode: Option<&str>, sslrootcert: Option<&str>| Words {
            sslmode: sslmode.map(str::to_owned),
            sslrootcert: sslrootcert.map(str::to_owned),
        };
        for (url, plain, found) in [
            ("postgres://u:p@h/d", "postgres://u:p@h/d", words(None, None)),
            ("postgres://h/d?sslmode=require", "postgres://h/d", words(Some("require"), None)),
            (
                "postgres://h/d?a=1&sslmode=verify-full&sslrootcert=/etc/a%20b+c.pem&b=2",
                "postgres://h/d?a=1&b=2",
                words(Some("verify-full"), Some("/etc/a b+c.pem")),
            ),
        ] {
            assert_eq!(split(url), (plain.to_owned(), found), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_a_piece_of_the_address() {
        for url in [
            "postgres://u:a@b?topsecret=x@h/d",
            "postgres://u:a@topsecret@h/d",
            "postgres://u:a/b@c:topsecret@h/d",
            "postgres://u:topsecret",
            "postgres://u@h/d?connect_timeout=topsecret",
            "postgres://u:top@ss:w/secret%1@h/d",
        ] {
            let error = problem(url).unwrap_or_default();
            assert!(error.contains("@ as %40") && !error.contains("secret"), "{url}: {error}");
        }
        for (url, expected) in [
            ("postgres://", "names no host"),
            ("postgres:///d", "names no host"),
            ("postgres://u:topsecret@h/d?sslmode=reqire", "sslmode"),
            ("postgres://u:topsecret@h/d?sslrootcert=/nowhere/own.pem&sslmode=verify-ca", "/nowhere/own.pem"),
        ] {
            let error = problem(url).unwrap_or_default();
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
        assert_eq!(problem("postgres:///d?host=/var/run/postgresql"), None);
        assert!(Address::read("postgres://u:a%40topsecret@h,i:5433/d?connect_timeout=3").is_ok());
    }

    #[test]
    fn a_path_in_the_url_is_relative_to_the_configuration() {
        let folder = Path::new("/etc/toll gate");
        let url = "postgres://u:p@h/d?sslmode=verify-full&sslrootcert=own.pem";
        let resolved = resolve(url, folder);
        assert_eq!(split(&resolved).1.sslrootcert.as_deref(), Some("/etc/toll gate/own.pem"), "{resolved}");
        for url in ["postgres://h/d", "postgres://h/d?sslrootcert=/a.pem", "postgres://h/d?sslrootcert=system"] {
            assert_eq!(resolve(url, folder), url);
        }
    }

    #[test]
    fn a_named_root_makes_require_ask_for_a_certificate() {
        let mode = |sslmode: Option<&str>, root: bool| {
            let sslrootcert = root.then(|| "x".to_owned());
            mode(&Words { sslmode: sslmode.map(str::to_owned), sslrootcert }).ok()
        };
        assert_eq!(mode(None, false), Some((SslMode::Prefer, Proof::None)));
        assert_eq!(mode(Some("require"), false), Some((SslMode::Require, Proof::None)));
        assert_eq!(mode(Some("require"), true), Some((SslMode::Require, Proof::Certificate)));
        assert_eq!(mode(Some("verify-full"), false), Some((SslMode::Require, Proof::CertificateForName)));
        assert_eq!(mode(Some("allow"), false), None);
    }

    #[test]
    fn only_a_server_elsewhere_that_may_be_anybody_is_warned_of() {
        for (url, warned) in [
            ("postgres://u@127.0.0.1/d", false),
            ("postgres://u@localhost:5433/d", false),
            ("postgres://u@%2Fvar%2Frun%2Fpostgresql/d", false),
            ("postgres://u@db.example/d", true),
            ("postgres://u@10.0.0.7/d?sslmode=prefer", true),
            ("postgres://u@10.0.0.7/d?sslmode=disable", true),
            ("postgres://u@db.example/d?sslmode=verify-full", false),
        ] {
            assert_eq!(warning(url).is_some(), warned, "{url}");
        }
    }
}
