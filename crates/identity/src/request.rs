//! How each service is asked for a token, and what its answers mean.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tidegate_core::Secret;

use crate::TokenError;
use crate::http::{Answer, Method, Question};
use crate::surroundings::{MetadataService, WorkloadIdentity};

/// The largest file the agent of Azure Arc may ask for, as in Microsoft's libraries.
const ARC_KEY_BYTES_MAX: u64 = 4096;

/// The longest life a token is believed to have; those of managed identities live for a day.
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How much of a service's own words is passed on.
const WORDS_MAX: usize = 300;

/// A token that has just come.
pub(crate) struct Fresh {
    pub(crate) value: Secret<Vec<u8>>,
    pub(crate) lifetime: Duration,
    /// When the service wants to be asked again, if it says so.
    pub(crate) refresh: Option<Duration>,
}

/// A token of an identity of the machine: that of `client_id`, or the system-assigned one.
pub(crate) async fn of_machine(
    service: &MetadataService,
    audience: &str,
    client_id: Option<&str>,
) -> Result<Fresh, TokenError> {
    let version = match service {
        MetadataService::AppService { .. } => "2019-08-01",
        MetadataService::Arc { .. } => "2020-06-01",
        MetadataService::Imds { .. } => "2018-02-01",
    };
    let ask = async |header: Option<(&'static str, Secret<String>)>| {
        let mut fields = vec![
            ("api-version", Secret::new(version.to_owned())),
            ("resource", Secret::new(audience.to_owned())),
        ];
        fields.extend(client_id.map(|id| ("client_id", Secret::new(id.to_owned()))));
        let metadata = ("Metadata", Secret::new("true".to_owned()));
        let headers = header.into_iter().chain([metadata]).collect();
        let question = Question { url: service.url().to_owned(), method: Method::Get, fields, headers };
        question.ask().await.map_err(|why| service.silent(&why))
    };
    let answer = match service {
        MetadataService::Imds { .. } => ask(None).await?,
        MetadataService::AppService { header, .. } => {
            ask(Some(("X-IDENTITY-HEADER", header.clone()))).await?
        }
        MetadataService::Arc { keys, .. } => {
            let challenge = ask(None).await?;
            if challenge.status != 401 {
                return Err(rejection(&service.name(), &challenge));
            }
            let key = arc_key(keys, challenge.challenge.as_deref()).await?;
            ask(Some(("Authorization", Secret::new(format!("Basic {}", key.expose()))))).await?
        }
    };
    let (fresh, of) = fresh(&service.name(), &answer)?;
    // An older agent passes over the wish for another identity than the machine's own.
    match (service, client_id) {
        (MetadataService::Arc { .. }, Some(wanted))
            if !of.is_some_and(|of| of.eq_ignore_ascii_case(wanted)) =>
        {
            Err(TokenError::Refused(format!(
                "{} does not confirm the user-assigned identity {wanted}; use workload identity for it, or \
                 SystemAssignedManagedIdentity",
                service.name()
            )))
        }
        _ => Ok(fresh),
    }
}

/// A token in exchange for the federated one.
pub(crate) async fn of_workload(
    workload: &WorkloadIdentity,
    client_id: &str,
    tenant_id: &str,
    scope: &str,
) -> Result<Fresh, TokenError> {
    let WorkloadIdentity { token_file, authority, .. } = workload;
    if !is_safe(authority) {
        return Err(TokenError::Refused(format!(
            "AZURE_AUTHORITY_HOST is {authority}, which is not https: credentials are not sent there"
        )));
    }
    let is_tenant = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if tenant_id.is_empty() || !tenant_id.chars().all(is_tenant) {
        return Err(TokenError::Refused(format!("`{tenant_id}` is no tenant id")));
    }
    let assertion = read_token(token_file, "the federated token (AZURE_FEDERATED_TOKEN_FILE)").await?;
    let assertion = String::from_utf8(assertion.expose().clone()).map_err(|_| {
        TokenError::Refused(format!("the federated token in {} is not text", token_file.display()))
    })?;
    let plain = |text: &str| Secret::new(text.to_owned());
    let question = Question {
        url: format!("{authority}/{tenant_id}/oauth2/v2.0/token"),
        method: Method::Post,
        fields: vec![
            ("grant_type", plain("client_credentials")),
            ("client_id", plain(client_id)),
            ("scope", plain(scope)),
            ("client_assertion_type", plain("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")),
            ("client_assertion", Secret::new(assertion)),
        ],
        headers: vec![],
    };
    let name = format!("Entra ID at {authority}");
    let answer = question.ask().await.map_err(|why| {
        TokenError::Unavailable(format!("{name} does not answer ({why}); workload identity needs it"))
    })?;
    fresh(&name, &answer).map(|(fresh, _)| fresh)
}

