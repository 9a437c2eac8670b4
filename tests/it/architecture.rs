//! The rooms under `src/` and who may use whom: data flows one way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room with those that it may use, beside itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("task", &["domain"]),
    ("telemetry", &[]),
    ("redis_link", &["task"]),
    ("config", &["domain"]),
    ("store", &["domain", "task", "telemetry"]),
    ("cache", &["domain", "redis_link", "task", "telemetry"]),
    ("limits", &["domain", "redis_link", "task", "telemetry"]),
    ("upstream", &["domain", "limits", "task", "telemetry"]),
    ("sandbox", &["domain", "task"]),
    ("app", &["domain", "store", "cache", "limits", "upstream", "task", "telemetry"]),
    ("http", &["app", "domain", "task", "telemetry"]),
    (
        "serve",
        &[
            "http",
            "app",
            "domain",
            "store",
            "cache",
            "limits",
            "upstream",
            "config",
            "sandbox",
            "redis_link",
            "task",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "serve",
            "http",
            "app",
            "domain",
            "store",
            "cache",
            "limits",
            "upstream",
            "config",
            "sandbox",
            "redis_link",
            "task",
            "telemetry",
        ],
    ),
];

/// What pure code must not touch.
const BANNED_IN_DOMAIN: &[&str] = &[
    "tokio",
    "tracing",
    "metrics::",
    "std::fs",
    "std::net",
    "std::env",
    "SystemTime",
    "Instant",
    "async fn",
    "getrandom",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn room(src: &Path, file: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Code without comments: a doc comment may name any room.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The first names of the paths in a `{…}` group, nested groups passed over.
fn heads(group: &str) -> Vec<&str> {
    let (mut heads, mut depth, mut begins) = (Vec::new(), 0_usize, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(&group[begins..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(&group[begins..at]);
                begins = at + 1;
            }
            _ => {}
        }
    }
    heads
}

/// The rooms that `crate::…` paths lead to, `use crate::{a::{b, c}, d}` included; in a room's own root file
/// `super::…` leads there too.
fn used_rooms(code: &str, is_root: bool) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let supers = code.split("super::").skip(1).filter(|_| is_root);
    for rest in code.split("crate::").skip(1).chain(supers) {
        let paths = rest.strip_prefix('{').map_or_else(|| vec![rest], heads);
        for path in paths {
            rooms.insert(path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    rooms
}

#[test]
fn rooms_use_only_those_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for file in sources(&src) {
        let name = room(&src, &file);
        if matches!(name.as_str(), "lib" | "main") {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(room, _)| *room == name)
            .unwrap_or_else(|| panic!("{} is in no room that ARCHITECTURE.md knows", file.display()));
        let is_root = file.parent() == Some(&*src) || file.ends_with(format!("{name}/mod.rs"));
        for used in used_rooms(&code(&file), is_root) {
            let known = MAY_USE.iter().any(|(room, _)| *room == used);
            assert!(
                !known || used == name || allowed.contains(&used.as_str()),
                "{}: {name} must not use {used}",
                file.display()
            );
        }
        seen.insert(name);
    }
    assert_eq!(seen.len(), MAY_USE.len(), "a room is gone: {seen:?}");
}

#[test]
fn the_domain_is_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain");
    let files = sources(&src);
    assert!(files.len() > 10);
    for file in files {
        let code = code(&file);
        for banned in BANNED_IN_DOMAIN {
            assert!(!code.contains(banned), "{} uses {banned}", file.display());
        }
    }
}

#[test]
fn every_way_to_name_a_room_is_seen() {
    let code = "use crate::{app::{a, b}, store};\nuse crate::cache::Cache;\nuse super::http::x;";
    let names = |is_root| used_rooms(code, is_root).into_iter().collect::<Vec<_>>();
    assert_eq!(names(false), ["app", "cache", "store"]);
    assert_eq!(names(true), ["app", "cache", "http", "store"]);
}
