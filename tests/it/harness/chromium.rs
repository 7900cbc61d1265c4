//! A real browser: headless Chromium, driven through chromedriver.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PATIENCE, Server, soon, until};

/// What each page runs before its own scripts: whatever the policy stops or a script throws is kept.
const WITNESS: &str = "
    const keep = (what) => sessionStorage.setItem('witness', (sessionStorage.getItem('witness') || '') + what + '\\n');
    document.addEventListener('securitypolicyviolation', (e) => keep(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
    window.addEventListener('error', (e) => keep(`error: ${e.message}`));
    window.addEventListener('unhandledrejection', (e) => keep(`rejection: ${e.reason}`));
    window.alert = (text) => keep(`alert: ${text}`);
";

/// A browser with one window and a profile of its own. It is ended when this is dropped.
pub(crate) struct Chromium {
    /// The window.
    pub(crate) page: Client,
    base: String,
    /// Where chromedriver listens.
    driver_url: String,
    driver: Child,
    _profile: TempDir,
}

impl Chromium {
    /// A new browser, signed in by the server's login link as a person would.
    pub(crate) async fn signed_in(server: &Server) -> Self {
        Self::signed_in_at(server.address, server).await
    }

    /// The same, with something between the browser and the server.
    pub(crate) async fn signed_in_at(address: SocketAddr, server: &Server) -> Self {
        let browser = Self::launch(address).await;
        browser.open(&server.login_link).await;
        browser.press("Sign in").await;
        browser.wait_for("a[href=\"/operations/new/simulate\"]").await;
        browser
    }

    /// A new browser, where nobody is signed in.
    pub(crate) async fn launch(address: SocketAddr) -> Self {
        let profile = TempDir::with_prefix("liveops-chromium-").expect("a folder");
        let (driver, port) = driver(profile.path()).await;
        let url = format!("http://127.0.0.1:{port}");
        let data = format!("--user-data-dir={}", profile.path().join("data").display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1000,900",
            data.as_str(),
        ];
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "WARNING" },
            "timeouts": { "script": PATIENCE.as_secs() * 1000 },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let page =
            soon("a browser", builder.capabilities(capabilities).connect(&url)).await.expect("a browser");
        let base = format!("http://{address}");
        let browser = Self { page, base, driver_url: url, driver, _profile: profile };
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WITNESS })).await;
        browser
    }

    /// Gives a command of the Chrome DevTools Protocol.
    pub(crate) async fn cdp(&self, command: &str, params: &Value) -> Value {
        self.tell_driver("goog/cdp/execute", &json!({ "cmd": command, "params": params })).await
    }

    /// Gives chromedriver a command of its own.
    async fn tell_driver(&self, command: &str, body: &Value) -> Value {
        let session = self.page.session_id().await.expect("a session").expect("a session");
        let url = format!("{}/session/{session}/{command}", self.driver_url);
        let answer = reqwest::Client::new().post(url).body(body.to_string()).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
        let text = answer.text().await.expect("text");
        serde_json::from_str::<Value>(&text).expect("JSON")["value"].take()
    }

    /// A client with this browser's session.
    pub(crate) async fn client(&self, server: &Server) -> super::Client {
        let client = super::Client::new(server.address);
        for cookie in self.page.get_all_cookies().await.expect("cookies") {
            client.set_cookie(cookie.name(), cookie.value());
        }
        client
    }

    /// Goes to a path of the server.
    pub(crate) async fn open(&self, path: &str) {
        self.page.goto(&format!("{}{path}", self.base)).await.expect("it loads");
    }

    /// Runs a script and gives what it returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.page.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Runs a script and gives the text that it returns.
    pub(crate) async fn text(&self, script: &str) -> String {
        self.run(script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits for an element.
    pub(crate) async fn wait_for(&self, css: &str) -> Element {
        let found = self.page.wait().at_most(PATIENCE).every(Duration::from_millis(50));
        match found.for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("waited for {css}: {error}; the page: {}", self.source().await),
        }
    }

    /// Waits until a script returns true. One that fails, as where an element is not there yet, is asked again.
    pub(crate) async fn wait_until(&self, condition: &str) {
        let script = format!("return Boolean({condition})");
        let what = format!("{condition} on the page");
        let mut failed = None;
        let waited = until(&what, async || match self.page.execute(&script, Vec::new()).await {
            Ok(value) => (value == true).then_some(()),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        if tokio::time::timeout(PATIENCE - Duration::from_secs(1), waited).await.is_err() {
            panic!("waited for {condition}; failed: {failed:?}; the page: {}", self.source().await);
        }
    }

    /// Lets the long timers of the pages that are loaded from now on run `times` as fast. The short ones stay as they are:
    /// they tell an answer that takes its time from one that is lost.
    pub(crate) async fn hurry(&self, times: u32) {
        let source = format!(
            "const timer = setTimeout; window.setTimeout = (action, delay, ...rest) =>
                 timer(action, delay >= 5000 ? delay / {times} : delay, ...rest)"
        );
        self.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": source })).await;
    }

    /// Opens a tab in front of the others, and goes on with it.
    pub(crate) async fn new_tab(&self) -> WindowHandle {
        self.open_another(true).await
    }

    /// Opens a window, which hides no other, and goes on with it.
    pub(crate) async fn new_window(&self) -> WindowHandle {
        self.open_another(false).await
    }

    async fn open_another(&self, as_tab: bool) -> WindowHandle {
        let tab = self.page.new_window(as_tab).await.expect("a tab").handle;
        self.look_at(&tab).await;
        self.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WITNESS })).await;
        tab
    }

    /// The tab that the commands go to.
    pub(crate) async fn tab(&self) -> WindowHandle {
        self.page.window().await.expect("a tab")
    }

    /// Brings a tab to the front, which hides the others of its window, and goes on with it.
    pub(crate) async fn look_at(&self, tab: &WindowHandle) {
        self.page.switch_to_window(tab.clone()).await.expect("the tab is there");
        self.put_in_front(tab).await;
    }

    /// Brings a tab to the front, and goes on with the one that is hidden by it.
    pub(crate) async fn put_in_front(&self, tab: &WindowHandle) {
        let name = String::from(tab.clone());
        let target = name.strip_prefix("CDwindow-").unwrap_or(&name);
        self.cdp("Target.activateTarget", &json!({ "targetId": target })).await;
    }

    /// Gives the window this size, and waits until the page has it.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", &size).await;
        self.wait_until(&format!("innerWidth === {width} && innerHeight === {height}")).await;
    }

    /// Lets the page believe that its window has the focus, or that it has lost it: without a screen there is none to give.
    pub(crate) async fn focus(&self, given: bool) {
        self.cdp("Emulation.setFocusEmulationEnabled", &json!({ "enabled": given })).await;
    }

    /// How many sheets of paper the page takes.
    pub(crate) async fn sheets(&self) -> usize {
        let printed = self.cdp("Page.printToPDF", &json!({})).await;
        let pdf = STANDARD.decode(printed["data"].as_str().expect("base64")).expect("base64");
        // Chromium writes each page as an object of its own, with spaces that are its own choice.
        let pdf = String::from_utf8_lossy(&pdf);
        pdf.matches("/Type /Page\n").count()
    }

    /// The page as it is now.
    pub(crate) async fn source(&self) -> String {
        self.page.source().await.unwrap_or_default()
    }

    /// Fills a field in.
    pub(crate) async fn fill(&self, name: &str, text: &str) {
        let field = self.wait_for(&format!("[name=\"{name}\"]")).await;
        if field.tag_name().await.expect("an element") == "select" {
            field.select_by_value(text).await.expect("a choice");
            return;
        }
        if field.attr("type").await.expect("an element").as_deref() != Some("file") {
            field.clear().await.expect("a field");
        }
        field.send_keys(text).await.expect("typed");
    }

    /// Presses the button of `main` with this text.
    pub(crate) async fn press(&self, text: &str) {
        self.click(Locator::XPath(&format!("//main//button[normalize-space()='{text}']"))).await;
    }

    /// Clicks on an element once, as soon as it can be: the page may change it, or itself, between the look and the click.
    pub(crate) async fn click(&self, what: Locator<'_>) {
        let mut failed = None;
        let clicked = until("a click", async || {
            let clicked = match self.page.find(what).await {
                Ok(element) => element.click().await,
                Err(error) => Err(error),
            };
            match clicked {
                Ok(()) => Some(()),
                Err(error)
                    if error.is_no_such_element()
                        || error.is_stale_element_reference()
                        || error.is_element_not_interactable() =>
                {
                    failed = Some(error);
                    None
                }
                Err(error) => panic!("a click on {what:?}: {error}"),
            }
        });
        if tokio::time::timeout(PATIENCE - Duration::from_secs(1), clicked).await.is_err() {
            panic!("waited to click on {what:?}; failed: {failed:?}; the page: {}", self.source().await);
        }
    }

    /// Nothing was stopped by the policy, nothing thrown, no alert shown.
    pub(crate) async fn assert_clean(&self) {
        assert_eq!(self.witness().await, "");
    }

    /// What was stopped, thrown or shown so far in this window.
    pub(crate) async fn witness(&self) -> String {
        self.text("return sessionStorage.getItem('witness') || ''").await
    }

    /// The console has had no warning and no error since the last look, also of what could not be loaded.
    pub(crate) async fn assert_silent(&self) {
        assert_eq!(self.console().await, Vec::<String>::new());
    }

    /// The warnings and errors on the console since the last look.
    pub(crate) async fn console(&self) -> Vec<String> {
        let said = self.tell_driver("se/log", &json!({ "type": "browser" })).await;
        said.as_array().expect("a list").iter().map(Value::to_string).collect()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // chromedriver ends its browser when it is asked to; both are in a process group of their own.
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.driver.wait();
    }
}

/// Starts chromedriver on a free port, which it prints.
async fn driver(profile: &Path) -> (Child, u16) {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").env("HOME", profile).env("TMPDIR", profile).process_group(0);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap_or_else(|error| {
        panic!("chromedriver: {error}; scripts/setup-tests installs it");
    });
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for line in stdout.lines().map_while(Result::ok) {
            let port = line.strip_suffix('.').and_then(|line| line.rsplit_once("on port ")?.1.parse().ok());
            if let (Some(port), true) = (port, line.contains("started successfully")) {
                sender.take().map(|sender: tokio::sync::oneshot::Sender<u16>| sender.send(port));
            }
        }
    });
    let port = soon("chromedriver's port", receiver).await.expect("it starts");
    (child, port)
}
