//! Backends by what is given to open a store: objects with a kind, a name, and what that kind needs. What each must have says
//! `BackendOptions` in `npm/index.d.ts`.

use std::rc::Rc;

use async_trait::async_trait;
use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;

use super::{
    calls,
    convert::{Options, texts, unknown},
};
use crate::{
    backend::{Action, Archive, Backend, Backends, Endpoint, KuboNode, Limits, Retries, S3, Secret, Signer},
    error::{Error, Result as Outcome},
    platform::{
        browser::{BrowserClock, BrowserNetwork, message, object},
        http::Http,
    },
    remote::{Failure, shortened},
};

/// What all kinds can be given.
const ALL: [&str; 4] = ["kind", "name", "atOnce", "bytesPerSecond"];

/// The backends of a store.
pub fn backends(given: &Options, http: Rc<dyn Http>) -> Outcome<Option<Rc<Backends>>> {
    let given = given.get("backends", "a list of objects", |value| value.dyn_into::<Array>().ok())?;
    let Some(given) = given.filter(|given| given.length() > 0) else { return Ok(None) };
    let backends = given.iter().map(|one| backend(one, &http)).collect::<Outcome<_>>()?;
    let (clock, network) = (Rc::new(BrowserClock), Rc::new(BrowserNetwork));
    Ok(Some(Rc::new(Backends::new(backends, Retries::default(), clock, network)?)))
}

fn backend(given: JsValue, http: &Rc<dyn Http>) -> Outcome<(Rc<dyn Backend>, Limits)> {
    let given = Options::of(given);
    let backend: Rc<dyn Backend> = match needs(&given, "kind")?.as_str() {
        "kubo" => Rc::new(kubo(&given, http.clone())?),
        "s3" => Rc::new(s3(&given, http.clone())?),
        "archive" => Rc::new(archive(&given, http.clone())?),
        other => return Err(unknown("kind of backend", other, "kubo, s3, archive")),
    };
    let limits = Limits {
        at_once: given.number("atOnce")?.map_or(Limits::default().at_once, |at_once| at_once as usize),
        bytes_per_second: given.number("bytesPerSecond")?.map(|bytes| bytes as u64),
    };
    Ok((backend, limits))
}

/// That nothing is given but what all kinds can be given, and this.
fn only(given: &Options, own: &[&str]) -> Outcome<()> {
    given.only(&[&ALL, own].concat())
}

fn needs(given: &Options, name: &str) -> Outcome<String> {
    given.text(name)?.ok_or_else(|| without(name))
}

fn without(name: &str) -> Error {
    Error::InvalidArgument(format!("a backend without {name}"))
}

fn kubo(given: &Options, http: Rc<dyn Http>) -> Outcome<KuboNode> {
    only(given, &["url"])?;
    KuboNode::new(http, &needs(given, "name")?, &needs(given, "url")?)
}

fn s3(given: &Options, http: Rc<dyn Http>) -> Outcome<S3> {
    only(given, &["prefix", "sign"])?;
    let sign = given.get("sign", "a function", |value| value.dyn_into().ok())?.ok_or_else(|| without("sign"))?;
    let prefix = given.text("prefix")?.unwrap_or_default();
    S3::new(http, Rc::new(JsSigner(sign)), Rc::new(BrowserClock), &needs(given, "name")?, &prefix)
}

fn archive(given: &Options, http: Rc<dyn Http>) -> Outcome<Archive> {
    only(given, &["upload", "pins", "gateway", "token", "by", "origins"])?;
    let token = given.text("token")?.map(Secret::new).transpose()?;
    let endpoint = |name| Ok::<_, Error>(Endpoint { url: needs(given, name)?, token: token.clone() });
    let (name, gateway) = (needs(given, "name")?, needs(given, "gateway")?);
    let archive = Archive::new(http, &name, endpoint("upload")?, endpoint("pins")?, &gateway)?;
    let archive = match given.text("by")?.as_deref() {
        None | Some("post") => archive,
        Some("put") => archive.by_put(),
        Some(other) => return Err(unknown("way to upload", other, "post and put")),
    };
    archive.with_origins(given.get("origins", "a list of strings", texts)?.unwrap_or_default())
}

/// A function that signs.
struct JsSigner(Function);

#[async_trait(?Send)]
impl Signer for JsSigner {
    async fn sign(&self, action: Action<'_>) -> Result<String, Failure> {
        let query: Vec<(&str, JsValue)> = action.query.iter().map(|(name, value)| (*name, (*value).into())).collect();
        let request =
            object(&[("method", action.method.name().into()), ("key", action.key.into()), ("query", object(&query))]);
        let signed = calls::call(&self.0, &JsValue::UNDEFINED, &[request]).await;
        // Whatever it throws says nothing of what the bucket has.
        let failed = |thrown| Failure::Unreachable(format!("it is not signed for: {}", shortened(&message(&thrown))));
        signed
            .map_err(failed)?
            .as_string()
            .ok_or_else(|| Failure::Refused("what was to sign for it gave no URL".into()))
    }
}
