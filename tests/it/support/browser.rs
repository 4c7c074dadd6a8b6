//! A real browser: headless Chromium, driven through one `chromedriver` per test binary.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::ChromeCapabilities;
use thirtyfour::prelude::*;

use super::process::{Guarded, free_port};
use super::visitor::http;
use super::{package_folder, program};

/// How long [`Browser::wait_until`] waits.
const PATIENCE: Duration = Duration::from_secs(15);

/// Needed to run as root without a display, or there to keep the browser from talking to
/// anybody: names other than the machine's own are not found.
const ARGUMENTS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
];

/// What kind of browser a test wants.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The width of the page in CSS pixels; below 500 it is shown as on a phone.
    pub width: u32,
    /// The height of the page in CSS pixels.
    pub height: u32,
    /// Whether pages may run scripts.
    pub javascript: bool,
    /// Whether the person prefers a dark colour scheme.
    pub dark: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 1024,
            height: 768,
            javascript: true,
            dark: false,
        }
    }
}

impl Options {
    /// The narrowest phone the pages must fit.
    pub fn phone() -> Self {
        Self {
            width: 320,
            height: 640,
            ..Self::default()
        }
    }
}

/// A rule of axe-core that a page breaks.
#[derive(Clone, Debug, Deserialize)]
pub struct Violation {
    /// The rule, for example `color-contrast`.
    pub id: String,
    /// `minor`, `moderate`, `serious` or `critical`.
    pub impact: Option<String>,
    /// What the rule asks for, in a sentence.
    pub help: String,
    /// The elements that break it.
    pub nodes: Vec<ViolatingNode>,
}

/// An element that breaks a rule.
#[derive(Clone, Debug, Deserialize)]
pub struct ViolatingNode {
    /// Its source.
    pub html: String,
}

/// One browser with a profile of its own: no cookie is shared with another. If the test
/// fails, a picture of the page is kept in `tests/artifacts`. Dropping it closes it.
pub struct Browser {
    driver: Option<WebDriver>,
    /// Where chromedriver knows this browser.
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Opens a browser, and `chromedriver` first if this is the first of the binary.
    ///
    /// # Panics
    ///
    /// If Chromium or chromedriver cannot be started.
    pub async fn open(options: Options) -> Self {
        let Driver {
            address, folder, ..
        } = Driver::shared();
        let profile = tempfile::tempdir_in(folder).expect("a temporary folder");
        let capabilities = capabilities(options, &profile).expect("capabilities are JSON");
        let driver = WebDriver::new(address, capabilities)
            .await
            .unwrap_or_else(|error| panic!("Chromium did not open: {error}"));
        let session = format!("{}/session/{}", address, driver.handle().session_id());
        Self {
            driver: Some(driver),
            session,
            _profile: profile,
        }
    }

