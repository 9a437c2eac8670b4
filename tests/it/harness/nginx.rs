//! nginx as docs/scaling.md sets it up, before gateways of a test.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::certificate::Certificate;
use super::{Gateway, eventually, free_port};

const CONFIGURATION: &str = include_str!("../../../deploy/nginx-several.conf");

/// nginx with our configuration, before these gateways.
pub struct Nginx {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it, on a free port.
    pub async fn start(gateways: &[&Gateway]) -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let configuration = adapted(CONFIGURATION, folder.path(), port, gateways);
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let child = Command::new("/usr/sbin/nginx")
            .arg("-p")
            .arg(folder.path())
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("nginx must be installed (scripts/test does it): {error}"));
        eventually("nginx to listen", || async { TcpStream::connect(("127.0.0.1", port)).ok() }).await;
        Self { child, port, _folder: folder }
    }

    /// The API behind it.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/api/v2", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The one process that there is: `master_process off`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The documented configuration with the addresses and files of a test.
fn adapted(text: &str, folder: &Path, port: u16, gateways: &[&Gateway]) -> String {
    let certificate = Certificate::make(folder);
    let (https, plain) = text.split_once("# Plain http gets words").unwrap();
    assert!(plain.contains("listen 80;"));
    let mut lines = Vec::new();
    for line in https.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["server", address, ..] if address.contains(':') => {
                let Some(gateway) = address.strip_prefix("10.0.0.1").and_then(|rest| rest.split(':').next()) else {
                    panic!("not an address of the example: {line}")
                };
                let number: usize = gateway.parse().unwrap();
                if let Some(gateway) = gateways.get(number - 1) {
                    let host = gateway.api.strip_prefix("http://").unwrap().strip_suffix("/api/v2").unwrap();
                    lines.push(line.replace(address, host));
                }
            }
            ["listen", "443", ..] => lines.push(line.replace("443", &format!("127.0.0.1:{port}"))),
            ["listen", ..] => {}
            ["ssl_certificate", ..] => lines.push(format!("ssl_certificate {};", certificate.chain.display())),
            ["ssl_certificate_key", ..] => lines.push(format!("ssl_certificate_key {};", certificate.key.display())),
            _ => lines.push(line.replace("/var/log/nginx", &folder.display().to_string())),
        }
    }
    let lines = lines.join("\n");
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\nhttp {{\n\
         client_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\nfastcgi_temp_path {folder}/fastcgi;\n\
         uwsgi_temp_path {folder}/uwsgi;\nscgi_temp_path {folder}/scgi;\n{lines}\n}}\n"
    )
}
