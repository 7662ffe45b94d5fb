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
    backend::{
        Action, Archive, Backend, Backends, Cluster, Credentials, Endpoint, KuboNode, Layout, Limits, Retries, S3,
        Secret, Signer,
    },
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
        "cluster" => Rc::new(cluster(&given, http.clone())?),
        "s3" => Rc::new(s3(&given, http.clone())?),
        "archive" => Rc::new(archive(&given, http.clone())?),
        other => return Err(unknown("kind of backend", other, "kubo, cluster, s3, archive")),
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

fn cluster(given: &Options, http: Rc<dyn Http>) -> Outcome<Cluster> {
    only(given, &["api", "gateway"])?;
    Cluster::new(http, &needs(given, "name")?, endpoint(given, "api")?, &needs(given, "gateway")?)
}

/// A URL, or an object of one and of what the service wants to see.
fn endpoint(given: &Options, name: &str) -> Outcome<Endpoint> {
    let service =
        given.get(name, "a URL, or an object", |value| (value.is_string() || value.is_object()).then_some(value))?;
    let service = service.ok_or_else(|| without(name))?;
    if let Some(url) = service.as_string() {
        return Ok(Endpoint { url, credentials: None });
    }
    let given = Options::known(service, &["url", "token", "user", "password"])?;
    let secret = |name| given.text(name)?.map(Secret::new).transpose();
    let credentials = match (secret("token")?, given.text("user")?, secret("password")?) {
        (None, None, None) => None,
        (Some(token), None, None) => Some(Credentials::Bearer(token)),
        (None, Some(user), Some(password)) => Some(Credentials::Basic { user, password }),
        _ => return Err(Error::InvalidArgument("a service wants a token, or a user and a password".into())),
    };
    Ok(Endpoint { url: needs(&given, "url")?, credentials })
}

fn s3(given: &Options, http: Rc<dyn Http>) -> Outcome<S3> {
    only(given, &["prefix", "layout", "sign"])?;
    let sign = given.get("sign", "a function", |value| value.dyn_into().ok())?.ok_or_else(|| without("sign"))?;
    let prefix = given.text("prefix")?.unwrap_or_default();
    let layout = match given.text("layout")?.as_deref() {
        None | Some("car") => Layout::Archives,
        Some("blocks") => Layout::Blocks,
        Some(other) => return Err(unknown("layout of a bucket", other, "car, blocks")),
    };
    let s3 = S3::new(http, Rc::new(JsSigner(sign)), Rc::new(BrowserClock), &needs(given, "name")?, &prefix)?;
    Ok(s3.laid_out(layout))
}

fn archive(given: &Options, http: Rc<dyn Http>) -> Outcome<Archive> {
    only(given, &["upload", "pins", "gateway", "by", "origins"])?;
    let (name, gateway) = (needs(given, "name")?, needs(given, "gateway")?);
    let archive = Archive::new(http, &name, endpoint(given, "upload")?, endpoint(given, "pins")?, &gateway)?;
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
