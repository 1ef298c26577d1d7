//! Who may ask: keys, host names, origins.

use exo_wire::ApiError;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use std::fmt;
use std::hint::black_box;
use std::net::IpAddr;

/// A key that clients may present. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The keys in a file: one on each line; empty lines and lines that begin with `#` are left out.
    pub fn read_lines(text: &str) -> Vec<Self> {
        let lines = text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| Self(line.to_owned())).collect()
    }

    /// Takes as long for a wrong key as for the right one of the same length.
    fn matches(&self, given: &[u8]) -> bool {
        let key = self.0.as_bytes();
        let same_length = key.len() == given.len();
        let difference = key.iter().zip(given).fold(0_u8, |difference, (a, b)| black_box(difference | (a ^ b)));
        same_length && difference == 0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// `Authorization: Bearer KEY` or `x-api-key: KEY`, if any key is configured: the number of the key among them, from 1; 0
/// where there is none.
pub(crate) fn check_key(headers: &HeaderMap, keys: &[ApiKey]) -> Result<usize, ApiError> {
    if keys.is_empty() {
        return Ok(0);
    }
    let bearer = headers.get(AUTHORIZATION).and_then(|value| strip_bearer(value.as_bytes()));
    let Some(given) = bearer.or_else(|| headers.get("x-api-key").map(http::HeaderValue::as_bytes)) else {
        let message = "an API key is needed: send the header `Authorization: Bearer KEY`";
        return Err(ApiError::new(401, "missing_api_key", message));
    };
    // All keys are compared, so that the time does not tell which one was near.
    let found =
        (1..).zip(keys).fold(None, |found, (number, key)| if key.matches(given) { Some(number) } else { found });
    found.ok_or_else(|| ApiError::new(401, "invalid_api_key", "the API key is not one of those in `api.keyFile`"))
}

fn strip_bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
}

/// A server on loopback answers only to names of loopback: a web page whose name suddenly resolves to 127.0.0.1 (DNS
/// rebinding) sends its own name.
pub(crate) fn check_host(headers: &HeaderMap, bind: IpAddr) -> Result<(), ApiError> {
    if !bind.is_loopback() {
        return Ok(());
    }
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    if is_loopback_name(host) {
        return Ok(());
    }
    let message = "this server listens on loopback and answers only to `localhost` and loopback addresses as host; \
                   set `api.bind` and `api.keyFile` to serve other machines";
    Err(ApiError::new(403, "host_not_allowed", message))
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_local_name = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    is_local_name || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Browsers name the page that sends a request. Only our own page may: others are told nothing (no CORS) and may not act
/// either, which a "simple" POST could.
pub(crate) fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let host = headers.get(HOST).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let origin_host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    match origin_host.is_some_and(|origin_host| origin_host.as_bytes().eq_ignore_ascii_case(host)) {
        true => Ok(()),
        false => Err(ApiError::new(403, "origin_not_allowed", "web pages of other origins may not use this API")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn a_key_is_asked_for_only_if_one_is_configured() {
        let keys = ApiKey::read_lines("# ours\nalpha\n\n  beta  \n");
        assert_eq!(keys.len(), 2);
        assert_eq!(format!("{keys:?}"), "[ApiKey(…), ApiKey(…)]");
        for (pairs, code) in [
            (&[][..], Err("missing_api_key")),
            (&[("authorization", "Bearer alpha")], Ok(1)),
            (&[("authorization", "bearer beta")], Ok(2)),
            (&[("x-api-key", "beta")], Ok(2)),
            (&[("authorization", "Bearer alph")], Err("invalid_api_key")),
            (&[("authorization", "Bearer alphb")], Err("invalid_api_key")),
            (&[("authorization", "Basic alpha")], Err("missing_api_key")),
        ] {
            let result = check_key(&headers(pairs), &keys);
            assert_eq!(result.map_err(|error| error.code), code, "{pairs:?}");
        }
        assert!(check_key(&headers(&[]), &[]).is_ok());
    }

    #[test]
    fn on_loopback_only_loopback_names_are_answered() {
        for (host, good) in [
            ("localhost:52415", true),
            ("LOCALHOST", true),
            ("exo.localhost", true),
            ("127.0.0.1:1", true),
            ("127.1.2.3", true),
            ("[::1]:52415", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("10.0.0.1", false),
            ("[::2]", false),
            ("", false),
        ] {
            let loopback = check_host(&headers(&[("host", host)]), IpAddr::from([127, 0, 0, 1]));
            assert_eq!(loopback.is_ok(), good, "{host}");
            assert!(check_host(&headers(&[("host", host)]), IpAddr::from([0, 0, 0, 0])).is_ok());
        }
    }

    #[test]
    fn only_our_own_page_may_act() {
        for (pairs, good) in [
            (&[("host", "localhost:1")][..], true),
            (&[("host", "localhost:1"), ("origin", "http://localhost:1")], true),
            (&[("host", "localhost:1"), ("origin", "http://localhost:2")], false),
            (&[("host", "localhost:1"), ("origin", "https://evil.example")], false),
            (&[("host", "localhost:1"), ("origin", "null")], false),
        ] {
            assert_eq!(check_origin(&headers(pairs)).is_ok(), good, "{pairs:?}");
        }
    }
}
