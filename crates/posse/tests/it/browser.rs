//! A real browser, driven through WebDriver (W3C) by HTTP spoken by hand.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::wait_until;

const PORT: u16 = 9_515;
const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's Chromium without a window; ends when dropped.
pub(crate) struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    /// In the network namespace of this thread; `None`, and said, when there is no browser.
    pub(crate) fn open(test: &str) -> Option<Self> {
        for program in ["chromedriver", "chromium"] {
            let found = Command::new(program).arg("--version").output();
            if !found.is_ok_and(|o| o.status.success()) {
                println!("SKIPPED: {test}: apt-get install chromium chromium-driver");
                return None;
            }
        }
        let driver = Command::new("chromedriver")
            .arg(format!("--port={PORT}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut browser = Self {
            driver,
            session: String::new(),
        };
        wait_until("the browser's driver answers", || {
            TcpStream::connect(("127.0.0.1", PORT)).is_ok()
        });
        // Root has no sandbox of Chromium's; the page is our own.
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu"];
        let wish = json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        }}});
        let session = browser.send("POST", "/session", &wish);
        let id = session["sessionId"].as_str();
        browser.session = id
            .unwrap_or_else(|| panic!("no session: {session}"))
            .to_owned();
        Some(browser)
    }

    pub(crate) fn visit(&self, url: &str) {
        self.command("POST", "/url", &json!({"url": url}));
    }

    /// The value that a function's body returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.command("POST", "/execute/sync", &body)
    }

    /// Width and height of the screen, and whether the reader prefers `light` or `dark`.
    pub(crate) fn look_as(&self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
        let features = [json!({"name": "prefers-color-scheme", "value": scheme})];
        let media = json!({"media": "screen", "features": features});
        self.devtools("Emulation.setEmulatedMedia", media);
    }

    /// One key, as WebDriver §17.4.2 numbers those that are no characters.
    pub(crate) fn press(&self, key: char) {
        let strokes = ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key}));
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": strokes});
        self.command("POST", "/actions", &json!({"actions": [keyboard]}));
    }

    pub(crate) fn screenshot(&self, path: &Path) {
        let picture = self.command("GET", "/screenshot", &Value::Null);
        let bytes = STANDARD.decode(picture.as_str().unwrap()).unwrap();
        File::create(path).unwrap().write_all(&bytes).unwrap();
    }

    /// What pages complained of: script errors, blocked content, failed requests.
    pub(crate) fn complaints(&self) -> Vec<Value> {
        let log = self.command("POST", "/se/log", &json!({"type": "browser"}));
        log.as_array().unwrap().clone()
    }

    fn devtools(&self, method: &str, parameters: Value) {
        let body = json!({"cmd": method, "params": parameters});
        self.command("POST", "/goog/cdp/execute", &body);
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.send(method, &format!("/session/{}{path}", self.session), body)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut stream = TcpStream::connect(("127.0.0.1", PORT)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost:{PORT}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let answer = read_body(BufReader::new(stream));
        let mut answer: Value =
            serde_json::from_slice(&answer).unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value
    }
}

/// The driver leaves the connection open, whatever it is told.
fn read_body(mut stream: BufReader<TcpStream>) -> Vec<u8> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    body
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.command("DELETE", "", &Value::Null);
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
