//! The gateway under measurement, with everything on: an account that leads to the simulator, ten
//! thousand keys with limits, prices, logs to a file, request records to SQLite.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::caller::{Caller, Request, Signed};
use crate::floor::free_address;
use crate::payload::{self, Behaviour, Form};
use crate::process::Server;
use crate::wire::{self, Connection};

/// How many keys are registered.
pub const KEYS: usize = 10_000;

/// How many of them call.
pub const CALLING_KEYS: usize = 64;

/// What is called.
const PATH: &str = "/v1/chat/completions";

/// How many administration calls run at once while the keys are made.
const ADMINISTRATORS: usize = 8;

/// A built gateway and its data.
pub struct Installation {
    /// The binary.
    pub binary: PathBuf,
    /// Its data and its logs.
    pub folder: PathBuf,
    /// The keys that call.
    pub keys: Vec<Caller>,
}

/// What the gateway's journal survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process: the default, and what the goals are about.
    Process,
    /// A power cut.
    Power,
}

impl Durability {
    fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

/// A running gateway.
pub struct Gateway {
    /// Its process.
    pub server: Server,
    /// Where it listens.
    pub address: SocketAddr,
    ready: Value,
}

impl Installation {
    /// Makes the data: account, prices, keys. The gateway that did it is stopped again.
    ///
    /// # Errors
    /// When the gateway does not start or refuses a call.
    pub async fn prepare(binary: PathBuf, folder: PathBuf, simulator: SocketAddr) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut installation = Self { binary, folder, keys: Vec::new() };
        let gateway = installation.start()?;
        let administrator = Rc::new(Administrator::log_in(&gateway).await?);
        for (form, name, provider, path) in [
            (Form::Chat, "simulator", "openai-compatible", "/v1"),
            (Form::Messages, "simulator of Messages", "anthropic", ""),
        ] {
            let spoken = Behaviour::ALL.iter().filter(|behaviour| behaviour.form() == form);
            let models: Vec<&str> = spoken.map(|behaviour| behaviour.model()).collect();
            let account = json!({
                "name": name, "provider": provider, "base_url": format!("http://{simulator}{path}"),
                "credential": {"type": "api_key", "api_key": "sk-simulated"}, "models": models, "allow_private": true,
            });
            administrator.call("POST", "/api/v1/admin/accounts", &account).await?;
        }
        for model in Behaviour::ALL.map(Behaviour::model) {
            let path = format!("/api/v1/admin/prices/{model}");
            administrator.call("PUT", &path, &json!({"in": "0.15", "out": "0.6"})).await?;
        }
        installation.keys = make_keys(&administrator).await?;
        let first = installation.request(gateway.address, Behaviour::Unary, 1_200, 1);
        for number in 0.. {
            let (status, body) = wire::call(gateway.address, &first[0].bytes("")).await?;
            if status == 200 && payload::is_whole_answer(&body) {
                break;
            }
            if number == 100 {
                bail!("the new keys do not work: {status} {}", String::from_utf8_lossy(&body));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(installation)
    }

    /// Starts the gateway on its data and waits until it is ready.
    ///
    /// # Errors
    /// When it ends before that.
    pub fn start(&self) -> Result<Gateway> {
        self.start_with(Durability::Process)
    }

    /// The same, and says what the journal survives.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub fn start_with(&self, durability: Durability) -> Result<Gateway> {
        let mut server = self.spawn("127.0.0.1:0", durability)?;
        let output = server.child().stdout.take().context("the gateway has an output")?;
        let mut lines = BufReader::new(output);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).with_context(|| {
            format!(
                "the gateway did not become ready: {line:?}; see {}",
                self.folder.join("gateway.log").display()
            )
        })?;
        let url = ready["url"].as_str().context("no url in the ready line")?;
        let address = url
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .parse()
            .context("url of the ready line")?;
        drain(lines, self.folder.join("gateway.out"))?;
        Ok(Gateway { server, address, ready })
    }