/// A token that somebody keeps fresh in a file.
pub(crate) async fn read_token(path: &Path, what: &str) -> Result<Secret<Vec<u8>>, TokenError> {
    let value = tokio::fs::read(path)
        .await
        .map_err(|e| TokenError::Refused(format!("{what} can't be read from {}: {e}", path.display())))?;
    match value.trim_ascii() {
        [] => Err(TokenError::Refused(format!("{what} in {} is empty", path.display()))),
        value => Ok(Secret::new(value.to_vec())),
    }
}

impl MetadataService {
    fn url(&self) -> &str {
        match self {
            MetadataService::AppService { url, .. }
            | MetadataService::Arc { url, .. }
            | MetadataService::Imds { url, .. } => url,
        }
    }

    fn name(&self) -> String {
        let name = match self {
            MetadataService::AppService { .. } => "the managed identity endpoint",
            MetadataService::Arc { .. } => "the Azure Arc agent",
            MetadataService::Imds { .. } => "the Instance Metadata Service",
        };
        format!("{name} at {}", self.url())
    }

    /// Nobody answers.
    fn silent(&self, why: &str) -> TokenError {
        let name = self.name();
        match self {
            MetadataService::Imds { configured: false, .. } => TokenError::Refused(format!(
                "this machine has no managed identity: it is no Azure virtual machine ({name} does not answer: {why}), \
                 the Azure Arc agent is not installed, and neither IDENTITY_ENDPOINT with IMDS_ENDPOINT or \
                 IDENTITY_HEADER (Azure Arc, App Service), AZURE_POD_IDENTITY_AUTHORITY_HOST nor \
                 AZURE_FEDERATED_TOKEN_FILE with AZURE_CLIENT_ID and AZURE_TENANT_ID (workload identity) is set"
            )),
            _ => TokenError::Unavailable(format!("{name} does not answer: {why}")),
        }
    }
}

/// Reads the file that the agent of Azure Arc names in its challenge, `Basic realm=<file>`: who can read it may have
/// tokens. It must be one of the agent's, so that nobody who takes its place gets at others.
async fn arc_key(folder: &Path, challenge: Option<&str>) -> Result<Secret<String>, TokenError> {
    let challenge = challenge.unwrap_or_default();
    let unusable =
        |why: String| TokenError::Refused(format!("the Azure Arc agent's challenge can't be met: {why}"));
    let Some((_, file)) = challenge.split_once("realm=") else {
        return Err(unusable(format!("it names no file: `{}`", words(challenge))));
    };
    let path = Path::new(file.trim().trim_matches('"'));
    if path.parent() != Some(folder) || path.extension().is_none_or(|e| e != "key") {
        return Err(unusable(format!("{} is no key file in {}", path.display(), folder.display())));
    }
    let unreadable = |e: std::io::Error| {
        unusable(format!(
            "{} can't be read ({e}); run tidegate as a member of the group `himds`",
            path.display()
        ))
    };
    let bytes = tokio::fs::metadata(path).await.map_err(unreadable)?.len();
    if bytes > ARC_KEY_BYTES_MAX {
        return Err(unusable(format!("{} has {bytes} bytes, more than a key", path.display())));
    }
    let key = tokio::fs::read_to_string(path).await.map_err(unreadable)?;
    Ok(Secret::new(key.trim().to_owned()))
}

/// Whether credentials may be sent there: over TLS, or not beyond this machine.
fn is_safe(url: &str) -> bool {
    let host = |uri: ureq::http::Uri| uri.host().map(str::to_owned);
    match url.split_once("://") {
        Some(("https", _)) => true,
        Some(("http", _)) => {
            let host = url.parse().ok().and_then(host);
            host.is_some_and(|h| matches!(h.as_str(), "localhost" | "127.0.0.1" | "[::1]"))
        }
        _ => false,
    }
}

/// The fields of an answer that matter; IMDS writes numbers as strings.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<Number>,
    expires_on: Option<Number>,
    refresh_in: Option<Number>,
    client_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

impl Number {
    fn seconds(&self) -> Option<Duration> {
        match self {
            Number::Number(seconds) => Some(*seconds),
            Number::Text(text) => text.trim().parse().ok(),
        }
        .map(Duration::from_secs)
    }
}

