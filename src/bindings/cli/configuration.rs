//! The file of `--backends`: who keeps copies, and where copies are to be.

use serde_json::{Map, Value};

use crate::{
    backend::{Credentials, Endpoint, Layout, Limits, Secret},
    bindings::backends::{Bucket, Configured, Keeper},
    error::{Error, Result},
    platform::wasi::variable,
    storage::{ArchiveRule, ReadBack, ReplicationPolicy},
};

/// Backends, and the policy of the store.
#[derive(Default)]
pub struct Configuration {
    pub backends: Vec<Configured>,
    pub policy: ReplicationPolicy,
}

impl Configuration {
    /// What a text of JSON says.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let whole = serde_json::from_slice(json).map_err(|error| wrong(&error.to_string()))?;
        let mut given = Fields::of(whole, "the whole")?;
        let backends = given.list("backends")?.into_iter().map(backend).collect::<Result<_>>()?;
        let policy = given.take("policy").map_or_else(|| Ok(ReplicationPolicy::default()), policy)?;
        given.end()?;
        Ok(Configuration { backends, policy })
    }
}

fn wrong(problem: &str) -> Error {
    Error::InvalidArgument(format!("in what configures the backends: {problem}"))
}

fn backend(given: Value) -> Result<Configured> {
    let mut given = Fields::of(given, "a backend")?;
    let name = given.text("name")?;
    let keeper = match given.text("kind")?.as_str() {
        "kubo" => Keeper::Kubo { url: given.text("url")? },
        "cluster" => Keeper::Cluster { api: given.endpoint("api")?, gateway: given.text("gateway")? },
        "s3" => Keeper::S3(Bucket {
            endpoint: given.text("endpoint")?,
            region: given.text("region")?,
            name: given.text("bucket")?,
            prefix: given.optional_text("prefix")?.unwrap_or_default(),
            layout: match given.optional_text("layout")?.as_deref() {
                None | Some("car") => Layout::Archives,
                Some("blocks") => Layout::Blocks,
                Some(other) => return Err(wrong(&format!("the layout {other:?}; there are car and blocks"))),
            },
            access_key: given.secret("accessKey")?.ok_or_else(|| given.lacks("accessKey"))?,
            secret_key: given.secret("secretKey")?.ok_or_else(|| given.lacks("secretKey"))?,
            session_token: given.secret("sessionToken")?,
        }),
        "archive" => Keeper::Archive {
            upload: given.endpoint("upload")?,
            by_put: match given.optional_text("by")?.as_deref() {
                None | Some("post") => false,
                Some("put") => true,
                Some(other) => return Err(wrong(&format!("by {other:?}; there are post and put"))),
            },
            pins: given.endpoint("pins")?,
            gateway: given.text("gateway")?,
            origins: texts(given.list("origins")?)?,
        },
        other => return Err(wrong(&format!("no kind {other:?} of backend; there are kubo, cluster, s3 and archive"))),
    };
    let limits = Limits {
        at_once: given.number("atOnce")?.map_or(Limits::default().at_once, |at_once| at_once as usize),
        bytes_per_second: given.number("bytesPerSecond")?,
    };
    given.end()?;
    Ok(Configured { name, keeper, limits })
}

fn policy(given: Value) -> Result<ReplicationPolicy> {
    let mut given = Fields::of(given, "the policy")?;
    let policy = ReplicationPolicy {
        backends: given.has("backends").then(|| given.list("backends").and_then(texts)).transpose()?,
        copies: given.count("copies")?,
        read_back: given.take("readBack").map(read_back).transpose()?,
        evict_with: given.count("evictWith")?,
        pin: given.flag("pin")?,
        audit_days: given.count("auditDays")?,
        archive: given.take("archive").map(archive).transpose()?,
        local_days: given.count("localDays")?,
    };
    given.end()?;
    Ok(policy)
}

