//! Forms that change something come from our own pages.

use std::iter;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::error::Refusal;
use crate::access::{Purpose, SecretKey, Viewer};

/// The hidden field of every form that carries the token.
pub(super) const FIELD: &str = "csrf_token";
/// The header that serves as well.
const HEADER: &str = "x-csrf-token";

/// Makes and checks CSRF tokens, and looks where a request comes from.
pub(super) struct Csrf {
    key: hmac::Key,
    /// What pages that were open before the key was changed hold was signed with one of these.
    fallbacks: Vec<hmac::Key>,
    /// Scheme and authority that browsers see, where that is configured.
    public: Option<Origin>,
}

#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    authority: String,
}

impl Csrf {
    pub(super) fn new(secret: &SecretKey, fallbacks: &[SecretKey], public_url: Option<&str>) -> Self {
        let origin = |url: &str| {
            Origin::parse(url).unwrap_or_else(|| {
                tracing::error!(
                    url,
                    "public_url is no URL with a scheme, so no form with an Origin is taken"
                );
                Origin { scheme: String::new(), authority: String::new() }
            })
        };
        Self {
            key: secret.derive(Purpose::Csrf),
            fallbacks: fallbacks.iter().map(|key| key.derive(Purpose::Csrf)).collect(),
            public: public_url.map(origin),
        }
    }

    /// The token of a viewer's session.
    pub(super) fn token(&self, viewer: &Viewer) -> String {
        self.sign("viewer", &[&viewer.id, &viewer.session])
    }

    /// Whether `token` is that of the viewer's session.
    pub(super) fn is_of(&self, token: &str, viewer: &Viewer) -> bool {
        self.verify(token, "viewer", &[&viewer.id, &viewer.session])
    }

    /// The token of somebody who is not signed in yet; `visit` is a cookie of theirs.
    pub(super) fn visit_token(&self, visit: &str) -> String {
        self.sign("visit", &[visit])
    }

    /// Whether `token` is that of the visit.
    pub(super) fn is_of_visit(&self, token: &str, visit: &str) -> bool {
        self.verify(token, "visit", &[visit])
    }

    fn sign(&self, kind: &str, parts: &[&str]) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, &message(kind, parts)))
    }

    fn verify(&self, token: &str, kind: &str, parts: &[&str]) -> bool {
        let (keys, message) = (iter::once(&self.key).chain(&self.fallbacks), message(kind, parts));
        URL_SAFE_NO_PAD
            .decode(token)
            .is_ok_and(|tag| keys.into_iter().any(|key| hmac::verify(key, &message, &tag).is_ok()))
    }

    /// Refuses a request that another site's page made, by what the browser says of it.
    pub(super) fn check_source(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let sites = headers.get_all("sec-fetch-site");
        // "none" is what the user typed or chose; whatever else there is, or will be, is foreign.
        if sites.iter().any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none")) {
            return Err(Refusal::ForeignForm);
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let same = match origin.to_str() {
            Ok("null") => sites.iter().any(|site| site == "same-origin"),
            // An origin has no path (RFC 6454 section 7.1).
            Ok(text) => Origin::parse(text)
                .filter(|_| text.matches('/').count() == 2)
                .is_some_and(|origin| self.is_ours(&origin, headers)),
            Err(_) => false,
        };
        if same && origins.next().is_none() { Ok(()) } else { Err(Refusal::ForeignForm) }
    }

    fn is_ours(&self, origin: &Origin, headers: &HeaderMap) -> bool {
        match &self.public {
            Some(public) => public == origin,
            None => headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .is_some_and(|host| without_default_port(&origin.scheme, host) == origin.authority),
        }
    }
}

/// The token that came as a header.
pub(super) fn header_token(headers: &HeaderMap) -> Option<&str> {
    headers.get(HEADER).and_then(|value| value.to_str().ok())
}

/// Length before each part, so that no two lists of parts look alike.
fn message(kind: &str, parts: &[&str]) -> Vec<u8> {
    let mut message = kind.as_bytes().to_vec();
    for part in parts {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part.as_bytes());
    }
    message
}

impl Origin {
    /// Scheme and authority of an origin (RFC 6454 section 6.2) or of a URL.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split('/').next().filter(|authority| !authority.is_empty())?;
        let scheme = scheme.to_ascii_lowercase();
        let authority = without_default_port(&scheme, authority);
        Some(Self { scheme, authority })
    }
}

fn without_default_port(scheme: &str, authority: &str) -> String {
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csrf(public: Option<&str>) -> Csrf {
        Csrf::new(&SecretKey::new(&[3; 32]).expect("32 bytes"), &[], public)
    }

    fn passes(csrf: &Csrf, pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        csrf.check_source(&headers).is_ok()
    }

    #[test]
    fn without_a_public_url_the_origin_equals_the_host() {
        let csrf = csrf(None);
        assert!(passes(&csrf, &[]));
        assert!(passes(&csrf, &[("host", "h:1"), ("origin", "http://h:1")]));
        assert!(passes(&csrf, &[("host", "H"), ("origin", "http://h:80")]));
        assert!(passes(&csrf, &[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        for bad in [
            &[("host", "h:1"), ("origin", "http://h:2")][..],
            &[("host", "h"), ("origin", "http://evil")],
            &[("host", "h"), ("origin", "http://h.evil")],
            &[("origin", "null")],
            &[("origin", "http://h")],
            &[("host", "h"), ("origin", "http://h"), ("origin", "http://evil")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "Cross-Site")],
            &[("sec-fetch-site", "cross-site, same-origin")],
            &[("host", "h"), ("origin", "h")],
            &[("host", "h"), ("origin", "http://h/")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!passes(&csrf, bad), "{bad:?}");
        }
    }

    #[test]
    fn with_a_public_url_the_scheme_counts_too() {
        let csrf = csrf(Some("https://ops.example.com/"));
        assert!(passes(&csrf, &[("host", "inner:8000"), ("origin", "https://ops.example.com")]));
        assert!(!passes(&csrf, &[("host", "ops.example.com"), ("origin", "http://ops.example.com")]));
    }

    #[test]
    fn a_public_url_that_is_none_lets_no_origin_pass() {
        let csrf = csrf(Some("ops.example.com"));
        assert!(!passes(&csrf, &[("host", "ops.example.com"), ("origin", "https://ops.example.com")]));
        assert!(!passes(&csrf, &[("host", "ops.example.com"), ("origin", "http://ops.example.com")]));
    }

    #[test]
    fn a_token_is_of_one_session() {
        let viewer = |session: &str| Viewer {
            id: "u".into(),
            name: "u".into(),
            groups: Vec::new(),
            superuser: false,
            session: session.into(),
        };
        let csrf = csrf(None);
        let token = csrf.token(&viewer("one"));
        assert!(csrf.is_of(&token, &viewer("one")));
        assert!(!csrf.is_of(&token, &viewer("two")));
        assert!(!csrf.is_of_visit(&token, "one"));
        assert!(!csrf.is_of("", &viewer("one")));
    }
}
