//! A certificate for 127.0.0.1, and the authority that vouches for it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of a certificate that only those trust who are told of its authority.
pub struct Certificate {
    pub authority: PathBuf,
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Makes them in this folder.
    pub fn make(folder: &Path) -> Self {
        std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(
            folder,
            &format!("req -x509 {new_key} -keyout authority.key -out authority.pem -days 2 -subj /CN=tests"),
        );
        openssl(folder, &format!("req {new_key} -keyout server.key -out server.csr -subj /CN=server"));
        openssl(
            folder,
            "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -extfile names -out server.pem",
        );
        let file = |name| folder.join(name);
        Self { authority: file("authority.pem"), chain: file("server.pem"), key: file("server.key") }
    }
}

fn openssl(folder: &Path, words: &str) {
    let made = Command::new("openssl").args(words.split_whitespace()).current_dir(folder).output();
    let made = made.unwrap_or_else(|error| panic!("openssl must be in PATH (scripts/test installs it): {error}"));
    assert!(made.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&made.stderr));
}
