//! Archives: `car import`, `car export`, `car forget`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    input::Input,
    output::{Output, size},
};
use crate::{
    error::Result,
    platform::{
        files::RandomAccessFile,
        wasi::{files::WasiFile, run as wait},
    },
    storage::{CarExportOptions, CarImport, CarImportOptions, Storage},
    unixfs::Path,
};

/// What to do with archives.
pub enum Car {
    Import { file: String, pin: bool, resume: bool },
    Export { paths: Vec<String>, output: Option<String>, options: CarExportOptions },
    Forget { file: String },
}

pub fn run(storage: &Storage, command: Car, strict: bool, output: &Output) -> Result<()> {
    match command {
        Car::Import { file, pin, resume } => import(storage, &file, pin, resume, output),
        Car::Export { paths, output: to, options } => export(storage, &paths, to, options, strict, output),
        Car::Forget { file } => {
            let mut importer = wait(storage.car_importer(resumable(&file, false)))?;
            wait(importer.abort())?;
            output.line(json!({ "file": file, "forgotten": true }), &format!("forgotten {file}"))
        }
    }
}

/// An import goes on under the name of its file.
fn resumable(file: &str, pin: bool) -> CarImportOptions {
    CarImportOptions { pin, resume: Some(file.to_owned()) }
}

fn import(storage: &Storage, file: &str, pin: bool, resume: bool, output: &Output) -> Result<()> {
    let options = if resume { resumable(file, pin) } else { CarImportOptions { pin, resume: None } };
    let mut importer = wait(storage.car_importer(options))?;
    let imported = feed(&mut importer, file, output);
    // What can be resumed stays, also when the file could not be read.
    wait(async {
        importer.close().await;
        Ok(())
    })?;
    let CarImport { roots, blocks, bytes } = imported?;
    output.clear_progress();
    let told: Vec<Value> = roots
        .iter()
        .map(|root| json!({ "cid": root.cid.to_string(), "whole": root.whole, "pinned": root.pinned }))
        .collect();
    let mut text = format!("imported {blocks} blocks, {}", size(bytes));
    for root in &roots {
        let pinned = if root.pinned { ", pinned" } else { "" };
        let whole = if root.whole { "" } else { ", not whole: pin it to fetch the rest" };
        text += &format!("\nroot {}{pinned}{whole}", root.cid);
    }
    output.line(json!({ "roots": told, "blocks": blocks, "bytes": bytes }), &text)
}

fn feed(importer: &mut crate::storage::CarImporter, file: &str, output: &Output) -> Result<CarImport> {
    let mut input = Input::open(file)?;
    input.skip(importer.position())?;
    while let Some(bytes) = input.next()? {
        wait(importer.write(bytes.into()))?;
        let (done, total) = input.progress();
        output.progress(file, done, total);
    }
    wait(importer.finish())
}

fn export(
    storage: &Storage,
    paths: &[String],
    to: Option<String>,
    options: CarExportOptions,
    strict: bool,
    output: &Output,
) -> Result<()> {
    let paths = paths.iter().map(|path| Path::parse(path)).collect::<Result<_>>()?;
    let mut exporter = wait(storage.car_exporter(paths, options))?;
    let total = exporter.size();
    let mut done = 0;
    let mut copy = |shown: &str, take: &mut dyn FnMut(u64, &Bytes) -> Result<()>| -> Result<()> {
        while let Some(bytes) = wait(exporter.next())? {
            take(done, &bytes)?;
            done += bytes.len() as u64;
            output.progress(shown, done, if shown.is_empty() { 0 } else { total });
        }
        Ok(())
    };
    let Some(path) = to.filter(|to| to != "-") else { return copy("", &mut |_, bytes| output.bytes(bytes)) };
    let file = WasiFile::create(&path)?;
    let written = copy(&path, &mut |at, bytes| file.write_at(at, bytes));
    let written = written.and_then(|()| if strict { file.sync() } else { Ok(()) });
    // Half an archive must not be taken for a whole one.
    written.inspect_err(|_| WasiFile::remove(&path))?;
    output.clear_progress();
    output.line(json!({ "size": total, "output": path }), &format!("{} to {path}", size(total)))
}