fn read_back(given: Value) -> Result<ReadBack> {
    let all = (given == "all").then_some(ReadBack::All);
    let sample = given.as_u64().and_then(|ways| u32::try_from(ways).ok()).map(ReadBack::Sample);
    all.or(sample).ok_or_else(|| wrong(&format!("readBack is all or a number, not {given}")))
}

fn archive(given: Value) -> Result<ArchiveRule> {
    let mut given = Fields::of(given, "the policy's archive")?;
    let rule = ArchiveRule {
        backend: given.text("backend")?,
        days: given.count("days")?.ok_or_else(|| given.lacks("days"))?,
        moves: given.flag("moves")?.unwrap_or_default(),
    };
    given.end()?;
    Ok(rule)
}

fn texts(values: Vec<Value>) -> Result<Vec<String>> {
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        other => Err(wrong(&format!("{other} where a text is wanted"))),
    };
    values.into_iter().map(text).collect()
}

/// An object, of which each field is taken once, and none is left over.
struct Fields {
    what: &'static str,
    fields: Map<String, Value>,
}

impl Fields {
    fn of(value: Value, what: &'static str) -> Result<Self> {
        match value {
            Value::Object(fields) => Ok(Fields { what, fields }),
            _ => Err(wrong(&format!("{what} is no object"))),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    fn lacks(&self, name: &str) -> Error {
        wrong(&format!("{} has no {name}", self.what))
    }

    fn text(&mut self, name: &str) -> Result<String> {
        self.optional_text(name)?.ok_or_else(|| self.lacks(name))
    }

    fn optional_text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            // It may be what should have been a secret, so it is not shown.
            Some(_) => Err(wrong(&format!("{name} of {} is no text", self.what))),
        }
    }

    /// A text, or the environment variable that has it: `{"env": "NAME"}`.
    fn secret(&mut self, name: &str) -> Result<Option<String>> {
        let Some(Value::Object(_)) = self.fields.get(name) else { return self.optional_text(name) };
        let mut given = Fields::of(self.take(name).unwrap_or_default(), "a secret")?;
        let place = given.text("env")?;
        given.end()?;
        variable(&place).map(Some).ok_or_else(|| wrong(&format!("{place} is not in the environment")))
    }

    /// A URL, or an object of a `url` and a `token`, or a `user` and a `password`.
    fn endpoint(&mut self, name: &str) -> Result<Endpoint> {
        let Some(Value::Object(_)) = self.fields.get(name) else {
            return Ok(Endpoint { url: self.text(name)?, credentials: None });
        };
        let mut given = Fields::of(self.take(name).unwrap_or_default(), "a service")?;
        let url = given.text("url")?;
        let token = given.secret("token")?.map(Secret::new).transpose()?;
        let credentials = match (token, given.optional_text("user")?) {
            (None, None) => None,
            (Some(token), None) => Some(Credentials::Bearer(token)),
            (None, Some(user)) => {
                let password = given.secret("password")?.ok_or_else(|| given.lacks("password"))?;
                Some(Credentials::Basic { user, password: Secret::new(password)? })
            }
            (Some(_), Some(_)) => return Err(wrong("a service with a token and a user: it is one or the other")),
        };
        given.end()?;
        Ok(Endpoint { url, credentials })
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong(&format!("{name} is true or false, not {other}"))),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>> {
        let number = |value: Value| value.as_u64().ok_or_else(|| wrong(&format!("{name} is no whole number: {value}")));
        self.take(name).map(number).transpose()
    }

    fn count(&mut self, name: &str) -> Result<Option<u32>> {
        let count = |number| u32::try_from(number).map_err(|_| wrong(&format!("{name} is too large")));
        self.number(name)?.map(count).transpose()
    }

    fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(wrong(&format!("{name} is no list"))),
        }
    }

    fn end(self) -> Result<()> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(other) => Err(wrong(&format!("{} has no field {other:?}", self.what))),
        }
    }
}
