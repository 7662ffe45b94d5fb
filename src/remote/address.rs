//! How remotes are named: `https://…` is a trustless gateway, `kubo+http://…` a Kubo RPC, `routing+https://…` a delegated
//! router.

use std::rc::Rc;

use super::{Connector, Gateway, Kubo, Remote, Routing};
use crate::{
    error::{Error, Result},
    platform::http::Http,
};

/// Makes the remotes that are reached by HTTP.
pub struct HttpConnector(pub Rc<dyn Http>);

impl Connector for HttpConnector {
    fn connect(&self, address: &str) -> Result<Rc<dyn Remote>> {
        let http = self.0.clone();
        Ok(if let Some(url) = address.strip_prefix("kubo+") {
            Rc::new(Kubo::new(http, url)?)
        } else if let Some(url) = address.strip_prefix("routing+") {
            Rc::new(Routing::new(http, url)?)
        } else {
            Rc::new(Gateway::new(http, address)?)
        })
    }
}

/// A base for paths, without a slash at its end.
pub(crate) fn base_url(url: &str) -> Result<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let whole = rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty() && rest.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@' | '\\'))
    });
    if !whole {
        return Err(Error::InvalidArgument(format!(
            "{url:?} is no base URL of a remote: http:// or https://, a host, perhaps a path; no query, no credentials. \
             Before it kubo+ for a Kubo RPC, routing+ for a delegated router"
        )));
    }
    Ok(url.trim_end_matches('/').to_owned())
}
