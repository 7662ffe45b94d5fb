//! Values of linked data, in bytes of a codec.

use super::{
    Component, OpenStore, convert,
    world::exports::ipfs_kit::storage::{
        storage::HandleBorrow,
        values::{FoundValue, Guest, ValueCodec, ValueOptions},
    },
};
use crate::{
    bindings::wit::{Error, FileInfo},
    block::Codec,
    dag::{self, Malformed},
    error,
    platform::wasi::run,
    storage,
    unixfs::Path,
};

impl Guest for Component {
    fn put_value(
        store: HandleBorrow<'_>,
        value: Vec<u8>,
        given: ValueCodec,
        options: ValueOptions,
    ) -> Result<FileInfo, Error> {
        let ValueOptions { store_codec, hash, filename, pin, offline } = options;
        let refused = |malformed: Malformed| error::Error::InvalidArgument(malformed.to_string());
        let value = dag::decode(codec(given), &value.into()).map_err(refused)?;
        let standard = storage::ValueOptions::default();
        let options = storage::ValueOptions {
            codec: store_codec.map_or(standard.codec, codec),
            hash: hash.map_or(standard.hash, convert::hash),
            filename,
            pin,
            offline,
        };
        Ok(run(store.get::<OpenStore>().storage.put_value(&value, options))?.into())
    }

    fn get_value(
        store: HandleBorrow<'_>,
        path: String,
        wanted: ValueCodec,
        offline: bool,
    ) -> Result<FoundValue, Error> {
        let path = Path::parse(&path)?;
        let (place, value) = run(store.get::<OpenStore>().storage.get_value(path, offline))?;
        let unsaid = |malformed: Malformed| error::Error::Unsupported(malformed.to_string());
        let bytes = dag::encode(codec(wanted), &value).map_err(unsaid)?;
        Ok(FoundValue { bytes, cid: place.cid.to_string(), within: place.within })
    }
}

fn codec(codec: ValueCodec) -> Codec {
    match codec {
        ValueCodec::DagCbor => Codec::DagCbor,
        ValueCodec::DagJson => Codec::DagJson,
    }
}
