//! The reference page lists every key as the table has it. `UPDATE_REFERENCE=1` writes its lists anew.

use std::fmt::Write;
use std::path::Path;

use dspex_actors::PoolClass;

use super::key::{KEYS, Key, OF_POOLS, Preset};
use super::pools;

const PAGE: &str = "docs/src/reference/configuration.md";
const BEGIN: &str = "<!-- from the table of keys: UPDATE_REFERENCE=1 writes it anew -->\n";
const END: &str = "<!-- end of the table -->\n";

#[test]
fn the_page_lists_what_the_table_has() {
    // Asked now, not when this was built: checkouts may share what they build.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo");
    let path = Path::new(&package).join("..").join(PAGE);
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("the page says where the lists begin");
    let (written, after) = rest.split_once(END).expect("the page says where the lists end");
    let lists = lists();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{lists}{END}{after}")).expect("a page that can be written");
        return;
    }
    assert!(written == lists, "{PAGE} is out of date: run this test with UPDATE_REFERENCE=1");
}

fn lists() -> String {
    let mut page = String::new();
    let mut section = None;
    for key in KEYS.iter().filter(|key| key.section != OF_POOLS) {
        if section != Some(key.section) {
            section = Some(key.section);
            let heading = if key.section.is_empty() {
                "At the top".to_owned()
            } else {
                format!("`[{}]`", key.section.replace(".*", ".NAME"))
            };
            // Writing to a string does not fail.
            let _ = write!(page, "\n## {heading}\n\n| Key | Default | Must be | Says |\n|---|---|---|---|\n");
        }
        let _ = writeln!(page, "| `{}` | {} | {} | {} |", key.name, default(key), key.kind.allowed(), key.says);
    }
    page.push_str("\n## `[pools.general]`, `[pools.optimizer]`, `[pools.inference]`\n\n");
    page.push_str("| Key | general | optimizer | inference | Must be | Says |\n|---|---|---|---|---|---|\n");
    for key in KEYS.iter().filter(|key| key.section == OF_POOLS) {
        let _ = write!(page, "| `{}` |", key.name);
        for class in PoolClass::ALL {
            let _ = write!(page, " {} |", default_of(class, key.name));
        }
        let _ = writeln!(page, " {} | {} |", key.kind.allowed(), key.says);
    }
    page.push('\n');
    page
}

fn default(key: &Key) -> String {
    match key.preset {
        Preset::Text(text) => format!("`{text}`"),
        Preset::Number(number) => format!("`{number}`"),
        Preset::Nothing(words) | Preset::Depends(words, _) => words.to_owned(),
        Preset::OfClass => String::new(),
    }
}

fn default_of(class: PoolClass, name: &str) -> String {
    let on = |cpus| pools::preset(class, name, cpus, true).map(|value| value.to_string());
    match (on(1), on(2)) {
        (Some(one), Some(two)) if one != two => {
            let most = on(1000).unwrap_or_default();
            let each = if one == "1" { "CPUs".to_owned() } else { format!("{one} x CPUs") };
            format!("{each}, at most {most}")
        }
        (one, _) => one.unwrap_or_else(|| "none".to_owned()),
    }
}
