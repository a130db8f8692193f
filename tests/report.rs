//! The report in a real browser: it shows its table, sorts it, fits a phone, and complains of nothing.
//!
//! Needs Chromium or a relative of it: `RELAX_BROWSER`, or one of the usual names on the path. Without one the test says so
//! and passes; with `RELAX_BROWSER` set it must run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::relax;
use serde_json::Value;

const BROWSERS: [&str; 6] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless_shell", "chrome"];

fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("RELAX_BROWSER") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| BROWSERS.map(|name| folder.join(name)))
        .find(|candidate| candidate.is_file())
}

/// A comparison of two agents on CartPole and one on Pendulum, and its report.
fn report(folder: &Path) -> String {
    let config = |name: &str| format!("{}/configs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let out = folder.join("compare");
    let output = relax()
        .args(["compare", &config("cartpole-relax"), &config("cartpole-a2c"), &config("pendulum-ddpg")])
        .args(["--seeds", "3", "--budget", "4000", "--set", "run.evaluation_episodes=5", "--quiet", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(out.join("report.html")).unwrap()
}

/// Notes errors from the first moment on.
const WATCH: &str = "<script>window.found=[];window.onerror=function(m){found.push(String(m))};\
    ['error','warn'].forEach(function(k){console[k]=function(){found.push(k+': '+[].join.call(arguments,' '))}});</script>";

/// What a reader does, and what there is to see, left in the page as JSON.
const PROBE: &str = r#"<script>window.addEventListener("load",function(){
  var table=document.getElementById("results"),heads=table.tHead.rows[0].cells;
  var column=function(name){for(var i=0;i<heads.length;i++)if(heads[i].textContent===name)return i;return -1;};
  var values=function(i){return Array.from(table.tBodies[0].rows).map(function(r){return r.cells[i].textContent;});};
  var r=column("return"),before=values(r);
  heads[r].querySelector("button").click();var up=values(r),sort=heads[r].getAttribute("aria-sort");
  heads[r].querySelector("button").click();var down=values(r);
  heads[column("agent")].querySelector("button").click();var agents=values(column("agent"));
  var box=table.parentElement,cell=table.tBodies[0].rows[0].cells[column("E‖ĝ‖² : A2C")];
  var seen=cell.getBoundingClientRect().right<=box.getBoundingClientRect().right;
  var letters=Array.from(document.querySelectorAll("figure svg")).map(function(s){
    return Math.min.apply(null,Array.from(s.querySelectorAll("text")).map(function(t){
      return t.getAttribute("font-size")*s.getBoundingClientRect().width/s.viewBox.baseVal.width;}));});
  var out={seen:seen,letters:Math.min.apply(null,letters),before:before,up:up,down:down,sort:sort,agents:agents,errors:window.found,
    figures:document.querySelectorAll("figure svg").length,
    wide:document.documentElement.scrollWidth-document.documentElement.clientWidth,
    loaded:performance.getEntriesByType("resource").map(function(e){return e.name;}),
    background:getComputedStyle(document.body).backgroundColor};
  var pre=document.createElement("pre");pre.id="probe";pre.textContent=JSON.stringify(out);document.body.appendChild(pre);
});</script>"#;

/// Opens the page in a window `width` wide and returns what the probe found, and what the browser itself had to say.
fn open(browser: &Path, folder: &Path, page: &str, width: u32, dark: bool) -> (Value, String) {
    let path = folder.join("probed.html");
    let page = page.replacen("<head>", &format!("<head>{WATCH}"), 1).replacen(
        "</body>",
        &format!("{PROBE}</body>"),
        1,
    );
    std::fs::write(&path, page).unwrap();
    let mut command = Command::new(browser);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()));
    if dark {
        command.arg("--blink-settings=preferredColorScheme=0");
    }
    let output = command.arg(format!("file://{}", path.display())).output().unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, rest) =
        dom.split_once("<pre id=\"probe\">").unwrap_or_else(|| panic!("no probe in the page\n{log}"));
    let text =
        rest.split_once("</pre>").unwrap().0.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&");
    (serde_json::from_str(&text).unwrap(), log)
}

fn numbers(value: &Value) -> Vec<f64> {
    let first =
        |text: &str| text.split_whitespace().next().unwrap().replace('−', "-").parse::<f64>().unwrap();
    value.as_array().unwrap().iter().map(|cell| first(cell.as_str().unwrap())).collect()
}

#[test]
fn it_is_one_file_that_holds_everything() {
    let folder = tempfile::tempdir().unwrap();
    let page = report(folder.path());
    for outside in ["src=\"http", "href=\"http", "@import", "url(http", "<link rel=\"stylesheet\""] {
        assert!(!page.contains(outside), "{outside}");
    }
    for part in
        ["relax compare", "commit", "kind = &quot;ddpg&quot;", "aria-label=\"CartPole-v1: learning curves\""]
    {
        assert!(page.contains(part), "{part}");
    }
    let out = folder.path().join("compare");
    for extension in ["svg", "png", "csv"] {
        assert!(out.join(format!("figures/cartpole-v1-curves.{extension}")).metadata().unwrap().len() > 100);
    }
    let table = std::fs::read_to_string(out.join("results.csv")).unwrap();
    assert_eq!(table.lines().count(), 4);
}

#[test]
fn a_browser_shows_and_sorts_it() {
    let Some(browser) = browser() else {
        println!("skipped: no browser found; install Chromium, or name one in RELAX_BROWSER");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = report(folder.path());
    let table = std::fs::read_to_string(folder.path().join("compare/results.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    let at = rows[0].iter().position(|name| *name == "iqm").unwrap();
    let expected: Vec<f64> = rows[1..].iter().map(|row| row[at].parse().unwrap()).collect();
    let mut backgrounds = Vec::new();
    for (width, dark) in [(1280, false), (390, false), (1280, true)] {
        let (found, log) = open(&browser, folder.path(), &page, width, dark);
        assert_eq!(found["errors"].as_array().unwrap().len(), 0, "{found:#}");
        assert!(!log.contains("CONSOLE"), "{log}");
        assert_eq!(found["loaded"].as_array().unwrap().len(), 0, "nothing is fetched: {found:#}");
        let shown = numbers(&found["before"]);
        assert!(shown.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 0.0501), "{shown:?} {expected:?}");
        let mut sorted = shown.clone();
        sorted.sort_by(f64::total_cmp);
        assert_eq!(numbers(&found["up"]), sorted);
        sorted.reverse();
        assert_eq!(numbers(&found["down"]), sorted);
        assert_eq!(found["sort"], "ascending");
        // What the page is read for is in sight without scrolling, and the smallest letters of a chart can be read.
        assert!(width < 1000 || found["seen"] == true, "{found:#}");
        assert!(found["letters"].as_f64().unwrap() >= 10.5, "at {width}: {found:#}");
        assert_eq!(found["agents"], serde_json::json!(["a2c", "ddpg", "relax-a2c"]));
        assert!(found["figures"].as_u64().unwrap() >= 6, "{found:#}");
        assert!(found["wide"].as_i64().unwrap() <= 0, "wider than the window of {width}: {found:#}");
        backgrounds.push(found["background"].as_str().unwrap().to_owned());
    }
    assert_ne!(backgrounds[0], backgrounds[2], "light and dark differ");
}
