//! The functions of `wit/outbox.wit`.

use crate::{
    Plugin,
    bindings::exports::ipfs_kit::storage::outbox::{OutboxPage, Progress, Replication, SyncReport},
    plugin::TRAP,
    types::{Error, ReplicationPolicy},
};

impl Plugin {
    /// Drains the queue to its end, or up to where `told` has seen enough.
    pub fn sync_while(&mut self, wait: u64, told: impl FnMut(Progress) -> bool) -> Result<Option<SyncReport>, Error> {
        let mut told = told;
        let outbox = self.local.ipfs_kit_storage_outbox();
        let draining = outbox.call_sync(&mut self.store, self.handle, wait).expect(TRAP);
        let outbox = outbox.draining();
        let done = loop {
            match outbox.call_step(&mut self.store, draining).expect(TRAP) {
                Ok(Some(step)) if told(step.clone()) => {}
                Ok(_) => break Ok(outbox.call_report(&mut self.store, draining).expect(TRAP)),
                Err(error) => break Err(error),
            }
        };
        self.release(draining);
        done
    }

    /// Drains the queue to its end.
    pub fn sync(&mut self, wait: u64) -> Result<SyncReport, Error> {
        Ok(self.sync_while(wait, |_| true)?.expect("it came to its end"))
    }

    /// Queues a root for the backends of a policy.
    pub fn replicate(&mut self, cid: &str, policy: &ReplicationPolicy) -> Result<(), Error> {
        let outbox = self.local.ipfs_kit_storage_outbox();
        outbox.call_replicate(&mut self.store, self.handle, &cid.to_owned(), policy).expect(TRAP)
    }

    /// Has copies removed.
    pub fn release_copies(&mut self, cid: &str, backend: Option<&str>) -> Result<(), Error> {
        let outbox = self.local.ipfs_kit_storage_outbox();
        outbox.call_release(&mut self.store, self.handle, &cid.to_owned(), backend).expect(TRAP)
    }

    /// Queues copies to be read back again.
    pub fn audit(&mut self, cid: Option<&str>) -> Result<(), Error> {
        let cid = cid.map(str::to_owned);
        self.local.ipfs_kit_storage_outbox().call_audit(&mut self.store, self.handle, cid.as_ref()).expect(TRAP)
    }

    /// Where a root stands.
    pub fn replication(&mut self, cid: &str) -> Result<Replication, Error> {
        self.local
            .ipfs_kit_storage_outbox()
            .call_replication_of(&mut self.store, self.handle, &cid.to_owned())
            .expect(TRAP)
    }

    /// A page of what is still to be done.
    pub fn outbox(&mut self, after: Option<&str>, limit: u32) -> Result<OutboxPage, Error> {
        self.local.ipfs_kit_storage_outbox().call_list_outbox(&mut self.store, self.handle, after, limit).expect(TRAP)
    }
}
