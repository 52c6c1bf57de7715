//! The token services around Entra ID, which run in Azure only: the Instance Metadata Service (IMDS), the agent of Azure
//! Arc with its challenge, App Service's endpoint, and Entra ID's own token endpoint. They give out signed JWTs, which
//! whoever trusts the double's keys can verify, such as an Apache Kafka. That it answers as the real ones do is proven by
//! Microsoft's Python library `azure-identity`, which is made to use it (`oracles/azure-identity`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::Identity;

const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
const ARC_PATH: &str = "/arc/token";
const APP_SERVICE_PATH: &str = "/app-service/token";
const KEYS_PATH: &str = "/keys";

/// What `IDENTITY_HEADER` must be for App Service.
const APP_SERVICE_HEADER: &str = "app-service-header";

const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// How all services answer instead of giving a token.
#[derive(Clone, Debug)]
pub enum Fault {
    /// With this status and body.
    Status(u16, String),
    /// With something that is no token.
    Nonsense,
    /// By closing the connection.
    Silence,
}

/// The services, on one port of 127.0.0.1, until they are dropped.
pub struct EntraId {
    shared: Arc<Shared>,
    url: String,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    keys: TempDir,
    signer: EcdsaKeyPair,
    state: Mutex<State>,
}

struct State {
    lifetime: Duration,
    fault: Option<Fault>,
    /// The federated token that is trusted.
    assertion: String,
    /// Client ids of user-assigned identities.
    clients: Vec<String>,
    /// `<service> <audience or scope> <client id or ->` of each token given out.
    granted: Vec<String>,
    /// What is in the key files of Azure Arc that nobody has shown yet.
    challenges: Vec<String>,
    requests: usize,
}

impl EntraId {
    /// Starts them over plain HTTP.
    pub async fn start() -> Self {
        Self::listen("http", None).await
    }

    /// Starts them over TLS, as the server `identity` is for.
    pub async fn start_tls(identity: &Identity) -> Self {
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .expect("the certificate is PEM");
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("the key is PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key))
            .expect("the certificate and its key fit");
        Self::listen("https", Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(scheme: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .expect("a key can be made");
        let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random)
            .expect("a key that was just made is one");
        let state = State {
            lifetime: Duration::from_secs(86_400),
            fault: None,
            assertion: String::new(),
            clients: vec![],
            granted: vec![],
            challenges: vec![],
            requests: 0,
        };
        let keys = tempfile::tempdir().expect("a temporary directory can be made");
        let shared = Arc::new(Shared { keys, signer, state: Mutex::new(state) });
        let serving = shared.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(serving.clone(), tls.clone(), stream));
            }
        });
        Self { shared, url: format!("{scheme}://localhost:{port}"), server }
    }

    /// Where it is: the value of `AZURE_AUTHORITY_HOST` and of `AZURE_POD_IDENTITY_AUTHORITY_HOST`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its public keys are, as a JSON Web Key Set.
    pub fn keys_url(&self) -> String {
        format!("{}{KEYS_PATH}", self.url)
    }

    /// The folder that the agent of Azure Arc puts its key files into.
    pub fn arc_keys(&self) -> &std::path::Path {
        self.shared.keys.path()
    }

    /// The environment of a machine that is connected by Azure Arc.
    pub fn arc(&self) -> Vec<(&'static str, String)> {
        vec![("IDENTITY_ENDPOINT", format!("{}{ARC_PATH}", self.url)), ("IMDS_ENDPOINT", self.url.clone())]
    }

    /// The environment of an Azure virtual machine, whose IMDS is here.
    pub fn imds(&self) -> Vec<(&'static str, String)> {
        vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", self.url.clone())]
    }

    /// The environment in App Service and Container Apps.
    pub fn app_service(&self) -> Vec<(&'static str, String)> {
        vec![
            ("IDENTITY_ENDPOINT", format!("{}{APP_SERVICE_PATH}", self.url)),
            ("IDENTITY_HEADER", APP_SERVICE_HEADER.into()),
        ]
    }

    /// The environment of a pod with workload identity, whose federated token is in `token_file`.
    pub fn workload(&self, token_file: &std::path::Path, client_id: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AZURE_FEDERATED_TOKEN_FILE", token_file.display().to_string()),
            ("AZURE_AUTHORITY_HOST", self.url.clone()),
            ("AZURE_CLIENT_ID", client_id.into()),
            ("AZURE_TENANT_ID", "tenant-1".into()),
        ]
    }

    /// Trusts this federated token, and no other.
    pub fn trust(&self, assertion: &str) {
        self.shared.state.lock().assertion = assertion.into();
    }

    /// Knows this user-assigned identity from now on.
    pub fn assign(&self, client_id: &str) {
        self.shared.state.lock().clients.push(client_id.into());
    }

    /// How long tokens live from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.shared.state.lock().lifetime = lifetime;
    }

    /// How it fails from now on, if it does.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.state.lock().fault = fault;
    }

    /// `<service> <audience or scope> <client id or ->` of each token that was given out.
    pub fn granted(&self) -> Vec<String> {
        self.shared.state.lock().granted.clone()
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.shared.state.lock().requests
    }
}

