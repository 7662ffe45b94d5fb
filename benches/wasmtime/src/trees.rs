//! A tree of 10,000 files of 4 KiB in folders, as `../trees.mjs` makes it, and one directory of 20,000 small ones: stored,
//! listed, and looked into at random.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    host::{Durability, Host},
    peak_memory, print, seconds, timed,
};

const ENTRIES: u64 = 20_000;
/// Entries in one page of a listing.
const PAGE: u32 = 10_000;

pub fn measure(folder: &Path) -> Result<()> {
    let mut figures = Vec::new();
    for (durability, suffix) in [(Durability::Relaxed, ""), (Durability::Strict, "Strict")] {
        let mut host = Host::open(folder, &format!("trees{suffix}"), durability)?;
        let (mut tree, mut wide) = (String::new(), String::new());
        let import = timed(|| Ok(tree = host.store_folder("/data/tree")?))?;
        let import_wide = timed(|| Ok(wide = host.store_tree((0..ENTRIES).map(|number| Ok(entry(number))))?))?;
        figures.push((format!("import{suffix}"), seconds(import)));
        figures.push((format!("importWide{suffix}"), seconds(import_wide)));
        if suffix.is_empty() {
            figures.push(("tree".into(), format!("{tree:?}")));
            figures.push(("wide".into(), format!("{wide:?}")));
            figures.push(("heapImport".into(), host.heap().to_string()));
            host.close()?;
            read(folder, &tree, &wide, &mut figures)?;
        }
    }
    // The same files, handed over one by one.
    let mut host = Host::open(folder, "pieces", Durability::Relaxed)?;
    let paths = lines(folder, "tree.files")?;
    let one_by_one = timed(|| {
        let file = |path: &String| Ok((path.clone(), fs::read(folder.join("tree").join(path))?));
        host.store_tree(paths.iter().map(file))?;
        Ok(())
    })?;
    figures.push(("importEach".into(), seconds(one_by_one)));
    figures.push(("memory".into(), peak_memory()?.to_string()));
    print(&figures);
    Ok(())
}

/// In a store that was opened anew, so that nothing is in memory but what listing and looking up have put there.
fn read(folder: &Path, tree: &str, wide: &str, figures: &mut Vec<(String, String)>) -> Result<()> {
    let mut host = Host::open(folder, "trees", Durability::Relaxed)?;
    let mut entries = 0;
    let list = timed(|| Ok(entries = host.list(wide, PAGE)?))?;
    ensure!(entries == ENTRIES as usize, "{entries} entries");
    figures.push(("list".into(), seconds(list)));
    host.close()?;

    for (name, root, chosen) in [("Tree", tree, "tree.chosen"), ("Wide", wide, "wide.chosen")] {
        let chosen: Vec<String> = lines(folder, chosen)?.iter().map(|path| format!("{root}/{path}")).collect();
        let mut host = Host::open(folder, "trees", Durability::Relaxed)?;
        let stat = timed(|| {
            chosen.iter().try_for_each(|path| {
                let size = host.stat(path)?.size;
                ensure!(size.is_some_and(|size| size > 0), "{path} has no size");
                Ok(())
            })
        })?;
        host.close()?;
        let mut host = Host::open(folder, "trees", Durability::Relaxed)?;
        let get = timed(|| chosen.iter().try_for_each(|path| Ok(drop(host.retrieve(path)?))))?;
        figures.push((format!("stat{name}"), seconds(stat)));
        figures.push((format!("get{name}"), seconds(get)));
    }
    Ok(())
}

/// The lines of FOLDER/NAME.
fn lines(folder: &Path, name: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(folder.join(name)).with_context(|| format!("{name} is not there"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// One entry of the wide directory, as `../entries.mjs` has it.
fn entry(number: u64) -> (String, Vec<u8>) {
    let name = format!("entry-{number:05}");
    let data = format!("This is what is in {name}.\n");
    (name, data.into())
}
