//! Notices to members wherever they are connected.

use std::sync::Arc;

use ambo_app::ports::Outbox;
use ambo_core::{Millis, Notice};
use ambo_store_redis::{NodeId, Topic};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::Cluster;
use crate::outbox::packed;
use crate::parcel::Parcel;

/// Delivers to this node's own sockets at once, and to other nodes over the bus, which keeps a
/// notice until the engine has it. Nobody waits for that.
pub(crate) struct ClusterOutbox(pub(crate) Arc<Cluster>);

#[async_trait]
impl Outbox for ClusterOutbox {
    async fn deliver(&self, notice: &Notice, now: Millis) {
        if let Some(parcel) = packed(notice, now) {
            self.0.send(parcel, now);
        }
    }
}

impl Cluster {
    fn send(self: &Arc<Self>, parcel: Parcel, now: Millis) {
        let session = match &parcel {
            Parcel::Word { connection, .. } | Parcel::Superseded { connection } => {
                return match self.owner(connection) {
                    Some(owner) => self.post(&Topic::Node(owner), &parcel),
                    None => self.local.take(parcel, now),
                };
            }
            Parcel::Broadcast { session, .. } | Parcel::Ended { session, .. } => session.clone(),
        };
        let is_end = matches!(parcel, Parcel::Ended { .. });
        self.local.take(parcel.clone(), now);
        self.post(&Topic::Session(session.clone()), &parcel);
        if is_end {
            self.leave_ended(&session);
        }
    }

    /// Queues a parcel; the bus sees to it that it arrives, and in its order.
    fn post(&self, topic: &Topic, parcel: &Parcel) {
        drop(self.bus.publish(topic, wrap(&self.id, parcel)));
    }
}

/// A parcel behind the name of the node it comes from.
fn wrap(from: &NodeId, parcel: &Parcel) -> Bytes {
    let mut bytes = BytesMut::from(from.as_str());
    bytes.extend_from_slice(&parcel.encode());
    bytes.freeze()
}

/// The same read.
pub(super) fn unwrap(payload: &[u8]) -> Option<(NodeId, Parcel)> {
    let (from, parcel) = payload.split_at_checked(NodeId::LEN)?;
    let from = NodeId::parse(std::str::from_utf8(from).ok()?)?;
    Some((from, Parcel::decode(parcel)?))
}

#[cfg(test)]
mod tests {
    use ambo_core::SessionId;

    use super::*;

    #[test]
    fn a_parcel_names_its_sender() {
        let from = NodeId::random([7; 16]);
        let session = SessionId::parse("faithful-shepherd-427").unwrap();
        let parcel = Parcel::Ended { session, text: "{}".into() };
        assert_eq!(unwrap(&wrap(&from, &parcel)), Some((from, parcel)));
        assert_eq!(unwrap(b"short"), None);
    }
}
