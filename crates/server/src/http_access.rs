//! Who may use the API. Without a token: whoever is on this machine. With one: whoever has it. A browser can't send it
//! with event streams and must not keep it where scripts reach it, so it trades the token for a cookie.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tidegate_core::Secret;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::gateway::Shared;
use crate::http::{Refusal, refuse};
use crate::http_input::Body;

/// How long a browser need not be given the token again.
const SESSION_MAX: Duration = Duration::from_secs(12 * 60 * 60);
const COOKIE: &str = "tidegate-session";

/// What opens the API to whoever sends it.
#[derive(Clone, Debug)]
pub struct ApiToken(Secret<String>);

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is at least {} letters, digits and signs, without blanks", ApiToken::LENGTH_MIN)]
pub struct BadToken;

impl ApiToken {
    /// Characters: fewer can be guessed.
    const LENGTH_MIN: usize = 16;

    /// Reads it; blanks and line ends around it don't count.
    ///
    /// # Errors
    /// [`BadToken`]: it is too short, or can't stand in a header.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let token = text.trim();
        let good = token.len() >= Self::LENGTH_MIN && token.bytes().all(|b| b.is_ascii_graphic());
        if good { Ok(Self(Secret::new(token.to_owned()))) } else { Err(BadToken) }
    }

    /// The header `Authorization` (RFC 6750, section 2.1).
    pub fn authorization(&self) -> HeaderValue {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0.expose()))
            .expect("visible ASCII is the text of a header");
        value.set_sensitive(true);
        value
    }

    /// In a time that does not tell how much of it is right.
    fn is(&self, given: &str) -> bool {
        given.as_bytes().ct_eq(self.0.expose().as_bytes()).into()
    }

    fn is_sent(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
        given.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && self.is(token.trim()))
    }

    /// A session is the time it ends at, in seconds, and a seal on that. The instance keeps none; with another token
    /// all end.
    fn session(&self, ends_at: u64) -> String {
        let seal = hmac::sign(&self.seal(), &sealed(ends_at));
        format!("{ends_at}.{}", BASE64_URL_SAFE_NO_PAD.encode(seal))
    }

    fn has_session(&self, headers: &HeaderMap, now: u64) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut sessions = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('=')?.split_once('.'));
        sessions.any(|(ends_at, seal)| {
            let (Ok(ends_at), Ok(seal)) = (ends_at.parse::<u64>(), BASE64_URL_SAFE_NO_PAD.decode(seal))
            else {
                return false;
            };
            now < ends_at && hmac::verify(&self.seal(), &sealed(ends_at), &seal).is_ok()
        })
    }

    fn seal(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.expose().as_bytes())
    }
}

fn sealed(ends_at: u64) -> Vec<u8> {
    format!("{COOKIE} until {ends_at}").into_bytes()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Lets a request pass that may.
pub(crate) async fn admit(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let Some(token) = &shared.api_token else {
        if peer.ip().to_canonical().is_loopback() && is_local(headers) {
            return next.run(request).await;
        }
        let why = "without a token the API answers this machine only, as localhost or a loopback address; \
                   `run --api-token-file` opens it to others";
        return refuse(StatusCode::FORBIDDEN, why).into_response();
    };
    // no browser sends the token by itself, so no foreign page can be behind it
    if token.is_sent(headers)
        || token.has_session(headers, now()) && is_of_this_page(request.method(), headers)
    {
        return next.run(request).await;
    }
    unauthorized("the API wants its token: `--api-token-file FILE`, or `Authorization: Bearer TOKEN`")
}

fn unauthorized(why: &str) -> Response {
    ([(header::WWW_AUTHENTICATE, "Bearer")], refuse(StatusCode::UNAUTHORIZED, why)).into_response()
}

fn all(headers: &HeaderMap, name: &str, holds: impl Fn(&str) -> bool) -> bool {
    headers.get_all(name).iter().all(|value| value.to_str().is_ok_and(&holds))
}

fn authority(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

/// Whether a request is made on this machine for this machine: the page that asks must not be of another host. A name
/// that was rebound to loopback (DNS rebinding) shows in the Host header, a foreign page in Origin and Sec-Fetch-Site;
/// what a proxy passes on was asked elsewhere.
fn is_local(headers: &HeaderMap) -> bool {
    let is_loopback = |value: &str| {
        let authority = authority(value);
        let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
            if port.bytes().all(|b| b.is_ascii_digit()) { host } else { authority }
        });
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    all(headers, "host", is_loopback)
        && all(headers, "origin", is_loopback)
        && is_of_this_site(headers)
        && !["forwarded", "x-forwarded-for"].iter().any(|name| headers.contains_key(*name))
}

fn is_of_this_site(headers: &HeaderMap) -> bool {
    all(headers, "sec-fetch-site", |site| site == "same-origin" || site == "none")
}

/// Whether a page of this instance is behind a request with a cookie. `SameSite=Strict` keeps the cookie from other
/// sites; what is another port of the same host shows in Origin, which every browser sends with a request that changes
/// anything (Fetch, "Origin" header).
fn is_of_this_page(method: &Method, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    all(headers, "origin", |origin| authority(origin).eq_ignore_ascii_case(host))
        && (method.is_safe() || headers.contains_key(header::ORIGIN))
        && is_of_this_site(headers)
}

/// The way in, for whoever is not yet admitted.
pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(sign_in, sign_out))
}