/// The token of an answer, and the client id it says it is for.
fn fresh(from: &str, answer: &Answer) -> Result<(Fresh, Option<String>), TokenError> {
    if answer.status != 200 {
        return Err(rejection(from, answer));
    }
    // the error of serde_json shows no value of a token
    let unusable =
        |why: &str| TokenError::Unavailable(format!("{from} sent something else than a token: {why}"));
    let granted: Granted = serde_json::from_slice(&answer.body)
        .map_err(|e| unusable(&format!("{:?} at line {} column {}", e.classify(), e.line(), e.column())))?;
    let seconds = |number: Option<Number>| number.and_then(|n| n.seconds());
    let until = |at: Duration| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        at.saturating_sub(now)
    };
    let lifetime = seconds(granted.expires_in).or_else(|| seconds(granted.expires_on).map(until));
    let lifetime = lifetime.filter(|l| !l.is_zero()).ok_or_else(|| unusable("it has ended already"))?;
    if granted.access_token.is_empty() {
        return Err(unusable("it is empty"));
    }
    let value = Secret::new(granted.access_token.into_bytes());
    let lifetime = lifetime.min(LIFETIME_MAX);
    Ok((Fresh { value, lifetime, refresh: seconds(granted.refresh_in) }, granted.client_id))
}

/// What an answer without a token means.
fn rejection(from: &str, answer: &Answer) -> TokenError {
    let status = answer.status;
    let (code, said) = explanation(&answer.body);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    // 404 and 410: IMDS is being updated ("How to use managed identities", "Error handling").
    if matches!(status, 200..400 | 404 | 408 | 410 | 429 | 500..) || code == "temporarily_unavailable" {
        TokenError::Unavailable(format!("{from} has no token now (status {status}{said})"))
    } else {
        TokenError::Refused(format!(
            "{from} refused a token (status {status}{said}); check the identity and its federated credentials"
        ))
    }
}

/// The error code of an answer, and its sentence: OAuth's `error_description`, or the `message` of App Service.
fn explanation(body: &[u8]) -> (String, String) {
    #[derive(Deserialize, Default)]
    struct Explanation {
        #[serde(default)]
        error: String,
        #[serde(default)]
        error_description: String,
        #[serde(default)]
        message: String,
    }
    match serde_json::from_slice::<Explanation>(body) {
        Ok(e) => {
            let said = [&e.error_description, &e.message, &e.error].into_iter().find(|s| !s.is_empty());
            (e.error.clone(), said.map(|s| words(s)).unwrap_or_default())
        }
        Err(_) => (String::new(), words(&String::from_utf8_lossy(body))),
    }
}

/// The first line, and not too much of it. Entra ID adds trace ids on further lines.
fn words(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, challenge: None, body: body.into() }
    }

    #[test]
    fn lifetimes_come_as_numbers_and_as_text() {
        for (body, lifetime, refresh) in [
            (r#"{"access_token":"t","expires_in":3599,"ext_expires_in":3599}"#, 3599, None),
            (r#"{"access_token":"t","expires_in":"86399","refresh_in":"43199"}"#, 86399, Some(43199)),
        ] {
            let (fresh, _) = fresh("x", &answer(200, body)).unwrap();
            assert_eq!(fresh.lifetime, Duration::from_secs(lifetime));
            assert_eq!(fresh.refresh, refresh.map(Duration::from_secs));
        }
        let (fresh, _) =
            fresh("x", &answer(200, r#"{"access_token":"t","expires_on":"4102444800"}"#)).unwrap();
        assert_eq!(fresh.lifetime, LIFETIME_MAX);
    }

    #[test]
    fn whatever_comes_is_answered_without_a_panic_and_without_the_token() {
        for body in [
            "",
            "null",
            "[]",
            "<html>",
            r#"{"access_token":"secret"}"#,
            r#"{"access_token":"secret","expires_in":-1}"#,
            r#"{"access_token":"secret","expires_in":"soon","expires_on":7}"#,
            r#"{"access_token":"","expires_in":7}"#,
            r#"{"access_token":["secret"],"expires_in":7}"#,
        ] {
            let Err(TokenError::Unavailable(why)) = fresh("x", &answer(200, body)) else { panic!("{body}") };
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn a_refusal_says_in_the_services_words_why() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS70021: No matching federated identity.\r\nTrace ID: 1"}"#;
        let refused = rejection("Entra ID", &answer(401, body));
        let TokenError::Refused(why) = &refused else { panic!("{refused}") };
        assert!(why.contains("AADSTS70021: No matching federated identity.)"), "{why}");
        for status in [404, 410, 429, 500, 503, 302] {
            assert!(matches!(rejection("x", &answer(status, "")), TokenError::Unavailable(_)), "{status}");
        }
        let busy = answer(400, r#"{"error":"temporarily_unavailable"}"#);
        assert!(matches!(rejection("x", &busy), TokenError::Unavailable(_)));
    }

    #[test]
    fn credentials_leave_the_machine_over_tls_only() {
        for safe in [
            "https://login.microsoftonline.com",
            "http://localhost:1",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        ] {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_one in
            ["http://login.microsoftonline.com", "http://localhost.evil.example", "ftp://localhost", "x"]
        {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
    }
}