    /// The WebDriver session, for everything this type has no word for.
    ///
    /// # Panics
    ///
    /// Never: it is there until the browser is dropped.
    pub fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("there until dropped")
    }

    /// Goes to an address, as if it had been typed.
    pub async fn go(&self, address: impl AsRef<str>) {
        let address = address.as_ref();
        if let Err(error) = self.driver().goto(address).await {
            panic!("{address}: {error}");
        }
    }

    /// The first element that matches a CSS selector, waited for.
    pub async fn find(&self, selector: &str) -> WebElement {
        self.wait_until(selector, async || {
            self.driver().find(By::Css(selector)).await.is_ok()
        })
        .await;
        let found = self.driver().find(By::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// Clicks the first element that matches a CSS selector, waited for.
    pub async fn click(&self, selector: &str) {
        let clicked = self.find(selector).await.click().await;
        clicked.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Types into the first element that matches a CSS selector, waited for.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let typed = self.find(selector).await.send_keys(text).await;
        typed.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Waits until `condition` holds; `what` names it in the message of a failure.
    ///
    /// # Panics
    ///
    /// If it does not within fifteen seconds; the message says where the browser is.
    pub async fn wait_until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            if Instant::now() >= deadline {
                let place = self.driver().current_url().await;
                let source = self.driver().source().await.unwrap_or_default();
                panic!("waited in vain for {what} at {place:?}:\n{source}");
            }
            // Between two looks at the condition, not instead of one.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The browser's reply to a command of the DevTools protocol without parameters.
    ///
    /// # Panics
    ///
    /// If the browser does not know the command.
    pub async fn devtools(&self, command: &str) -> Value {
        let address = format!("{}/goog/cdp/execute", self.session);
        let order = json!({"cmd": command, "params": {}});
        let response = http().post(address).json(&order).send().await;
        let response = response.expect("chromedriver answers");
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert!(status.is_success(), "{command}: {text}");
        let response: Value = serde_json::from_str(&text).expect("JSON");
        response["value"].clone()
    }

    /// What axe-core finds wrong with the page as it is now.
    ///
    /// # Panics
    ///
    /// If axe-core is not installed (`npm ci` in `tests/interop`) or fails.
    pub async fn axe(&self) -> Vec<Violation> {
        const RUN: &str = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] })
               .then((result) => done(result.violations), (error) => done(String(error)));";
        let path = package_folder().join("tests/interop/node_modules/axe-core/axe.min.js");
        let script =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let injected = self.driver().execute(script, vec![]).await;
        injected.expect("axe-core loads");
        let result = self.driver().execute_async(RUN, vec![]).await;
        let result = result.expect("axe-core runs").json().clone();
        serde_json::from_value(result.clone())
            .unwrap_or_else(|error| panic!("{error}: axe-core said {result}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let failed = thread::panicking();
        let session = self.session.clone();
        let name = thread::current().name().unwrap_or("test").to_owned();
        // The runtime of the test may be the one thread that drops this, so the last words
        // to the driver are said from another.
        let closed = thread::spawn(move || close(&session, failed.then_some(name.as_str())));
        if closed.join().is_err() {
            eprintln!("a browser was not closed in order");
        }
        if let Some(driver) = self.driver.take() {
            // Closed already, so nothing is left for the library to do.
            let _ = driver.leak();
        }
    }
}

/// Closes the browser; with a name, a picture of its page is kept under that name first.
fn close(session: &str, picture: Option<&str>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("an HTTP client");
        if let Some(name) = picture {
            match screenshot(&http, session, name).await {
                Ok(path) => eprintln!("the page at the failure: {}", path.display()),
                Err(error) => eprintln!("no picture of the failure: {error}"),
            }
        }
        if let Err(error) = http.delete(session).send().await {
            eprintln!("a browser was not closed: {error}");
        }
    });
}

async fn screenshot(
    http: &reqwest::Client,
    session: &str,
    name: &str,
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let address = format!("{session}/screenshot");
    let response: Value = http.get(address).send().await?.json().await?;
    let picture = STANDARD.decode(response["value"].as_str().unwrap_or_default())?;
    let folder = package_folder().join("tests/artifacts");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.png", name.replace("::", "-")));
    fs::write(&path, picture)?;
    Ok(path)
}

fn capabilities(options: Options, profile: &TempDir) -> WebDriverResult<ChromeCapabilities> {
    let mut capabilities = DesiredCapabilities::chrome();
    for argument in ARGUMENTS {
        capabilities.add_arg(argument)?;
    }
    capabilities.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
    capabilities.add_arg(&format!(
        "--window-size={},{}",
        options.width, options.height
    ))?;
    if options.dark {
        capabilities.add_arg("--blink-settings=preferredColorScheme=0")?;
    }
    if options.width < 500 {
        let metrics = json!({"width": options.width, "height": options.height, "pixelRatio": 2});
        capabilities
            .add_experimental_option("mobileEmulation", json!({"deviceMetrics": metrics}))?;
    }
    if !options.javascript {
        const BLOCKED: u8 = 2;
        let preferences = json!({"profile.managed_default_content_settings.javascript": BLOCKED});
        capabilities.add_experimental_option("prefs", preferences)?;
    }
    let chromium = program("GUICHET_TEST_CHROMIUM", "");
    if chromium.is_absolute() {
        capabilities.set_binary(&chromium.to_string_lossy())?;
    }
    Ok(capabilities)
}

/// The one `chromedriver` of the test binary.
struct Driver {
    address: String,
    /// Holds its log and the profiles of the browsers; removed when it ends.
    folder: PathBuf,
    _process: Guarded,
}

impl Driver {
    /// The driver, started by the first test that asks.
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Driver> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder = tempfile::Builder::new()
                .prefix("guichet-browsers-")
                .tempdir()
                .expect("a temporary folder")
                .keep();
            let port = free_port();
            let process = Guarded::start(
                &program("GUICHET_TEST_CHROMEDRIVER", "chromedriver"),
                [format!("--port={port}")],
                &folder.join("chromedriver.log"),
                Some(&folder),
            );
            process.wait_for(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
            Self {
                address: format!("http://127.0.0.1:{port}"),
                folder,
                _process: process,
            }
        })
    }
}
