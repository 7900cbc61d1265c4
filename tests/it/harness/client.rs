//! A browser without a screen: cookies, forms, no redirects followed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Events, PATIENCE, Page, Server, attribute, form_values, soon, until};

/// A `simulate` of an hour, the first minute of it in its first step.
pub(crate) const SLOW: &[(&str, &str)] = &[("steps", "60"), ("delay_ms", "60000")];

/// One person at one browser.
pub(crate) struct Client {
    http: reqwest::Client,
    /// Where the server is.
    pub(crate) address: SocketAddr,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// A request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl Ask {
    /// A GET.
    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST without a body.
    pub(crate) fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// A request of any method.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A form as browsers send it without a file.
    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        let pairs = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        self.header("content-type", "application/x-www-form-urlencoded").body(body.into_bytes())
    }

    /// A form as browsers send it with a file, which comes last.
    pub(crate) fn multipart(self, fields: &[(&str, &str)], file: (&str, &str, &[u8])) -> Self {
        let mut body = Vec::new();
        for (name, value) in fields {
            let head =
                format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(head.as_bytes());
        }
        let (name, file_name, content) = file;
        // As in the HTML standard, multipart/form-data: these three are escaped, nothing else.
        let file_name = file_name.replace('\n', "%0A").replace('\r', "%0D").replace('"', "%22");
        let head = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
             Content-Type: text/csv\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--edge--\r\n");
        self.header("content-type", "multipart/form-data; boundary=edge").body(body)
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}