impl Drop for EntraId {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Request {
    path: String,
    /// Of the query or the form.
    fields: HashMap<String, String>,
    /// With names in lower case.
    headers: HashMap<String, String>,
    is_post: bool,
}

struct Response {
    status: u16,
    challenge: Option<String>,
    body: String,
}

async fn serve(shared: Arc<Shared>, tls: Option<TlsAcceptor>, stream: TcpStream) {
    match tls {
        None => answer(&shared, stream).await,
        // a client that does not trust the certificate goes
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                answer(&shared, stream).await;
            }
        }
    }
}

async fn answer(shared: &Shared, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let Some(request) = read(&mut stream).await else { return };
    let Some(Response { status, challenge, body }) = shared.respond(&request) else { return };
    let challenge = challenge.map(|c| format!("WWW-Authenticate: {c}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n{challenge}\
         Connection: close\r\n\r\n",
        body.len()
    );
    // a client that has gone is none of its business
    let _ = stream.write_all((head + &body).as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        if bytes.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            break (head.to_owned(), body.to_owned());
        }
    };
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut form = body.into_bytes();
    let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    while form.len() < length && form.len() < REQUEST_BYTES_MAX {
        if stream.read_buf(&mut form).await.ok()? == 0 {
            return None;
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_post = method == "POST";
    let fields = if is_post { parse(&String::from_utf8_lossy(&form)) } else { parse(query) };
    Some(Request { path: path.to_owned(), fields, headers, is_post })
}

/// `application/x-www-form-urlencoded`.
fn parse(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        let escaped = hex.filter(|_| byte == b'%').and_then(|h| u8::from_str_radix(h, 16).ok());
        rest = if escaped.is_some() { &tail[2..] } else { tail };
        bytes.push(escaped.unwrap_or(if byte == b'+' { b' ' } else { byte }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Request {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Shared {
    fn respond(&self, request: &Request) -> Option<Response> {
        if request.path == KEYS_PATH {
            return Some(ok(&self.public_keys()));
        }
        let fault = {
            let mut state = self.state.lock();
            state.requests += 1;
            state.fault.clone()
        };
        match fault {
            Some(Fault::Silence) => return None,
            Some(Fault::Nonsense) => {
                return Some(Response { status: 200, challenge: None, body: "<html>a portal</html>".into() });
            }
            Some(Fault::Status(status, body)) => return Some(Response { status, challenge: None, body }),
            None => {}
        }
        let version = request.field("api-version");
        Some(match (request.is_post, request.path.as_str()) {
            (false, IMDS_PATH) if request.header("metadata") != "true" => {
                refusal(400, "bad_request_102", "Required metadata header not specified")
            }
            // what Microsoft's own clients ask for, and what delta-rs does
            (false, IMDS_PATH) if !matches!(version, "2018-02-01" | "2019-08-01") => {
                refusal(400, "invalid_request", "api-version")
            }
            (false, IMDS_PATH) => self.of_machine("imds", request),
            (false, ARC_PATH) => self.arc(request),
            (false, APP_SERVICE_PATH) if request.header("x-identity-header") != APP_SERVICE_HEADER => {
                Response { status: 401, challenge: None, body: String::new() }
            }
            (false, APP_SERVICE_PATH) if version != "2019-08-01" => {
                refusal(400, "invalid_request", "api-version")
            }
            (false, APP_SERVICE_PATH) => self.of_machine("app-service", request),
            (true, path) if path.ends_with("/oauth2/v2.0/token") => self.entra(request),
            _ => Response { status: 404, challenge: None, body: String::new() },
        })
    }

    /// Whoever can read the file it names is let in, once.
    fn arc(&self, request: &Request) -> Response {
        if request.header("metadata") != "true" || request.field("api-version") != "2020-06-01" {
            return refusal(400, "invalid_request", "Metadata header and api-version");
        }
        let shown = request.header("authorization").strip_prefix("Basic ");
        let mut state = self.state.lock();
        match shown.and_then(|shown| state.challenges.iter().position(|key| key == shown)) {
            Some(met) => {
                state.challenges.swap_remove(met);
                drop(state);
                self.of_machine("arc", request)
            }
            None => {
                let key = format!("key-{}", state.requests);
                let file = self.keys.path().join(format!("{key}.key"));
                std::fs::write(&file, &key).expect("the temporary directory is writable");
                state.challenges.push(key);
                let challenge = Some(format!("Basic realm={}", file.display()));
                Response { status: 401, challenge, body: String::new() }
            }
        }
    }

    fn of_machine(&self, service: &str, request: &Request) -> Response {
        let (audience, client_id) = (request.field("resource"), request.field("client_id"));
        let known = client_id.is_empty() || self.state.lock().clients.iter().any(|c| c == client_id);
        if audience.is_empty() || !known {
            return refusal(400, "invalid_request", "Identity not found");
        }
        let client_id = if client_id.is_empty() { "-" } else { client_id };
        let (token, lifetime, ends_at) = self.grant(service, audience, audience, client_id);
        // IMDS writes numbers as strings
        ok(&json!({
            "access_token": token,
            "client_id": client_id,
            "expires_in": lifetime.to_string(),
            "expires_on": ends_at.to_string(),
            "resource": audience,
            "token_type": "Bearer",
        }))
    }

    fn entra(&self, request: &Request) -> Response {
        let (client_id, scope) = (request.field("client_id"), request.field("scope"));
        let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        if request.field("grant_type") != "client_credentials"
            || request.field("client_assertion_type") != jwt
        {
            return refusal(400, "unsupported_grant_type", "AADSTS70003: The grant type is not supported.");
        }
        // azure-identity asks for scopes of its own beside the one that is meant
        let scope = scope.split(' ').find(|s| s.ends_with("/.default")).unwrap_or_default();
        let Some(audience) = scope.strip_suffix("/.default") else {
            return refusal(
                400,
                "invalid_scope",
                "AADSTS1002012: The scope is not valid for client credentials.",
            );
        };
        let (trusted, known) = {
            let state = self.state.lock();
            let assertion = request.field("client_assertion");
            (
                !assertion.is_empty() && assertion == state.assertion,
                state.clients.iter().any(|c| c == client_id),
            )
        };
        if !known {
            return refusal(
                400,
                "unauthorized_client",
                "AADSTS700016: The application was not found in the directory.",
            );
        }
        if !trusted {
            let why = "AADSTS70021: No matching federated identity record found for presented assertion.\r\nTrace ID: 1";
            return refusal(401, "invalid_client", why);
        }
        let (token, lifetime, _) = self.grant("entra", scope, audience, client_id);
        ok(&json!({
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": token,
        }))
    }

    /// A token, how long it lives, and when it ends.
    fn grant(&self, service: &str, wanted: &str, audience: &str, client_id: &str) -> (String, u64, u64) {
        let mut state = self.state.lock();
        state.granted.push(format!("{service} {wanted} {client_id}"));
        let number = state.granted.len();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
        let lifetime = state.lifetime.as_secs();
        let ends_at = now + lifetime;
        let claims = json!({
            "aud": audience, "iss": "tidegate-testkit", "sub": format!("identity-of-{client_id}"), "iat": now,
            "nbf": now, "exp": ends_at, "jti": number.to_string(),
        });
        (self.sign(&claims), lifetime, ends_at)
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "1" });
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let text = format!("{header}.{claims}");
        let signature = self.signer.sign(&SystemRandom::new(), text.as_bytes()).expect("a key can sign");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn public_keys(&self) -> Value {
        // 0x04, x, y
        let (x, y) = self.signer.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256", "x": x, "y": y }] })
    }
}

fn ok(body: &Value) -> Response {
    Response { status: 200, challenge: None, body: body.to_string() }
}

fn refusal(status: u16, error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": description }).to_string();
    Response { status, challenge: None, body }
}
