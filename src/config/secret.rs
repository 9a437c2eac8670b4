//! Secrets as the file names them; read only by what needs them, shown by nothing.

use std::env::VarError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::mistake::Place;

/// A secret's file is one line; anything larger is the wrong file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// systemd's folder of credentials.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Where a secret comes from: a literal, `env:NAME`, `file:PATH`, or `credential:NAME`.
///
/// Two are equal where they name the same source, wherever they stand in the file.
#[derive(Clone)]
pub struct SecretRef {
    source: Source,
    place: Option<Place>,
}

#[derive(Clone)]
enum Source {
    Literal(SecretString),
    Env(String),
    File(PathBuf),
    Credential(String),
}

/// Text that names no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecretRef {
    /// Nothing, or only blanks.
    #[error("empty text")]
    Empty,
    /// A literal with blanks around it or control characters in it: pasted carelessly, and no key at all.
    #[error("text with blanks around it or control characters in it")]
    Blanks,
    /// `env:` without a name that a variable can have.
    #[error("`env:` without the name of a variable")]
    NoVariable,
    /// `file:` without a path.
    #[error("`file:` without a path")]
    NoPath,
    /// `credential:` without a plain name.
    #[error("`credential:` without a plain name")]
    NoCredential,
}

/// Why a secret could not be read. Names its source, never its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set: set it where tollgate is started, or name another source")]
    VariableUnset(String),
    /// The variable is not text.
    #[error("the environment variable {0} is not UTF-8 text: set it to the secret itself")]
    VariableNotText(String),
    /// The variable is empty.
    #[error("the environment variable {0} is empty: set it to the secret itself")]
    VariableEmpty(String),
    /// The file cannot be read.
    #[error("cannot read {}: {cause}; check that it exists and that tollgate's user may read it", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is not one secret.
    #[error("{} {problem}: put the secret into it, as one line of text", path.display())]
    FileContent {
        /// The file.
        path: PathBuf,
        /// What is wrong with what is in it.
        problem: &'static str,
    },
    /// Not started by systemd with that credential.
    #[error(
        "no credential {0}: ${CREDENTIALS_DIRECTORY} is not set; start tollgate by systemd with LoadCredential={0}:PATH"
    )]
    NoCredentials(String),
}

impl SecretError {
    /// As a mistake in the file that names the secret.
    pub(super) fn as_mistake(&self) -> String {
        format!("expected a secret, found none: {self}")
    }
}

impl SecretRef {
    /// Reads the reference (not the secret): a literal, `env:NAME`, `file:PATH`, or `credential:NAME`.
    ///
    /// # Errors
    /// [`BadSecretRef`] where the text is empty, names nothing after its prefix, or can't be a secret itself.
    pub fn new(text: &str) -> Result<Self, BadSecretRef> {
        let source = if let Some(name) = text.strip_prefix("env:") {
            let usable = !name.trim().is_empty() && !name.contains(['=', '\0']);
            Source::Env(usable.then(|| name.to_owned()).ok_or(BadSecretRef::NoVariable)?)
        } else if let Some(path) = text.strip_prefix("file:") {
            let usable = !path.trim().is_empty() && !path.contains('\0');
            Source::File(usable.then(|| path.into()).ok_or(BadSecretRef::NoPath)?)
        } else if let Some(name) = text.strip_prefix("credential:") {
            let usable = !matches!(name.trim(), "" | "." | "..") && !name.contains(['/', '\0']);
            Source::Credential(usable.then(|| name.to_owned()).ok_or(BadSecretRef::NoCredential)?)
        } else if text.trim().is_empty() {
            return Err(BadSecretRef::Empty);
        } else if text.trim() != text || text.contains(char::is_control) {
            return Err(BadSecretRef::Blanks);
        } else {
            Source::Literal(text.into())
        };
        Ok(Self { source, place: None })
    }

    /// The same, standing at `place`.
    pub(super) fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    /// Where it stands in the file; the file's start where it was made otherwise.
    pub(super) fn place(&self) -> Place {
        self.place.unwrap_or(Place { line: 1, column: 1 })
    }

    /// The secret itself, where it stands in the file.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.source {
            Source::Literal(secret) => Some(secret.expose_secret()),
            _ => None,
        }
    }

    /// Whether it is one of systemd's credentials, and this process is not started with any.
    pub(super) fn is_out_of_reach(&self) -> bool {
        matches!(self.source, Source::Credential(_))
            && !std::env::var(CREDENTIALS_DIRECTORY).is_ok_and(|it| !it.is_empty())
    }

    /// Reads the secret. A path is relative to `base`, the configuration's folder; newlines at a file's end
    /// are no part of the secret.
    ///
    /// # Errors
    /// [`SecretError`] where the source is not there, not text, or empty.
    pub fn read(&self, base: &Path) -> Result<SecretString, SecretError> {
        self.read_with(base, |name| std::env::var(name))
    }

    /// [`SecretRef::read`] with the environment as an argument.
    pub(super) fn read_with(
        &self,
        base: &Path,
        variable: impl Fn(&str) -> Result<String, VarError>,
    ) -> Result<SecretString, SecretError> {
        match &self.source {
            Source::Literal(secret) => Ok(secret.clone()),
            Source::Env(name) => match variable(name) {
                Ok(text) if text.trim().is_empty() => Err(SecretError::VariableEmpty(name.clone())),
                Ok(text) => Ok(text.into()),
                Err(VarError::NotPresent) => Err(SecretError::VariableUnset(name.clone())),
                Err(VarError::NotUnicode(_)) => Err(SecretError::VariableNotText(name.clone())),
            },
            Source::File(path) => read_file(&base.join(path)),
            Source::Credential(name) => match variable(CREDENTIALS_DIRECTORY) {
                Ok(folder) if !folder.is_empty() => read_file(&Path::new(&folder).join(name)),
                _ => Err(SecretError::NoCredentials(name.clone())),
            },
        }
    }
}