impl Client {
    /// Somebody who is not signed in.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self { http: http.build().expect("a client"), address, cookies: Mutex::default() }
    }

    /// Sends a request and leaves the body unread; keeps the cookies that come.
    pub(crate) async fn open(&self, ask: Ask) -> reqwest::Response {
        let what = format!("{} {}", ask.method, ask.path);
        let sent = soon(&what, self.request(ask).send()).await;
        let response = sent.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        self.keep_cookies(response.headers());
        response
    }

    /// A request with this person's cookies, to be sent by whoever knows what may become of it.
    pub(crate) fn request(&self, ask: Ask) -> reqwest::RequestBuilder {
        let method = ask.method.parse().expect("a method");
        let mut request = self.http.request(method, format!("http://{}{}", self.address, ask.path));
        let cookies = self.cookie_header();
        if !cookies.is_empty() && !ask.headers.iter().any(|(name, _)| name == "cookie") {
            request = request.header("cookie", cookies);
        }
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        if ask.body.is_empty() { request } else { request.body(ask.body) }
    }

    /// The head of a request with this person's cookies and `more` headers, for whoever sends one piece by piece.
    pub(crate) fn head(&self, request: &str, more: &[&str]) -> String {
        let (host, cookies) = (self.address, self.cookie_header());
        let more: String = more.iter().map(|header| format!("{header}\r\n")).collect();
        format!("{request} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n{more}\r\n")
    }

    /// Sends these bytes over a connection of their own, which stays open.
    pub(crate) async fn begin(&self, bytes: &str) -> TcpStream {
        let mut stream = soon("a connection", TcpStream::connect(self.address)).await.expect("a connection");
        stream.write_all(bytes.as_bytes()).await.expect("it is sent");
        stream
    }

    /// Sends the beginning of an import, with a part of its file.
    pub(crate) async fn begin_import(&self) -> TcpStream {
        let csrf = self.csrf().await;
        let more = ["Content-Type: multipart/form-data; boundary=edge", "Content-Length: 1000000"];
        let part = |head: &str, text: &str| {
            format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n")
        };
        let sent = self.head("POST /operations/new/csv_import", &more)
            + &part("name=\"csrf_token\"", &csrf)
            + &part("name=\"file\"; filename=\"a.csv\"", "a,b\r\n1,2");
        self.begin(&sent).await
    }

    /// Sends a request and reads the answer whole.
    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        let response = self.open(ask).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = soon("an answer's body", response.bytes()).await.expect("a body");
        Answer { status, headers, body }
    }

    /// GETs a page.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Ask::get(path)).await
    }

    /// What the cookie header says.
    pub(crate) fn cookie_header(&self) -> String {
        let cookies = self.cookies.lock().expect("no panic");
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// One cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().expect("no panic").get(name).cloned()
    }

    /// Sets a cookie as somebody would who holds it.
    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().expect("no panic").insert(name.to_owned(), value.to_owned());
    }

    fn keep_cookies(&self, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().expect("no panic");
        for header in headers.get_all("set-cookie") {
            let header = header.to_str().expect("ASCII");
            let (pair, attributes) = header.split_once(';').unwrap_or((header, ""));
            let (name, value) = pair.split_once('=').expect("a pair");
            if value.is_empty() || attributes.to_lowercase().contains("max-age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Signs in by a link, as the person who clicks its button.
    pub(crate) async fn use_link(&self, link: &str) {
        let page = self.get(link).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let answer = self.send(Ask::post(link).form(&[("csrf_token", &page.csrf())])).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
    }

    /// Signs in by the login page.
    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Answer {
        let csrf = self.get("/login").await.csrf();
        let fields =
            [("csrf_token", csrf.as_str()), ("username", name), ("password", password), ("next", "")];
        self.send(Ask::post("/login").form(&fields)).await
    }

    /// The same person's browser at another server.
    pub(crate) fn at(&self, server: &Server) -> Self {
        let other = Self::new(server.address);
        *other.cookies.lock().expect("no panic") = self.cookies.lock().expect("no panic").clone();
        other
    }

    /// Signs out.
    pub(crate) async fn log_out(&self) -> Answer {
        let csrf = self.csrf().await;
        self.send(Ask::post("/logout").form(&[("csrf_token", &csrf)])).await
    }

    /// This session's CSRF token, from a page.
    pub(crate) async fn csrf(&self) -> String {
        self.get("/").await.csrf()
    }

    /// Sends a kind's form as a browser does: what the fresh form holds, but for these fields.
    pub(crate) async fn submit(
        &self,
        kind: &str,
        fields: &[(&str, &str)],
        file: Option<(&str, &[u8])>,
    ) -> Answer {
        let path = format!("/operations/new/{kind}");
        let page = self.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let mut values = form_values(&page.text(), &format!("action=\"{path}\"")).expect("the kind's form");
        assert_eq!(values.first().map(|(name, _)| name.as_str()), Some("csrf_token"), "first in the form");
        for (name, value) in fields {
            values.retain(|(known, _)| known != name);
            values.push(((*name).to_owned(), (*value).to_owned()));
        }
        let fields: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let ask = match file {
            Some((name, content)) => Ask::post(&path).multipart(&fields, ("file", name, content)),
            None => Ask::post(&path).form(&fields),
        };
        self.send(ask).await
    }

    /// Starts a `simulate` without delay and log, but for these fields, and gives its id.
    pub(crate) async fn simulate(&self, fields: &[(&str, &str)]) -> String {
        let fields = [&[("delay_ms", "0"), ("log_every", "0")], fields].concat();
        self.submit("simulate", &fields, None).await.started()
    }

    /// Starts a `csv_import` and gives its id.
    pub(crate) async fn import(&self, name: &str, content: &[u8]) -> String {
        self.submit("csv_import", &[], Some((name, content))).await.started()
    }

    /// Starts a `csv_import` of a file that is made while it is sent, so that nobody holds it whole.
    /// `length` is the file's, in bytes.
    pub(crate) async fn import_made_of(
        &self,
        name: &str,
        length: usize,
        pieces: impl Iterator<Item = Vec<u8>> + Send + 'static,
    ) -> String {
        let csrf = self.csrf().await;
        let ask = Ask::post("/operations/new/csv_import");
        let mut ask = ask.multipart(&[("csrf_token", &csrf)], ("file", name, b""));
        let mut before = std::mem::take(&mut ask.body);
        // The file goes before the last boundary.
        let after = before.split_off(before.len() - "\r\n--edge--\r\n".len());
        let whole = before.len() + length + after.len();
        let body = [before].into_iter().chain(pieces).chain([after]).map(Ok::<_, std::io::Error>);
        let body = reqwest::Body::wrap_stream(tokio_stream::iter(body));
        let request = self.request(ask.header("content-length", &whole.to_string())).body(body);
        let sent = tokio::time::timeout(PATIENCE * 2, request.send()).await.expect("an answer in time");
        let response = sent.unwrap_or_else(|error| panic!("the upload of {name}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.expect("a body") }.started()
    }

    /// An operation's page.
    pub(crate) async fn page(&self, id: &str) -> Page {
        let answer = self.get(&format!("/operations/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Page::new(id, answer.text())
    }

    /// The stream of an operation that is not over, by a token from its page.
    pub(crate) async fn follow(&self, id: &str) -> Events {
        let token = self.page(id).await.token.unwrap_or_else(|| panic!("{id} is over already"));
        self.stream(&token, None).await
    }

    /// The stream that a token opens, after `cursor`.
    pub(crate) async fn stream(&self, token: &str, cursor: Option<&str>) -> Events {
        let mut ask = Ask::get(&format!("/stream?token={token}"));
        if let Some(cursor) = cursor {
            ask = ask.header("last-event-id", cursor);
        }
        let response = self.open(ask).await;
        assert_eq!(response.status().as_u16(), 200);
        Events::new(response)
    }

    /// Sends a command (`cancel`, `restart`) with a valid CSRF token.
    pub(crate) async fn command(&self, id: &str, command: &str) -> Answer {
        let csrf = self.csrf().await;
        self.send(Ask::post(&format!("/operations/{id}/{command}")).form(&[("csrf_token", &csrf)])).await
    }

    /// Waits until an operation is over, and gives its page then.
    pub(crate) async fn finished(&self, id: &str) -> Page {
        let page = self.page(id).await;
        let Some(token) = &page.token else { return page };
        self.stream(token, None).await.rest().await;
        let page = self.page(id).await;
        assert_eq!(page.token, None, "who saw the end and reloads sees the end");
        page
    }

    /// The operation that was started first, once there is one.
    pub(crate) async fn first_operation(&self) -> String {
        until("an operation in the list", async || {
            let list = self.get("/operations").await.text();
            let (_, after) = list.rsplit_once("<tr id=\"op-")?;
            Some(after.split_once("-row\"")?.0.to_owned())
        })
        .await
    }

    /// Waits until an operation is in `state`.
    pub(crate) async fn reaches(&self, id: &str, state: &str) {
        let mut events = self.follow(id).await;
        events.until(|event| event.name == "state" && event.data["state"] == state).await;
    }
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }

    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Where a 303 leads.
    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.text());
        self.header("location")
    }

    /// The page's CSRF token: the first form's, or the one for the shim.
    pub(crate) fn csrf(&self) -> String {
        let html = self.text();
        let field = html.find("name=\"csrf_token\"").map(|at| &html[html[..at].rfind('<').unwrap_or(0)..]);
        let field = field.and_then(|field| attribute(field, "<input", "value"));
        field
            .or_else(|| attribute(&html, "<meta name=\"liveops-csrf\"", "content"))
            .unwrap_or_else(|| panic!("no CSRF token in {html}"))
    }

    /// The id of the operation that a form started.
    pub(crate) fn started(&self) -> String {
        let id = self.location().strip_prefix("/operations/").expect("an operation's page").to_owned();
        assert_eq!(id.len(), 36, "{id} is a UUID");
        id
    }
}

/// Percent-encodes a form's name or value.
pub(crate) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
