//! Names that lead to CIDs.

use super::{
    Component, OpenStore,
    world::exports::ipfs_kit::storage::{
        names::{Expected, Guest, NamePage, Named},
        storage::HandleBorrow,
    },
};
use crate::{bindings::wit::Error, block, error, platform::wasi::run, storage};

impl Guest for Component {
    fn set_name(store: HandleBorrow<'_>, name: String, cid: String, expected: Expected) -> Result<Named, Error> {
        let (cid, expected) = (block::parse(&cid)?, parsed(expected)?);
        Ok(run(store.get::<OpenStore>().storage.set_name(&name, &cid, expected))?.into())
    }

    fn get_name(store: HandleBorrow<'_>, name: String) -> Result<Named, Error> {
        Ok(run(store.get::<OpenStore>().storage.get_name(&name))?.into())
    }

    fn remove_name(store: HandleBorrow<'_>, name: String, expected: Expected) -> Result<(), Error> {
        let expected = parsed(expected)?;
        Ok(run(store.get::<OpenStore>().storage.remove_name(&name, expected))?)
    }

    fn list_names(
        store: HandleBorrow<'_>,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<NamePage, Error> {
        let storage = &store.get::<OpenStore>().storage;
        let page = run(storage.list_names(&prefix, after.as_deref(), limit as usize))?;
        Ok(NamePage { names: page.names.into_iter().map(Named::from).collect(), next: page.next })
    }
}

fn parsed(expected: Expected) -> error::Result<storage::Expected> {
    Ok(match expected {
        Expected::Any => storage::Expected::Any,
        Expected::Absent => storage::Expected::Absent,
        Expected::Cid(cid) => storage::Expected::Cid(block::parse(&cid)?),
    })
}

impl From<storage::Named> for Named {
    fn from(named: storage::Named) -> Self {
        let storage::Named { name, cid, modified } = named;
        Named { name, cid: cid.to_string(), modified }
    }
}
