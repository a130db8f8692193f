//! The documentation holds together: links lead somewhere, the site has every page, and the profiles that it tells people to copy
//! are equal where this project itself copies them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every page of the documentation.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "python", "data/mnist"] {
        let entries = std::fs::read_dir(Path::new(ROOT).join(folder)).into_iter().flatten().flatten();
        pages.extend(
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "md")),
        );
    }
    assert!(pages.len() > 15, "{pages:?}");
    pages.sort();
    pages
}

/// A page without its blocks of code, and without code in its lines.
fn prose(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mut fenced = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Where the links and pictures of a page lead, and how they are written.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](").filter_map(|(at, _)| {
        let rest = &text[at + 2..];
        Some(rest[..rest.find(')')?].split_whitespace().next().unwrap_or(""))
    })
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        let text = prose(&page);
        for link in links(&text).filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            count += 1;
            let (file, anchor) =
                link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let found = target.exists()
                && anchor.is_none_or(|anchor| {
                    target.extension().is_none_or(|e| e != "md") || anchors(&prose(&target)).contains(anchor)
                });
            if !found {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(count > 80, "only {count} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_site_has_every_page_once() {
    let docs = Path::new(ROOT).join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut listed: Vec<&str> = links(&summary).collect();
    listed.sort_unstable();
    let names = pages().into_iter().filter(|page| page.starts_with(&docs));
    let names: Vec<String> =
        names.map(|page| page.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != "SUMMARY.md").collect();
    assert_eq!(listed, names);
}

/// The package and whoever follows its example share what is compiled only while their profiles are the same.
#[test]
fn the_packages_profile_is_the_workspaces() {
    let profile = |path: &str| {
        let text = std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
        let table: toml::Table = text.parse().unwrap();
        table["profile"].clone()
    };
    assert_eq!(profile("Cargo.toml"), profile("python/Cargo.toml"));
}
