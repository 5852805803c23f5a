//! The status page as a person sees it: Debian's Chromium looks at a running guard under attack.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;

use crate::{
    browser::Browser,
    support::{Namespace, POSSE, Site, failed_login, wait_until},
};

const PAGE: &str = "http://127.0.0.1:9107/";
/// From the kernel having the ban to the row being painted.
const ON_SCREEN_MILLIS: f64 = 300.0;
const ATTACKERS: usize = 20;

/// Notes the time at which each ban's row was first painted.
const WATCH_BANS: &str = "
    window.painted = {};
    const bans = document.getElementById('bans');
    new MutationObserver(() => requestAnimationFrame(() => {
        for (const row of bans.children) {
            const box = row.getBoundingClientRect();
            if (box.height > 0 && !(row.dataset.key in painted)) {
                painted[row.dataset.key] = Date.now();
            }
        }
    })).observe(bans, { childList: true });";

/// Everything that has less contrast than WCAG 2.2 §1.4.3 asks of text, with its ratio.
const WEAK_CONTRAST: &str = "
    const parts = (c) => c.match(/[\\d.]+/g).map(Number);
    const light = (c) => {
        const [r, g, b] = parts(c).slice(0, 3).map((v) => {
            v /= 255;
            return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (e) => {
        for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (!(parts(c)[3] === 0)) return c;
        }
        return 'rgb(255, 255, 255)';
    };
    const weak = [];
    for (const e of document.querySelectorAll('body *')) {
        const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || e.closest('.vh, .skip, .fresh') || !e.getClientRects().length) continue;
        const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) weak.push([e.outerHTML.slice(0, 80), ratio]);
    }
    return weak;";

/// Marks the rows that are there, and has the stream begin from before them.
const SEND_ALL_ANEW: &str = "
    document.querySelectorAll('#alerts > li').forEach((row) => { row.dataset.seen = 1; });
    document.body.dataset.after = '0';
    for (const hidden of [true, false]) {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }";

/// One browser at a time: times are measured.
static ALONE: Mutex<()> = Mutex::new(());

/// A guard in a namespace that this thread is in too; `None`, and said, where that cannot be.
struct Scene {
    site: Site,
    guard: std::process::Child,
    news: PathBuf,
    browser: Browser,
    _net: Namespace,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    fn new(test: &str, extra: &str) -> Option<Self> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let net = Namespace::new(test)?;
        net.enter();
        let browser = Browser::open(test)?;
        let site = Site::with_config(extra);
        let news = site.path("news.json");
        let guard = Command::new(POSSE)
            .args(["run", "--json", "--config"])
            .arg(site.config())
            .arg("--state")
            .arg(site.state())
            .stdin(Stdio::null())
            .stdout(File::create(&news).unwrap())
            .stderr(File::create(site.path("guard.stderr")).unwrap())
            .spawn()
            .unwrap();
        wait_until("the page is served", || {
            std::net::TcpStream::connect("127.0.0.1:9107").is_ok()
        });
        Some(Self {
            site,
            guard,
            news,
            browser,
            _net: net,
            _alone: alone,
        })
    }

    fn open_page(&self) {
        self.browser.visit(PAGE);
        self.wait_for("document.getElementById('link').textContent === 'live'");
    }

    fn wait_for(&self, condition: &str) {
        let script = format!("return {condition};");
        wait_until(condition, || self.browser.run(&script) == Value::Bool(true));
    }

    fn attack(&self, address: &str, user: &str) {
        let line = |port| failed_login(address, port).replace("root", user);
        let text: String = (0..6).map(|n| line(40_000 + n)).collect();
        self.site.append(&text);
    }

    /// When the kernel had each ban, in milliseconds, by the guard's own word.
    fn in_kernel(&self) -> BTreeMap<String, f64> {
        let text = fs::read_to_string(&self.news).unwrap();
        let news = text
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let bans = news.filter(|n| n["event"] == "ban");
        bans.map(|ban| {
            let at: jiff::Timestamp = ban["in_kernel"].as_str().unwrap().parse().unwrap();
            let prefix = ban["prefix"].as_str().unwrap().to_owned();
            (prefix, at.as_nanosecond() as f64 / 1e6)
        })
        .collect()
    }

    fn picture(&self, name: &str) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        self.browser.screenshot(&path);
        println!("a picture of it: {}", path.display());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.guard.kill().ok();
        self.guard.wait().ok();
    }
}

#[test]
fn a_ban_is_on_the_screen_at_once() {
    let Some(scene) = Scene::new("the ban on the screen", "") else {
        return;
    };
    scene.open_page();
    scene.browser.run(WATCH_BANS);
    let addresses: Vec<String> = (0..ATTACKERS).map(|n| format!("45.66.{n}.9")).collect();
    for address in &addresses {
        scene.attack(address, "admin");
        scene.wait_for(&format!("{address:?} in painted"));
        // Not in step with the page's own second.
        std::thread::sleep(Duration::from_millis(137));
    }
    let painted = scene.browser.run("return painted;");
    let in_kernel = scene.in_kernel();
    let delay = |a: &String| painted[a].as_f64().unwrap() - in_kernel[a];
    let mut delays: Vec<f64> = addresses.iter().map(delay).collect();
    delays.sort_by(f64::total_cmp);
    let (median, worst) = (delays[ATTACKERS / 2], delays[ATTACKERS - 1]);
    println!(
        "kernel to screen, {ATTACKERS} bans: median {median:.0} ms, worst {worst:.0} ms \
         ({delays:.0?})"
    );
    // The row that paints late because something else had the machine is not ours to fail for.
    let late = delays.iter().filter(|d| **d > ON_SCREEN_MILLIS).count();
    assert!(late <= ATTACKERS / 10, "{late} came late: {delays:.0?}");
    scene.picture("status-page-attack.png");
    assert_eq!(scene.browser.complaints(), Vec::<Value>::new());
}

