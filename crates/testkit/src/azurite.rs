//! Azurite, Microsoft's emulator of Azure Storage, on free ports, gone with the test.

use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cache::newest;
use crate::free_port;

/// Runs the script that its first argument names, and ends it when its input ends: when the process that holds the other
/// end has gone, however it ended.
const WHILE_WANTED: &str = "const end = () => process.exit(); \
    process.stdin.on('end', end).resume(); process.stdout.on('error', end); require(process.argv[1])";

/// How many times free ports are tried, as another process may take one between the asking and the listening.
const STARTS_MAX: usize = 3;

/// The names of the accounts.
const ACCOUNTS: [&str; 2] = ["first", "second"];

/// A storage account with blobs, queues and tables.
#[derive(Clone, Debug)]
pub struct StorageAccount {
    /// Its name.
    pub name: String,
    /// Its key, not encoded.
    pub key: Vec<u8>,
    /// Where its containers are, without `/` at the end.
    pub blobs: String,
    /// Where its queues are, without `/` at the end.
    pub queues: String,
    /// Where its tables are, without `/` at the end.
    pub tables: String,
}

impl StorageAccount {
    /// A shared access signature for all of it, for ever.
    pub fn signature(&self) -> String {
        self.signature_for("rwdlacup", "2099-01-01T00:00:00Z")
    }

    /// The same with these permissions (`sp`), until then (`se`, ISO 8601 in UTC; "Create an account SAS").
    pub fn signature_for(&self, permissions: &str, expiry: &str) -> String {
        let version = "2020-08-04";
        let text = format!("{}\n{permissions}\nbqt\nsco\n\n{expiry}\n\nhttps,http\n{version}\n", self.name);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        let signed = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        let signed = signed.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!(
            "sv={version}&ss=bqt&srt=sco&sp={permissions}&se={}&spr=https,http&sig={signed}",
            expiry.replace(':', "%3A")
        )
    }
}

/// A running Azurite; ended when dropped, and when this process ends in whatever way.
pub struct Azurite {
    _dir: TempDir,
    _child: Child,
    accounts: Vec<StorageAccount>,
}

impl Azurite {
    /// Starts one with two accounts, and returns once it serves clients.
    pub async fn start() -> Self {
        let key: Vec<u8> = (0..64).collect();
        let named: Vec<String> =
            ACCOUNTS.iter().map(|name| format!("{name}:{}", STANDARD.encode(&key))).collect();
        let mut said = String::new();
        for _ in 0..STARTS_MAX {
            let dir = tempfile::tempdir().expect("a temporary directory can be made");
            let [blobs, queues, tables] = [free_port(), free_port(), free_port()];
            match spawn(&dir, [blobs, queues, tables], &named.join(";")).await {
                Ok(child) => {
                    let account = |name: &&str| StorageAccount {
                        name: (*name).to_owned(),
                        key: key.clone(),
                        blobs: format!("http://127.0.0.1:{blobs}/{name}"),
                        queues: format!("http://127.0.0.1:{queues}/{name}"),
                        tables: format!("http://127.0.0.1:{tables}/{name}"),
                    };
                    return Self {
                        _dir: dir,
                        _child: child,
                        accounts: ACCOUNTS.iter().map(account).collect(),
                    };
                }
                Err(output) => said = output,
            }
        }
        panic!("Azurite does not start:\n{said}");
    }

    /// Its accounts.
    pub fn accounts(&self) -> &[StorageAccount] {
        &self.accounts
    }
}

/// Starts the process, or says what it said before it gave up.
async fn spawn(dir: &TempDir, [blobs, queues, tables]: [u16; 3], accounts: &str) -> Result<Child, String> {
    let mut child = Command::new("node")
        .args(["-e", WHILE_WANTED])
        .arg(script())
        .args(["--blobPort", &blobs.to_string(), "--queuePort", &queues.to_string()])
        .args(["--tablePort", &tables.to_string(), "--skipApiVersionCheck", "--disableTelemetry"])
        .arg("--location")
        .arg(dir.path())
        .env("AZURITE_ACCOUNTS", accounts)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("node can be executed");
    let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let (mut said, mut listening) = (String::new(), 0);
    while let Ok(Some(line)) = lines.next_line().await {
        listening += usize::from(line.contains("successfully listening"));
        if listening == 3 {
            // What it says is read on, or it would block on a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(child);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(said)
}

/// Where `tests/peers/azurite.sh` puts it.
fn script() -> PathBuf {
    newest("azurite-")
        .expect(
            "Azurite is not there; run tests/peers/azurite.sh, which fetches it and needs Node.js and npm",
        )
        .join("node_modules/azurite/dist/src/azurite.js")
}
