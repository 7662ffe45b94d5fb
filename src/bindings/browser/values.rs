//! Values of linked data, between JavaScript's own values and the engine's.

use std::result;

use bytes::Bytes;
use js_sys::{Array, ArrayBuffer, BigInt, Function, JsString, Number, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, prelude::*};

use super::{Cancel, Engine, cancellable, convert};
use crate::{
    block::{self, Cid},
    dag::{MAX_DEPTH, Map, Value},
    error::{Error, Result},
    unixfs::Path,
};

/// The one key of a link, `{ '/': CID }`.
const LINK: &str = "/";

#[wasm_bindgen]
impl Engine {
    /// Stores a value as one block; has its copy of it on return.
    #[wasm_bindgen(js_name = putValue)]
    pub fn put_value(&self, value: JsValue, options: JsValue, cancel: &Cancel) -> Promise {
        let (storage, value) = (self.storage.clone(), read(&value, MAX_DEPTH));
        cancellable(cancel, async move { storage.put_value(&value?, convert::value_options(options)?).await })
    }

    /// What a path leads to. Links become what `link` makes of their CIDs' text, or else `{ '/': CID }`.
    #[wasm_bindgen(js_name = getValue)]
    pub fn get_value(&self, path: String, offline: bool, link: Option<Function>, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        cancellable(cancel, async move {
            let (_, value) = storage.get_value(Path::parse(&path)?, offline).await?;
            write(&value, link.as_ref())
        })
    }
}

fn refused(what: &str) -> Error {
    Error::InvalidArgument(format!("{what} in a value of linked data"))
}

fn read(value: &JsValue, depth: usize) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    if let Some(flag) = value.as_bool() {
        return Ok(Value::Bool(flag));
    }
    if let Some(number) = value.as_f64() {
        // As in other libraries: what JavaScript takes for an integer is one.
        return Ok(match Number::is_safe_integer(value) {
            true => Value::Integer(number as i128),
            false => Value::Float(number),
        });
    }
    if let Some(text) = value.dyn_ref::<JsString>() {
        let text = text.is_valid_utf16().then(|| value.as_string()).flatten();
        return text.map(Value::String).ok_or_else(|| refused("half a surrogate pair"));
    }
    if value.is_bigint() {
        let integer = i128::try_from(value.clone()).map_err(|_| refused("an integer of more than 64 bits"))?;
        return Ok(Value::Integer(integer));
    }
    if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
        return Ok(Value::Bytes(bytes.to_vec().into()));
    }
    if value.is_instance_of::<ArrayBuffer>() {
        return Ok(Value::Bytes(Uint8Array::new(value).to_vec().into()));
    }
    if let Some(cid) = link(value)? {
        return Ok(Value::link(cid));
    }
    let depth = depth.checked_sub(1).ok_or_else(|| refused("lists and maps more than 256 deep, or in themselves,"))?;
    if Array::is_array(value) {
        let items: result::Result<_, Error> = Array::from(value).iter().map(|item| read(&item, depth)).collect();
        return items.map(Value::List);
    }
    let plain = object(value).filter(|object| is_plain(object));
    let plain =
        plain.ok_or_else(|| refused("what is no null, boolean, number, string, Uint8Array, array or plain object"))?;
    let entry = |entry: JsValue| {
        let entry = Array::from(&entry);
        let name = read(&entry.get(0), depth)?;
        let Value::String(name) = name else { return Err(refused("a name that is no string")) };
        Ok((name, read(&entry.get(1), depth)?))
    };
    let entries: result::Result<_, Error> = Object::entries(plain).iter().map(entry).collect();
    Ok(Value::Map(Map::of(entries?).unwrap_or_default()))
}

/// An object of whatever class, realm and prototype.
fn object(value: &JsValue) -> Option<&Object> {
    value.is_object().then(|| value.unchecked_ref())
}

/// Of this realm or another, or without a prototype.
fn is_plain(object: &Object) -> bool {
    let prototype = Object::get_prototype_of(object);
    prototype.is_null() || Object::get_prototype_of(&prototype).is_null()
}

/// The CID that an object is: `{ '/': text }`, or one of the class that other IPFS libraries have.
fn link(value: &JsValue) -> Result<Option<Cid>> {
    let Some(object) = object(value) else { return Ok(None) };
    let Ok(inner) = Reflect::get(object, &LINK.into()) else { return Ok(None) };
    if let Some(bytes) = inner.dyn_ref::<Uint8Array>() {
        let class = Reflect::get(object, &"asCID".into()).is_ok_and(|class| !class.is_undefined());
        return if class { block::from_bytes(&bytes.to_vec()).map(Some) } else { Ok(None) };
    }
    match inner.as_string() {
        Some(text) if Object::keys(object).length() == 1 => block::from_text(&text).map(Some),
        _ => Ok(None),
    }
}

fn write(value: &Value, link: Option<&Function>) -> Result<JsValue> {
    Ok(match value {
        Value::Null => JsValue::NULL,
        Value::Bool(flag) => (*flag).into(),
        Value::Integer(integer) => match *integer as f64 {
            number if Number::is_safe_integer(&number.into()) => number.into(),
            _ => BigInt::from(*integer).into(),
        },
        Value::Float(float) => (*float).into(),
        Value::String(text) => text.into(),
        Value::Bytes(bytes) => Uint8Array::from(Bytes::as_ref(bytes)).into(),
        Value::List(items) => {
            let items: Result<Array> = items.iter().map(|item| write(item, link)).collect();
            items?.into()
        }
        Value::Map(map) => {
            if let [(name, Value::String(_))] = map.entries()
                && name == LINK
            {
                let problem =
                    "a map that would be taken for a link; get the block, and read it with a library for its codec";
                return Err(Error::Unsupported(problem.into()));
            }
            let entry = |(name, value): &(String, Value)| Ok(Array::of2(&name.into(), &write(value, link)?));
            let entries: Result<Array> = map.entries().iter().map(entry).collect();
            // Not one by one: a name may be one that objects inherit.
            Object::from_entries(&entries?.into()).unwrap_or_default().into()
        }
        Value::Link(cid) => {
            let text = JsValue::from(cid.to_string());
            match link {
                None => crate::platform::browser::object(&[(LINK, text)]),
                Some(link) => link.call1(&JsValue::UNDEFINED, &text).map_err(|thrown| {
                    Error::InvalidArgument(format!("the option link failed for {cid}: {thrown:?}"))
                })?,
            }
        }
    })
}
