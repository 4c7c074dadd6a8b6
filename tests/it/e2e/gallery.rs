//! The gallery in a real browser: what it shows, and that every page fits where little room is.

use std::path::Path;

use guichet::http::gallery;
use serde_json::Value;
use thirtyfour::By;

use crate::support::browser::{Browser, Options};

fn address(file: &Path) -> String {
    url::Url::from_file_path(file).expect("a path").to_string()
}

/// What is wrong with a page where text is twice as large; empty when nothing is. A word longer than
/// ten letters may not fit; one that is shorter does, and stays whole.
const FAULTS: &str = "(() => {
    const root = document.documentElement, faults = [];
    root.style.fontSize = '200%';
    if (root.scrollWidth > root.clientWidth) faults.push(`${root.scrollWidth} pixels wide`);
    for (const tile of document.querySelectorAll('.tile, .badge')) {
        const { offsetWidth: width, offsetHeight: height, className } = tile;
        if (width !== height || width < 32) faults.push(`${className} is ${width} by ${height}`);
    }
    const heading = document.querySelector('h1').firstChild, range = document.createRange();
    for (const { 0: word, index } of heading.data.matchAll(/[\\p{L}\\p{M}]+/gu)) {
        range.setStart(heading, index);
        range.setEnd(heading, index + word.length);
        const lines = new Set([...range.getClientRects()].map(({ top }) => top));
        if (word.length <= 10 && lines.size > 1) faults.push(`${word} is broken`);
    }
    return faults;
})()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_narrowest_phone_large_text_neither_sticks_out_nor_breaks_words_that_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = gallery::write(folder.path()).expect("a gallery");
    let browser = Browser::open(Options::phone()).await;
    let mut seen = 0;
    for file in &written {
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.expect("a name");
        if !name.contains(".long.") && !name.contains(".rtl.") {
            continue;
        }
        browser.go(address(file)).await;
        let faults = browser.ask(FAULTS).await;
        assert_eq!(faults, Value::Array(Vec::new()), "{name}");
        seen += 1;
    }
    assert!(seen > 100, "{seen} pages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gallery_shows_its_pages_light_and_dark() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = gallery::write(folder.path()).expect("a gallery");
    let browser = Browser::open(Options::default()).await;
    browser.go(address(&written[0])).await;
    for (scheme, is_light) in [("light", true), ("dark", false)] {
        let frame = browser.find(&format!("#connected iframe.{scheme}")).await;
        frame.scroll_into_view().await.expect("a place");
        let driver = browser.driver();
        frame.enter_frame().await.expect("a page in the frame");
        browser.arrives_at("connected").await;
        let picture = driver.find(By::Css(".tile img")).await.expect("a logo");
        let shown = "document.querySelector('.tile img').naturalWidth > 0";
        browser
            .wait_until("the logo", async || browser.ask(shown).await == true)
            .await;
        assert!(picture.is_displayed().await.expect("a picture"));
        let ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)";
        let sum = format!("{ground}.reduce((sum, one) => sum + Number(one), 0)");
        let brightness = browser.ask(&sum).await.as_f64().expect("a number");
        assert_eq!(
            brightness > 500.0,
            is_light,
            "{scheme}: {brightness} of 765"
        );
        driver.enter_default_frame().await.expect("the index");
    }
}
