//! Values of linked data: `dag put` and `dag get`, with the options that Kubo's commands of these names have.

use super::{input::Input, output::Output, trees::object};
use crate::{
    block::{Codec, MAX_BLOCK_BYTES},
    dag,
    error::{Error, Result},
    platform::wasi::run as wait,
    storage::{Storage, ValueOptions},
    unixfs::Path,
};

/// Longest input: dag-json of a block of bytes alone is four thirds of it, and of small items up to six times as long.
const MAX_INPUT: usize = 8 * MAX_BLOCK_BYTES;

/// Puts the value that a file, or standard input, holds.
pub fn put(storage: &Storage, file: &str, input: Codec, options: ValueOptions, output: &Output) -> Result<()> {
    let bytes = Input::open(file)?.whole(MAX_INPUT)?.ok_or_else(|| {
        Error::InvalidArgument(format!("a value of more than {MAX_INPUT} bytes; put parts of it, and link to them"))
    })?;
    let value = dag::decode(input, &bytes.into()).map_err(|malformed| Error::InvalidArgument(malformed.to_string()))?;
    let stored = wait(storage.put_value(&value, options))?;
    output.line(object(&stored.clone().into()), &stored.root.cid.to_string())
}

/// Prints what a path leads to.
pub fn get(storage: &Storage, path: &str, codec: Codec, offline: bool, output: &Output) -> Result<()> {
    let (_, value) = wait(storage.get_value(Path::parse(path)?, offline))?;
    let mut bytes = dag::encode(codec, &value).map_err(|unsaid| Error::Unsupported(unsaid.to_string()))?;
    if codec == Codec::DagJson {
        bytes.push(b'\n');
    }
    output.bytes(&bytes)
}
