//! The cookies of a request, before anything else reads them.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};

use super::session::Sessions;

/// Leaves a request the cookies that are ours. Browsers guard a name such as `__Host-…` as it is spelt, so it counts as it is
/// spelt: whoever decodes names takes `__%48ost-…` for it, which any neighbouring site may set.
pub(super) async fn only_ours(State(sessions): State<Sessions>, mut request: Request) -> Request {
    let ours = ours(request.headers(), &sessions.names());
    request.headers_mut().remove(header::COOKIE);
    if let Some(ours) = ours {
        request.headers_mut().insert(header::COOKIE, ours);
    }
    request
}

/// The pairs whose name is one of `names` (RFC 6265 section 5.4). Of two with one name, one is somebody else's, for a wider
/// domain or a longer path, and nothing tells which: then neither counts.
fn ours(headers: &HeaderMap, names: &[String; 2]) -> Option<HeaderValue> {
    let pairs = || {
        let values = headers.get_all(header::COOKIE).iter();
        values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii))
    };
    let mut kept: Vec<&[u8]> = Vec::new();
    for name in names {
        let is_it =
            |pair: &&[u8]| pair.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
        let mut found = pairs().filter(is_it);
        if let (Some(pair), None) = (found.next(), found.next()) {
            kept.push(pair);
        }
    }
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(cookies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).expect("a value"));
        }
        let names = ["__Host-session", "__Host-login"].map(str::to_owned);
        ours(&headers, &names).map_or_else(String::new, |value| value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn only_the_exact_name_counts_and_only_once() {
        assert_eq!(
            kept(&["a=1; __Host-session=x;b=2", "__Host-login=y"]),
            "__Host-session=x; __Host-login=y"
        );
        assert_eq!(
            kept(&["__Host-session=x=y;\t__Host-login=\"z\" "]),
            "__Host-session=x=y; __Host-login=\"z\""
        );
        for others in [
            "__%48ost-session=eve",
            "__host-session=eve",
            "\u{2003}__Host-session=eve",
            "\u{85}__Host-session=eve",
            "__Host-sessions=eve",
            "__Host-session",
            "",
        ] {
            assert_eq!(kept(&[others]), "", "{others:?}");
            assert_eq!(kept(&[others, "__Host-session=ada"]), "__Host-session=ada", "{others:?}");
            assert_eq!(kept(&[&format!("__Host-session=ada; {others}")]), "__Host-session=ada", "{others:?}");
        }
        for doubled in
            [&["__Host-session=ada; __Host-session=eve"][..], &["__Host-session=ada", "__Host-session=eve"]]
        {
            assert_eq!(kept(doubled), "");
        }
    }
}