fn read_file(path: &Path) -> Result<SecretString, SecretError> {
    let content = |problem| SecretError::FileContent { path: path.to_owned(), problem };
    let bytes = super::read_at_most(path, MAX_FILE_BYTES)
        .map_err(|cause| SecretError::File { path: path.to_owned(), cause })?
        .ok_or_else(|| content("is too large for a secret"))?;
    let text = String::from_utf8(bytes).map_err(|_| content("is not UTF-8 text"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.trim().is_empty() {
        return Err(content("is empty"));
    }
    Ok(secret.into())
}

impl PartialEq for SecretRef {
    fn eq(&self, other: &Self) -> bool {
        match (&self.source, &other.source) {
            (Source::Literal(a), Source::Literal(b)) => a.expose_secret() == b.expose_secret(),
            (Source::Env(a), Source::Env(b)) | (Source::Credential(a), Source::Credential(b)) => a == b,
            (Source::File(a), Source::File(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for SecretRef {}

/// Names the source; a literal is `(literal)`.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Literal(_) => f.write_str("(literal)"),
            Source::Env(name) => write!(f, "env:{name}"),
            Source::File(path) => write!(f, "file:{}", path.display()),
            Source::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRef({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn read(text: &str, base: &Path, set: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        };
        let secret = SecretRef::new(text).unwrap().read_with(base, variable);
        secret.map(|secret| secret.expose_secret().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_form_reads_its_source() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("sub/key"), "from file \r\n\n").unwrap();
        let base = folder.path();
        let credentials = base.join("sub");
        let set = [("KEY", "from env"), (CREDENTIALS_DIRECTORY, credentials.to_str().unwrap())];
        assert_eq!(read("plain", base, &set).unwrap(), "plain");
        assert_eq!(read("environment:x", base, &set).unwrap(), "environment:x");
        assert_eq!(read("env:KEY", base, &set).unwrap(), "from env");
        assert_eq!(read("file:sub/key", base, &set).unwrap(), "from file ");
        let absolute = format!("file:{}", credentials.join("key").display());
        assert_eq!(read(&absolute, Path::new("/elsewhere"), &set).unwrap(), "from file ");
        assert_eq!(read("credential:key", base, &set).unwrap(), "from file ");
    }

    #[test]
    fn an_error_names_the_source_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        std::fs::write(base.join("empty"), "\n").unwrap();
        std::fs::write(base.join("binary"), b"topsecret\xff").unwrap();
        std::fs::write(base.join("large"), "topsecret".repeat(10_000)).unwrap();
        let set = [("BLANK", "  ")];
        for (text, expected) in [
            ("env:UNSET", "environment variable UNSET is not set"),
            ("env:BLANK", "environment variable BLANK is empty"),
            ("file:none", "none: No such file"),
            ("file:empty", "empty is empty"),
            ("file:binary", "binary is not UTF-8"),
            ("file:large", "large is too large"),
            ("credential:key", "no credential key: $CREDENTIALS_DIRECTORY is not set"),
        ] {
            let error = read(text, base, &set).unwrap_err();
            assert!(error.contains(expected) && !error.contains("topsecret"), "{text}: {error}");
        }
        let not_text = |_: &str| Err(VarError::NotUnicode(OsString::from("topsecret")));
        let error = SecretRef::new("env:RAW").unwrap().read_with(base, not_text).unwrap_err();
        assert!(!error.to_string().contains("topsecret") && !format!("{error:?}").contains("topsecret"));
    }

    #[test]
    fn a_reference_must_name_something() {
        for (text, problem) in [
            ("", BadSecretRef::Empty),
            ("  ", BadSecretRef::Empty),
            ("key ", BadSecretRef::Blanks),
            ("k\ney", BadSecretRef::Blanks),
            ("env:", BadSecretRef::NoVariable),
            ("env:A=B", BadSecretRef::NoVariable),
            ("file:", BadSecretRef::NoPath),
            ("credential:", BadSecretRef::NoCredential),
            ("credential:../key", BadSecretRef::NoCredential),
        ] {
            assert_eq!(SecretRef::new(text), Err(problem), "{text:?}");
        }
    }

    #[test]
    fn a_literal_is_never_shown() {
        let literal = SecretRef::new("topsecret").unwrap();
        assert_eq!(format!("{literal:?} {literal}"), "SecretRef((literal)) (literal)");
        assert_eq!(format!("{:?}", SecretRef::new("env:KEY").unwrap()), "SecretRef(env:KEY)");
    }

    #[test]
    fn equality_is_by_source() {
        let at = |text: &str, line| SecretRef::new(text).unwrap().at(Place { line, column: 1 });
        assert_eq!(at("env:A", 1), at("env:A", 2));
        assert_eq!(at("x", 1), at("x", 2));
        assert_ne!(at("x", 1), at("y", 1));
        assert_ne!(at("env:A", 1), at("credential:A", 1));
    }
}
