//! That `wit/` says what each of its items is.

use anyhow::Result;
use std::path::Path;
use wit_parser::{Docs, Resolve, TypeDef, TypeDefKind, WorldItem};

/// What of a type has no docs, the type included.
fn undocumented(name: &str, ty: &TypeDef) -> Vec<String> {
    let part = |part: &str, docs: &Docs| docs.is_empty().then(|| format!("{name}.{part}"));
    let mut found: Vec<String> = match &ty.kind {
        TypeDefKind::Record(record) => {
            record.fields.iter().filter_map(|field| part(&field.name, &field.docs)).collect()
        }
        TypeDefKind::Variant(variant) => variant.cases.iter().filter_map(|case| part(&case.name, &case.docs)).collect(),
        TypeDefKind::Enum(cases) => cases.cases.iter().filter_map(|case| part(&case.name, &case.docs)).collect(),
        TypeDefKind::Flags(flags) => flags.flags.iter().filter_map(|flag| part(&flag.name, &flag.docs)).collect(),
        // What is only used from elsewhere has its docs there.
        TypeDefKind::Type(_) => return Vec::new(),
        _ => Vec::new(),
    };
    found.extend(ty.docs.is_empty().then(|| name.to_owned()));
    found
}

fn of(directory: &str) -> Result<(usize, Vec<String>)> {
    let mut wit = Resolve::new();
    let (package, _) = wit.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory))?;
    let package = &wit.packages[package];
    let (mut items, mut found) = (0, Vec::new());
    for (name, &id) in &package.interfaces {
        let interface = &wit.interfaces[id];
        found.extend(interface.docs.is_empty().then(|| name.clone()));
        for (item, &id) in &interface.types {
            found.extend(undocumented(&format!("{name}.{item}"), &wit.types[id]));
        }
        for (item, function) in &interface.functions {
            found.extend(function.docs.is_empty().then(|| format!("{name}.{item}")));
        }
        items += interface.types.len() + interface.functions.len();
    }
    for (name, &id) in &package.worlds {
        let world = &wit.worlds[id];
        found.extend(world.docs.is_empty().then(|| name.clone()));
        for item in world.imports.values().chain(world.exports.values()) {
            if let WorldItem::Function(function) = item {
                found.extend(function.docs.is_empty().then(|| format!("{name}.{}", function.name)));
            }
        }
    }
    Ok((items, found))
}

#[test]
fn everything_is_documented() -> Result<()> {
    for directory in ["wit", "wit/p3"] {
        let (items, found) = of(directory)?;
        assert!(items > 10, "{directory} has only {items} items");
        assert_eq!(found, Vec::<String>::new(), "these of {directory} have no docs");
    }
    Ok(())
}
