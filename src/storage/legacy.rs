//! Importing the folder of the Python cache that came before: files named `bafy` and the first 56 hexadecimal digits of
//! their SHA2-256, which are no CIDs, and beside them `<key>.meta`, JSON with a filename and a pin.

use std::{collections::BTreeMap, rc::Rc};

use sha2::{Digest, Sha256};

use super::{Storage, StoreOptions, options::MAX_FILENAME};
use crate::{
    error::{Error, Result},
    json::Json,
    platform::files::Directory,
    tier::StoredRoot,
};

const PREFIX: &str = "bafy";
const META: &str = ".meta";

/// Bytes of the digest in a key: each is two digits.
const DIGEST_BYTES: usize = 28;

/// Read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Longest metadata that is read: a filename has 4,096 bytes at most.
const MAX_META_BYTES: usize = 64 * 1024;

/// What became of one key of the old cache.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The old key.
    pub key: String,
    /// The file under its CID, or why it is not stored.
    pub stored: Result<StoredRoot>,
    /// Whether its bytes are not those that the key was made of: they have changed since. They are stored all the same.
    pub changed: bool,
    /// Why its metadata were passed over, if they were.
    pub ignored: Option<String>,
}

/// An import under way: each file is committed on its own, and going over the folder again gives the same.
pub struct LegacyImport {
    storage: Storage,
    folder: Rc<dyn Directory>,
    keys: std::collections::btree_map::IntoIter<String, Found>,
}

/// What there is of a key.
#[derive(Default)]
struct Found {
    file: bool,
    meta: bool,
}

#[derive(Default)]
struct Metadata {
    filename: Option<String>,
    pinned: bool,
}

impl Storage {
    /// Begins to import an old cache. Files with other names than those of such a cache are let alone, and nothing in the
    /// folder is changed.
    pub async fn import_legacy(&self, folder: Rc<dyn Directory>) -> Result<LegacyImport> {
        let mut keys: BTreeMap<String, Found> = BTreeMap::new();
        for name in folder.list().await? {
            let (key, is_meta) = name.strip_suffix(META).map_or((name.as_str(), false), |key| (key, true));
            if is_key(key) {
                let found = keys.entry(key.to_owned()).or_default();
                found.meta |= is_meta;
                found.file |= !is_meta;
            }
        }
        Ok(LegacyImport { storage: self.clone(), folder, keys: keys.into_iter() })
    }
}

impl LegacyImport {
    /// Imports the next one, in the order of the keys; none are left when it is none. One that fails fails no other.
    pub async fn next(&mut self) -> Option<Imported> {
        let (key, found) = self.keys.next()?;
        if !found.file {
            let detail = format!("{key}{META} is there, and the file that it belongs to is not");
            return Some(Imported {
                stored: Err(Error::Corrupt { cid: None, detail }),
                key,
                changed: false,
                ignored: None,
            });
        }
        let (metadata, ignored) = match found.meta {
            false => (Metadata::default(), None),
            true => match self.metadata(&key).await {
                Ok(metadata) => (metadata, None),
                Err(why) => (Metadata::default(), Some(why)),
            },
        };
        let (stored, changed) = match self.store(&key, metadata).await {
            Ok((stored, changed)) => (Ok(stored), changed),
            Err(error) => (Err(error), false),
        };
        Some(Imported { key, stored, changed, ignored })
    }

    /// Stores a file. Tells whether it has changed since it got its key.
    async fn store(&self, key: &str, metadata: Metadata) -> Result<(StoredRoot, bool)> {
        let file = self.folder.open_to_read(key).await?;
        let Metadata { filename, pinned } = metadata;
        let mut writer = self.storage.writer(StoreOptions { filename, pin: pinned, ..StoreOptions::default() })?;
        let (mut hash, mut done) = (Sha256::new(), 0);
        loop {
            let bytes = match file.read_at(done, READ_BYTES) {
                Ok(bytes) => bytes,
                Err(error) => {
                    writer.abort().await;
                    return Err(error);
                }
            };
            if bytes.is_empty() {
                break;
            }
            done += bytes.len() as u64;
            hash.update(&bytes);
            writer.write(bytes.into()).await?;
        }
        let stored = writer.finish().await?;
        let digits: String = hash.finalize().iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Ok((stored, key.strip_prefix(PREFIX) != Some(digits.as_str())))
    }

    /// The metadata, as far as this engine keeps them; or why they cannot be used.
    async fn metadata(&self, key: &str) -> Result<Metadata, String> {
        let said = |error: Error| error.to_string();
        let file = self.folder.open_to_read(&format!("{key}{META}")).await.map_err(said)?;
        let text = file.read_at(0, MAX_META_BYTES + 1).map_err(said)?;
        if text.len() > MAX_META_BYTES {
            return Err(format!("its metadata have more than {MAX_META_BYTES} bytes"));
        }
        let json = Json::one(&text).and_then(Json::object).map_err(|_| "its metadata are no JSON object".to_owned())?;
        let filename = match json.get("filename") {
            None => None,
            Some(name) => Some(name.text().ok_or("its filename is no text")?),
        };
        if filename.as_ref().is_some_and(|name| name.len() > MAX_FILENAME) {
            return Err(format!("its filename has more than {MAX_FILENAME} bytes"));
        }
        let pinned = match json.get("pinned").or_else(|| json.get("pin")) {
            None => false,
            Some(pinned) => pinned.flag().ok_or("its pin is neither true nor false")?,
        };
        Ok(Metadata { filename, pinned })
    }
}

fn is_key(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == 2 * DIGEST_BYTES && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}