#[test]
fn what_attackers_type_stays_text_and_everybody_can_read_it() {
    let Some(scene) = Scene::new("the page for everybody", "") else {
        return;
    };
    let bad = "<script>window.hit=1</script><img/src=x/onerror=window.hit=1>";
    scene.attack("198.51.100.66", bad);
    scene.open_page();
    scene.attack("2001:db8:bad::77", bad);
    scene.attack("10.0.0.7", bad);
    scene.wait_for("document.querySelectorAll('#alerts > li').length === 3");
    scene.wait_for("document.querySelectorAll('#refusals > li').length === 1");
    scene
        .browser
        .run("document.querySelectorAll('details').forEach((d) => d.open = true);");
    scene.wait_for("document.body.innerText.includes('<script>window.hit=1</script>')");
    assert_eq!(scene.browser.run("return window.hit === undefined;"), true);
    let images = scene
        .browser
        .run("return document.querySelectorAll('main img').length;");
    assert_eq!(images, 0);

    for (name, width, height, scheme) in [
        ("light", 1_280, 900, "light"),
        ("dark", 1_280, 900, "dark"),
        ("phone", 390, 844, "light"),
        ("narrow", 320, 700, "dark"),
    ] {
        scene.browser.look_as(width, height, scheme);
        for path in ["", "alerts", "bans"] {
            scene.browser.visit(&format!("{PAGE}{path}"));
            let wide = scene
                .browser
                .run("return [document.scrollingElement.scrollWidth, window.innerWidth];");
            assert!(
                wide[0].as_u64() <= wide[1].as_u64(),
                "{name} /{path}: {wide}"
            );
            let weak = scene.browser.run(WEAK_CONTRAST);
            assert_eq!(weak, Value::Array(Vec::new()), "{name} /{path}");
        }
        scene.browser.visit(PAGE);
        scene.picture(&format!("status-page-{name}.png"));
    }
    assert_eq!(scene.browser.complaints(), Vec::<Value>::new());
}

#[test]
fn the_keyboard_is_enough_and_updates_leave_the_reader_alone() {
    const TAB: char = '\u{e004}';
    const ENTER: char = '\u{e007}';
    let Some(scene) = Scene::new("the page by keyboard", "") else {
        return;
    };
    scene.attack("198.51.100.66", "admin");
    scene.open_page();
    scene.wait_for("document.querySelectorAll('#alerts > li').length === 1");
    scene.browser.press(TAB);
    scene.wait_for("document.activeElement.className === 'skip'");
    scene.wait_for("document.activeElement.getBoundingClientRect().left >= 0");
    scene
        .browser
        .run("document.querySelector('#main a').focus();");
    for _ in 0..10 {
        scene.browser.press(TAB);
        let there = "return document.activeElement.tagName === 'SUMMARY';";
        if scene.browser.run(there) == Value::Bool(true) {
            break;
        }
    }
    scene.browser.press(ENTER);
    scene.wait_for("document.activeElement.parentElement.open === true");
    // What is being read is sent anew, and others come and go around it.
    scene.browser.run(SEND_ALL_ANEW);
    scene.wait_for("document.querySelector('#alerts > li[data-seen]') === null");
    scene.attack("198.51.100.67", "admin");
    scene.wait_for("document.querySelectorAll('#alerts > li').length === 2");
    scene.wait_for("document.getElementById('said').textContent !== ''");
    let state = scene.browser.run(
        "const e = document.activeElement;
         return [e.tagName, e.closest('li')?.innerText.includes('198.51.100.66'),
                 e.parentElement.open];",
    );
    assert_eq!(state, serde_json::json!(["SUMMARY", true, true]));
}

#[test]
fn a_guard_that_ends_and_comes_back_is_seen_to() {
    let Some(mut scene) = Scene::new("the lost connection", "[enforce]\nmode = \"observe\"\n")
    else {
        return;
    };
    scene.open_page();
    scene.wait_for("document.getElementById('headline').innerText.includes('NOTHING IS BANNED')");
    scene.attack("198.51.100.66", "admin");
    scene.wait_for("document.querySelector('#bans .warn')?.textContent === 'not enforced'");
    scene.guard.kill().unwrap();
    scene.guard.wait().unwrap();
    scene.wait_for("document.getElementById('link').textContent.includes('lost')");
    scene.guard = Command::new(POSSE)
        .args(["run", "--config"])
        .arg(scene.site.config())
        .arg("--state")
        .arg(scene.site.state())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // What happened before comes from the store, what happens now from the new guard.
    scene.wait_for("document.getElementById('link').textContent === 'live'");
    scene.attack("198.51.100.67", "admin");
    scene.wait_for("document.querySelectorAll('#bans > tr').length === 2");
}
