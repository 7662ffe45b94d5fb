//! A delegated router (IPFS specification `routing/http-routing-v1`): it knows who has what. Of those it names, the
//! trustless gateways are used.

use std::rc::Rc;

use async_trait::async_trait;

use super::{
    Failure, ROUTING, Remote,
    address::base_url,
    body::{collect, stated},
    gateway::accepted,
    unsupported,
};
use crate::{
    block::Cid,
    error::Result as Outcome,
    json::{Json, Unusable},
    platform::http::{Body, Http, Method, Request, leads_inward},
};

const GATEWAY: &str = "transport-ipfs-gateway-http";

/// Longest answer: routers name at most a hundred providers, of a few hundred bytes each.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The empty block: who has it does not matter, and nobody looks far for it.
const PROBE: &str = "bafkqaaa";

/// A router at a URL.
pub struct Routing {
    http: Rc<dyn Http>,
    /// Without a slash at its end.
    url: String,
    name: String,
}

/// What a router says of one who has it.
struct Provider {
    addrs: Vec<String>,
    protocols: Vec<String>,
}

impl Routing {
    /// The router at `url`, such as `https://delegated-ipfs.dev`.
    pub fn new(http: Rc<dyn Http>, url: &str) -> Outcome<Self> {
        let url = base_url(url)?;
        Ok(Routing { http, name: format!("routing+{url}"), url })
    }

    async fn ask(&self, cid: &str) -> Result<Vec<Provider>, Failure> {
        let url = format!("{}/routing/v1/providers/{cid}?filter-protocols={GATEWAY}&filter-addrs=https,http", self.url);
        let accept = vec![("accept", "application/x-ndjson, application/json".to_owned())];
        let request = Request { method: Method::Get, url, headers: accept, body: None };
        let response = match accepted(self.http.send(request).await?) {
            Err(Failure::NotFound) => return Ok(Vec::new()),
            response => response?,
        };
        let lines = response.header("content-type").is_some_and(|kind| kind.contains("ndjson"));
        let mut body = stated(response);
        let text = collect(async || body.next().await, MAX_ANSWER_BYTES).await?;
        if lines {
            return Ok(known(Json::many(&text).collect::<Result<Vec<_>, _>>()?));
        }
        let providers = Json::one(&text)?.object()?.get("Providers").map(|providers| providers.items().ok_or(Unusable));
        Ok(known(providers.transpose()?.into_iter().flatten()))
    }
}

#[async_trait(?Send)]
impl Remote for Routing {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        ROUTING
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.ask(PROBE).await.map(drop)
    }

    async fn block(&self, _cid: &Cid) -> Result<Box<dyn Body>, Failure> {
        Err(unsupported("blocks"))
    }

    async fn providers(&self, cid: &Cid) -> Result<Vec<String>, Failure> {
        let secure = self.url.starts_with("https:");
        let providers = self.ask(&cid.to_string()).await?;
        // A router need not filter.
        let gateways = providers.iter().filter(|one| one.protocols.iter().any(|protocol| protocol == GATEWAY));
        // Who was asked securely does not send us to where anybody listens in, and nobody outside into our own network.
        let usable = |url: &String| (url.starts_with("https:") || !secure) && !leads_inward(&self.url, url);
        Ok(gateways.filter_map(|one| one.addrs.iter().filter_map(|addr| url(addr)).find(usable)).collect())
    }
}

/// Records of other kinds are passed over.
fn known<'a>(records: impl IntoIterator<Item = Json<'a>>) -> Vec<Provider> {
    let known = |record: Json<'a>| {
        let record = record.object().ok()?;
        Some(Provider { addrs: texts(record.get("Addrs"))?, protocols: texts(record.get("Protocols"))? })
    };
    records.into_iter().filter_map(known).collect()
}

/// Routers written in Go say `null` for an empty list.
fn texts(list: Option<Json<'_>>) -> Option<Vec<String>> {
    list.map_or(Some(Vec::new()), |list| list.items()?.map(Json::text).collect())
}

/// The URL that a multiaddr of HTTP means: `/dns4/example.org/tcp/443/https`, `/ip4/1.2.3.4/tcp/80/http`, `…/tls/http`.
fn url(multiaddr: &str) -> Option<String> {
    let mut parts = multiaddr.strip_prefix('/')?.split('/');
    let host = match parts.next()? {
        "dns" | "dns4" | "dns6" | "ip4" => parts.next()?.to_owned(),
        "ip6" => format!("[{}]", parts.next()?),
        _ => return None,
    };
    let port = match parts.next()? {
        "tcp" => parts.next()?.parse::<u16>().ok()?,
        _ => return None,
    };
    let rest: Vec<&str> = parts.collect();
    let scheme = match rest.as_slice() {
        ["https"] | ["tls", "http"] => "https",
        ["tls", "sni", name, "http"] if *name == host => "https",
        ["http"] => "http",
        _ => return None,
    };
    let usual = matches!((scheme, port), ("https", 443) | ("http", 80));
    Some(if usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn multiaddrs_of_http_become_urls() {
        let known = [
            ("/dns4/example.org/tcp/443/https", Some("https://example.org")),
            ("/dns/example.org/tcp/8443/tls/http", Some("https://example.org:8443")),
            ("/dns/a.org/tcp/443/tls/sni/a.org/http", Some("https://a.org")),
            ("/ip4/127.0.0.1/tcp/8080/http", Some("http://127.0.0.1:8080")),
            ("/ip6/::1/tcp/80/http", Some("http://[::1]")),
            ("/ip4/127.0.0.1/tcp/4001", None),
            ("/ip4/127.0.0.1/udp/4001/quic-v1", None),
            ("/dns/a.org/tcp/443/tls/sni/b.org/http", None),
            ("/dns4/example.org/tcp/443/wss", None),
            ("", None),
        ];
        for (multiaddr, expected) in known {
            assert_eq!(url(multiaddr).as_deref(), expected, "{multiaddr}");
        }
    }
}