#[derive(Deserialize, ToSchema)]
struct SignIn {
    token: String,
}

/// Gives a browser a cookie for the token, for twelve hours; scripts can't read it, and pages of other sites can't use it.
#[utoipa::path(post, path = "/session", tag = "access", request_body = SignIn,
    responses((status = 204, description = "The cookie is set")))]
async fn sign_in(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Body(body): Body<SignIn>,
) -> Result<Response, Refusal> {
    let Some(token) = &shared.api_token else {
        return Err(refuse(StatusCode::CONFLICT, "this instance wants no token"));
    };
    if !is_of_this_page(&Method::GET, &headers) {
        return Err(refuse(StatusCode::FORBIDDEN, "a page of another host asks"));
    }
    if !token.is(body.token.trim()) {
        return Ok(unauthorized("that is not the token"));
    }
    Ok(cookie(&headers, &token.session(now() + SESSION_MAX.as_secs()), SESSION_MAX))
}

/// Takes the cookie back.
#[utoipa::path(delete, path = "/session", tag = "access",
    responses((status = 204, description = "The cookie is gone")))]
async fn sign_out(headers: HeaderMap) -> Response {
    cookie(&headers, "", Duration::ZERO)
}

fn cookie(headers: &HeaderMap, value: &str, age: Duration) -> Response {
    // a page that came by TLS, from a proxy, is to get the cookie by TLS only
    let by_tls = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
    let secure = if by_tls { "; Secure" } else { "" };
    // without `Path` it is for the folder that was asked, `/api/v1` with whatever a proxy puts before it
    let cookie = format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Max-Age={}{secure}", age.as_secs());
    (StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, cookie)])).into_response()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn with_session(session: &str) -> HeaderMap {
        headers(&[("cookie", &format!("theme=dark; {COOKIE}={session}"))])
    }

    #[test]
    fn a_session_ends_and_goes_with_its_token() {
        let token = ApiToken::parse("0123456789abcdef\n").unwrap();
        let session = token.session(1000);
        assert!(token.has_session(&with_session(&session), 999));
        assert!(!token.has_session(&with_session(&session), 1000));
        assert!(!token.has_session(&with_session(&session.replace("1000", "2000")), 999));
        let other = ApiToken::parse("0123456789abcdeg").unwrap();
        assert!(!other.has_session(&with_session(&session), 999));
    }

    #[test]
    fn a_cookie_counts_for_pages_of_this_instance() {
        let may = |method: Method, more: &[(&'static str, &str)]| {
            let mut all = headers(&[("host", "gateway.plant:9464")]);
            all.extend(headers(more));
            is_of_this_page(&method, &all)
        };
        assert!(may(Method::GET, &[]));
        assert!(may(Method::POST, &[("origin", "http://gateway.plant:9464")]));
        assert!(may(
            Method::DELETE,
            &[("origin", "https://Gateway.plant:9464"), ("sec-fetch-site", "same-origin")]
        ));
        assert!(!may(Method::POST, &[]), "a browser says what page changes something");
        assert!(
            !may(Method::POST, &[("origin", "http://gateway.plant:8080")]),
            "another program on the host"
        );
        assert!(!may(Method::GET, &[("origin", "http://evil.example")]));
        assert!(!may(Method::GET, &[("sec-fetch-site", "same-site")]));
        assert!(!may(Method::POST, &[("origin", "null")]));
    }

    #[test]
    fn what_can_be_guessed_or_sent_by_no_header_is_no_token() {
        for text in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdé", "0123456789abcdef\0"] {
            assert_eq!(ApiToken::parse(text).map(|_| ()), Err(BadToken), "{text:?}");
        }
        let token = ApiToken::parse(" 0123456789abcdef\r\n").unwrap();
        assert!(token.is_sent(&headers(&[("authorization", "bearer 0123456789abcdef")])));
        assert_eq!(token.authorization().to_str().unwrap(), "Bearer 0123456789abcdef");
        assert_eq!(format!("{token:?} {:?}", token.authorization()), "ApiToken(***) Sensitive");
    }

    proptest! {
        #[test]
        fn nobody_makes_up_a_session(session in "[0-9]{0,20}\\.?[-_A-Za-z0-9=]{0,50}") {
            let token = ApiToken::parse("0123456789abcdef").unwrap();
            prop_assert!(!token.has_session(&with_session(&session), 0));
        }
    }
}
