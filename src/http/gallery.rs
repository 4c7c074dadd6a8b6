//! All pages in one folder, to be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use askama::Template;

use super::page::sample::{self, LOGOS, Variant};
use super::page::{Locale, Page, render};

#[derive(Template)]
#[template(path = "gallery.html")]
struct Index {
    groups: Vec<Group>,
}

/// One page, in all its situations.
struct Group {
    name: &'static str,
    status: u16,
    reason: Option<&'static str>,
    rows: Vec<Row>,
}

/// One situation, in every variant and language.
struct Row {
    label: &'static str,
    shown: Vec<Shown>,
}

struct Shown {
    file: String,
    variant: String,
}

/// Writes every page in every language and variant into `out`, which is made when it is missing,
/// with an `index.html` that shows them, light and dark, grouped by page. Right-to-left variants are
/// in the mirrored pseudo-language, in addition to the real ones. Files of the same names are
/// overwritten, others left alone. Returns what was written, the index first.
///
/// # Errors
///
/// When the folder cannot be made or a file cannot be written; the message names it.
pub fn write(out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let mirrored = Locale::pseudo_rtl();
    let mut written = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    for sample in sample::all() {
        let mut shown = Vec::new();
        for variant in Variant::ALL {
            let pseudo = (variant == Variant::Rtl).then_some(&mirrored);
            for locale in Locale::all().iter().chain(pseudo) {
                let rendered = render(&sample.page, &variant.parties(sample.known), locale);
                let file = format!("{}.{}.{}.html", sample.label, variant.name(), locale.tag());
                written.push(put(out, &file, rendered.html())?);
                let variant = format!("{} {}", variant.name(), locale.tag());
                shown.push(Shown { file, variant });
            }
        }
        let label = sample.label;
        group_of(&mut groups, &sample.page)
            .rows
            .push(Row { label, shown });
    }
    for (file, logo) in LOGOS {
        written.push(put(out, file, logo)?);
    }
    written.insert(0, put(out, "index.html", &Index { groups }.render()?)?);
    Ok(written)
}

/// The group that shows `page`; a new one, at the end, for the first of its name.
fn group_of<'a>(groups: &'a mut Vec<Group>, page: &Page) -> &'a mut Group {
    let at = groups.iter().position(|group| group.name == page.name());
    let at = at.unwrap_or_else(|| {
        groups.push(Group {
            name: page.name(),
            status: page.status().as_u16(),
            reason: page.reason(),
            rows: Vec::new(),
        });
        groups.len() - 1
    });
    &mut groups[at]
}

fn put(out: &Path, file: &str, content: &str) -> anyhow::Result<PathBuf> {
    let path = out.join(file);
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_shows_and_links_every_page_that_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/gallery");
        let written = write(&out).unwrap();
        let index = fs::read_to_string(&written[0]).unwrap();
        let pages: Vec<_> = written[1..]
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "html"))
            .collect();
        assert!(pages.len() > 100);
        for page in pages {
            let file = page.file_name().unwrap().to_str().unwrap();
            assert!(index.contains(&format!("href=\"{file}\"")), "{file}");
            let frame = format!(" data-src=\"{file}\" ");
            assert_eq!(index.matches(&frame).count(), 2, "{file}, light and dark");
            assert!(
                fs::read_to_string(page).unwrap().contains("</html>"),
                "{file}"
            );
        }
        assert_eq!(fs::read_dir(&out).unwrap().count(), written.len());
        assert!(index.contains("Status 410, reason SESSION_ERROR"));
        for elsewhere in ["http://", "https://", "url("] {
            assert!(!index.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write(&file.join("gallery")).unwrap_err();
        assert!(format!("{error:#}").contains("gallery"), "{error:#}");
    }
}