    /// From the start of the process to its first whole answer, through account and key.
    ///
    /// # Errors
    /// When it does not answer within ten seconds.
    pub async fn time_start(&self) -> Result<Duration> {
        let address = free_address()?;
        let request = self.request(address, Behaviour::Unary, 1_200, 1).remove(0);
        let start = Instant::now();
        let mut server = self.spawn(&address.to_string(), Durability::Process)?;
        while start.elapsed() < Duration::from_secs(10) {
            if let Ok((200, body)) = wire::call(address, &request.bytes("")).await
                && payload::is_whole_answer(&body)
            {
                return Ok(start.elapsed());
            }
            server.expect_running()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("no answer within ten seconds of the start")
    }

    fn spawn(&self, listen: &str, durability: Durability) -> Result<Server> {
        let log = File::options().create(true).append(true).open(self.folder.join("gateway.log"))?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--ready-json", "--listen", listen, "--data"]).arg(self.folder.join("data"));
        command.env("YUMEN_DURABILITY", durability.name());
        command.current_dir(&self.folder).stdout(Stdio::piped()).stderr(log);
        Server::start("yumen", &mut command)
    }

    /// One whole request for each of `callers` keys.
    #[must_use]
    pub fn request(
        &self,
        address: SocketAddr,
        behaviour: Behaviour,
        size: usize,
        callers: usize,
    ) -> Vec<Request> {
        let body = payload::request_body(behaviour, size);
        let authority = address.to_string();
        let keys = self.keys.iter().take(callers);
        keys.map(|caller| Request::Plain(payload::request(PATH, &authority, &caller.key, &body))).collect()
    }

    /// The same, each signed by its key.
    #[must_use]
    pub fn signed_request(&self, address: SocketAddr, size: usize) -> Vec<Request> {
        let body = payload::request_body(Behaviour::Unary, size);
        let authority = address.to_string();
        let signed = |caller| Request::Signed(Box::new(Signed::new(PATH, &authority, caller, body.clone())));
        self.keys.iter().map(signed).collect()
    }
}

/// Keeps reading what the gateway prints, so that a full pipe never stops it.
fn drain(mut lines: BufReader<std::process::ChildStdout>, file: PathBuf) -> Result<()> {
    let mut file = File::options().create(true).append(true).open(file)?;
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut lines, &mut file);
    });
    Ok(())
}

/// The first administrator, signed in.
struct Administrator {
    address: SocketAddr,
    token: String,
}

impl Administrator {
    async fn log_in(gateway: &Gateway) -> Result<Self> {
        let credentials =
            json!({"email": gateway.ready["admin_email"], "password": gateway.ready["admin_password"]});
        let anonymous = Self { address: gateway.address, token: String::new() };
        let tokens = anonymous.call("POST", "/api/v1/auth/login", &credentials).await?;
        let token = tokens["access_token"].as_str().context("login gave no access_token")?.to_owned();
        Ok(Self { address: gateway.address, token })
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        self.call_on(&mut Connection::open(self.address).await?, method, path, body).await
    }

    async fn call_on(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value> {
        let body = body.to_string();
        let authorization = if self.token.is_empty() {
            String::new()
        } else {
            format!("authorization: Bearer {}\r\n", self.token)
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{authorization}content-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        connection.send(request.as_bytes()).await?;
        let head = connection.answer_head().await?;
        let mut answer = Vec::new();
        connection.body(head, &mut answer).await?;
        if !(200..300).contains(&head.status) {
            bail!("{method} {path}: {} {}", head.status, String::from_utf8_lossy(&answer));
        }
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).with_context(|| format!("{method} {path} did not answer JSON"))
    }
}

/// Registers all keys; returns those that will call.
async fn make_keys(administrator: &Rc<Administrator>) -> Result<Vec<Caller>> {
    let next = Rc::new(Cell::new(0_usize));
    let makers: Vec<_> = (0..ADMINISTRATORS)
        .map(|_| {
            let (administrator, next) = (Rc::clone(administrator), Rc::clone(&next));
            tokio::task::spawn_local(async move {
                let mut connection = Connection::open(administrator.address).await?;
                let mut made = Vec::new();
                while next.get() < KEYS {
                    let number = next.replace(next.get() + 1);
                    let mut key = json!({
                        "name": format!("bench-{number:05}"),
                        "rate_limit": {"rpm": 1_000_000_000_u64, "tpm": 1_000_000_000_000_u64, "concurrent": 100_000},
                    });
                    if made.len() < CALLING_KEYS {
                        key["quota"] = json!([
                            {"unit": "tokens", "period": "daily", "limit": 1_000_000_000_000_u64},
                            {"unit": "cost", "period": "monthly", "limit": "1000000"},
                        ]);
                        // The same keys with and without signatures, so that nothing else differs.
                        key["signing"] = json!("hmac-v1");
                        key["bearer"] = json!(true);
                    }
                    let made_key =
                        administrator.call_on(&mut connection, "POST", "/api/v1/admin/api-keys", &key).await?;
                    let text = |name: &str| made_key[name].as_str().unwrap_or_default().to_owned();
                    let (key, id, signing_secret) = (text("key"), text("id"), text("signing_secret"));
                    ensure!(!key.is_empty(), "a key without its text");
                    made.push(Caller { key, id, signing_secret });
                }
                anyhow::Ok(made)
            })
        })
        .collect();
    let mut keys = Vec::new();
    for maker in makers {
        keys.extend(maker.await.context("a maker of keys panicked")??);
    }
    keys.truncate(CALLING_KEYS);
    Ok(keys)
}

/// How large the gateway's log and records have become: proof that they were on.
#[must_use]
pub fn written_bytes(folder: &Path) -> u64 {
    let files = ["gateway.log", "gateway.out", "data/requests.db", "data/requests.db-wal"];
    files.iter().filter_map(|file| std::fs::metadata(folder.join(file)).ok()).map(|file| file.len()).sum()
}
