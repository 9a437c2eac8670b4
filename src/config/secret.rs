//! Secrets as the file names them; read only by what needs them.

/// Where a secret comes from: a literal, `env:NAME`, `file:PATH`, or `credential:NAME`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRef {
    text: String,
}

impl std::fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretRef(…)")
    }
}
