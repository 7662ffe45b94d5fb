//! Backends as they are configured on WASI hosts, by WIT's records or by the command's file.

// Where there is no network they are configured in vain.
#![cfg_attr(not(feature = "remotes"), allow(dead_code))]

use crate::backend::{Endpoint, Layout, Limits};
#[cfg(feature = "remotes")]
use crate::{
    backend::{Archive, Backend, Cluster, KuboNode, S3, S3Keys},
    error::Result,
    platform::{Clock, http::Http},
};
#[cfg(feature = "remotes")]
use std::rc::Rc;

/// A backend that nothing has been asked of yet.
pub struct Configured {
    pub name: String,
    pub keeper: Keeper,
    pub limits: Limits,
}

/// What keeps copies.
pub enum Keeper {
    Kubo { url: String },
    Cluster { api: Endpoint, gateway: String },
    S3(Bucket),
    Archive { upload: Endpoint, by_put: bool, pins: Endpoint, gateway: String, origins: Vec<String> },
}

/// A bucket, and the keys to it.
pub struct Bucket {
    pub endpoint: String,
    pub region: String,
    pub name: String,
    pub prefix: String,
    pub layout: Layout,
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
}

#[cfg(feature = "remotes")]
impl Configured {
    /// The backend itself.
    pub fn connect(self, http: Rc<dyn Http>, clock: Rc<dyn Clock>) -> Result<(Rc<dyn Backend>, Limits)> {
        let name = &self.name;
        let backend: Rc<dyn Backend> = match self.keeper {
            Keeper::Kubo { url } => Rc::new(KuboNode::new(http, name, &url)?),
            Keeper::Cluster { api, gateway } => Rc::new(Cluster::new(http, name, api, &gateway)?),
            Keeper::S3(bucket) => {
                let Bucket { endpoint, region, name: of, prefix, layout, access_key, secret_key, session_token } =
                    bucket;
                let keys = (access_key.as_str(), secret_key.as_str(), session_token.as_deref());
                let keys = S3Keys::new(clock.clone(), &endpoint, &region, &of, keys)?;
                Rc::new(S3::new(http, Rc::new(keys), clock, name, &prefix)?.laid_out(layout))
            }
            Keeper::Archive { upload, by_put, pins, gateway, origins } => {
                let archive = Archive::new(http, name, upload, pins, &gateway)?.with_origins(origins)?;
                Rc::new(if by_put { archive.by_put() } else { archive })
            }
        };
        Ok((backend, self.limits))
    }
}
