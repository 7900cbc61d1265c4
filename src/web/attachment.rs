//! What is answered to be saved and never to be shown: whatever is in it, it is no page of this site.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::live::Download;
use crate::progress::is_invisible;

/// So much is read at once.
const PIECE: usize = 64 * 1024;
/// Longest name, in characters: file systems take 255 bytes at most.
const LONGEST: usize = 120;
/// All but `attr-char` (RFC 8187 section 3.2.1).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (header::CONTENT_DISPOSITION, disposition(&self.name)),
            (header::CONTENT_LENGTH, self.size.into()),
        ];
        let pieces = ReaderStream::with_capacity(self.file.take(self.size), PIECE);
        (headers, Body::from_stream(pieces)).into_response()
    }
}

/// `Content-Disposition` (RFC 6266) for a file that somebody else gave its name: in full for browsers of today, and as
/// ASCII for whatever else.
fn disposition(name: &str) -> HeaderValue {
    let name = harmless(name);
    // A `%` here would be taken for an escape by some (RFC 6266 appendix D).
    let plain = name.replace(|c: char| !c.is_ascii() || c == '%', "_");
    let full = utf8_percent_encode(&name, ENCODED);
    let text = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

/// The name without what is more than a name: no path, nothing hidden, nothing that cannot be seen or turns what is
/// seen around. Of a long one the end stays, which says what it is.
fn harmless(name: &str) -> String {
    let odd = |c: char| c.is_control() || is_invisible(c) || "/\\:*?\"<>|".contains(c);
    let over = name.chars().count().saturating_sub(LONGEST);
    let name: String = name.chars().skip(over).map(|c| if odd(c) { '_' } else { c }).collect();
    match name.trim().trim_matches(['.', ' ']) {
        "" => "upload".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_and_nothing_more() {
        for (name, plain, full) in [
            ("orders.csv", "orders.csv", "orders.csv"),
            ("Käse €.csv", "K_se _.csv", "K%C3%A4se%20%E2%82%AC.csv"),
            ("a\"b\\c.csv", "a_b_c.csv", "a_b_c.csv"),
            ("a';b=%41.csv", "a';b=_41.csv", "a%27%3Bb%3D%2541.csv"),
            ("a\r\nSet-Cookie: x=y\0.csv", "a__Set-Cookie_ x=y_.csv", "a__Set-Cookie_%20x%3Dy_.csv"),
            ("../../etc/passwd", "_.._etc_passwd", "_.._etc_passwd"),
            ("C:\\boot.ini", "C__boot.ini", "C__boot.ini"),
            ("\u{202e}vsc.exe\u{2066}\u{200b}\u{feff}\u{2028}", "_vsc.exe____", "_vsc.exe____"),
            (".htaccess", "htaccess", "htaccess"),
            (" .. ", "upload", "upload"),
            ("", "upload", "upload"),
        ] {
            let expected = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}");
            assert_eq!(disposition(name), expected, "{name:?}");
        }
        let long = disposition(&"€".repeat(1 << 20));
        assert_eq!(long.len(), "attachment; filename=\"\"; filename*=UTF-8''".len() + LONGEST * (1 + 9));
    }
}
